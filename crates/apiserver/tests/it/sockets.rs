//! The server on a real socket.

use std::{net::SocketAddr, os::unix::fs::PermissionsExt as _};

use apiserver::{Endpoint, Listen, ListenError};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api, Client, Config,
    api::{ListParams, PostParams, WatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::world::World;

fn anywhere() -> Listen {
    Listen { bind: SocketAddr::from(([127, 0, 0, 1], 0)), ..Listen::default() }
}

async fn client(endpoint: &Endpoint) -> Client {
    let kubeconfig = Kubeconfig::from_yaml(&endpoint.kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    Client::try_from(config).unwrap()
}

/// Sends a request without credentials.
async fn anonymous(world: &World, endpoint: &Endpoint, path: &str) -> Response<Incoming> {
    let map = world.get("/api/v1/namespaces/default/configmaps/kube-root-ca.crt").await.body;
    let pem = map["data"]["ca.crt"].as_str().unwrap().to_owned();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(endpoint.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(std::sync::Arc::new(config));
    let stream = connector.connect(name, stream).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "localhost").body(Empty::<Bytes>::new());
    sender.send_request(request.unwrap()).await.unwrap()
}

#[tokio::test]
async fn the_kubeconfig_lets_a_client_in() {
    let world = World::new().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("windlass/kubeconfig");
    let listen = Listen { kubeconfig: Some(file.clone()), ..anywhere() };
    let endpoint = world.server.listen(&listen).await.unwrap();
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), endpoint.kubeconfig);
    let namespaces: Api<Namespace> = Api::all(client(&endpoint).await);
    assert_eq!(namespaces.list(&ListParams::default()).await.unwrap().items.len(), 4);
}

/// Breaks when `ApiError::unauthorized` says anything else, or nobody is taken for the administrator.
#[tokio::test]
async fn nobody_sees_more_than_whether_the_server_is_well() {
    let world = World::new().await;
    let endpoint = world.server.listen(&anywhere()).await.unwrap();
    for (path, code) in [("/readyz", 200), ("/version", 200), ("/api/v1/pods", 401), ("/api", 401)]
    {
        let response = anonymous(&world, &endpoint, path).await;
        assert_eq!(response.status(), code, "{path}");
    }
    let body = anonymous(&world, &endpoint, "/api/v1/pods").await.into_body();
    let refused: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!(
        refused,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "Unauthorized", "reason": "Unauthorized", "code": 401})
    );
    let body = anonymous(&world, &endpoint, "/version").await.into_body();
    let version: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!(version["gitVersion"], "v1.36.0+windlass.0.1.0");
}

#[tokio::test]
async fn a_taken_port_is_told_or_passed_over() {
    let world = World::new().await;
    let first = world.server.listen(&anywhere()).await.unwrap();
    let taken = Listen { bind: first.address, next_free_port: false, ..Listen::default() };
    let error = world.server.listen(&taken).await.unwrap_err();
    assert!(matches!(error, ListenError::InUse(address) if address == first.address));
    let next = Listen { bind: first.address, ..Listen::default() };
    assert!(first.address.port() < world.server.listen(&next).await.unwrap().address.port());
    let open = Listen { bind: SocketAddr::from(([0, 0, 0, 0], 0)), ..Listen::default() };
    let error = world.server.listen(&open).await.unwrap_err();
    assert!(matches!(error, ListenError::NotLoopback(_)));
}

#[tokio::test]
async fn a_watch_over_a_socket_ends_when_the_server_stops() {
    let world = World::new().await;
    let endpoint = world.server.listen(&anywhere()).await.unwrap();
    let maps: Api<ConfigMap> = Api::default_namespaced(client(&endpoint).await);
    let params = WatchParams::default().disable_bookmarks();
    let mut events = maps.watch(&params, "0").await.unwrap().boxed();
    events.try_next().await.unwrap().unwrap();
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "a"}})).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    events.try_next().await.unwrap().unwrap();
    world.server.shutdown().await;
    assert!(events.try_next().await.ok().flatten().is_none());
    assert!(TcpStream::connect(endpoint.address).await.is_err());
}
