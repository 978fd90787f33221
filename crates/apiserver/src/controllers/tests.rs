//! Stories in process: a server, its controllers, a clock that stands still, and no sleeps.

mod garbage;
mod pods;
mod workloads;

use std::time::Duration;

use k8s::{Activity, Clock, ObjectKey, Resource, Settle, SignedDuration, VirtualClock};
use serde_json::{Value, json};

use super::{ControllersHandle, fields, kinds, spawn};
use crate::{
    backend::{Backend, DeleteOptions, Part, Propagation},
    store::History,
};

/// A server with its controllers and a virtual clock.
struct Server {
    backend: Backend,
    clock: VirtualClock,
    _controllers: ControllersHandle,
}

impl Server {
    async fn start() -> Self {
        let clock = VirtualClock::default();
        let shared = std::sync::Arc::new(clock.clone());
        let backend = Backend::new(shared, Activity::default(), History::default());
        let namespace = json!({"metadata": {"name": "default"}});
        backend.create(&kinds::NAMESPACES, namespace).unwrap();
        let controllers = spawn(backend.clone()).unwrap();
        let server = Self { backend, clock, _controllers: controllers };
        server.settle().await;
        server
    }

    async fn settle(&self) {
        self.settle_within(0).await;
    }

    /// Waits for quiet, moving the clock by so many seconds at most.
    async fn settle_within(&self, seconds: u64) {
        let settle = Settle::within(Duration::from_secs(seconds) + Duration::from_millis(1));
        self.backend.activity().settle(&self.clock, settle).await.unwrap();
    }

    fn advance(&self, seconds: i64) {
        self.clock.advance(SignedDuration::from_secs(seconds));
    }

    fn create(&self, resource: &Resource, value: Value) -> Value {
        self.backend.create(resource, value).unwrap().to_value()
    }

    fn get(&self, resource: &Resource, key: &str) -> Option<Value> {
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        let object = self.backend.get(resource, &ObjectKey::new(namespace, name));
        object.ok().map(|object| object.to_value())
    }

    /// Changes an object and returns it as it was written.
    fn change(&self, resource: &Resource, key: &str, change: impl FnOnce(&mut Value)) -> Value {
        let mut value = self.get(resource, key).unwrap();
        change(&mut value);
        self.backend.update(resource, value, Part::Main).unwrap().to_value()
    }

    fn delete(&self, resource: &Resource, key: &str, propagation: Propagation) {
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        let options = DeleteOptions { propagation: Some(propagation), ..<_>::default() };
        self.backend.delete(resource, &ObjectKey::new(namespace, name), &options).unwrap();
    }

    fn list(&self, resource: &Resource) -> Vec<Value> {
        self.backend.list(resource, "").iter().map(|object| object.to_value()).collect()
    }

    fn names(&self, resource: &Resource) -> Vec<String> {
        let list = self.list(resource);
        list.iter().map(|it| fields::text(it, "/metadata/name").to_owned()).collect()
    }

    /// Returns the messages of all Events with this reason.
    fn events(&self, reason: &str) -> Vec<String> {
        let list = self.list(&kinds::EVENTS);
        let events = list.iter().filter(|it| it["reason"] == reason);
        events.map(|it| fields::text(it, "/message").to_owned()).collect()
    }
}

/// Returns the condition of this type as `STATUS/REASON`.
fn condition(object: &Value, kind: &str) -> String {
    let conditions = fields::list(object, "/status/conditions");
    let found = conditions.iter().find(|it| it["type"] == kind);
    found.map_or_else(String::new, |it| {
        format!("{}/{}", fields::text(it, "/status"), fields::text(it, "/reason"))
    })
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

fn config_maps() -> Resource {
    Resource::namespaced("v1", "ConfigMap", "configmaps")
}
