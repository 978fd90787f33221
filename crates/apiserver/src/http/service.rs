//! The server as a `tower` service, and what every request and answer has.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _};
use http::{HeaderValue, Method, Request, Response, header, request::Parts};
use k8s::{SharedClock, TimerKind, parse_duration};
use tower::{BoxError, Service};
use uuid::Uuid;

use crate::{
    error::ApiError,
    field,
    http::{
        Call, Core, authenticate, body, compress, harm, header as text_of, measure, media,
        media::{Offer, Wanted},
        meta, proxy,
        query::{Query, parse_revision},
        resource,
        respond::{self, About, Answer, Body},
        route::{self, Route, Target},
        windlass,
    },
    requests::RequestRecord,
    user::User,
    warnings::Warnings,
};

/// The server as one user reaches it, without a socket. Clones are cheap.
///
/// It does not keep the server running: watches end and nothing is served any more once the last
/// [`ApiServer`](crate::ApiServer) is dropped.
#[derive(Clone)]
pub struct ApiService {
    core: Arc<Core>,
    user: Option<User>,
}

/// How long a read waits for a revision that does not exist yet.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a request may take that does not go on for ever by its nature.
const DEADLINE: Duration = Duration::from_mins(1);

impl ApiService {
    /// Returns the service for a user; nobody may only see whether the server is well.
    pub(crate) fn new(core: Arc<Core>, user: Option<User>) -> Self {
        Self { core, user }
    }
}

impl<B> Service<Request<B>> for ApiService
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Self { core, user } = self.clone();
        async move { Ok(answer(core, user, request).await) }.boxed()
    }
}

async fn answer<B>(core: Arc<Core>, user: Option<User>, request: Request<B>) -> Answer
where
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    let began = core.backend.clock().now();
    let (mut parts, body) = request.into_parts();
    let route = route::parse(parts.uri.path());
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    name_host(&mut parts);
    let user = authenticate::user(&core, user, &parts.headers);
    let mut record = record(&parts, &route, &query);
    let labels = measure::labels(&parts.method, &route, &query, &record);
    // What is followed must not wait in a compressor.
    let compresses =
        compress::is_wanted(&parts.headers) && !matches!(&*record.subresource, "proxy" | "log");
    if let Ok(Some(user)) = &user {
        record.user.clone_from(&user.name);
    }
    let audit_id = audit_id(&parts);
    let mut wanted = Wanted::default();
    let warnings = Arc::new(Warnings::default());
    let outcome = match (user, &route) {
        (Err(refused), _) => Err(refused),
        (Ok(user), Route::Windlass(path)) => {
            windlass::handle(&core, user.as_ref(), path, (parts, body)).await
        }
        (Ok(user), _) => {
            let harm = core.faults.strike(&record);
            let limit = time_limit(&record, &query);
            let asked = (route, query, warnings.clone());
            let handled = handle(core.clone(), user, (parts, body), asked, &mut wanted);
            let suffered = harm::suffer(&core.backend, harm, handled);
            within(limit, core.backend.clock(), suffered).await
        }
    };
    let mut answer = outcome.unwrap_or_else(|error| respond::error(&error, wanted));
    respond::warn(&mut answer, &warnings.sent());
    record.time = core.backend.clock().now();
    let took = Duration::try_from(record.time.duration_since(began)).unwrap_or_default();
    record.latency_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    record.code = answer.status().as_u16();
    if let (true, Some(About(name))) = (record.name.is_empty(), answer.extensions_mut().remove()) {
        record.name = name;
    }
    if let Some(labels) = labels {
        core.backend.metrics().answered(labels.clone(), record.code, took);
        if labels.verb == "WATCH" && record.code == 200 {
            answer = measure::watch(&core, labels, answer);
        }
    }
    if compresses {
        answer = compress::compress(answer);
    }
    if let Some(log) = &core.audit {
        log.note(&record, core.backend.revision());
    }
    core.requests.push(record);
    let headers = answer.headers_mut();
    if let Ok(audit_id) = HeaderValue::from_str(&audit_id) {
        headers.insert("audit-id", audit_id);
    }
    let no_cache = HeaderValue::from_static("no-cache, private");
    headers.entry(header::CACHE_CONTROL).or_insert(no_cache);
    answer
}

/// Returns how long a request may take, nothing if it may go on for ever.
fn time_limit(record: &RequestRecord, query: &Query) -> Result<Option<Duration>, ApiError> {
    let goes_on =
        matches!(&*record.subresource, "log" | "exec" | "attach" | "portforward" | "proxy");
    if record.verb == "watch" || goes_on {
        return Ok(None);
    }
    let wanted = match query.get("timeout") {
        "" => DEADLINE,
        text => parse_duration(text).map_err(|_| {
            let what = format!("time: invalid duration {}", field::quote(text));
            ApiError::bad_request(format!("invalid timeout specified in the request URL - {what}"))
        })?,
    };
    Ok(Some(if wanted.is_zero() { DEADLINE } else { wanted.min(DEADLINE) }))
}

