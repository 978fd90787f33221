//! Services that are called through the server, and where they are found.

use std::{net::SocketAddr, sync::Arc};

use apiserver::{ApiServer, Settings};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use k8s::{ObjectKey, ServiceBody, ServiceHandler};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::world::World;

const SERVICES: &str = "/api/v1/namespaces/default/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

/// A server of one answer, which is the head of the request.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).await.unwrap();
            head.truncate(length);
            let answer = format!(
                "HTTP/1.1 201 Created\r\nlocation: /next\r\nx-own: yes\r\nconnection: \
                 close\r\ncontent-length: {length}\r\n\r\n"
            );
            stream.write_all(&[answer.as_bytes(), &head].concat()).await.unwrap();
        }
    });
    address
}

async fn world(settings: Settings) -> World {
    let server = ApiServer::builder().controllers(false).settings(settings);
    World::of(server.start().await.unwrap())
}

/// Makes a Service whose endpoint is at this address.
async fn service(world: &World, address: SocketAddr) {
    let ports = json!([{"name": "http", "port": 80}]);
    let service = json!({"metadata": {"name": "web"}, "spec": {"ports": ports}});
    assert_eq!(world.post(SERVICES, service).await.code, 201);
    let slice = json!({
        "metadata": {"name": "web", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": address.port()}],
        "endpoints": [{"addresses": [address.ip()], "conditions": {"ready": true}}],
    });
    let made = world.post(SLICES, slice).await;
    assert_eq!(made.code, 201, "{}", made.message());
}

fn loopback() -> Settings {
    Settings { loopback_endpoints: true, ..Settings::default() }
}

/// Breaks when the path, the method or the headers are not passed on as they came.
#[tokio::test]
async fn a_request_is_passed_on_as_it_came() {
    let world = world(loopback()).await;
    service(&world, echo().await).await;
    let path = format!("{SERVICES}/web:http/proxy/a%2Fb?c=d");
    let headers = [
        ("x-mine", "1"),
        ("authorization", "Bearer x"),
        ("host", "api.test"),
        ("accept", "text/*"),
    ];
    let answer = world.open(Method::DELETE, &path, &headers, Bytes::from("body")).await;
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.headers()["x-own"], "yes");
    let next = format!("{SERVICES}/web:http/proxy/next");
    assert_eq!(answer.headers()["location"], next.as_str());
    let text = World::text(answer).await.to_lowercase();
    assert!(text.starts_with("delete /a%2fb?c=d http/1.1"), "{text}");
    for part in ["x-mine: 1", "x-forwarded-host: api.test", "content-length: 4", "\r\n\r\nbody"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(!text.contains("authorization"), "{text}");
}

#[tokio::test]
async fn ports_are_named_or_numbered_or_left_out() {
    let world = world(loopback()).await;
    service(&world, echo().await).await;
    for name in ["web", "web:80", "http:web:http"] {
        let answer = world.get(&format!("{SERVICES}/{name}/proxy/")).await;
        assert_eq!(answer.code, 201, "{name}: {answer:?}");
    }
    let redirected =
        world.open(Method::GET, &format!("{SERVICES}/web/proxy"), &[], "".into()).await;
    assert_eq!(redirected.status(), 301);
    assert_eq!(redirected.headers()["location"], format!("{SERVICES}/web/proxy/").as_str());
}

/// Breaks when the message does not name the Service, or not the flag.
#[tokio::test]
async fn what_cannot_be_reached_is_told() {
    let world = world(loopback()).await;
    let service = json!({"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}});
    world.post(SERVICES, service).await;
    let answer = async |name: &str| world.get(&format!("{SERVICES}/{name}/proxy/")).await;
    let reply = answer("web").await;
    assert_eq!(
        reply.error(),
        (
            503,
            "ServiceUnavailable",
            "nothing behind Service `default/web` can be reached from here: it has no ready \
             endpoints; `--service-map default/web=URL` says where it is"
        )
    );
    assert_eq!(answer("nope").await.error(), (404, "NotFound", "services \"nope\" not found"));
    let bad = "invalid service request \"ftp:web:80\"";
    assert_eq!(answer("ftp:web:80").await.error(), (400, "BadRequest", bad));
    let map = "default/web=http://127.0.0.1:1".parse().unwrap();
    let mapped = self::world(Settings { services: vec![map], ..Settings::default() }).await;
    let reply = mapped.get(&format!("{SERVICES}/web/proxy/")).await;
    assert_eq!(reply.code, 503);
    assert!(reply.message().starts_with("error trying to reach service: "), "{reply:?}");
}

/// Breaks when the map, handlers and endpoints are asked in another order.
#[tokio::test]
async fn the_map_goes_before_handlers_and_those_before_endpoints() {
    let there = echo().await;
    let map = format!("default/web:80=http://{there}/base").parse().unwrap();
    let world = world(Settings { services: vec![map], ..loopback() }).await;
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    service(&world, nowhere).await;
    let at = |port: &str| format!("{SERVICES}/web:{port}/proxy/a");
    assert_eq!(world.get(&at("http")).await.code, 503, "endpoints lead nowhere");
    let handled = world.server.serve(ObjectKey::new("default", "web"), Arc::new(Inside));
    assert_eq!(world.get(&at("http")).await.body, json!({"path": "/a"}));
    let text = world.get(&at("80")).await.body;
    assert!(text.as_str().unwrap().starts_with("GET /base/a "), "{text}");
    drop(handled);
    assert_eq!(world.get(&at("http")).await.code, 503);
}

/// A Service that runs in this process.
#[derive(Debug)]
struct Inside;

impl ServiceHandler for Inside {
    fn handle(&self, request: Request<Bytes>) -> BoxFuture<'static, Response<ServiceBody>> {
        let body: Value = json!({"path": request.uri().path()});
        let body = Full::from(body.to_string()).map_err(|never| match never {});
        async move { Response::new(body.boxed_unsync()) }.boxed()
    }
}

/// Breaks when endpoints on this machine are taken without being asked for.
#[tokio::test]
async fn endpoints_on_this_machine_are_taken_where_that_is_wanted() {
    let slice = json!({"metadata": {"name": "a"}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["127.0.0.1"]}]});
    let strict = world(Settings::default()).await;
    assert_eq!(strict.post(SLICES, slice.clone()).await.code, 422);
    assert_eq!(world(loopback()).await.post(SLICES, slice).await.code, 201);
}
