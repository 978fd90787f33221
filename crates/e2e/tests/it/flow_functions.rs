//! Functions as `dev` runs them: a source text becomes a hook, and stays one while it changes.

mod broken;
mod container;
mod retries;
mod trouble;

use std::{
    collections::BTreeSet,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use apiserver::Settings;
use cli::dev::{self, DevError, DevOptions};
use functions::{LAUNCH_ARGUMENT, Launcher};
use futures::future::join_all;
use http::Request;
use jsonnet::WorkerCommand;
use k8s::{Activity, Clock, ObjectKey, Resource, SignedDuration, SystemClock};
use kube::config::{KubeConfigOptions, Kubeconfig};
use runtime::{Client, ClientOptions, Part, PatchType};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::configmaps;

const GREETER: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: ops}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: greeters.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: greeters, singular: greeter, kind: Greeter}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
---
apiVersion: metacontroller.k8s.io/v1alpha1
kind: CompositeController
metadata: {name: greeters}
spec:
  generateSelector: true
  parentResource: {apiVersion: example.com/v1, resource: greeters}
  childResources:
  - {apiVersion: v1, resource: configmaps, updateStrategy: {method: InPlace}}
  hooks: {sync: {webhook: {url: 'http://greeter-hook.ops:8080'}}}
";

const HOOK: &str = "
def sync(event, context):
    parent = event['data']['parent']
    child = {'apiVersion': 'v1', 'kind': 'ConfigMap',
             'metadata': {'name': parent['metadata']['name']}, 'data': {'greeting': 'Hello'}}
    return {'status': {'seen': True}, 'children': [child]}
";

/// A running `dev`, without a kubectl.
struct Dev {
    dir: TempDir,
    client: Client,
    kube: kube::Client,
    task: JoinHandle<Result<(), DevError>>,
}

