//! Calls through the proxy that the environment names.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::peer::{Peer, call, request, values};

/// Breaks when `Stream` does not say that it leads to a proxy, or `proxy_login` is not asked.
#[tokio::test]
async fn a_proxy_is_told_the_whole_url() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_vec();
    let proxy = Peer::answering(vec![answer]).await;
    let variables = [("HTTP_PROXY", format!("http://u:p@{}", proxy.address))];
    let reply = call("http://hook.web:81/sync", &variables, |_| ()).await.unwrap();
    assert_eq!(&*reply.body, b"{}");
    let seen = proxy.seen().concat();
    assert!(seen.starts_with("POST http://hook.web:81/sync HTTP/1.1\r\n"), "{seen}");
    assert_eq!(values(&seen, "host"), ["hook.web:81"]);
    assert_eq!(values(&seen, "proxy-authorization"), ["Basic dTpw"]);
}

/// Breaks when HTTPS is spoken with a proxy instead of through it.
#[tokio::test]
async fn a_proxy_sees_nothing_of_https() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let variables = [("https_proxy", format!("http://u:p@{}", listener.local_addr().unwrap()))];
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let asked = request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
        (asked, stream.read_u8().await.unwrap())
    });
    call("https://hook.web/sync", &variables, |_| ()).await.unwrap_err();
    let (asked, first) = served.await.unwrap();
    assert!(asked.starts_with("CONNECT hook.web:443 HTTP/1.1\r\n"), "{asked}");
    assert_eq!(values(&asked, "host"), ["hook.web:443"]);
    assert_eq!(values(&asked, "proxy-authorization"), ["Basic dTpw"]);
    assert_eq!(first, 22, "what follows is a handshake of TLS");
}

/// Breaks when whatever a proxy answers is a tunnel.
#[tokio::test]
async fn a_proxy_may_refuse() {
    let answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_vec();
    let proxy = Peer::answering(vec![answer]).await;
    let variables = [("HTTPS_PROXY", proxy.address.to_string())];
    let error = call("https://hook.web/sync", &variables, |_| ()).await.unwrap_err();
    let told = k8s::in_one_line(&error);
    assert!(told.contains(&format!("the proxy http://{}/ answered 403", proxy.address)), "{told}");
}

/// Breaks when loopback addresses are not excepted.
#[tokio::test]
async fn a_hook_on_this_machine_is_called_itself() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_vec();
    let peer = Peer::answering(vec![answer]).await;
    let variables = [("HTTP_PROXY", "http://127.0.0.1:1".to_owned())];
    assert_eq!(call(&peer.url(), &variables, |_| ()).await.unwrap().status, 200);
}
