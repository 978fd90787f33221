//! The hook of the measured controllers: over HTTP for an engine elsewhere, as a call for one in process.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use api::{Hook, HookError, HookReply, HookRequest};
use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use http::{HeaderMap, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::{net::TcpListener, task::AbortHandle};

use crate::timing::{Stopwatch, pause};

/// How long no call must come for the work to be over.
const QUIET: Duration = Duration::from_secs(2);

/// Counts calls, and gives every parent the same number of ConfigMaps. Clones share it.
#[derive(Clone)]
pub(crate) struct Counting(Arc<Shared>);

struct Shared {
    children: usize,
    calls: AtomicUsize,
    last: Mutex<Stopwatch>,
}

/// A hook that listens, until it is dropped.
pub(crate) struct Listening {
    pub(crate) hook: Counting,
    pub(crate) url: String,
    task: AbortHandle,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What matters of a request.
#[derive(Deserialize)]
struct Asked {
    parent: Parent,
    children: HashMap<String, Map<String, Value>>,
}

#[derive(Deserialize)]
struct Parent {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Deserialize)]
struct Spec {
    value: String,
}

impl Counting {
    pub(crate) fn new(children: usize) -> Self {
        let last = Mutex::new(Stopwatch::start());
        Self(Arc::new(Shared { children, calls: AtomicUsize::new(0), last }))
    }

    /// Returns how many calls there were.
    pub(crate) fn calls(&self) -> usize {
        self.0.calls.load(Ordering::Relaxed)
    }

    /// Waits until no call has come for a while.
    pub(crate) async fn quiet(&self) {
        while self.last().elapsed() < QUIET {
            pause(Duration::from_millis(50)).await;
        }
    }

    /// Listens on this machine.
    pub(crate) async fn listen(self) -> anyhow::Result<Listening> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (url, hook) = (format!("http://{}/sync", listener.local_addr()?), self.clone());
        let accept = async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Answers are small: without this they wait for the acknowledgement of the one before.
                let _ = stream.set_nodelay(true);
                let hook = self.clone();
                let service = service_fn(move |request| hook.clone().serve(request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        };
        Ok(Listening { hook, url, task: tokio::spawn(accept).abort_handle() })
    }

    async fn serve(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let body = request.into_body().collect().await;
        let (status, answer) =
            body.map_or((400, Bytes::new()), |body| self.answer(&body.to_bytes()));
        let mut response = Response::new(Full::new(answer));
        *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
        let kind = http::HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        Ok(response)
    }

    fn answer(&self, body: &[u8]) -> (u16, Bytes) {
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        *self.last() = Stopwatch::start();
        let Ok(Asked { parent, children }) = serde_json::from_slice(body) else {
            return (400, Bytes::new());
        };
        let (name, value) = (parent.metadata.name, parent.spec.value);
        let observed = children.values().map(Map::len).sum::<usize>();
        let child = |number| {
            json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": format!("{name}-{number}")}, "data": {"value": value}})
        };
        let children: Vec<_> = (0..self.0.children).map(child).collect();
        let status = json!({"value": value, "observed": observed});
        (200, json!({"status": status, "children": children}).to_string().into())
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Stopwatch> {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hook for Counting {
    fn call(&self, request: HookRequest) -> BoxFuture<'_, Result<HookReply, HookError>> {
        let (status, body) = self.answer(&request.body);
        async move { Ok(HookReply { status, headers: HeaderMap::new(), body }) }.boxed()
    }
}
