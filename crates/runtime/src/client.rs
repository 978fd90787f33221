//! The one client: bytes to and from an API server, in process or over a network.

use std::{
    env, fmt,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures::{
    FutureExt, Stream, StreamExt,
    future::{BoxFuture, Either, select},
    stream,
};
use http::{Method, Request, Response, header};
use http_body_util::BodyExt;
use k8s::{Activity, Object, ObjectKey, Resource, Revisions, SharedClock, TimerKind};
use kube::{
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::{
    ApiError,
    bucket::Bucket,
    limit::Limit,
    metrics::{Metric, MetricKind, Metrics},
};

/// How long a request other than a watch may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// How often a request is tried when the server is busy.
const TRIES: u32 = 6;

/// Counted for every request that was answered, as client-go does.
const REQUESTS: Metric = Metric::new(
    "rest_client_requests_total",
    "Requests to the API server, by status, method and host",
    MetricKind::Counter,
);

/// Why there is no client.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The kubeconfig is missing or broken.
    #[error("cannot read the kubeconfig `{path}`")]
    Kubeconfig {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: kube::config::KubeconfigError,
    },
    /// No configuration was found anywhere.
    #[error("found no cluster: no kubeconfig was given, and this is not a pod")]
    Infer(#[source] kube::config::KubeconfigError),
    /// The configuration cannot be used.
    #[error("cannot use the cluster's configuration")]
    Config(#[source] kube::Error),
}

/// Which part of an object a write touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// All but what subresources keep.
    Main,
    /// The status subresource.
    Status,
}

/// How a patch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    /// RFC 7396.
    Merge,
    /// RFC 6902.
    Json,
}

impl PatchType {
    fn content_type(self) -> &'static str {
        match self {
            Self::Merge => "application/merge-patch+json",
            Self::Json => "application/json-patch+json",
        }
    }
}

/// What a client needs besides its transport.
#[derive(Clone)]
pub struct ClientOptions {
    /// The clock that deadlines and retries follow.
    pub clock: SharedClock,
    /// Where requests under way are noted.
    pub activity: Activity,
    /// What the client calls itself; the server notes it as the manager of the fields it writes.
    pub agent: &'static str,
    /// How far the server's store has come, if it runs in this process.
    pub revisions: Option<Arc<dyn Revisions>>,
}

/// A client of one API server. Clones share connections, limits and retries.
#[derive(Clone)]
pub struct Client {
    transport: kube::Client,
    options: ClientOptions,
    limit: Limit,
    managed_fields: ManagedFields,
    /// How often requests may be sent, if that is limited.
    pace: Option<Arc<Mutex<Bucket>>>,
    metrics: Metrics,
    /// What metrics call the server.
    host: Arc<str>,
}

/// What becomes of the managedFields of objects that are read: few need them, and they are long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ManagedFields {
    /// They are cut out.
    #[default]
    Dropped,
    /// They stay.
    Kept,
}

/// A page of a list.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) items: Vec<Object>,
    pub(crate) revision: String,
    pub(crate) next: Option<String>,
}

/// One line of a watch.
#[derive(Debug)]
pub(crate) enum WatchLine {
    Added(Object),
    Deleted(Object),
    Bookmark(String),
    Failed(ApiError),
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// Returns a client over a transport that is there already.
    pub fn new(transport: kube::Client, options: ClientOptions) -> Self {
        let (limit, managed_fields) = (Limit::default(), ManagedFields::default());
        let (metrics, host) = (Metrics::default(), "in-process".into());
        Self { transport, options, limit, managed_fields, pace: None, metrics, host }
    }

    /// Limits how often requests are sent: a burst at once, then so many a second.
    #[must_use]
    pub fn paced(self, per_second: f64, burst: u32) -> Self {
        let bucket = Bucket::new(burst, per_second, self.clock().now());
        Self { pace: Some(Arc::new(Mutex::new(bucket))), ..self }
    }

