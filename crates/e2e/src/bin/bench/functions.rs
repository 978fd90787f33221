//! What is measured of functions, and what is wanted: `dev` with its gateway, and Functions that are called.

use std::{
    ffi::OsStr,
    fs,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context as _;
use bytes::Bytes;
use futures::future::try_join_all;
use http::Method;
use serde_json::{Value, json};

use crate::{
    load::{self, Shot},
    process::Own,
    server::ready,
    table::{Row, Samples, Target},
    timing::{Stopwatch, patiently, pause},
    wire::{self, Connection, Endpoint},
};

/// How many connections call a function at once.
const CONNECTIONS: usize = 16;
/// How long functions that nobody calls keep a process.
const IDLE: Duration = Duration::from_secs(10);
/// Where the Functions are.
const FUNCTIONS: &str = "/apis/kubeless.io/v1beta1/namespaces/default/functions";

const PYTHON: &str = "def hello(event, context):\n    return 'hello'\n";
const JSONNET: &str = "{ hello(request):: 'hello' }\n";

/// How much is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// How long a function is called.
    pub(crate) time: Duration,
    /// How often its source changes meanwhile.
    pub(crate) updates: usize,
    /// How often a function is woken.
    pub(crate) wakes: usize,
    /// How many Functions there are that nobody calls.
    pub(crate) idle: usize,
}

/// `dev`, and what is asked of it.
pub(crate) struct Bench {
    /// The command that starts `dev`, without the arguments that say where.
    pub(crate) dev: String,
    pub(crate) sizes: Sizes,
    pub(crate) only: String,
}

/// A `dev` that runs.
struct Dev {
    api: Connection,
    gateway: SocketAddr,
    data: PathBuf,
    _own: Own,
}

impl Bench {
    /// Measures everything.
    pub(crate) async fn run(&self) -> anyhow::Result<Vec<Row>> {
        let mut rows = vec![];
        for (name, runtime, source, updates, target) in [
            ("python", "python3", PYTHON, self.sizes.updates, 1000.0),
            ("jsonnet", "jsonnet", JSONNET, 0, 4000.0),
        ] {
            if name.starts_with(&self.only) {
                let mut dev = Dev::start(&self.dev).await?;
                let figure = dev.load((name, runtime, source), updates, self.sizes.time).await?;
                let what = format!("{name} calls, {updates} updates meanwhile");
                rows.push(one(figure).row(&what, "/s", Target::AtLeast(target)));
            }
        }
        if "cold".starts_with(&self.only) {
            let mut dev = Dev::start(&self.dev).await?;
            let ours = dev.wakes(self.sizes.wakes).await?;
            let samples = Samples { ours, reference: vec![] };
            rows.push(samples.row(
                "first call of an idle python function",
                "ms",
                Target::AtMost(400.0),
            ));
        }
        if "idle".starts_with(&self.only) {
            let mut dev = Dev::start(&self.dev).await?;
            let left = dev.idle(self.sizes.idle).await?;
            let what = format!("processes of {} idle functions", self.sizes.idle);
            rows.push(one(left).row(&what, "", Target::AtMost(0.0)));
        }
        Ok(rows)
    }
}

impl Dev {
    async fn start(command: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let (manifests, kubeconfig) = (folder.path().join("app"), folder.path().join("kubeconfig"));
        fs::create_dir(&manifests)?;
        // What it prints is not read, so it is told where to listen.
        let gateway = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let arguments = [
            manifests.as_os_str(),
            OsStr::new("--api=127.0.0.1:0"),
            OsStr::new("--console=127.0.0.1:0"),
            OsStr::new("--kubeconfig"),
            kubeconfig.as_os_str(),
            OsStr::new("--gateway"),
        ];
        let (address, data) = (gateway.to_string(), folder.path().to_owned());
        let arguments = arguments.into_iter().chain([OsStr::new(&address)]);
        let own = Own::start(command, arguments, folder)?;
        let endpoint: Endpoint = patiently("the server", ready(&kubeconfig)).await?;
        let mut api = endpoint.connect().await?;
        let served = async {
            while api.call(Method::GET, FUNCTIONS, Bytes::new()).await?.0 != 200 {
                pause(Duration::from_millis(5)).await;
            }
            Ok(())
        };
        patiently("the type of Functions", served).await?;
        Ok(Self { api, gateway, data, _own: own })
    }

    /// Makes a Function and returns once it answers.
    async fn function(
        &mut self,
        (name, runtime, source): (&str, &str, &str),
        annotations: &Value,
    ) -> anyhow::Result<()> {
        let spec = json!({"runtime": runtime, "handler": "main.hello", "function": source});
        let metadata = json!({"name": name, "annotations": annotations});
        let function = json!({"apiVersion": "kubeless.io/v1beta1", "kind": "Function",
            "metadata": metadata, "spec": spec});
        self.api.create(FUNCTIONS, &function).await.map(drop)
    }

