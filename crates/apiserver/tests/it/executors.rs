//! Pods that something else than the simulated node runs.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use apiserver::ApiServer;
use futures::{
    channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded},
    stream::{self, BoxStream, StreamExt as _},
};
use k8s::{Executor, LogLine, LoggedRun, Object, Outcome, PodLog, PodState, Settle, Timestamp};
use serde_json::{Value, json};

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

    fn log(&self, pod: &Object, run: LoggedRun) -> Option<PodLog> {
        let line = |text: &str| LogLine { time: Timestamp::UNIX_EPOCH, text: text.into() };
        let coming = stream::iter([line("two"), line("three")]).boxed();
        let kept = vec![line(&format!("log of {}", pod.meta().name)), line("one")];
        (run == LoggedRun::Latest).then_some(PodLog { kept, coming })
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

/// Breaks when `log` answers for pods of executors what simulated ones print, or forgets the lines to come.
#[tokio::test]
async fn an_executor_keeps_what_its_pods_print() {
    let world = World::of(ApiServer::builder().start().await.unwrap());
    let _registration = world.server.register_executor("quick", Quick::new()).unwrap();
    let spec = json!({"containers": [{"name": "c", "image": "i"}]});
    let annotations = json!({"windlass.dev/executor": "quick"});
    let pod = json!({"metadata": {"name": "p", "annotations": annotations}, "spec": spec});
    assert_eq!(world.post(PODS, pod).await.code, 201);
    let log = |query: &str| {
        let path = format!("{PODS}/p/log?{query}");
        let world = &world;
        async move {
            let answer = world.get(&path).await;
            (answer.code, answer.body)
        }
    };
    for (query, expected) in [
        ("", "log of p\none\n"),
        ("tailLines=1", "one\n"),
        ("tailLines=1&follow=true", "one\ntwo\nthree\n"),
        ("follow=true&limitBytes=12", "log of p\none"),
    ] {
        assert_eq!(log(query).await, (200, Value::String(expected.to_owned())), "{query}");
    }
    let (code, status) = log("previous=true").await;
    assert_eq!(code, 400);
    assert_eq!(status["message"], "previous terminated container \"c\" in pod \"p\" not found");
    assert_eq!(log("tailLines=-1").await.0, 422);
    let exec = world.get(&format!("{PODS}/p/exec?command=sh")).await;
    let why =
        "pods/exec is not available: pod \"p\" is run by executor `quick` without a container";
    assert_eq!((exec.code, exec.body["message"].as_str()), (501, Some(why)));
}
