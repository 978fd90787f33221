//! What nodes do with the pods of functions, played with processes: a kubelet whose images are programs of this
//! machine, and a proxy that leads hooks to the pods that are ready.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use e2e::{PlayedHook, World};
use k8s::{ObjectKey, Resource, SharedClock, SystemClock};
use runtime::{Client, Part, PatchType};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
};

/// How long this kubelet rests between two looks at anything.
const LOOK: Duration = Duration::from_millis(100);
/// How long a container rests that failed.
const BACK_OFF: Duration = Duration::from_secs(1);
/// How long a kubelet goes on to show the ConfigMap that it saw first.
const STALE: Duration = Duration::from_millis(1500);

/// A kubelet and a proxy for the pods of one world, as long as it lives.
pub(crate) struct Kubelet {
    task: JoinHandle<()>,
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    hook: PlayedHook,
    namespace: String,
    folder: TempDir,
    clock: SharedClock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pods: BTreeMap<String, Pod>,
    /// Where Services lead to.
    services: BTreeMap<String, SocketAddr>,
    /// The texts that ConfigMaps had when they were looked at last.
    texts: BTreeMap<String, Value>,
}

/// A pod that was seen.
struct Pod {
    labels: Value,
    /// The port of this machine that stands for each of the pod's, once the pod is ready.
    ready: watch::Receiver<Option<SocketAddr>>,
    /// Whether it is to end.
    end: watch::Sender<bool>,
}

/// One pod while it lives.
struct Life {
    shared: Arc<Shared>,
    pod: Value,
    root: PathBuf,
    /// The port that stands for that of the function: all pods are on one machine.
    port: u16,
    steps: Vec<Value>,
    end: watch::Receiver<bool>,
}

/// How a container ended.
struct End {
    code: i32,
    message: String,
}

impl Kubelet {
    /// Starts to run the pods of a world.
    pub(crate) fn start(world: &World) -> Self {
        let shared = Arc::new(Shared {
            client: world.client.clone(),
            hook: world.hook.clone(),
            namespace: world.id.clone(),
            folder: tempfile::tempdir().unwrap(),
            clock: Arc::new(SystemClock),
            state: Mutex::default(),
        });
        Self { task: tokio::spawn(Arc::clone(&shared).run()), shared }
    }

