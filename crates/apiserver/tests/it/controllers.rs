//! Stories in process: a server, its controllers, a clock that stands still, and no sleeps.

mod accounts;
mod garbage;
mod jobs;
mod pods;
mod sets;
mod sockets;
mod storm;
mod workloads;

use std::{sync::Arc, time::Duration};

use apiserver::{ApiServer, DeleteOptions, Part, Propagation};
use k8s::{Activity, ObjectKey, Resource, Settle, SignedDuration, VirtualClock};
use serde_json::{Value, json};

/// A server with its controllers and a virtual clock.
struct Server {
    api: ApiServer,
    activity: Activity,
    clock: VirtualClock,
}

impl Server {
    async fn start() -> Self {
        let (clock, activity) = (VirtualClock::default(), Activity::default());
        let builder = ApiServer::builder().clock(Arc::new(clock.clone()));
        let api = builder.activity(activity.clone()).start().await.unwrap();
        let server = Self { api, activity, clock };
        server.settle().await;
        server
    }

    async fn settle(&self) {
        self.settle_within(0).await;
    }

    /// Waits for quiet, moving the clock by so many seconds at most.
    async fn settle_within(&self, seconds: u64) {
        let settle = Settle::within(Duration::from_secs(seconds) + Duration::from_millis(1));
        self.activity.settle(&self.clock, settle).await.unwrap();
    }

    fn advance(&self, seconds: i64) {
        self.clock.advance(SignedDuration::from_secs(seconds));
    }

    fn create(&self, resource: &Resource, value: Value) -> Value {
        self.api.backend().create(resource, value).unwrap().to_value()
    }

    fn get(&self, resource: &Resource, key: &str) -> Option<Value> {
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        let object = self.api.backend().get(resource, &ObjectKey::new(namespace, name));
        object.ok().map(|object| object.to_value())
    }

    /// Changes an object and returns it as it was written.
    fn change(&self, resource: &Resource, key: &str, change: impl FnOnce(&mut Value)) -> Value {
        let mut value = self.get(resource, key).unwrap();
        change(&mut value);
        self.api.backend().update(resource, value, Part::Main).unwrap().to_value()
    }

    fn delete(&self, resource: &Resource, key: &str, propagation: Propagation) {
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        let options = DeleteOptions { propagation: Some(propagation), ..<_>::default() };
        self.api.backend().delete(resource, &ObjectKey::new(namespace, name), &options).unwrap();
    }

    fn list(&self, resource: &Resource) -> Vec<Value> {
        self.api.backend().list(resource, "").iter().map(|object| object.to_value()).collect()
    }

    fn names(&self, resource: &Resource) -> Vec<String> {
        let list = self.list(resource);
        list.iter().map(|it| text(it, "/metadata/name").to_owned()).collect()
    }

    /// Returns the messages of all Events with this reason.
    fn events(&self, reason: &str) -> Vec<String> {
        let list = self.list(&kinds::EVENTS);
        let events = list.iter().filter(|it| it["reason"] == reason);
        events.map(|it| text(it, "/message").to_owned()).collect()
    }
}

/// Returns the condition of this type as `STATUS/REASON`.
fn condition(object: &Value, kind: &str) -> String {
    let conditions = list(object, "/status/conditions");
    let found = conditions.iter().find(|it| it["type"] == kind);
    found.map_or_else(String::new, |it| format!("{}/{}", text(it, "/status"), text(it, "/reason")))
}

fn deployment(name: &str, replicas: i64, template: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": template},
                "spec": pod_spec("Always"),
            },
        },
    })
}

fn pod(name: &str, restart_policy: &str, annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "annotations": annotations},
        "spec": pod_spec(restart_policy),
    })
}

fn pod_spec(restart_policy: &str) -> Value {
    json!({
        "containers": [{"name": "main", "image": "nginx:1"}],
        "restartPolicy": restart_policy, "schedulerName": "default-scheduler",
        "terminationGracePeriodSeconds": 30,
    })
}

fn config_map(name: &str, owners: &[&Value]) -> Value {
    let owners = owners.iter().map(|owner| {
        json!({
            "apiVersion": owner["apiVersion"], "kind": owner["kind"],
            "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": true,
        })
    });
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default",
            "ownerReferences": owners.collect::<Vec<_>>()},
    })
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The resources of the stories.
mod kinds {
    use std::sync::LazyLock;

    use k8s::Resource;

    macro_rules! kinds {
        ($($name:ident: $scope:ident $api_version:literal $kind:literal $plural:literal;)*) => {
            $(pub(super) static $name: LazyLock<Resource> =
                LazyLock::new(|| Resource::$scope($api_version, $kind, $plural));)*
        };
    }

    kinds! {
        CONFIG_MAPS: namespaced "v1" "ConfigMap" "configmaps";
        ACCOUNTS: namespaced "v1" "ServiceAccount" "serviceaccounts";
        PODS: namespaced "v1" "Pod" "pods";
        SERVICES: namespaced "v1" "Service" "services";
        ENDPOINTS: namespaced "v1" "Endpoints" "endpoints";
        EVENTS: namespaced "v1" "Event" "events";
        NODES: cluster "v1" "Node" "nodes";
        NAMESPACES: cluster "v1" "Namespace" "namespaces";
        REPLICA_SETS: namespaced "apps/v1" "ReplicaSet" "replicasets";
        DEPLOYMENTS: namespaced "apps/v1" "Deployment" "deployments";
        STATEFUL_SETS: namespaced "apps/v1" "StatefulSet" "statefulsets";
        REVISIONS: namespaced "apps/v1" "ControllerRevision" "controllerrevisions";
        CLAIMS: namespaced "v1" "PersistentVolumeClaim" "persistentvolumeclaims";
        JOBS: namespaced "batch/v1" "Job" "jobs";
        DEFINITIONS: cluster "apiextensions.k8s.io/v1" "CustomResourceDefinition"
            "customresourcedefinitions";
        ENDPOINT_SLICES: namespaced "discovery.k8s.io/v1" "EndpointSlice" "endpointslices";
    }
}