impl Dev {
    async fn start(manifests: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("app")).unwrap();
        fs::write(dir.path().join("app/all.yaml"), manifests).unwrap();
        let options = options(dir.path());
        let kubeconfig = options.kubeconfig.clone();
        let task = tokio::spawn(dev::run(options));
        eventually("the server is there", || {
            let is_there = kubeconfig.exists();
            async move { is_there }
        })
        .await;
        let file = Kubeconfig::read_from(&kubeconfig).unwrap();
        let mut config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
            .await
            .unwrap();
        // One failed call must be seen as one.
        config.default_retry = false;
        let kube = kube::Client::try_from(config).unwrap();
        let clock = Arc::new(SystemClock);
        let options =
            ClientOptions { clock, activity: Activity::default(), agent: "test", revisions: None };
        let client = Client::new(kube.clone(), options);
        let dev = Self { dir, client, kube, task };
        let functions = api::function::resource().collection_path("ops");
        eventually("functions are served", || async {
            dev.client.get_raw(&functions).await.is_ok() && dev.has_namespace().await
        })
        .await;
        dev
    }

    async fn has_namespace(&self) -> bool {
        let namespaces = Resource::cluster("v1", "Namespace", "namespaces");
        self.client.get(&namespaces, &ObjectKey::new("", "ops")).await.is_ok()
    }

    async fn get(&self, resource: &Resource, name: &str) -> Value {
        let found = self.client.get(resource, &ObjectKey::new("ops", name)).await;
        found.map_or(Value::Null, |object| object.to_value())
    }

    async fn create(&self, name: &str, annotations: &Value, spec: &Value) {
        let function = json!({"apiVersion": "kubeless.io/v1beta1", "kind": "Function",
            "metadata": {"name": name, "namespace": "ops", "annotations": annotations},
            "spec": spec});
        let resource = api::function::resource();
        self.client.create(&resource, "ops", function.to_string()).await.unwrap();
    }

    async fn change(&self, name: &str, spec: &Value) {
        let patch = json!({"spec": spec}).to_string();
        let (resource, how) = (api::function::resource(), (Part::Main, PatchType::Merge));
        self.client.patch(&resource, &ObjectKey::new("ops", name), how, patch).await.unwrap();
    }

    async fn change_source(&self, name: &str, source: &str) {
        self.change(name, &json!({"function": source})).await;
    }

    /// Waits until a condition of a function has a reason for the present version, and returns the function.
    async fn told(&self, name: &str, kind: &str, reason: &str) -> Value {
        let resource = api::function::resource();
        eventually(&format!("{kind} of {name} is {reason}"), || async {
            let function = self.get(&resource, name).await;
            let told = condition(&function, kind);
            told["reason"] == reason
                && told["observedGeneration"] == function["metadata"]["generation"]
        })
        .await;
        self.get(&resource, name).await
    }

    /// Waits for an event about a function, and returns the type and the message of the first.
    async fn event(&self, name: &str, reason: &str) -> String {
        let events = Resource::namespaced("v1", "Event", "events").collection_path("ops");
        let found = || async {
            let list = self.client.get_raw(&events).await.unwrap();
            let list: Value = serde_json::from_slice(&list).unwrap();
            let mut all = list["items"].as_array().cloned().unwrap_or_default().into_iter();
            let is_it = |it: &Value| it["reason"] == reason && it["involvedObject"]["name"] == name;
            all.find(is_it).map(|it| format!("{} {}", it["type"], it["message"]).replace('"', ""))
        };
        eventually(&format!("an event {reason} of {name}"), || async { found().await.is_some() })
            .await;
        found().await.unwrap_or_default()
    }

    /// Calls a function and returns the status of its answer.
    async fn status(&self, name: &str) -> u16 {
        let path = format!("/api/v1/namespaces/ops/services/{name}/proxy/");
        let request = Request::get(path).body(kube::client::Body::empty()).unwrap();
        self.kube.send(request).await.unwrap().status().as_u16()
    }

    /// Calls a function and returns what it answers, or what went wrong.
    async fn call(&self, name: &str) -> Result<String, kube::Error> {
        self.get_path(name, "").await
    }

    /// The same with a path of the function, which has no slash before it.
    async fn get_path(&self, name: &str, path: &str) -> Result<String, kube::Error> {
        let path = format!("/api/v1/namespaces/ops/services/{name}/proxy/{path}");
        self.kube.request_text(Request::get(path).body(vec![]).unwrap()).await
    }

    /// Waits until a condition of a function is false for a reason, and returns its message.
    async fn fails(&self, name: &str, kind: &str, reason: &str) -> String {
        let resource = api::function::resource();
        let found = || async { condition(&self.get(&resource, name).await, kind) };
        eventually(&format!("{name} is {reason}"), || async {
            let found = found().await;
            found["status"] == "False" && found["reason"] == reason
        })
        .await;
        found().await["message"].as_str().unwrap().to_owned()
    }

    /// Returns the pods of a function.
    async fn pods(&self, name: &str) -> Vec<Value> {
        let pods = Resource::namespaced("v1", "Pod", "pods").collection_path("ops");
        let all = self.client.get_raw(&pods).await.unwrap();
        let all: Value = serde_json::from_slice(&all).unwrap();
        let all = all["items"].as_array().unwrap().iter();
        all.filter(|pod| pod["metadata"]["labels"]["function"] == name).cloned().collect()
    }

    /// Waits until a function is ready in its present version.
    async fn ready(&self, name: &str) {
        let resource = api::function::resource();
        eventually(&format!("{name} is ready"), || async {
            let function = self.get(&resource, name).await;
            let generation = &function["metadata"]["generation"];
            let ready = condition(&function, "Ready");
            ready["status"] == "True" && ready["observedGeneration"] == *generation
        })
        .await;
    }

    /// Returns the processes that run programs of this server.
    fn workers(&self) -> Vec<PathBuf> {
        let programs = self.dir.path().join("functions");
        let programs = fs::canonicalize(&programs).unwrap_or(programs);
        let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let is_worker = |process: &PathBuf| {
            fs::read_link(process.join("cwd")).is_ok_and(|dir| dir.starts_with(&programs))
        };
        processes.map(|process| process.path()).filter(is_worker).collect()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn options(dir: &Path) -> DevOptions {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    DevOptions {
        console: Some(any),
        gateway: Some(any),
        paths: vec![dir.join("app")],
        hook_map: Vec::new(),
        hooks: None,
        watch: true,
        once: false,
        timeout: Duration::from_mins(1),
        kubeconfig: dir.join("kubeconfig"),
        settings: Settings::default(),
        audit_log: None,
        api: Some(any),
        out: Box::new(io::sink()),
        worker: WorkerCommand::default(),
        launcher: launcher(),
    }
}

/// Returns what starts processes in the place of windlass, which this binary is not.
fn launcher() -> Launcher {
    Launcher { program: e2e::worker_program(), args: vec![LAUNCH_ARGUMENT.into()] }
}

/// Waits until something comes true in real time.
async fn eventually<F: Future<Output = bool>>(what: &str, is_true: impl Fn() -> F) {
    within(90, what, is_true).await;
}

/// Waits for something, so many seconds at most, and returns how many it took.
async fn within<F: Future<Output = bool>>(most: i32, what: &str, is_true: impl Fn() -> F) -> f64 {
    let began = SystemClock.now();
    while !is_true().await {
        let waited = SystemClock.now().duration_since(began).as_secs_f64();
        assert!(waited < f64::from(most), "not in {most} s: {what}");
        SystemClock.sleep_until(SystemClock.now() + SignedDuration::from_millis(20)).await;
    }
    SystemClock.now().duration_since(began).as_secs_f64()
}

fn condition(function: &Value, kind: &str) -> Value {
    let all = function["status"]["conditions"].as_array();
    all.into_iter().flatten().find(|it| it["type"] == kind).cloned().unwrap_or_default()
}

fn python(source: &str) -> Value {
    json!({"runtime": "python3", "handler": "hooks.sync", "function": source})
}

/// A function answers for a controller, and a change of its source alone changes what is there.
///
/// Breaks when `Fleet::join` registers no Service; when `served` is not told, so that no parent is synced again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acceptance_1_and_2_a_function_is_a_hook_and_its_source_may_change() {
    let dev = Dev::start(GREETER).await;
    let function = python(HOOK);
    dev.create("greeter-hook", &json!({}), &function).await;
    let greeters = Resource::namespaced("example.com/v1", "Greeter", "greeters");
    let greeter = json!({"apiVersion": "example.com/v1", "kind": "Greeter",
        "metadata": {"name": "ann", "namespace": "ops"}});
    dev.client.create(&greeters, "ops", greeter.to_string()).await.unwrap();
    let greeting = || async {
        dev.get(&configmaps(), "ann").await["data"]["greeting"].as_str().map(ToOwned::to_owned)
    };
    dev.ready("greeter-hook").await;
    within(10, "the child is there", || async { greeting().await.as_deref() == Some("Hello") })
        .await;
    within(10, "the status is there", || async {
        dev.get(&greeters, "ann").await["status"]["seen"] == true
    })
    .await;
    let before = dev.get(&greeters, "ann").await["metadata"]["generation"].clone();
    dev.change_source("greeter-hook", &HOOK.replace("Hello", "Good day")).await;
    within(10, "the child has changed", || async {
        greeting().await.as_deref() == Some("Good day")
    })
    .await;
    assert_eq!(dev.get(&greeters, "ann").await["metadata"]["generation"], before);
}

