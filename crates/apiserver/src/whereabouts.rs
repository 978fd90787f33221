//! Pure: where the server itself is reached, as the Endpoints and the slice of its own Service tell.

use std::net::SocketAddr;

use k8s::{ObjectKey, Resource};
use serde_json::{Value, json};

use crate::registry::Registered;

const NAMESPACE: &str = "default";
const NAME: &str = "kubernetes";

/// Returns the key of all that is about the server: its Service and what lies behind it.
pub(crate) fn key() -> ObjectKey {
    ObjectKey::new(NAMESPACE, NAME)
}

/// Returns whether an object tells where the server is, which may be on this machine alone.
pub(crate) fn tells(registered: &Registered, object: &Value) -> bool {
    let is_told =
        registered.is("", "endpoints") || registered.is("discovery.k8s.io", "endpointslices");
    let metadata = &object["metadata"];
    is_told && metadata["namespace"] == NAMESPACE && metadata["name"] == NAME
}

/// Returns the objects that tell of an address, each with its resource.
pub(crate) fn objects(address: SocketAddr) -> [(Resource, Value); 2] {
    let ip = address.ip().to_string();
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    let ports = json!([{"name": "https", "port": address.port(), "protocol": "TCP"}]);
    let metadata = |labels: Value| json!({"name": NAME, "namespace": NAMESPACE, "labels": labels});
    let endpoints = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        // The slice is written beside them, and not made from them.
        "metadata": metadata(json!({"endpointslice.kubernetes.io/skip-mirror": "true"})),
        "subsets": [{"addresses": [{"ip": ip}], "ports": ports}],
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
        "metadata": metadata(json!({"kubernetes.io/service-name": NAME})),
        "endpoints": [{"addresses": [ip], "conditions": {"ready": true}}], "ports": ports,
    });
    let resource = Resource::namespaced;
    [
        (resource("v1", "Endpoints", "endpoints"), endpoints),
        (resource("discovery.k8s.io/v1", "EndpointSlice", "endpointslices"), slice),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tell_of_the_address() {
        let [(_, endpoints), (_, slice)] = objects(SocketAddr::from(([127, 0, 0, 1], 7)));
        let port = json!([{"name": "https", "port": 7, "protocol": "TCP"}]);
        let subset = json!({"addresses": [{"ip": "127.0.0.1"}], "ports": port});
        assert_eq!(endpoints["subsets"], json!([subset]));
        assert_eq!(slice["endpoints"][0]["addresses"], json!(["127.0.0.1"]));
        assert_eq!((&slice["ports"], &slice["addressType"]), (&port, &json!("IPv4")));
    }
}