/// Waits for an answer, but not for ever.
async fn within(
    limit: Result<Option<Duration>, ApiError>,
    clock: &SharedClock,
    handled: impl Future<Output = Result<Answer, ApiError>>,
) -> Result<Answer, ApiError> {
    let Some(limit) = limit? else { return handled.await };
    let mut handled = std::pin::pin!(handled);
    // Nearly every request is done at once: it shall not pay for a timer.
    if let Some(done) = handled.as_mut().now_or_never() {
        return done;
    }
    let due = clock.after(limit);
    // Nobody waits for this moment to come, so it is not registered as one that time may be moved to.
    tokio::select! {
        biased;
        () = clock.sleep_until(due) => Err(ApiError::too_slow()),
        done = handled => done,
    }
}

async fn handle<B>(
    core: Arc<Core>,
    user: Option<User>,
    (parts, body): (Parts, B),
    (route, query, warnings): (Route, Query, Arc<Warnings>),
    wanted: &mut Wanted,
) -> Result<Answer, ApiError>
where
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    let user = match user {
        Some(user) => user,
        None if matches!(route, Route::Health | Route::Version) => User::anonymous(),
        None => return Err(ApiError::unauthorized()),
    };
    if *core.backend.stopping().borrow() {
        return Err(ApiError::unavailable("the server is stopping"));
    }
    let passed_on = match &route {
        Route::Resource(target) if proxy::is_meant(target) => Some(target),
        _ => None,
    };
    if let (Route::Resource(target), None) = (&route, passed_on) {
        let offer = offer(&core, &parts.method, target);
        *wanted = media::negotiate(text_of(&parts.headers, header::ACCEPT), offer)?;
        wanted.pretty |= query.is_true("pretty");
        wait_for_revision(&core, &parts.method, &query).await?;
    }
    let _token = core.backend.activity().hold(format!("{} {}", parts.method, parts.uri.path()));
    let body = match parts.method {
        Method::GET | Method::HEAD => Bytes::new(),
        _ => body::read(body, core.backend.settings().max_body).await?,
    };
    let call = Call {
        core,
        user,
        method: parts.method,
        query,
        headers: parts.headers,
        wanted: *wanted,
        body,
        warnings,
    };
    if let Some(target) = passed_on {
        return proxy::forward(&call, target, &parts.uri).await;
    }
    match &route {
        Route::Resource(target) => resource::handle(&call, target),
        other => meta::handle(&call, other),
    }
}

fn offer(core: &Core, method: &Method, target: &Target) -> Offer {
    if !core.backend.registry().is_built_in(&target.version.group) {
        Offer::Custom
    } else if target.name.is_empty() && matches!(*method, Method::GET | Method::HEAD) {
        Offer::Collection
    } else {
        Offer::Object
    }
}

/// Puts the host into the headers: HTTP/2 has it in the address only.
fn name_host(parts: &mut Parts) {
    if let Some(authority) = parts.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        parts.headers.entry(header::HOST).or_insert(host);
    }
}

/// Waits a while for a revision from the future: a client may know of a write before we do its read.
async fn wait_for_revision(core: &Core, method: &Method, query: &Query) -> Result<(), ApiError> {
    if method != Method::GET || query.is_true("watch") {
        return Ok(());
    }
    let wanted = parse_revision(query.get("resourceVersion"))?.unwrap_or(0);
    let backend = &core.backend;
    if wanted <= backend.revision() {
        return Ok(());
    }
    let clock = backend.clock().clone();
    let until = clock.after(PATIENCE);
    let what = "read of a future revision";
    let timeout = backend.activity().sleep_until(&*clock, until, TimerKind::Progress, what);
    tokio::select! {
        () = backend.store().reached(wanted) => Ok(()),
        _ = timeout => Err(ApiError::future_revision(wanted, backend.revision())),
    }
}

fn record(parts: &Parts, route: &Route, query: &Query) -> RequestRecord {
    let user_agent = text_of(&parts.headers, header::USER_AGENT).to_owned();
    let Route::Resource(target) = route else {
        let verb = parts.method.as_str().to_ascii_lowercase();
        let resource = parts.uri.path().to_owned();
        return RequestRecord { verb, resource, user_agent, ..RequestRecord::default() };
    };
    let content_type = text_of(&parts.headers, header::CONTENT_TYPE);
    let is_patch = parts.method == Method::PATCH;
    RequestRecord {
        verb: resource::verb(&parts.method, target, query).to_owned(),
        resource: target.plural.clone(),
        group: target.version.group.clone(),
        version: target.version.version.clone(),
        subresource: target.subresource.clone(),
        namespace: target.namespace.clone(),
        name: target.name.clone(),
        dry_run: !query.get("dryRun").is_empty(),
        user_agent,
        patch_type: if is_patch { media::essence(content_type) } else { String::new() },
        ..RequestRecord::default()
    }
}

fn audit_id(parts: &Parts) -> String {
    let given = parts.headers.get("audit-id").and_then(|it| it.to_str().ok());
    given.map_or_else(|| Uuid::new_v4().to_string(), ToOwned::to_owned)
}
