//! Sends the requests of a script and hands back comparable answers.

use std::{collections::BTreeMap, path::Path, sync::Mutex, time::Duration};

use e2e::differential::{self, Answer, Kept, Script, Step};
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use kube::{
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use tokio::time::timeout;

/// The headers that are compared; others are a server's own.
const HEADERS: [&str; 7] = [
    "cache-control",
    "content-type",
    "etag",
    "location",
    "retry-after",
    "warning",
    "x-content-type-options",
];

/// How often a step that only prepares is tried.
const TRIES: usize = 100;

/// When a stream of events is taken as complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quiet {
    /// Everything that happened is there at once.
    InProcess,
    /// Events come over a network.
    Real,
}

/// One run of a script on one server.
pub(super) struct Player {
    client: kube::Client,
    run: String,
    quiet: Quiet,
    kept: Mutex<Kept>,
}

/// Returns a client for what a kubeconfig names.
pub(crate) async fn real_client(kubeconfig: &Path) -> kube::Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    config.default_retry = false;
    config.read_timeout = None;
    kube::Client::try_from(config).unwrap()
}

impl Player {
    pub(super) fn new(client: &kube::Client, run: String, quiet: Quiet) -> Self {
        let kept = Mutex::new(Kept::from([("RUN".to_owned(), json!(run))]));
        Self { client: client.clone(), run, quiet, kept }
    }

    /// Sends all requests; streams end after as many events as were recorded, if any were.
    pub(super) async fn play(&self, script: &Script, recorded: &[Answer]) -> Vec<Answer> {
        let mut answers = Vec::new();
        for step in &script.steps {
            if step.is_setup {
                answers.extend(self.prepare(step).await);
                continue;
            }
            let recorded = recorded.iter().find(|answer| answer.step == step.name);
            let events = recorded.and_then(|answer| Some(answer.body.as_array()?.len()));
            answers.push(self.answer(step, events).await);
        }
        differential::normalise(script, answers, &self.run)
    }

    /// Removes what a script leaves outside of its namespace, and the namespace.
    pub(super) async fn clean_up(&self) {
        let cluster = [
            "/api/v1/nodes",
            "/api/v1/persistentvolumes",
            "/apis/networking.k8s.io/v1/ingressclasses",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles",
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        ];
        for collection in cluster {
            let path = format!("{collection}?labelSelector=run%3D{}", self.run);
            self.send(&Step::new("", "DELETE", path)).await;
        }
        let path = format!("/api/v1/namespaces?labelSelector=run%3D{}", self.run);
        let namespaces = self.get(&path).await;
        let names = namespaces["items"].as_array().into_iter().flatten();
        let names = names.filter_map(|it| it["metadata"]["name"].as_str());
        for name in names.chain([self.run.as_str()]) {
            self.send(&Step::new("", "DELETE", format!("/api/v1/namespaces/{name}"))).await;
        }
    }

    /// Returns what a path answers.
    pub(super) async fn get(&self, path: &str) -> Value {
        self.answer(&Step::new("", "GET", path.to_owned()), None).await.body
    }

    /// Repeats a step until it succeeds; the answer is returned if that never happens.
    #[expect(
        clippy::disallowed_methods,
        reason = "a real server's work shows only by asking again"
    )]
    async fn prepare(&self, step: &Step) -> Option<Answer> {
        let mut last = None;
        if self.quiet == Quiet::Real && step.method == "GET" && !step.controlled.is_empty() {
            // Controllers answer a write with writes of their own; the next version is to be the last one.
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        for _ in 0..TRIES {
            let answer = self.answer(step, None).await;
            // What a second try finds there, the first one made.
            if answer.code < 300 || answer.code == 409 {
                return None;
            }
            if self.quiet == Quiet::InProcess {
                return Some(answer);
            }
            last = Some(answer);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        last
    }

    async fn answer(&self, step: &Step, events: Option<usize>) -> Answer {
        let response = self.send(step).await;
        let (parts, body) = response.into_parts();
        let code = parts.status.as_u16();
        let bytes = if step.is_watch() && code == 200 {
            self.events(body, step, events).await
        } else {
            body.collect().await.unwrap().to_bytes().to_vec()
        };
        let text = String::from_utf8_lossy(&bytes);
        let value = if step.is_watch() && code == 200 {
            text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect()
        } else {
            serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text.as_ref()))
        };
        for (name, pointer) in &step.keep {
            let found = value.pointer(pointer).cloned().unwrap_or_default();
            self.kept.lock().unwrap().insert(name.clone(), found);
        }
        Answer { step: step.name.clone(), code, headers: headers(&parts.headers), body: value }
    }

    pub(super) async fn send(&self, step: &Step) -> Response<Body> {
        let kept = self.kept.lock().unwrap().clone();
        let path = differential::filled_text(&step.path, &kept);
        let mut request = Request::builder().method(step.method.as_str()).uri(path);
        request = request.header("user-agent", "differential/1");
        if !step.body.is_null() && !step.headers.contains_key("content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in &step.headers {
            request = request.header(name, value);
        }
        let body = match differential::filled(&step.body, &kept) {
            Value::Null => Vec::new(),
            Value::String(text) => text.into_bytes(),
            other => other.to_string().into_bytes(),
        };
        let request = request.body(Body::from(body)).unwrap();
        self.client.send(request).await.unwrap_or_else(|error| {
            panic!("{} {} of {}: {error:?}", step.method, step.path, self.run)
        })
    }

    /// Reads lines until there are enough, or no more come for a while.
    async fn events(&self, mut body: Body, step: &Step, enough: Option<usize>) -> Vec<u8> {
        let (mut bytes, mut lines) = (Vec::new(), 0);
        let mut is_marked = !step.path.contains("allowWatchBookmarks=true");
        loop {
            let patience = match (self.quiet, enough) {
                (Quiet::InProcess, Some(enough)) if lines < enough => Duration::from_secs(1),
                (Quiet::Real, _) if !is_marked => Duration::from_secs(5),
                (Quiet::InProcess, _) => Duration::from_millis(20),
                (Quiet::Real, _) => Duration::from_millis(700),
            };
            let Ok(Some(Ok(frame))) = timeout(patience, body.frame()).await else { return bytes };
            let data = frame.into_data().unwrap_or_default();
            lines += data.split(|byte| *byte == b'\n').count() - 1;
            bytes.extend_from_slice(&data);
            is_marked |= String::from_utf8_lossy(&data).contains("initial-events-end");
        }
    }
}

fn headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let text = |name: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.collect::<Vec<_>>().join("\n")
    };
    let named = HEADERS.iter().map(|name| ((*name).to_owned(), text(name)));
    let mut compared: BTreeMap<_, _> = named.filter(|(_, text)| !text.is_empty()).collect();
    if headers.contains_key("audit-id") {
        compared.insert("audit-id".to_owned(), "(any)".to_owned());
    }
    compared
}
