//! Functions in a cluster: what works on them is `windlass run` with the account it has in production, the cluster's
//! own controllers make the pods, and [`Kubelet`] runs their containers.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use api::{HookReply, function};
use cli::{
    engine::EngineError,
    run::{self, RunOptions},
};
use e2e::{World, not_run, real_time_story};
use k8s::Resource;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::kubelet::{Kubelet, windlass};

real_time_story!(a_function_is_a_hook_in_a_cluster);

const HOOK: &str = "
GREETING = 'Hello'

def sync(event, context):
    if not event['data']:
        return GREETING
    parent = event['data']['parent']
    child = {'apiVersion': 'v1', 'kind': 'ConfigMap',
             'metadata': {'name': parent['metadata']['name']}, 'data': {'greeting': GREETING}}
    return {'status': {'seen': True}, 'children': [child]}
";

/// `windlass run --enable functions` for the Functions of one world.
struct Run {
    task: JoinHandle<Result<(), EngineError>>,
    end: oneshot::Sender<()>,
    _folder: TempDir,
}

impl Run {
    async fn start(world: &World) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        let account = serde_json::to_vec(&world.functions_kubeconfig().await).unwrap();
        fs::write(&kubeconfig, account).unwrap();
        let config =
            json!({"metadata": {"name": "config"}, "data": {"functions-namespace": world.id}});
        world.create(&super::configmaps(), config).await;
        let environment =
            [("KUBELESS_NAMESPACE", world.id.as_str()), ("KUBELESS_CONFIG", "config")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let options = RunOptions {
            kubeconfig: Some(kubeconfig),
            context: None,
            metrics_address: "0".to_owned(),
            health_address: "0".to_owned(),
            leader_election: true,
            leader_election_namespace: Some("windlass".to_owned()),
            functions_image: "windlass".to_owned(),
            environment: BTreeMap::from(environment),
        };
        let (end, ended) = oneshot::channel();
        let task = tokio::spawn(run::run(options, async move { drop(ended.await) }));
        Self { task, end, _folder: folder }
    }

