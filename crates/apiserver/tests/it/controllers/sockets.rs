//! The Service of the server itself.

use std::net::SocketAddr;

use apiserver::{DeleteOptions, Listen};
use k8s::{ObjectKey, Resource};
use serde_json::{Value, json};

use super::Server;

#[tokio::test]
async fn the_service_of_the_server_leads_to_the_socket() {
    let server = Server::start().await;
    let name = "default/kubernetes";
    let endpoints = Resource::namespaced("v1", "Endpoints", "endpoints");
    let slices = Resource::namespaced("discovery.k8s.io/v1", "EndpointSlice", "endpointslices");
    assert_eq!(server.get(&endpoints, name), None);
    let bind = SocketAddr::from(([127, 0, 0, 1], 0));
    let endpoint = server.api.listen(&Listen { bind, ..Listen::default() }).await.unwrap();
    let ports = json!([{"name": "https", "port": endpoint.address.port(), "protocol": "TCP"}]);
    let subsets = json!([{"addresses": [{"ip": "127.0.0.1"}], "ports": ports}]);
    let check = || {
        assert_eq!(server.get(&endpoints, name).unwrap()["subsets"], subsets);
        let slice = server.get(&slices, name).unwrap();
        assert_eq!(slice["endpoints"][0]["addresses"], json!(["127.0.0.1"]));
        assert_eq!(slice["ports"], ports);
    };
    check();
    server.settle().await;
    // What somebody else makes of it does not last.
    server.change(&endpoints, name, |it| it["subsets"] = Value::Null);
    let key = ObjectKey::new("default", "kubernetes");
    server.api.backend().delete(&slices, &key, &DeleteOptions::default()).unwrap();
    server.settle().await;
    check();
}