    /// Returns a client of the cluster that `kubeconfig` names, or of the one found by the usual rules:
    /// `KUBECONFIG`, the pod's own account, `~/.kube/config`.
    pub async fn connect(
        kubeconfig: Option<PathBuf>,
        context: Option<String>,
        options: ClientOptions,
    ) -> Result<Self, ConnectError> {
        let choice = KubeConfigOptions { context, ..KubeConfigOptions::default() };
        let mut config = match kubeconfig {
            Some(path) => {
                let error =
                    |source| ConnectError::Kubeconfig { path: path.display().to_string(), source };
                let file = Kubeconfig::read_from(&path).map_err(error)?;
                kube::Config::from_custom_kubeconfig(file, &choice).await.map_err(error)?
            }
            None => infer(&choice).await.map_err(ConnectError::Infer)?,
        };
        // Retries, deadlines and limits are this type's own.
        config.default_retry = false;
        config.read_timeout = None;
        let host = config.cluster_url.authority().map_or("", http::uri::Authority::as_str).into();
        let transport = kube::Client::try_from(config).map_err(ConnectError::Config)?;
        Ok(Self { host, ..Self::new(transport, options) })
    }

    /// Returns what is counted around this client.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Returns the same client with another rule for the managedFields of objects in lists and watches.
    #[must_use]
    pub fn with_managed_fields(self, managed_fields: ManagedFields) -> Self {
        Self { managed_fields, ..self }
    }

    /// Returns an object as caches keep it.
    pub fn lean(&self, object: Object) -> Object {
        if self.managed_fields == ManagedFields::Kept {
            return object;
        }
        let json = k8s::json::without_managed_fields(object.json()).ok();
        json.and_then(|json| Object::parse(json).ok()).unwrap_or(object)
    }

    /// Returns the clock that everything around this client follows.
    pub fn clock(&self) -> &SharedClock {
        &self.options.clock
    }

    /// Returns the register of what is under way.
    pub fn activity(&self) -> &Activity {
        &self.options.activity
    }

    /// Returns how far the server's store has come, if it runs in this process.
    pub(crate) fn revisions(&self) -> Option<&Arc<dyn Revisions>> {
        self.options.revisions.as_ref()
    }

    /// Reads a path as it is.
    pub async fn get_raw(&self, path: &str) -> Result<Bytes, ApiError> {
        self.send(Call::new(Method::GET, path)).await
    }

    /// Sends a request as it is, once, and returns the answer as it comes, whatever its status.
    ///
    /// There is no deadline: what stands behind a Service takes its time, and a log that is followed has no end.
    pub async fn pass(&self, request: Request<Bytes>) -> Result<Response<Body>, ApiError> {
        let path = request.uri().to_string();
        let _token = self.activity().hold(format!("{} {path}", request.method()));
        let response = self.transport.send(request.map(|body| Body::from(body.to_vec()))).await;
        response.map_err(|source| transport(&path, source))
    }

    /// Reads an object.
    pub async fn get(&self, resource: &Resource, key: &ObjectKey) -> Result<Object, ApiError> {
        let path = resource.object_path(&key.namespace, &key.name);
        let body = self.get_raw(&path).await?;
        decode(&path, body)
    }

    /// Creates an object.
    pub async fn create(
        &self,
        resource: &Resource,
        namespace: &str,
        body: impl Into<Bytes>,
    ) -> Result<Object, ApiError> {
        let path = resource.collection_path(namespace);
        let call = Call::new(Method::POST, &path).body("application/json", body.into());
        decode(&path, self.write(call).await?)
    }

    /// Asks what would come of creating an object, which is not stored.
    pub async fn try_create(
        &self,
        resource: &Resource,
        namespace: &str,
        body: impl Into<Bytes>,
    ) -> Result<Object, ApiError> {
        let path = format!("{}?dryRun=All", resource.collection_path(namespace));
        let call = Call::new(Method::POST, &path).body("application/json", body.into());
        decode(&path, self.write(call).await?)
    }

    /// Replaces an object, or its status.
    pub async fn update(
        &self,
        resource: &Resource,
        key: &ObjectKey,
        part: Part,
        body: impl Into<Bytes>,
    ) -> Result<Object, ApiError> {
        let path = part_path(resource, key, part);
        let call = Call::new(Method::PUT, &path).body("application/json", body.into());
        decode(&path, self.write(call).await?)
    }

