//! The web service in front of one function: checks requests, finds a worker for each, watches over both.
//!
//! Which worker serves which call is decided by [`pool`]; here processes start and end. How the bytes of a call
//! flow is up to [`call`].

use std::{
    collections::HashMap,
    ffi::OsString,
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, request};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Body;
use k8s::{Activity, ObjectKey, ServiceBody, SharedClock, Timestamp};
use runtime::{Labels, Metrics, Sample, Source};
use tempfile::TempDir;
use tokio::sync::{Notify, oneshot, watch};

use self::{
    call::{Call, Lease},
    contract::Route,
    pool::{Action, CallId, Pool, Refusal, WorkerId},
    record::{COLD_STARTS, QUEUE, RESTARTS, WORKERS},
    worker::{Start, Worker},
};
pub(crate) use self::{
    contract::{FAILED, is_json, media_type},
    settings::IDLE_TIMEOUT,
};
pub use self::{
    end::End,
    settings::{Settings, SettingsError},
};
use crate::{launch::Launcher, leftovers, shims};

mod call;
mod cloud_event;
pub(crate) mod contract;
mod end;
mod pool;
mod record;
mod settings;
mod worker;

/// An error of a body on its way.
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;
/// The body of an answer, which may come bit by bit.
pub(crate) type ResponseBody = ServiceBody;

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
    /// Where all functions are counted together, if they are.
    pub totals: Option<Totals>,
}

/// Where a host counts what others count, too, and under which labels.
#[derive(Clone, Debug)]
pub struct Totals {
    /// The metrics of all.
    pub metrics: Metrics,
    /// The Function.
    pub function: ObjectKey,
    /// The pod whose host it is.
    pub pod: String,
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
    /// How the last of these ended.
    pub last_end: Option<End>,
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
    metrics: Metrics,
    /// Whether the host is gone, and no worker is wanted any more.
    closed: watch::Sender<bool>,
    /// How many calls wait or are served.
    busy: watch::Sender<usize>,
    /// Told when a moment matters before the one that is waited for.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    pool: Pool,
    workers: HashMap<WorkerId, Arc<Worker>>,
    waiting: HashMap<CallId, oneshot::Sender<Result<Lease, Refusal>>>,
    calls: CallId,
    /// The moment that is waited for.
    awaited: Option<Timestamp>,
}

impl Host {
    /// Starts the host and its first worker.
    ///
    /// # Errors
    ///
    /// What the system said if there is no place for the sockets of workers.
    pub fn start(settings: Settings, means: Means) -> io::Result<Self> {
        let pool = Pool::new(settings.limits);
        let (workers, waiting) = (HashMap::new(), HashMap::new());
        let state = State { pool, workers, waiting, calls: 0, awaited: None };
        let scratch = tempfile::Builder::new().prefix(&leftovers::prefix()).tempdir()?;
        let command = shims::command(&settings, &means.interpreter, scratch.path())?;
        let shared = Arc::new(Shared {
            settings,
            means,
            command,
            scratch,
            state: Mutex::new(state),
            health: watch::Sender::default(),
            metrics: Metrics::default(),
            closed: watch::Sender::default(),
            busy: watch::Sender::default(),
            changed: Notify::new(),
        });
        if let Some(totals) = &shared.means.totals {
            totals.metrics.follow(&shared);
        }
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
        let mut busy = self.shared.busy.subscribe();
        tokio::select! {
            _ = busy.wait_for(|calls| *calls == 0) => {}
            () = clock.sleep_until(clock.after(self.shared.settings.timeout)) => {}
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
            Route::Metrics => whole(contract::plain(StatusCode::OK, self.shared.metrics.text())),
            Route::Preflight => whole(contract::preflight(&head.headers, cors.unwrap_or("*"))),
            Route::Function => self.function(head, body).await,
        };
        if let Some(origin) = cors {
            contract::allow(response.headers_mut(), origin);
        }
        response
    }

