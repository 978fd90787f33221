//! The web service in front of one function: checks requests, finds a worker for each, watches over both.
//!
//! Which worker serves which call is decided by [`pool`]; here processes start and end, and bytes flow.

use std::{
    collections::HashMap,
    ffi::OsString,
    fmt, io,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, combinators::UnsyncBoxBody};
use hyper::body::{Body, Frame, Incoming};
use k8s::{Activity, SharedClock, SignedDuration, Timestamp, Token};
use tempfile::TempDir;
use tokio::sync::{Notify, oneshot, watch};

pub use self::settings::{Settings, SettingsError};
use self::{
    contract::{FAILED, Route},
    pool::{Action, CallId, Pool, Refusal, WorkerId},
    worker::{Answer, Start, Worker},
};
use crate::{launch::Launcher, shims};

mod contract;
mod pool;
mod settings;
mod worker;

/// An error of a body on its way.
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;
/// The body of an answer, which may come bit by bit.
pub(crate) type ResponseBody = UnsyncBoxBody<Bytes, BodyError>;

/// Takes what a function prints, and a line for each of its calls.
pub trait Log: fmt::Debug + Send + Sync {
    /// Takes a line, without its end.
    fn line(&self, line: &str);
}

/// What a host needs besides its settings.
#[derive(Clone, Debug)]
pub struct Means {
    /// The clock.
    pub clock: SharedClock,
    /// Where calls under way are noted.
    pub activity: Activity,
    /// How processes are started.
    pub launcher: Launcher,
    /// What interprets the program.
    pub interpreter: PathBuf,
    /// Where lines go.
    pub log: Arc<dyn Log>,
}

/// How the workers of a function are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Whether the program was loaded, and workers have not ended again and again since.
    pub is_ready: bool,
    /// Whether workers end as soon as they start.
    pub is_crashing: bool,
    /// How many workers ended that should not have.
    pub restarts: u32,
    /// Why the last one could not load the program.
    pub failure: Option<String>,
}

/// The web service of a function. Its workers end with it.
#[derive(Debug)]
pub struct Host {
    shared: Arc<Shared>,
    ticker: tokio::task::AbortHandle,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    means: Means,
    /// What a worker runs, with its arguments.
    command: Vec<OsString>,
    /// Where the sockets of the workers are.
    scratch: TempDir,
    state: Mutex<State>,
    health: watch::Sender<Health>,
    /// How many calls wait or are served.
    busy: watch::Sender<usize>,
    /// Told when the next moment that matters may have changed.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    pool: Pool,
    workers: HashMap<WorkerId, Arc<Worker>>,
    waiting: HashMap<CallId, oneshot::Sender<Result<Lease, Refusal>>>,
    calls: CallId,
}

/// The right to have one call served by a worker; the next is served when this is dropped.
#[derive(Debug)]
struct Lease {
    shared: Arc<Shared>,
    worker: Arc<Worker>,
    id: WorkerId,
}

impl Host {
    /// Starts the host and its first worker.
    ///
    /// # Errors
    ///
    /// What the system said if there is no place for the sockets of workers.
    pub fn start(settings: Settings, means: Means) -> io::Result<Self> {
        let pool = Pool::new(settings.limits);
        let state = State { pool, workers: HashMap::new(), waiting: HashMap::new(), calls: 0 };
        let scratch = tempfile::Builder::new().prefix("windlass-").tempdir()?;
        let command = shims::command(settings.language, &means.interpreter, scratch.path())?;
        let shared = Arc::new(Shared {
            settings,
            means,
            command,
            scratch,
            state: Mutex::new(state),
            health: watch::Sender::default(),
            busy: watch::Sender::default(),
            changed: Notify::new(),
        });
        shared.act(Pool::open);
        let ticker = tokio::spawn(tick(Arc::clone(&shared))).abort_handle();
        Ok(Self { shared, ticker })
    }

    /// Returns how the workers are, now and from now on.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    /// Waits until no call is left, at most as long as one may take.
    pub async fn drain(&self) {
        let Means { clock, .. } = &self.shared.means;
        let wait =
            SignedDuration::try_from(self.shared.settings.timeout).unwrap_or(SignedDuration::MAX);
        let mut busy = self.shared.busy.subscribe();
        tokio::select! {
            _ = busy.wait_for(|calls| *calls == 0) => {}
            () = clock.sleep_until(clock.now().checked_add(wait).unwrap_or(Timestamp::MAX)) => {}
        }
    }