    /// Changes parts of an object.
    pub async fn patch(
        &self,
        resource: &Resource,
        key: &ObjectKey,
        (part, patch): (Part, PatchType),
        body: impl Into<Bytes>,
    ) -> Result<Object, ApiError> {
        let path = part_path(resource, key, part);
        let call = Call::new(Method::PATCH, &path).body(patch.content_type(), body.into());
        decode(&path, self.write(call).await?)
    }

    /// Makes an object what a manager wants, as far as it cares, or creates it.
    ///
    /// Fields that others own become the manager's; fields that it no longer wants go.
    pub async fn apply(
        &self,
        resource: &Resource,
        key: &ObjectKey,
        manager: &str,
        body: impl Into<Bytes>,
    ) -> Result<Object, ApiError> {
        let path = format!("{}&force=true", apply_path(resource, key, manager));
        self.patch_apply(path, body.into()).await
    }

    /// Creates an object by an apply, unless one of that name is there.
    ///
    /// An apply has no precondition for that, so the name is looked up first. Whoever takes it in between
    /// keeps the fields that differ, since nothing is forced.
    pub async fn apply_new(
        &self,
        resource: &Resource,
        key: &ObjectKey,
        manager: &str,
        body: impl Into<Bytes>,
    ) -> Result<Object, ApiError> {
        match self.get(resource, key).await {
            Ok(_) => return Err(ApiError::already_exists(&resource.plural, &key.name)),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        self.patch_apply(apply_path(resource, key, manager), body.into()).await
    }

    /// Asks what would come of an apply, which changes nothing.
    pub async fn try_apply(
        &self,
        resource: &Resource,
        key: &ObjectKey,
        manager: &str,
        body: impl Into<Bytes>,
    ) -> Result<Object, ApiError> {
        let path = format!("{}&force=true&dryRun=All", apply_path(resource, key, manager));
        self.patch_apply(path, body.into()).await
    }

    async fn patch_apply(&self, path: String, body: Bytes) -> Result<Object, ApiError> {
        let call = Call::new(Method::PATCH, &path).body("application/apply-patch+yaml", body);
        decode(&path, self.write(call).await?)
    }

    /// Deletes an object with its dependents in the background, but only the one with this UID.
    pub async fn delete(
        &self,
        resource: &Resource,
        key: &ObjectKey,
        uid: &str,
    ) -> Result<(), ApiError> {
        let mut options = serde_json::json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
        if !uid.is_empty() {
            options["preconditions"] = serde_json::json!({"uid": uid});
        }
        let path = resource.object_path(&key.namespace, &key.name);
        let call =
            Call::new(Method::DELETE, &path).body("application/json", options.to_string().into());
        self.write(call).await.map(|_| ())
    }

    /// Reads one page of a collection over all namespaces, or of what is in it of one object.
    pub(crate) async fn list_page(
        &self,
        resource: &Resource,
        only: Option<&ObjectKey>,
        next: Option<&str>,
    ) -> Result<Page, ApiError> {
        let mut path = scoped(resource, only, "limit=500");
        if let Some(next) = next {
            path = format!("{path}&continue={}", escape(next));
        }
        let body = self.get_raw(&path).await?;
        parse_page((resource, self.managed_fields), &body)
            .map_err(|source| ApiError::Decode { path, source })
    }

    /// Opens a watch of a whole resource, or of one object of it, after `revision`.
    pub(crate) async fn watch(
        &self,
        resource: &Resource,
        only: Option<&ObjectKey>,
        revision: &str,
    ) -> Result<impl Stream<Item = WatchLine> + Send + Unpin + use<>, ApiError> {
        let query = format!("watch=true&allowWatchBookmarks=true&resourceVersion={revision}");
        let path = scoped(resource, only, &query);
        self.keep_pace().await;
        let response = self.exchange(&Call::new(Method::GET, &path)).await?;
        let (status, retry_after) = (response.status().as_u16(), retry_after(&response));
        if status != 200 {
            let body = collect(&path, response).await?;
            return Err(ApiError::refused(status, retry_after, &body));
        }
        let of = (resource.clone(), self.managed_fields);
        Ok(watch_lines(of, path, response.into_body()))
    }

    /// Sends a request that changes something, under the limit of writes.
    async fn write(&self, call: Call<'_>) -> Result<Bytes, ApiError> {
        let place = self.limit.enter().await;
        let result = self.send(call).await;
        drop(place);
        result
    }

    /// Sends a request, again if the server is only busy.
    async fn send(&self, call: Call<'_>) -> Result<Bytes, ApiError> {
        let _token = self.activity().hold(format!("{} {}", call.method, call.path));
        let mut tries = 1;
        loop {
            let round = self.limit.round();
            let error = match self.once(&call).await {
                Ok(body) => {
                    self.limit.succeeded();
                    return Ok(body);
                }
                Err(error) => error,
            };
            let Some(wait) = error.retry_after() else { return Err(error) };
            self.limit.refused(round);
            // Whoever waits holds a place: a longer wait is the caller's own affair.
            if TRIES <= tries || DEADLINE < wait {
                return Err(error);
            }
            tries += 1;
            self.pause(wait, TimerKind::Blocking, "next try").await;
        }
    }

    async fn once(&self, call: &Call<'_>) -> Result<Bytes, ApiError> {
        self.keep_pace().await;
        let deadline = self.after(DEADLINE);
        let exchange = async {
            let response = self.exchange(call).await?;
            let (status, wait) = (response.status(), retry_after(&response));
            let body = collect(call.path, response).await?;
            if status.is_success() {
                return Ok(body);
            }
            Err(ApiError::refused(status.as_u16(), wait, &body))
        };
        match select(exchange.boxed(), deadline).await {
            Either::Left((result, _)) => result,
            Either::Right(((), _)) => {
                Err(ApiError::TimedOut { path: call.path.to_owned(), after: DEADLINE })
            }
        }
    }

    async fn exchange(&self, call: &Call<'_>) -> Result<Response<Body>, ApiError> {
        let mut request = Request::builder().method(call.method.clone()).uri(call.path);
        request = request.header(header::ACCEPT, "application/json");
        request = request.header(header::USER_AGENT, self.options.agent);
        if let Some(content_type) = call.content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let request = request.body(Body::from(call.body.to_vec()));
        let request = request.map_err(|source| transport(call.path, source))?;
        let response = self.transport.send(request).await;
        let code = response.as_ref().map(|response| response.status().as_str().to_owned());
        let code = code.unwrap_or_else(|_| "<error>".to_owned());
        let (host, method) = (self.host.to_string(), call.method.to_string());
        let labels = vec![("code", code), ("host", host), ("method", method)];
        self.metrics.count(&REQUESTS, labels);
        response.map_err(|source| transport(call.path, source))
    }

    /// Waits until a request may be sent.
    async fn keep_pace(&self) {
        let Some(pace) = &self.pace else { return };
        let now = self.clock().now();
        let wait = pace.lock().expect("the lock of the pace is never poisoned").reserve(now);
        if !wait.is_zero() {
            self.pause(wait, TimerKind::Blocking, "pace of requests").await;
        }
    }

    /// Resolves after a while, whoever is at work.
    pub(crate) fn after(&self, wait: Duration) -> BoxFuture<'static, ()> {
        self.clock().sleep_until(self.clock().now() + wait)
    }