/// An old runtime is replaced by a newer one, unless that is forbidden.
///
/// Breaks when `choose` passes over the annotation of the policy; when `resolve` takes no greater version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acceptance_3_an_old_runtime_is_replaced_unless_that_is_forbidden() {
    let dev = Dev::start(GREETER).await;
    let mut function = python("def sync(event, context):\n    return 'here'\n");
    function["runtime"] = json!("python2.7");
    let policy = json!({"windlass.dev/runtime-policy": "Exact"});
    dev.create("exact", &policy, &function).await;
    let resource = api::function::resource();
    eventually("it is refused", || async {
        let built = condition(&dev.get(&resource, "exact").await, "Built");
        built["status"] == "False" && built["reason"] == "RuntimeUnavailable"
    })
    .await;
    assert_eq!(dev.workers(), Vec::<PathBuf>::new());
    dev.create("near", &json!({}), &function).await;
    dev.ready("near").await;
    assert_eq!(dev.call("near").await.unwrap(), "here");
    let near = dev.get(&resource, "near").await;
    let substituted = condition(&near, "RuntimeSubstituted");
    assert_eq!(substituted["status"], "True", "{near}");
    let (message, resolved) =
        (substituted["message"].as_str().unwrap(), near["status"]["runtime"]["resolved"].as_str());
    assert!(message.contains("python2.7") && message.contains(resolved.unwrap()), "{near}");
}