    /// Ends it as a signal does, so that the next one need not wait for its lease to expire.
    async fn end(self) {
        self.end.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

fn deployments() -> Resource {
    Resource::namespaced("apps/v1", "Deployment", "deployments")
}

fn pods() -> Resource {
    Resource::namespaced("v1", "Pod", "pods")
}

async fn condition(world: &World, kind: &str) -> Value {
    let function = world.get(&function::resource(), "hello-world").await;
    let all = function["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let generation = &function["metadata"]["generation"];
    let is_wanted = |it: &Value| it["type"] == kind && it["observedGeneration"] == *generation;
    all.into_iter().find(is_wanted).unwrap_or_default()
}

/// Waits until a condition is told of what the Function is now, and returns its message.
async fn told(world: &World, kind: &str, status: &str, reason: &str) -> String {
    let is_told = || async {
        let now = condition(world, kind).await;
        now["status"] == status && now["reason"] == reason
    };
    world.eventually(&format!("{kind} is {status}, {reason}"), is_told).await;
    condition(world, kind).await["message"].as_str().unwrap().to_owned()
}

async fn change(world: &World, spec: Value) {
    world.patch(&function::resource(), "hello-world", &json!({"spec": spec})).await;
}

/// Breaks when a rollout may let the old pod go before the new one is there.
async fn a_function_is_a_hook_in_a_cluster(world: &World) {
    if !windlass().exists() {
        return not_run(
            "a function in a cluster",
            "no windlass; `cargo build -p windlass` makes it",
        );
    }
    let (kubelet, run) = (Arc::new(Kubelet::start(world)), Run::start(world).await);
    // Nobody but the Function answers.
    world.hook.play(|_| HookReply {
        status: 503,
        headers: http::HeaderMap::new(),
        body: "".into(),
    });
    let (things, service) = (world.things().await, format!("hello-world.{}:8080", world.id));
    let mut controller = super::controller(&things, "InPlace");
    controller["hooks"]["sync"]["webhook"]["url"] = json!(format!("http://{service}"));
    world.control("c", &controller).await;
    world.create(&things, super::thing("ann", "1")).await;
    // The embedded server has a node of its own, which has to leave these pods alone.
    let notes = json!({"windlass.dev/executor": "played"});
    let function = json!({"metadata": {"name": "hello-world"}, "spec": {
        "runtime": "python3.11", "handler": "hooks.sync", "function": HOOK,
        "deployment": {"spec": {"template": {"metadata": {"annotations": notes}}}}}});
    world.create(&function::resource(), function).await;

    told(world, "Ready", "True", "FunctionReady").await;
    let greeting =
        || async { world.get(&super::configmaps(), "ann").await["data"]["greeting"].clone() };
    world.eventually("the child is there", || async { greeting().await == "Hello" }).await;
    let is_seen = || async { world.get(&things, "ann").await["status"]["seen"] == true };
    world.eventually("the status is there", is_seen).await;
    assert_eq!(kubelet.call(&service).await.as_deref(), Some("Hello"));

    the_old_program_answers_until_the_new_one_is_there(world, &kubelet, &service).await;
    world.patch(&things, "ann", &json!({"spec": {"value": "2"}})).await;
    world.eventually("the child has changed", || async { greeting().await == "Good day" }).await;

    what_fails_leaves_the_old_program_answering(world, &kubelet, &service).await;

    world.delete(&function::resource(), "hello-world").await;
    let is_gone = || async {
        world.get(&deployments(), "hello-world").await.is_null()
            && world.list(&pods()).await.is_empty()
    };
    world.eventually("all that was made is gone", is_gone).await;
    run.end().await;
}

async fn the_old_program_answers_until_the_new_one_is_there(
    world: &World,
    kubelet: &Arc<Kubelet>,
    service: &str,
) {
    let answers = Arc::new(Mutex::new(Vec::new()));
    let calls = tokio::spawn({
        let (kubelet, service, answers) =
            (Arc::clone(kubelet), service.to_owned(), Arc::clone(&answers));
        async move {
            loop {
                let answer = kubelet.call(&service).await;
                answers.lock().unwrap().push(answer.unwrap_or_else(|| "nothing".to_owned()));
            }
        }
    });
    let new = HOOK.replace("'Hello'", "'Good day'");
    change(world, json!({"function": format!("import time\ntime.sleep(1)\n{new}")})).await;
    told(world, "Ready", "False", "Fetching").await;
    assert_eq!(condition(world, "Available").await["status"], "True");
    told(world, "Ready", "True", "FunctionReady").await;
    let is_alone = || async { world.list(&pods()).await.len() == 1 };
    world.eventually("the old pod is gone", is_alone).await;
    let is_new = || async { answers.lock().unwrap().last().is_some_and(|it| it == "Good day") };
    world.eventually("the new one answers", is_new).await;
    world.spend(Duration::from_millis(300)).await;
    calls.abort();
    let mut all = answers.lock().unwrap().clone();
    assert!(50 < all.len(), "{}", all.len());
    all.dedup();
    assert_eq!(all, ["Hello", "Good day"]);
}

async fn what_fails_leaves_the_old_program_answering(
    world: &World,
    kubelet: &Kubelet,
    service: &str,
) {
    let wrong = format!("sha256:{}", "0".repeat(64));
    change(world, json!({"checksum": wrong})).await;
    let message = told(world, "Built", "False", "ChecksumMismatch").await;
    let digest =
        world.get(&function::resource(), "hello-world").await["status"]["checksum"].clone();
    assert!(message.contains(&wrong) && message.contains(digest.as_str().unwrap()), "{message}");
    told(world, "Available", "True", "Available").await;
    assert_eq!(kubelet.call(service).await.as_deref(), Some("Good day"));
    let is_told = || async { !world.events("ChecksumMismatch").await.is_empty() };
    world.eventually("an event tells it", is_told).await;

    change(world, json!({"checksum": null, "function": "import nothing_of_that_name\n"})).await;
    let message = told(world, "Ready", "False", "LoadFailed").await;
    assert!(message.contains("nothing_of_that_name"), "{message}");
    assert_eq!(kubelet.call(service).await.as_deref(), Some("Good day"));

    change(world, json!({"checksum": digest, "function": HOOK.replace("'Hello'", "'Good day'")}))
        .await;
    told(world, "Built", "False", "ChecksumMismatch").await;
    change(world, json!({"checksum": null})).await;
    told(world, "Ready", "True", "FunctionReady").await;
}