    /// Waits for the next try of something.
    pub(crate) async fn pause(&self, wait: Duration, kind: TimerKind, what: &'static str) {
        let at = self.clock().now() + wait;
        drop(self.activity().sleep_until(self.clock().as_ref(), at, kind, what).await);
    }
}

/// Returns the cluster that is meant where none is named: `KUBECONFIG` says it, or the pod this runs in, or
/// the user's own file. In this order, which is client-go's, a pod never uses a file that lies in its image.
async fn infer(choice: &KubeConfigOptions) -> Result<kube::Config, kube::config::KubeconfigError> {
    if env::var_os("KUBECONFIG").is_none_or(|paths| paths.is_empty())
        && let Ok(config) = kube::Config::incluster()
    {
        return Ok(config);
    }
    kube::Config::from_kubeconfig(choice).await
}

/// One request.
struct Call<'a> {
    method: Method,
    path: &'a str,
    content_type: Option<&'static str>,
    body: Bytes,
}

impl<'a> Call<'a> {
    fn new(method: Method, path: &'a str) -> Self {
        Self { method, path, content_type: None, body: Bytes::new() }
    }

    fn body(self, content_type: &'static str, body: Bytes) -> Self {
        Self { content_type: Some(content_type), body, ..self }
    }
}

fn part_path(resource: &Resource, key: &ObjectKey, part: Part) -> String {
    let path = resource.object_path(&key.namespace, &key.name);
    match part {
        Part::Main => path,
        Part::Status => format!("{path}/status"),
    }
}

