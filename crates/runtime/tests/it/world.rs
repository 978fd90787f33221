//! An embedded API server with a client, for one test.

use std::{sync::Arc, time::Duration};

use apiserver::{ApiServer, FaultAction, FaultMatch, FaultRule, FaultStatus};
use k8s::{Activity, Clock, ObjectKey, Resource, Revisions, Settle, SharedClock, VirtualClock};
use runtime::{Client, ClientOptions};
use serde_json::{Value, json};

/// A server, its client and their clock.
pub(crate) struct World {
    pub(crate) server: ApiServer,
    pub(crate) client: Client,
    pub(crate) clock: VirtualClock,
}

impl World {
    pub(crate) async fn start() -> Self {
        let (clock, activity) = (VirtualClock::default(), Activity::default());
        let shared: SharedClock = Arc::new(clock.clone());
        let server = ApiServer::builder().clock(Arc::clone(&shared)).activity(activity.clone());
        let server = server.start().await.unwrap();
        let transport = kube::Client::new(server.service(), "default");
        let revisions = Some(Arc::new(server.clone()) as Arc<dyn Revisions>);
        let client = Client::new(
            transport,
            ClientOptions { clock: shared, activity, agent: "test", revisions },
        );
        Self { server, client, clock }
    }

    pub(crate) async fn settle(&self) {
        let settle = Settle::within(Duration::from_mins(1));
        self.client.activity().settle(&self.clock, settle).await.unwrap();
    }

    /// Creates a ConfigMap in `default`.
    pub(crate) async fn create(&self, name: &str) {
        let body = configmap(name).to_string();
        self.client.create(&configmaps(), "default", body).await.unwrap();
    }

    pub(crate) async fn delete(&self, name: &str) {
        let key = ObjectKey::new("default", name);
        self.client.delete(&configmaps(), &key, "").await.unwrap();
    }

    /// Lets requests of a verb on ConfigMaps go wrong and returns the rule's number.
    pub(crate) fn harm(&self, verb: &str, action: FaultAction) -> u64 {
        self.server.faults().add(FaultRule {
            on: FaultMatch {
                verb: Some(verb.to_owned()),
                resource: Some("configmaps".to_owned()),
                ..FaultMatch::default()
            },
            action,
        })
    }

    /// Returns how many seconds have passed since `before`.
    pub(crate) fn seconds_since(&self, before: k8s::Timestamp) -> i64 {
        self.clock.now().duration_since(before).as_secs()
    }
}

pub(crate) fn configmaps() -> Resource {
    Resource::namespaced("v1", "ConfigMap", "configmaps")
}

pub(crate) fn configmap(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

pub(crate) fn refusal(code: u16, retry_after: Option<u32>) -> FaultAction {
    FaultAction::Status(FaultStatus { code, retry_after, ..FaultStatus::default() })
}