/// Processes serve one call after another, and no call fails because the source changes under it.
///
/// Breaks when `FunctionExecutor::stop` does not let the calls end that a host has taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acceptance_12_fifty_updates_fail_no_call() {
    let dev = Arc::new(Dev::start(GREETER).await);
    let source = |number: i32| {
        format!("import os\ndef sync(event, context):\n    return '{number} %d' % os.getpid()\n")
    };
    let mut function = python(&source(0));
    function["deployment"] = json!({"spec": {"template": {"spec": {"containers": [
        {"env": [{"name": "FUNC_CONCURRENCY", "value": "2"}]}]}}}});
    dev.create("busy", &json!({}), &function).await;
    dev.ready("busy").await;
    let mut processes = BTreeSet::new();
    for _ in 0..25 {
        processes.extend(
            join_all((0..4).map(|_| dev.call("busy"))).await.into_iter().map(Result::unwrap),
        );
    }
    assert!(processes.len() <= 2, "{processes:?}");
    let (is_over, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..16)
        .map(|_| {
            let (dev, is_over, calls) =
                (Arc::clone(&dev), Arc::clone(&is_over), Arc::clone(&calls));
            tokio::spawn(async move {
                let mut failed = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    calls.fetch_add(1, Ordering::Relaxed);
                    failed.extend(dev.call("busy").await.err().map(|error| error.to_string()));
                }
                failed
            })
        })
        .collect();
    for number in 1..=50 {
        dev.change_source("busy", &source(number)).await;
        if number % 5 == 0 {
            // Some updates come one by one, others before the one before is done.
            dev.ready("busy").await;
        }
    }
    dev.ready("busy").await;
    is_over.store(true, Ordering::Relaxed);
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Vec::<String>::new());
    }
    assert!(dev.call("busy").await.unwrap().starts_with("50 "));
    assert!(100 < calls.load(Ordering::Relaxed));
    eventually("the old workers are gone", || async { dev.workers().len() <= 2 }).await;
}

/// Functions that nobody calls cost no process.
///
/// Breaks when `keep` is one in spite of the annotation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acceptance_28_idle_functions_hold_no_process() {
    let dev = Dev::start(GREETER).await;
    let (source, idle) = (
        "def sync(event, context):\n    return 'awake'\n",
        json!({"windlass.dev/idle-timeout": "10s"}),
    );
    let mut function = python(source);
    for number in 0..FUNCTIONS {
        // Each has a program of its own.
        function["function"] = json!(format!("{source}# {number}\n"));
        dev.create(&format!("idle-{number}"), &idle, &function).await;
    }
    dev.ready(&format!("idle-{}", FUNCTIONS - 1)).await;
    for number in 0..FUNCTIONS {
        dev.ready(&format!("idle-{number}")).await;
    }
    eventually("no worker is left", || async { dev.workers().is_empty() }).await;
    let took = within(2, "the first call is answered", || async {
        dev.call("idle-7").await.is_ok_and(|answer| answer == "awake")
    })
    .await;
    assert!(took < 2.0, "{took}");
}

/// How many Functions lie idle. Each starts a process once, to see whether its program can be loaded.
const FUNCTIONS: usize = 30;