    /// Answers a request.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<ResponseBody>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BodyError>,
    {
        let (head, body) = request.into_parts();
        let cors = self.shared.settings.cors.as_deref();
        let mut response = match contract::route(&head, cors) {
            Route::Health if self.shared.health.borrow().is_ready => {
                whole(contract::plain(StatusCode::OK, "OK"))
            }
            Route::Health => whole(contract::plain(StatusCode::SERVICE_UNAVAILABLE, "not ready")),
            Route::Metrics => whole(contract::plain(StatusCode::OK, "")),
            Route::Preflight => whole(contract::preflight(&head.headers, cors.unwrap_or("*"))),
            Route::Function => self.function(head, body).await.unwrap_or_else(whole),
        };
        if let Some(origin) = cors {
            contract::allow(response.headers_mut(), origin);
        }
        response
    }

    /// Has the function answer, or says why it does not.
    async fn function<B>(
        &self,
        mut head: request::Parts,
        body: B,
    ) -> Result<Response<ResponseBody>, Response<Bytes>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BodyError>,
    {
        let limit = usize::try_from(self.shared.settings.max_body).unwrap_or(usize::MAX);
        let body = Limited::new(body, limit).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                contract::plain(StatusCode::PAYLOAD_TOO_LARGE, "Request body too large")
            } else {
                contract::plain(StatusCode::BAD_REQUEST, "Incomplete body")
            }
        })?;
        let body = body.to_bytes();
        let is_json = contract::is_json(&head.headers) && !body.is_empty();
        if is_json && serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_err() {
            return Err(contract::plain(StatusCode::BAD_REQUEST, "Invalid JSON"));
        }
        contract::name_event(&mut head.headers);
        let lease = self.shared.lease().await.map_err(|refusal| {
            let (status, text) = match refusal {
                Refusal::Full => (StatusCode::TOO_MANY_REQUESTS, "Too many calls are waiting"),
                Refusal::Down => (StatusCode::SERVICE_UNAVAILABLE, "The function does not run"),
            };
            let mut response = contract::plain(status, text);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            response
        })?;
        // A caller that goes away does not stop the function in the middle of what it does.
        let call = tokio::spawn(lease.exchange(worker_request(head, body)));
        call.await.unwrap_or_else(|_| Err(exited().into())).map_err(|response| *response)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.ticker.abort();
        // Tasks that wait for a worker's end hold the rest.
        self.shared.state().workers.clear();
    }
}

impl Shared {
    /// Waits for a worker's turn.
    async fn lease(self: &Arc<Self>) -> Result<Lease, Refusal> {
        let (sender, receiver) = oneshot::channel();
        let call = {
            let mut state = self.state();
            state.calls += 1;
            let call = state.calls;
            state.waiting.insert(call, sender);
            call
        };
        self.act(|pool, now| pool.call(call, now));
        receiver.await.unwrap_or(Err(Refusal::Down))
    }

    /// Tells the pool of something and does what it wants done.
    fn act(self: &Arc<Self>, tell: impl FnOnce(&mut Pool, Timestamp) -> Vec<Action>) {
        let now = self.means.clock.now();
        let mut told = Vec::new();
        {
            let mut state = self.state();
            let actions = tell(&mut state.pool, now);
            self.busy.send_if_modified(|busy| {
                let calls = state.pool.calls();
                std::mem::replace(busy, calls) != calls
            });
            for action in actions {
                match action {
                    Action::Start(id) => drop(tokio::spawn(Arc::clone(self).work(id))),
                    Action::Stop(id) => drop(state.workers.remove(&id)),
                    Action::Serve(call, id) => {
                        let worker = state.workers.get(&id).map(Arc::clone);
                        let shared = Arc::clone(self);
                        let lease = worker.map(|worker| Lease { shared, worker, id });
                        told.extend(
                            state.waiting.remove(&call).map(|to| (to, lease.ok_or(Refusal::Down))),
                        );
                    }
                    Action::Refuse(call, refusal) => {
                        told.extend(state.waiting.remove(&call).map(|to| (to, Err(refusal))));
                    }
                }
            }
        }
        for (caller, lease) in told {
            // A lease that nobody waits for any more comes back by being dropped.
            let _ = caller.send(lease);
        }
        self.changed.notify_one();
    }

    /// Starts a worker and stays with it to its end.
    async fn work(self: Arc<Self>, id: WorkerId) {
        let token = self.means.activity.hold("start of a worker");
        let Means { launcher, log, .. } = &self.means;
        let (settings, command, scratch) = (&self.settings, &self.command, self.scratch.path());
        let started = Worker::start(&Start { launcher, settings, command, scratch, id, log });
        let loaded = match started {
            Ok(worker) => worker.loaded().await.map(|()| Arc::new(worker)),
            Err(error) => Err(error.to_string()),
        };
        match loaded {
            Err(failure) => {
                log.line(&failure);
                self.act(|pool, now| pool.died(id, now));
                self.tell(Some(failure));
            }
            Ok(worker) => {
                let exit = worker.exit();
                self.state().workers.insert(id, worker);
                self.act(|pool, now| pool.loaded(id, now));
                self.tell(None);
                drop(token);
                exit.await;
                // One that was stopped, or killed for taking too long, is gone already.
                if self.state().workers.remove(&id).is_some() {
                    self.act(|pool, now| pool.died(id, now));
                    self.tell(Some("Function process exited".to_owned()));
                }
            }
        }
    }