    /// Waits until the present version of a Function answers.
    async fn ready(&mut self, name: &str) -> anyhow::Result<()> {
        let path = format!("{FUNCTIONS}/{name}");
        let is_ready = async {
            loop {
                let function = self.api.get(&path).await?;
                let conditions = function["status"]["conditions"].as_array();
                let is_ready = conditions.into_iter().flatten().any(|it| {
                    it["type"] == "Ready"
                        && it["status"] == "True"
                        && it["observedGeneration"] == function["metadata"]["generation"]
                });
                if is_ready {
                    return Ok(());
                }
                pause(Duration::from_millis(10)).await;
            }
        };
        patiently("a Function", is_ready).await
    }

    async fn connections(&self, name: &str) -> anyhow::Result<Vec<Connection>> {
        let host = format!("{name}.default");
        try_join_all((0..CONNECTIONS).map(|_| wire::plain(self.gateway, &host))).await
    }

    /// Calls a function over all connections and returns how often a second; each call must succeed.
    async fn load(
        &mut self,
        function: (&str, &str, &str),
        updates: usize,
        time: Duration,
    ) -> anyhow::Result<f64> {
        let (name, _, source) = function;
        self.function(function, &json!({})).await?;
        self.ready(name).await?;
        let mut connections = self.connections(name).await?;
        let shot = |_| Shot { method: Method::GET, path: "/".to_owned(), body: Bytes::new() };
        // The first calls start the other workers.
        load::press(&mut connections, time / 5, shot).await?;
        let changes = async {
            for number in 0..updates {
                pause(time / u32::try_from(updates).unwrap_or(1)).await;
                let patch = json!({"spec": {"function": format!("{source}# {number}\n")}});
                let body = Bytes::from(patch.to_string());
                self.api.must(Method::PATCH, &format!("{FUNCTIONS}/{name}"), body).await?;
            }
            Ok(())
        };
        let (outcome, changed) = futures::join!(load::press(&mut connections, time, shot), changes);
        changed.and(outcome).map(|outcome| outcome.per_second)
    }

    /// Returns how many milliseconds the first calls of a function took that had no worker.
    async fn wakes(&mut self, count: usize) -> anyhow::Result<Vec<f64>> {
        let annotations = json!({"windlass.dev/idle-timeout": "1s"});
        self.function(("cold", "python3", PYTHON), &annotations).await?;
        self.ready("cold").await?;
        let mut times = vec![];
        for _ in 0..count {
            self.asleep().await?;
            let mut connection = wire::plain(self.gateway, "cold.default").await?;
            let watch = Stopwatch::start();
            connection.must(Method::GET, "/", Bytes::new()).await?;
            times.push(watch.millis());
        }
        Ok(times)
    }

    /// Returns how many processes are there for functions that nobody calls.
    async fn idle(&mut self, count: usize) -> anyhow::Result<f64> {
        let annotations = json!({"windlass.dev/idle-timeout": format!("{}s", IDLE.as_secs())});
        for number in 0..count {
            let source = format!("{PYTHON}# {number}\n");
            self.function((&format!("idle-{number}"), "python3", &source), &annotations).await?;
        }
        for number in 0..count {
            self.ready(&format!("idle-{number}")).await?;
        }
        // Whoever waits for them to end never counts any.
        pause(IDLE + Duration::from_secs(5)).await;
        #[expect(clippy::cast_precision_loss, reason = "processes are few")]
        Ok(self.workers()?.len() as f64)
    }

    /// Waits until no worker runs.
    async fn asleep(&self) -> anyhow::Result<()> {
        let asleep = async {
            while !self.workers()?.is_empty() {
                pause(Duration::from_millis(20)).await;
            }
            Ok(())
        };
        patiently("the end of idle workers", asleep).await
    }

    /// Returns the processes that run programs of this `dev`.
    fn workers(&self) -> anyhow::Result<Vec<PathBuf>> {
        let programs = self.data.join("functions");
        let processes = fs::read_dir("/proc").context("processes cannot be seen")?;
        let is_worker = |process: &PathBuf| {
            fs::read_link(process.join("cwd")).is_ok_and(|dir| dir.starts_with(&programs))
        };
        Ok(processes.filter_map(Result::ok).map(|it| it.path()).filter(is_worker).collect())
    }
}

fn one(figure: f64) -> Samples {
    Samples { ours: vec![figure], reference: vec![] }
}