    /// Calls a Service with `GET /` and returns its answer, or nothing if it did not answer with success.
    pub(crate) async fn call(&self, service: &str) -> Option<String> {
        let address = self.shared.state().services.get(service).copied()?;
        get(address, "/").await
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn rest(&self, time: Duration) {
        self.clock.sleep_until(self.clock.now() + time).await;
    }

    async fn run(self: Arc<Self>) {
        loop {
            let pods = self.list("pods").await;
            let uids: Vec<_> = pods.iter().map(|pod| text(&pod["metadata"]["uid"])).collect();
            for (pod, uid) in pods.into_iter().zip(&uids) {
                let is_known = self.state().pods.contains_key(uid);
                if !is_known && pod["metadata"]["deletionTimestamp"].is_null() {
                    let seen = self.begin(uid, pod);
                    self.state().pods.insert(uid.clone(), seen);
                }
            }
            // A pod that was never bound to a node is gone as soon as it is deleted.
            let gone: Vec<_> = {
                let mut state = self.state();
                state.pods.extract_if(.., |uid, _| !uids.contains(uid)).collect()
            };
            self.lead().await;
            // Nobody is led there any more.
            for (_, pod) in gone {
                pod.end.send_replace(true);
            }
            self.rest(LOOK).await;
        }
    }

    async fn list(&self, plural: &str) -> Vec<Value> {
        let path = format!("/api/v1/namespaces/{}/{plural}", self.namespace);
        let list = self.client.get_raw(&path).await.map(|list| list.to_vec()).unwrap_or_default();
        let mut list: Value = serde_json::from_slice(&list).unwrap_or_default();
        list["items"].take().as_array().cloned().unwrap_or_default()
    }

    fn begin(self: &Arc<Self>, uid: &str, pod: Value) -> Pod {
        let (told, ready) = watch::channel(None);
        let (end, ends) = watch::channel(false);
        let labels = pod["metadata"]["labels"].clone();
        let life = Life {
            shared: Arc::clone(self),
            pod,
            root: self.folder.path().join(uid),
            port: free_port(),
            steps: Vec::new(),
            end: ends,
        };
        tokio::spawn(life.run(told));
        Pod { labels, ready, end }
    }

    /// Leads the first port of each Service to a pod that is ready.
    async fn lead(&self) {
        let all = self.list("services").await;
        let mut services = BTreeMap::new();
        let mut state = self.state();
        for service in all {
            let (spec, name) = (&service["spec"], text(&service["metadata"]["name"]));
            let Some(selector) = spec["selector"].as_object() else { continue };
            let is_selected =
                |pod: &&Pod| selector.iter().all(|(key, value)| pod.labels[key] == *value);
            let ready = state.pods.values().filter(is_selected).find_map(|pod| *pod.ready.borrow());
            if let Some(address) = ready {
                let host = format!("{name}.{}:{}", self.namespace, spec["ports"][0]["port"]);
                services.insert(host, address);
            }
        }
        state.services.clone_from(&services);
        self.hook.lead(services);
    }
}

impl Life {
    async fn run(mut self, ready: watch::Sender<Option<SocketAddr>>) {
        let containers = list(&self.pod["spec"]["initContainers"]);
        for container in &containers {
            while !self.step(container).await {
                if *self.end.borrow() {
                    return;
                }
                self.shared.rest(BACK_OFF).await;
            }
        }
        let container = self.pod["spec"]["containers"][0].clone();
        let mut last = json!({});
        while !*self.end.borrow() {
            let running = json!({"running": {}});
            self.tell(Some((&running, &last)), false).await;
            let end = self.serve(&container, &ready, &last).await;
            ready.send_replace(None);
            last = json!({"terminated": {"exitCode": end.code, "message": end.message}});
            let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}});
            self.tell(Some((&waiting, &last)), false).await;
            self.shared.rest(BACK_OFF).await;
        }
    }

    /// Runs an init container once, and tells whether it did what it is for.
    async fn step(&mut self, container: &Value) -> bool {
        let place = self.steps.len();
        self.steps.push(status(container, &json!({"running": {}}), &json!({})));
        self.tell(None, false).await;
        let mut end = self.end.clone();
        let child = self.command(container).await.spawn().unwrap();
        let output = tokio::select! {
            output = child.wait_with_output() => output.unwrap(),
            _ = end.wait_for(|end| *end) => return false,
        };
        let ended = self.end_of(container, &output);
        let state = json!({"terminated": {"exitCode": ended.code, "message": ended.message}});
        let is_done = ended.code == 0;
        self.steps.truncate(place);
        if is_done {
            self.steps.push(status(container, &state, &json!({})));
        } else {
            let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}});
            self.steps.push(status(container, &waiting, &state));
            self.tell(None, false).await;
            self.steps.truncate(place);
        }
        is_done
    }

    /// Runs the container of the function until it ends.
    async fn serve(
        &self,
        container: &Value,
        ready: &watch::Sender<Option<SocketAddr>>,
        last: &Value,
    ) -> End {
        let probe = &container["readinessProbe"]["httpGet"];
        assert_eq!(probe["port"], container["ports"][0]["containerPort"]);
        let (path, address) =
            (text(&probe["path"]), SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)));
        let mut child = self.command(container).await.spawn().unwrap();
        let mut end = self.end.clone();
        let is_ended = tokio::select! {
            () = async {
                while get(address, &path).await.is_none() {
                    self.shared.rest(LOOK).await;
                }
                ready.send_replace(Some(address));
                self.tell(Some((&json!({"running": {}}), last)), true).await;
                std::future::pending::<()>().await;
            } => false,
            _ = child.wait() => true,
            _ = end.wait_for(|end| *end) => false,
        };
        if !is_ended {
            terminate(&child);
        }
        self.end_of(container, &child.wait_with_output().await.unwrap())
    }

    /// Returns how a container ended: its last words are those that it left, or else what it printed.
    fn end_of(&self, container: &Value, output: &Output) -> End {
        let words = fs::read_to_string(self.root.join("dev/termination-log")).unwrap_or_default();
        let code = output.status.code().unwrap_or(137);
        let falls_back = container["terminationMessagePolicy"] == "FallbackToLogsOnError";
        let message = if words.is_empty() && code != 0 && falls_back {
            String::from_utf8_lossy(&output.stderr).into_owned()
        } else {
            words
        };
        End { code, message }
    }

    /// Returns the command of a container, whose paths are all below the root of its pod.
    async fn command(&self, container: &Value) -> Command {
        let mounts = list(&container["volumeMounts"]);
        for mount in &mounts {
            self.mount(mount).await;
        }
        fs::create_dir_all(self.root.join("dev")).unwrap();
        fs::write(self.root.join("dev/termination-log"), "").unwrap();
        let inside = |value: &str| {
            let part = |part: &str| {
                let is_mounted = mounts.iter().any(|mount| {
                    let path = text(&mount["mountPath"]);
                    part == path || part.starts_with(&format!("{path}/"))
                });
                if is_mounted { format!("{}{part}", self.root.display()) } else { part.to_owned() }
            };
            value.split(':').map(part).collect::<Vec<_>>().join(":")
        };
        let mut words: Vec<_> =
            list(&container["command"]).iter().map(|word| inside(&text(word))).collect();
        if words.is_empty() && text(&container["image"]).starts_with("windlass") {
            words.push(windlass().display().to_string());
        }
        words.extend(list(&container["args"]).iter().map(|word| inside(&text(word))));
        let mut command = Command::new(words.first().unwrap());
        command.args(words.get(1..).unwrap()).env_clear().kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // The programs of an image, and what a container has instead of its own file system.
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("WINDLASS_ROOT", &self.root);
        for variable in list(&container["env"]) {
            let (name, value) = (text(&variable["name"]), inside(&text(&variable["value"])));
            let value = if name == "FUNC_PORT" { self.port.to_string() } else { value };
            command.env(name, value);
        }
        command
    }

    /// Puts a volume where a container finds it.
    async fn mount(&self, mount: &Value) {
        let volumes = list(&self.pod["spec"]["volumes"]);
        let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).unwrap();
        let place = self.root.join(text(&mount["mountPath"]).trim_start_matches('/'));
        fs::create_dir_all(&place).unwrap();
        let Some(name) = volume["configMap"]["name"].as_str() else { return };
        let new = self.texts(name).await;
        let old = self.shared.state().texts.insert(name.to_owned(), new.clone());
        write(&place, &old.clone().unwrap_or_else(|| new.clone()));
        if old.is_some_and(|old| old != new) {
            // A kubelet learns late that a ConfigMap has changed.
            let shared = Arc::clone(&self.shared);
            tokio::spawn(async move {
                shared.rest(STALE).await;
                write(&place, &new);
            });
        }
    }

    async fn texts(&self, name: &str) -> Value {
        let key = ObjectKey::new(&self.shared.namespace, name);
        let object = self.shared.client.get(&super::configmaps(), &key).await;
        object.unwrap().to_value()["data"].take()
    }

    /// Says how the pod is, with the state of its container and how that ended before.
    async fn tell(&self, main: Option<(&Value, &Value)>, is_ready: bool) {
        let is_prepared = main.is_some();
        let condition = |kind: &str, holds: bool| json!({"type": kind, "status": if holds { "True" } else { "False" }});
        let waiting = (json!({"waiting": {"reason": "PodInitializing"}}), json!({}));
        let (state, last) = main.unwrap_or((&waiting.0, &waiting.1));
        let mut container = status(&self.pod["spec"]["containers"][0], state, last);
        container["ready"] = json!(is_ready);
        let status = json!({"status": {
            "phase": if is_prepared { "Running" } else { "Pending" },
            // One of this machine could not be that of an endpoint.
            "podIP": "192.0.2.1", "podIPs": [{"ip": "192.0.2.1"}],
            "conditions": [
                condition("PodScheduled", true), condition("Initialized", is_prepared),
                condition("ContainersReady", is_ready), condition("Ready", is_ready)],
            "initContainerStatuses": self.steps, "containerStatuses": [container]}});
        let name = text(&self.pod["metadata"]["name"]);
        let (key, how) =
            (ObjectKey::new(&self.shared.namespace, &name), (Part::Status, PatchType::Merge));
        let pods = Resource::namespaced("v1", "Pod", "pods");
        let told = self.shared.client.patch(&pods, &key, how, status.to_string()).await;
        if let Err(error) = told {
            assert!(error.is_not_found() || error.is_conflict(), "{}", k8s::in_one_line(&error));
        }
    }
}

/// Returns the binary of windlass, which cargo builds beside this one.
pub(crate) fn windlass() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    exe.parent().and_then(Path::parent).unwrap().join("windlass")
}

/// Returns what `GET` answers, unless that is no success.
async fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: function\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn terminate(child: &Child) {
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    if let Some(pid) = pid {
        // It may have ended just now.
        let _ = kill_process(pid, Signal::TERM);
    }
}

fn status(container: &Value, state: &Value, last: &Value) -> Value {
    json!({
        "name": container["name"], "image": container["image"], "imageID": "", "restartCount": 0,
        "ready": state["terminated"]["exitCode"] == 0, "state": state, "lastState": last})
}

fn write(place: &Path, texts: &Value) {
    // The pod may be gone.
    let files = texts.as_object().into_iter().flatten();
    files.for_each(|(name, value)| drop(fs::write(place.join(name), text(value))));
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