    /// Says how the workers are.
    fn tell(&self, failure: Option<String>) {
        let is_crashing = self.state().pool.is_crashing();
        let is_up = failure.is_none() || self.state().pool.is_up();
        self.health.send_modify(|health| {
            health.restarts += u32::from(failure.is_some());
            health.is_ready = is_up || (health.is_ready && !is_crashing);
            health.is_crashing = is_crashing;
            health.failure = failure;
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the lock of a host is never poisoned")
    }
}

impl Lease {
    /// Has the worker answer within the time a call may take.
    async fn exchange(
        self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<ResponseBody>, Box<Response<Bytes>>> {
        let Means { clock, activity, .. } = &self.shared.means;
        let token = activity.hold("call of a function");
        let wait =
            SignedDuration::try_from(self.shared.settings.timeout).unwrap_or(SignedDuration::MAX);
        let mut deadline =
            clock.sleep_until(clock.now().checked_add(wait).unwrap_or(Timestamp::MAX));
        let answer = tokio::select! {
            biased;
            answer = self.worker.send(request) => answer,
            () = &mut deadline => {
                self.give_up().await;
                return Err(contract::plain(StatusCode::REQUEST_TIMEOUT, "Timeout exceeded").into());
            }
        };
        let Ok(Answer { response, connection }) = answer else {
            return Err(exited().into());
        };
        let (mut head, body) = response.into_parts();
        // What a shim writes beside the number is not for others.
        head.extensions.clear();
        head.headers.remove(FAILED);
        head.headers.remove(header::CONNECTION);
        let connection = Some(connection);
        let body = Streamed { body, deadline, connection, lease: self, _token: token };
        Ok(Response::from_parts(head, body.boxed_unsync()))
    }

    /// Ends a worker that takes too long; one that still serves other calls well may end these.
    async fn give_up(&self) {
        let is_shared = 1 < self.shared.state().pool.calls_of(self.id);
        if is_shared && self.worker.is_responsive(&self.shared.means.clock).await {
            self.shared.act(|pool, now| pool.drain(self.id, now));
        } else {
            self.kill();
        }
    }

    fn kill(&self) {
        self.worker.kill();
        self.shared.state().workers.remove(&self.id);
        self.shared.act(|pool, now| pool.killed(self.id, now));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shared.act(|pool, now| pool.ended(self.id, now));
    }
}

/// The body of an answer while the worker still writes it.
struct Streamed {
    body: Incoming,
    deadline: BoxFuture<'static, ()>,
    connection: Option<hyper::client::conn::http1::SendRequest<Full<Bytes>>>,
    lease: Lease,
    _token: Token,
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            if frame.is_none()
                && let Some(connection) = self.connection.take()
            {
                self.lease.worker.give_back(connection);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(self.deadline.as_mut().poll(context));
        self.lease.kill();
        Poll::Ready(Some(Err("the function took too long".into())))
    }

    fn is_end_stream(&self) -> bool {
        // The connection is kept only after the end was seen.
        self.connection.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

/// Tells the pool whenever a moment has come that matters to it.
async fn tick(shared: Arc<Shared>) {
    loop {
        let next = shared.state().pool.next_tick();
        let changed = shared.changed.notified();
        let Some(next) = next else {
            changed.await;
            continue;
        };
        tokio::select! {
            () = shared.means.clock.sleep_until(next) => shared.act(Pool::tick),
            () = changed => {}
        }
    }
}

/// Returns a request as a worker gets it.
fn worker_request(mut head: request::Parts, body: Bytes) -> Request<Full<Bytes>> {
    for hop in [header::CONNECTION, header::TRANSFER_ENCODING, header::EXPECT, header::UPGRADE] {
        head.headers.remove(hop);
    }
    head.headers.insert(header::CONTENT_LENGTH, body.len().into());
    if head.method == Method::HEAD {
        // Programs need not know it: the answer's body is left out on the way back.
        head.method = Method::GET;
    }
    // A worker knows itself by path alone.
    head.uri = head.uri.path_and_query().map_or("/", |it| it.as_str()).parse().unwrap_or_default();
    head.headers.entry(header::HOST).or_insert(HeaderValue::from_static("localhost"));
    head.version = http::Version::HTTP_11;
    Request::from_parts(head, Full::new(body))
}

fn exited() -> Response<Bytes> {
    contract::plain(StatusCode::BAD_GATEWAY, "Function process exited")
}

fn whole(response: Response<Bytes>) -> Response<ResponseBody> {
    response.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync())
}