    /// Has the function answer, or says why it does not.
    async fn function<B>(&self, mut head: request::Parts, body: B) -> Response<ResponseBody>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BodyError>,
    {
        let call = Call::new(&self.shared, &head);
        let limit = usize::try_from(self.shared.settings.max_body).unwrap_or(usize::MAX);
        let body = match Limited::new(body, limit).collect().await {
            Ok(body) => contract::accept(&mut head.headers, body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => {
                Err((StatusCode::PAYLOAD_TOO_LARGE, "Request body too large"))
            }
            Err(_) => Err((StatusCode::BAD_REQUEST, "Incomplete body")),
        };
        match body {
            // A caller that goes away does not stop the function in the middle of what it does.
            Ok(body) => tokio::spawn(call.run(head, body)).await.unwrap_or_else(|_| exited()),
            Err((status, text)) => call.end(contract::plain(status, text)),
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.ticker.abort();
        // Tasks that wait for a worker's start or end hold the rest.
        self.shared.closed.send_replace(true);
        self.shared.state().workers.clear();
    }
}

impl Shared {
    /// Waits for a worker's turn.
    async fn lease(self: &Arc<Self>) -> Result<Lease, Refusal> {
        let (sender, receiver) = oneshot::channel();
        let call = {
            let mut state = self.state();
            if !state.pool.is_up()
                && let Some(totals) = &self.means.totals
            {
                totals.metrics.count(&COLD_STARTS, totals.labels());
            }
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
        let is_sooner = {
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
            let next = state.pool.next_tick();
            next.is_some_and(|next| state.awaited.is_none_or(|awaited| next < awaited))
        };
        for (caller, lease) in told {
            // A lease that nobody waits for any more comes back by being dropped.
            let _ = caller.send(lease);
        }
        // Nearly every call changes nothing that time does.
        if is_sooner {
            self.changed.notify_one();
        }
    }

    /// Starts a worker and stays with it to its end.
    async fn work(self: Arc<Self>, id: WorkerId) {
        let token = self.means.activity.hold("start of a worker");
        let (means, settings) = (&self.means, &self.settings);
        let (command, scratch) = (&self.command, self.scratch.path());
        let mut closed = self.closed.subscribe();
        let loaded = async {
            let worker = Worker::start(&Start { means, settings, command, scratch, id });
            let worker =
                worker.map_err(|error| End { message: error.to_string(), ..End::default() })?;
            worker.loaded().await.map(|()| Arc::new(worker))
        };
        let loaded = tokio::select! {
            biased;
            _ = closed.wait_for(|is_closed| *is_closed) => return,
            loaded = loaded => loaded,
        };
        match loaded {
            Err(end) => {
                means.log.line(&end.message);
                self.act(|pool, now| pool.died(id, now));
                self.tell(Some(end));
            }
            Ok(worker) => {
                let exit = worker.exit();
                {
                    let mut state = self.state();
                    // Looked at under the lock, under which the others are dropped.
                    if *self.closed.borrow() {
                        return;
                    }
                    state.workers.insert(id, worker);
                }
                self.act(|pool, now| pool.loaded(id, now));
                self.tell(None);
                drop(token);
                let end = exit.await;
                // One that was stopped, or killed for taking too long, is gone already.
                if self.state().workers.remove(&id).is_some() {
                    self.act(|pool, now| pool.died(id, now));
                    let message = format!("Function process exited: {}", end.message);
                    self.tell(Some(End { message, ..end }));
                }
            }
        }
    }

    /// Says how the workers are.
    fn tell(&self, end: Option<End>) {
        let is_crashing = self.state().pool.is_crashing();
        let is_up = end.is_none() || self.state().pool.is_up();
        if let (Some(_), Some(totals)) = (&end, &self.means.totals) {
            totals.metrics.count(&RESTARTS, totals.labels());
        }
        self.health.send_modify(|health| {
            health.restarts += u32::from(end.is_some());
            health.is_ready = is_up || (health.is_ready && !is_crashing);
            health.is_crashing = is_crashing;
            health.failure = end.as_ref().map(|end| end.message.clone());
            health.last_end = end.or(health.last_end.take());
        });
    }

    /// Lets time pass for the pool, in which a worker may have proved to be well.
    fn tick(self: &Arc<Self>) {
        self.act(Pool::tick);
        let is_crashing = self.state().pool.is_crashing();
        self.health.send_if_modified(|health| {
            std::mem::replace(&mut health.is_crashing, is_crashing) != is_crashing
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the lock of a host is never poisoned")
    }
}

impl Source for Shared {
    fn samples(&self) -> Vec<Sample> {
        let Some(totals) = &self.means.totals else { return vec![] };
        let (workers, queue) = {
            let state = self.state();
            (state.workers.len(), state.pool.waiting())
        };
        let sample = |metric, value: usize| {
            let mut labels = totals.labels();
            labels.push(("pod", totals.pod.clone()));
            Sample { metric, labels, value: f64::from(u32::try_from(value).unwrap_or(u32::MAX)) }
        };
        vec![sample(&WORKERS, workers), sample(&QUEUE, queue)]
    }
}

impl Totals {
    fn labels(&self) -> Labels {
        let ObjectKey { namespace, name } = &self.function;
        vec![("namespace", namespace.clone()), ("function", name.clone())]
    }
}

/// Tells the pool whenever a moment has come that matters to it.
async fn tick(shared: Arc<Shared>) {
    loop {
        let next = {
            let mut state = shared.state();
            state.awaited = state.pool.next_tick();
            state.awaited
        };
        let changed = shared.changed.notified();
        let Some(next) = next else {
            changed.await;
            continue;
        };
        tokio::select! {
            () = shared.means.clock.sleep_until(next) => shared.tick(),
            () = changed => {}
        }
    }
}

/// Returns the answer for a function that nothing runs.
pub(crate) fn down() -> Response<ResponseBody> {
    whole(contract::refused(Refusal::Down, None))
}

fn exited() -> Response<ResponseBody> {
    whole(contract::plain(StatusCode::BAD_GATEWAY, "Function process exited"))
}

/// Returns an answer whose body is there at once.
pub(crate) fn whole(response: Response<Bytes>) -> Response<ResponseBody> {
    response.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync())
}
