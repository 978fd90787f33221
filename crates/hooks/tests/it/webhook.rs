//! Requests that simple servers can read, and all the answers they may give.

use std::time::Duration;

use api::HookError;
use http::{HeaderValue, header};

use crate::peer::{Peer, call, values};

fn answer(head: &str) -> Vec<u8> {
    format!("HTTP/1.1 {head}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}").into_bytes()
}

fn moved(status: u16, to: &str) -> Vec<u8> {
    answer(&format!("{status} Elsewhere\r\nLocation: {to}"))
}

/// Breaks when the body of a call has no known length, or its type says more than `application/json`.
#[tokio::test]
async fn acceptance_4_a_simple_server_can_read_the_request() {
    let peer = Peer::answering(vec![b"HTTP/1.0 200 OK\r\n\r\n{\"a\":1}".to_vec()]).await;
    let reply = call(&peer.url(), &[], |_| ()).await.unwrap();
    assert_eq!((reply.status, &*reply.body), (200, br#"{"a":1}"#.as_slice()));
    let seen = peer.seen().concat();
    assert!(seen.starts_with("POST /sync?a=b HTTP/1.1\r\n"), "{seen}");
    assert!(seen.ends_with("\r\n\r\n{}"), "{seen}");
    for (name, value) in [
        ("content-type", vec!["application/json".to_owned()]),
        ("content-length", vec!["2".to_owned()]),
        ("transfer-encoding", vec![]),
        ("host", vec![peer.address.to_string()]),
        ("authorization", vec![]),
    ] {
        assert_eq!(values(&seen, name), value, "{name}");
    }
}

/// Breaks when a status that moves a call by GET is followed.
#[tokio::test]
async fn other_statuses_are_handed_on() {
    for status in [201, 204, 301, 302, 303, 404, 500] {
        let peer = Peer::answering(vec![moved(status, "/other")]).await;
        assert_eq!(call(&peer.url(), &[], |_| ()).await.unwrap().status, status);
        assert_eq!(peer.seen().len(), 1);
    }
}

/// Breaks when `elsewhere` passes over a status, or drops the body.
#[tokio::test]
async fn a_call_is_sent_on_with_its_body() {
    for status in [307, 308] {
        let peer = Peer::answering(vec![moved(status, "/other"), answer("200 OK")]).await;
        assert_eq!(call(&peer.url(), &[], |_| ()).await.unwrap().status, 200);
        let second = peer.seen()[1].clone();
        assert!(second.starts_with("POST /other HTTP/1.1\r\n"), "{second}");
        assert!(second.ends_with("\r\n\r\n{}"), "{second}");
    }
}

/// Breaks when `REDIRECTS` is another number.
#[tokio::test]
async fn a_call_is_not_sent_in_circles() {
    let peer = Peer::answering(vec![moved(307, "/sync")]).await;
    let error = call(&peer.url(), &[], |_| ()).await.unwrap_err();
    assert!(matches!(error, HookError::Unreachable { .. }), "{error}");
    assert_eq!(peer.seen().len(), 6);
}

/// Breaks when credentials go wherever a hook sends the call.
#[tokio::test]
async fn credentials_stay_at_home() {
    let stranger = Peer::answering(vec![answer("200 OK")]).await;
    let home = Peer::answering(vec![moved(307, "/again"), moved(307, &stranger.url())]).await;
    let with_token = |request: &mut api::HookRequest| {
        let token = HeaderValue::from_static("Bearer t");
        request.headers.insert(header::AUTHORIZATION, token);
    };
    call(&home.url(), &[], with_token).await.unwrap();
    assert_eq!(values(&home.seen()[1], "authorization"), ["Bearer t"]);
    assert_eq!(values(&stranger.seen()[0], "authorization"), [""; 0]);
}

/// Breaks when an answer is read to its end whatever its length.
#[tokio::test]
async fn an_answer_may_be_too_large() {
    let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    answer.resize(answer.len() + (32 << 20) + 1, b' ');
    let peer = Peer::answering(vec![answer.clone()]).await;
    let error = call(&peer.url(), &[], |_| ()).await.unwrap_err();
    assert!(matches!(error, HookError::TooLarge { .. }), "{error}");
    answer.pop();
    let peer = Peer::answering(vec![answer]).await;
    assert_eq!(call(&peer.url(), &[], |_| ()).await.unwrap().body.len(), 32 << 20);
}

/// Breaks when the time of a call ends with the head of the answer.
#[tokio::test]
async fn the_time_of_a_call_counts_for_its_answer_too() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let held = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        crate::peer::request(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{";
        tokio::io::AsyncWriteExt::write_all(&mut stream, head).await.unwrap();
        stream
    });
    let error = call(&url, &[], |request| request.timeout = Duration::from_millis(200)).await;
    assert!(matches!(error, Err(HookError::TimedOut(_))), "{error:?}");
    drop(held.await.unwrap());
}

#[tokio::test]
async fn a_hook_that_is_not_there_is_told() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let error = call(&url, &[], |_| ()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("http error: {url}"));
}
