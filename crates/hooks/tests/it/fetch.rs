//! Files at URLs: where the way to them leads, and what is no file.

use std::{sync::Arc, time::Duration};

use api::{Fetch, FetchError, FetchRequest};
use bytes::Bytes;
use hooks::Webhooks;
use k8s::{Activity, SystemClock};

use crate::peer::{Peer, values};

async fn fetch(url: &str, limit: usize) -> Result<Bytes, FetchError> {
    let webhooks = Webhooks::with_variables(Arc::new(SystemClock), Activity::default(), |_| None);
    let (url, timeout) = (url.to_owned(), Duration::from_secs(30));
    webhooks.unwrap().fetch(FetchRequest { url, limit, redirects: 10, timeout }).await
}

fn answer(head: &str) -> Vec<u8> {
    format!("HTTP/1.1 {head}\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfile").into_bytes()
}

fn moved(status: u16) -> Vec<u8> {
    answer(&format!("{status} Elsewhere\r\nLocation: /there"))
}

#[tokio::test]
async fn ten_redirects_of_any_kind_lead_to_the_file() {
    let mut way: Vec<_> = [301, 302, 303, 307, 308].repeat(2).into_iter().map(moved).collect();
    way.push(answer("200 OK"));
    let peer = Peer::answering(way.clone()).await;
    assert_eq!(fetch(&peer.url(), 4).await.unwrap(), "file");
    assert!(peer.seen()[10].starts_with("GET /there HTTP/1.1\r\n"), "{}", peer.seen()[10]);
    way.insert(0, moved(301));
    let peer = Peer::answering(way).await;
    let error = fetch(&peer.url(), 4).await.unwrap_err();
    assert!(matches!(error, FetchError::Redirects { limit: 10, .. }), "{error}");
}

#[tokio::test]
async fn the_page_of_an_error_is_no_file() {
    for status in [304, 404, 500] {
        let peer = Peer::answering(vec![answer(&format!("{status} No"))]).await;
        let error = fetch(&peer.url(), 4).await.unwrap_err();
        assert_eq!(error.to_string(), format!("`{}` answered {status}", peer.url()));
    }
}

#[tokio::test]
async fn a_file_has_its_limit() {
    let peer = Peer::answering(vec![answer("200 OK")]).await;
    let error = fetch(&peer.url(), 3).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { limit: 3, .. }), "{error}");
}

/// A server may say nothing of the size of a file, and never come to its end.
#[tokio::test]
async fn a_file_without_end_is_none() {
    let endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbytes\r\n".to_vec();
    let peer = Peer::answering(vec![endless]).await;
    let error = fetch(&peer.url(), 4).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { limit: 4, .. }), "{error}");
    let error = fetch(&peer.url(), 100).await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn other_ways_than_those_of_the_web_lead_to_no_file() {
    let error = fetch("ftp://127.0.0.1/file", 4).await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_password_is_for_its_own_host() {
    let other = Peer::answering(vec![answer("404 Not Found")]).await;
    let to = format!("302 Elsewhere\r\nLocation: {}", other.url());
    let peer = Peer::answering(vec![answer(&to)]).await;
    let url = peer.url().replace("http://", "http://u:p@");
    let error = fetch(&url, 4).await.unwrap_err();
    assert_eq!(error.to_string(), format!("`{}` answered 404", peer.url()));
    assert_eq!(values(&peer.seen()[0], "authorization"), ["Basic dTpw"]);
    assert_eq!(values(&other.seen()[0], "authorization"), Vec::<String>::new());
}
