//! The objects that are there before anybody asks.

use k8s::Resource;
use serde_json::{Value, json};

use crate::{backend::Backend, error::ApiError};

const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// Creates the first objects.
pub(crate) fn create(backend: &Backend) -> Result<(), ApiError> {
    let namespaces = Resource::cluster("v1", "Namespace", "namespaces");
    for name in NAMESPACES {
        backend.create(&namespaces, json!({"metadata": {"name": name}}))?;
    }
    backend
        .create(&Resource::namespaced("v1", "Service", "services"), kubernetes_service(backend))?;
    let priorities = Resource::cluster("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses");
    for (name, value) in
        [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)]
    {
        let preemption = "PreemptLowerPriority";
        let class = json!({"metadata": {"name": name}, "value": value,
            "preemptionPolicy": preemption});
        backend.create(&priorities, class)?;
    }
    Ok(())
}

fn kubernetes_service(backend: &Backend) -> Value {
    let address = backend.settings().networks.services.address(1);
    json!({
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": address,
            "clusterIPs": [address],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster",
            "sessionAffinity": "None",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}],
        },
    })
}