fn apply_path(resource: &Resource, key: &ObjectKey, manager: &str) -> String {
    let path = resource.object_path(&key.namespace, &key.name);
    format!("{path}?fieldManager={}", escape(manager))
}

fn transport(path: &str, source: impl std::error::Error + Send + Sync + 'static) -> ApiError {
    ApiError::Transport { path: path.to_owned(), source: Box::new(source) }
}

fn decode(path: &str, body: Bytes) -> Result<Object, ApiError> {
    Object::parse(body)
        .map_err(|source| ApiError::Decode { path: path.to_owned(), source: Box::new(source) })
}

async fn collect(path: &str, response: Response<Body>) -> Result<Bytes, ApiError> {
    let body = response.into_body().collect().await;
    Ok(body.map_err(|source| transport(path, source))?.to_bytes())
}

fn retry_after<B>(response: &Response<B>) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    Some(Duration::from_secs(value.trim().parse().ok()?))
}

/// Returns the path of a collection over all namespaces, or of what is in it of one object.
fn scoped(resource: &Resource, only: Option<&ObjectKey>, query: &str) -> String {
    match only {
        None => format!("{}?{query}", resource.collection_path("")),
        Some(ObjectKey { namespace, name }) => {
            let collection = resource.collection_path(namespace);
            format!(
                "{collection}?{query}&fieldSelector={}",
                escape(&format!("metadata.name={name}"))
            )
        }
    }
}

/// Escapes what may stand in a query, such as a continue token.
fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// What is wrong with an answer.
type DecodeError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Deserialize)]
struct RawList<'a> {
    #[serde(default)]
    metadata: ListMeta,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListMeta {
    resource_version: String,
    r#continue: String,
}

fn parse_page(of: (&Resource, ManagedFields), body: &[u8]) -> Result<Page, DecodeError> {
    let list: RawList<'_> = serde_json::from_slice(body)?;
    let items = list.items.unwrap_or_default().into_iter();
    let items = items.map(|item| lean(of, item)).collect::<Result<_, _>>()?;
    let next = Some(list.metadata.r#continue).filter(|next| !next.is_empty());
    Ok(Page { items, revision: list.metadata.resource_version, next })
}

/// Returns an object as caches keep it, with the type that items of lists lack.
fn lean(
    (resource, managed_fields): (&Resource, ManagedFields),
    item: &RawValue,
) -> Result<Object, DecodeError> {
    let text = item.get().as_bytes();
    let object = match managed_fields {
        ManagedFields::Dropped => Object::parse(k8s::json::without_managed_fields(text)?)?,
        ManagedFields::Kept => Object::parse(text.to_vec())?,
    };
    if !object.gvk().kind.is_empty() {
        return Ok(object);
    }
    let gvk = &resource.gvk;
    let mut typed = BytesMut::from(
        format!(r#"{{"apiVersion":"{}","kind":"{}","#, gvk.api_version(), gvk.kind).as_bytes(),
    );
    let rest = object.json().iter().position(|byte| *byte == b'{').map_or(0, |brace| brace + 1);
    typed.extend_from_slice(&object.json().slice(rest..));
    Ok(Object::parse(typed.freeze())?)
}

#[derive(Deserialize)]
struct RawLine<'a> {
    r#type: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

fn parse_line(of: (&Resource, ManagedFields), line: &[u8]) -> Result<WatchLine, DecodeError> {
    let RawLine { r#type, object } = serde_json::from_slice(line)?;
    if r#type == "ERROR" {
        let code = serde_json::from_str::<crate::Status>(object.get())?.code;
        return Ok(WatchLine::Failed(ApiError::refused(code, None, object.get().as_bytes())));
    }
    let object = lean(of, object)?;
    Ok(match r#type {
        "BOOKMARK" => WatchLine::Bookmark(object.meta().resource_version.clone()),
        "DELETED" => WatchLine::Deleted(object),
        _ => WatchLine::Added(object),
    })
}

/// Text that comes in chunks and is taken out in lines. Each byte is looked at once, however many chunks a
/// line comes in.
#[derive(Debug, Default)]
struct Lines {
    text: BytesMut,
    /// How much of the text is known to have no end of a line.
    searched: usize,
}

impl Lines {
    fn push(&mut self, chunk: &[u8]) {
        self.text.extend_from_slice(chunk);
    }

    fn next(&mut self) -> Option<BytesMut> {
        let rest = self.text.get(self.searched..).unwrap_or_default();
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.text.len();
            return None;
        };
        let end = self.searched + end + 1;
        self.searched = 0;
        Some(self.text.split_to(end))
    }
}

