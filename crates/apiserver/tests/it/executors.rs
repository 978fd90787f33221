//! Pods that something else than the simulated node runs.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use apiserver::ApiServer;
use futures::{
    channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded},
    stream::{BoxStream, StreamExt as _},
};
use k8s::{Executor, Object, Outcome, PodState, Settle};
use serde_json::json;

use crate::world::World;

const PODS: &str = "/api/v1/namespaces/default/pods";

/// Says of each pod at once that it runs, and that it has stopped.
#[derive(Debug)]
struct Quick {
    tell: UnboundedSender<Outcome>,
    told: Mutex<Option<UnboundedReceiver<Outcome>>>,
}

impl Quick {
    fn new() -> Arc<Self> {
        let (tell, told) = unbounded();
        Arc::new(Self { tell, told: Mutex::new(Some(told)) })
    }

    fn tell(&self, pod: &Object, state: PodState) {
        let outcome = Outcome { pod: pod.key(), uid: pod.meta().uid.clone(), state };
        self.tell.unbounded_send(outcome).unwrap();
    }
}

impl Executor for Quick {
    fn start(&self, pod: Arc<Object>) {
        self.tell(&pod, PodState::Status(json!({"phase": "Running", "message": "quick"})));
    }

    fn stop(&self, pod: Arc<Object>) {
        self.tell(&pod, PodState::Stopped);
    }

    fn outcomes(&self) -> BoxStream<'static, Outcome> {
        self.told.lock().unwrap().take().unwrap().boxed()
    }
}

async fn settle(world: &World) {
    let clock = world.server.backend().clock().clone();
    world.activity.settle(&*clock, Settle::within(Duration::from_secs(9))).await.unwrap();
}

/// Breaks when pods are not given to the executor, or the simulated node runs them too.
#[tokio::test]
async fn an_executor_runs_its_pods_alone() {
    let world = World::of(ApiServer::builder().start().await.unwrap());
    let _registration = world.server.register_executor("quick", Quick::new()).unwrap();
    assert_eq!(world.get("/api/v1/nodes/windlass-quick").await.code, 200);
    let spec = json!({"containers": [{"name": "c", "image": "i"}]});
    let annotations = json!({"windlass.dev/executor": "quick"});
    let named = json!({"metadata": {"name": "named", "annotations": annotations}, "spec": spec});
    assert_eq!(world.post(PODS, named).await.code, 201);
    let mut spec = spec;
    spec["nodeName"] = json!("windlass-quick");
    let bound = json!({"metadata": {"name": "bound"}, "spec": spec});
    assert_eq!(world.post(PODS, bound).await.code, 201);
    for name in ["named", "bound"] {
        let mut watch =
            world.watch(&format!("{PODS}?watch=true&fieldSelector=metadata.name={name}")).await;
        while watch.next().await.unwrap()["object"]["status"]["message"] != "quick" {}
        world.delete(&format!("{PODS}/{name}?gracePeriodSeconds=30")).await;
        while watch.next().await.unwrap()["type"] != "DELETED" {}
    }
    settle(&world).await;
    let events = world.get("/api/v1/namespaces/default/events").await.body;
    let items = events["items"].as_array().unwrap();
    assert!(items.iter().all(|it| it["reason"] != "ExecutorUnknown"), "{events}");
}