/// Cuts a watch's body into lines.
fn watch_lines(
    (resource, managed_fields): (Resource, ManagedFields),
    path: String,
    body: Body,
) -> impl Stream<Item = WatchLine> + Send + Unpin {
    let chunks = body.into_data_stream();
    let state = (chunks, Lines::default(), false);
    let lines = stream::unfold(state, move |(mut chunks, mut buffer, mut ended)| {
        let (resource, path) = (resource.clone(), path.clone());
        async move {
            loop {
                if let Some(line) = buffer.next() {
                    if line.iter().all(u8::is_ascii_whitespace) {
                        continue;
                    }
                    let line =
                        parse_line((&resource, managed_fields), &line).unwrap_or_else(|source| {
                            WatchLine::Failed(ApiError::Decode { path, source })
                        });
                    return Some((line, (chunks, buffer, ended)));
                }
                if ended {
                    return None;
                }
                match chunks.next().await {
                    Some(Ok(chunk)) => buffer.push(&chunk),
                    Some(Err(source)) => {
                        ended = true;
                        let failed = WatchLine::Failed(transport(&path, source));
                        return Some((failed, (chunks, Lines::default(), ended)));
                    }
                    None => ended = true,
                }
            }
        }
    });
    Box::pin(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_of_lists_get_their_type_and_lose_managed_fields() {
        let resource = Resource::namespaced("v1", "ConfigMap", "configmaps");
        let body = br#"{"metadata":{"resourceVersion":"9","continue":"x"},"items":[
            {"metadata":{"name":"a","managedFields":[{}]},"data":{"k":"v"}}]}"#;
        let page = parse_page((&resource, ManagedFields::Dropped), body).unwrap();
        assert_eq!((page.revision.as_str(), page.next.as_deref()), ("9", Some("x")));
        let expected = serde_json::json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}});
        assert_eq!(page.items[0].to_value(), expected);
    }

    #[test]
    fn lines_are_cut_from_chunks() {
        let mut lines = Lines::default();
        let mut cut = Vec::new();
        for chunk in ["a", "b\nc", "", "\n\nd", "e"] {
            lines.push(chunk.as_bytes());
            while let Some(line) = lines.next() {
                cut.push(String::from_utf8(line.to_vec()).unwrap());
            }
        }
        assert_eq!(cut, ["ab\n", "c\n", "\n"]);
        assert_eq!((&lines.text[..], lines.searched), (&b"de"[..], 2));
    }

    #[test]
    fn a_watch_s_error_line_is_a_refusal() {
        let resource = Resource::namespaced("v1", "ConfigMap", "configmaps");
        let line = br#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"gone"}}"#;
        assert!(
            matches!(parse_line((&resource, ManagedFields::Dropped), line), Ok(WatchLine::Failed(error)) if error.is_expired())
        );
    }
}
