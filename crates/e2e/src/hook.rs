//! A hook that the test plays.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use api::{Hook, HookError, HookProgram, HookReply, HookRequest, ProgramError};
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use hooks::{Router, Webhooks};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use jsonnet::{Runtime, RuntimeOptions, WORKER_ARGUMENT, WorkerCommand};
use k8s::{Activity, SharedClock, SignedDuration, TimerKind, Timestamp};
use serde_json::Value;
use tokio::net::TcpListener;

type Play = Box<dyn Fn(&Value) -> HookReply + Send + Sync>;

/// Answers as the test says, and keeps what it was asked.
#[derive(Clone)]
pub struct PlayedHook(Arc<Mutex<State>>);

struct State {
    play: Arc<Play>,
    asked: Vec<Value>,
    headers: Vec<HeaderMap>,
    times: Vec<Timestamp>,
    /// How many calls wait for their answer, and how many did at most.
    open: (usize, usize),
    clock: SharedClock,
    pause: Option<Pause>,
    /// What runs the programs that controllers bring along, and calls Services.
    programs: Router,
    /// Where Services lead to, by their host and port.
    services: BTreeMap<String, SocketAddr>,
}

/// How long an answer takes, and by which clock.
#[derive(Clone)]
struct Pause {
    time: SignedDuration,
    clock: SharedClock,
    activity: Activity,
}

impl PlayedHook {
    /// Returns a hook that answers `{}` and sees the time by this clock.
    pub(crate) fn new(clock: SharedClock, activity: Activity) -> Self {
        let runtime = Runtime::new(RuntimeOptions {
            workers: 1,
            // A first call waits for a process to start, on a machine that does other things too.
            timeout: Duration::from_secs(30),
            command: worker(),
            clock: Arc::clone(&clock),
            activity: activity.clone(),
            ..RuntimeOptions::default()
        });
        let webhooks = Webhooks::new(Arc::clone(&clock), activity).unwrap();
        let programs = Router::new(webhooks, Some(runtime));
        let play: Play = Box::new(|_| reply(200, "{}"));
        Self(Arc::new(Mutex::new(State {
            play: Arc::new(play),
            asked: Vec::new(),
            headers: Vec::new(),
            times: Vec::new(),
            open: (0, 0),
            clock,
            pause: None,
            programs,
            services: BTreeMap::new(),
        })))
    }

    /// Has hooks whose URLs name these hosts and ports called where they lead to; the test plays all others.
    pub fn lead(&self, services: BTreeMap<String, SocketAddr>) {
        self.state().services = services;
    }

    /// Answers with the value that `play` makes of each request.
    pub fn answer(&self, play: impl Fn(&Value) -> Value + Send + Sync + 'static) {
        self.play(move |request| reply(200, &play(request).to_string()));
    }

    /// Answers with the status and text that `play` makes of each request.
    pub fn play(&self, play: impl Fn(&Value) -> HookReply + Send + Sync + 'static) {
        self.state().play = Arc::new(Box::new(play));
    }

    /// Answers over HTTP too, for engines in other processes, as long as the test runs; returns where.
    pub async fn listen(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (base, hook) = (format!("http://{}", listener.local_addr().unwrap()), self.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let hook = hook.clone();
                let service = service_fn(move |request| hook.clone().serve(request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        base
    }

    /// Answers a request unless whoever sent it is gone.
    async fn serve(
        self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let url = request.uri().to_string();
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        // Who asks over HTTP decides itself how long it waits.
        let timeout = Duration::MAX;
        let (headers, tls, trace) = (parts.headers, None, None);
        let request = HookRequest { url, body, timeout, headers, tls, trace };
        let HookReply { status, headers, body } = self.call(request).await.unwrap();
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        *response.headers_mut() = headers;
        Ok(response)
    }

    /// Takes so long for each answer from now on.
    pub(crate) fn pause(&self, time: Duration, clock: SharedClock, activity: Activity) {
        let time = SignedDuration::try_from(time).unwrap();
        self.state().pause = Some(Pause { time, clock, activity });
    }

    /// Returns all requests so far.
    pub fn asked(&self) -> Vec<Value> {
        self.state().asked.clone()
    }

    /// Returns the value of a header in each request so far, empty where it was not sent.
    pub fn sent(&self, header: &str) -> Vec<String> {
        let sent = |headers: &HeaderMap| {
            headers.get(header).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        self.state().headers.iter().map(sent).collect()
    }

    /// Returns when each request came.
    pub fn times(&self) -> Vec<Timestamp> {
        self.state().times.clone()
    }

    /// Returns how many calls waited for their answer at the same time, at most.
    pub fn most_at_once(&self) -> usize {
        self.state().open.1
    }

    /// Returns how many calls there were.
    pub fn calls(&self) -> usize {
        self.state().asked.len()
    }

    /// Returns the URL that a Service of this URL leads to.
    fn led(&self, url: &str) -> Option<String> {
        let uri: Uri = url.parse().ok()?;
        let host = uri.authority()?.as_str();
        let address = self.state().services.get(host).copied()?;
        Some(url.replacen(host, &address.to_string(), 1))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Hook for PlayedHook {
    fn load<'a>(
        &'a self,
        url: &'a str,
        program: HookProgram,
    ) -> BoxFuture<'a, Result<(), ProgramError>> {
        let programs = self.state().programs.clone();
        async move { programs.load(url, program).await }.boxed()
    }

    fn call(&self, request: HookRequest) -> BoxFuture<'_, Result<HookReply, HookError>> {
        if request.url.starts_with("jsonnet:") {
            let programs = self.state().programs.clone();
            return async move { programs.call(request).await }.boxed();
        }
        if let Some(url) = self.led(&request.url) {
            let programs = self.state().programs.clone();
            return async move { programs.call(HookRequest { url, ..request }).await }.boxed();
        }
        let (headers, timeout) = (request.headers, request.timeout);
        let request: Value = serde_json::from_slice(&request.body).unwrap();
        let (play, pause) = {
            let mut state = self.state();
            state.asked.push(request.clone());
            state.headers.push(headers);
            let now = state.clock.now();
            state.times.push(now);
            let open = state.open.0 + 1;
            state.open = (open, state.open.1.max(open));
            (Arc::clone(&state.play), state.pause.clone())
        };
        let answered = async move {
            if let Some(Pause { time, clock, activity }) = pause {
                // Nobody waits longer than this.
                let patience = SignedDuration::try_from(timeout).unwrap_or(SignedDuration::MAX);
                let (due, kind) = (clock.now() + time.min(patience), TimerKind::Blocking);
                drop(activity.sleep_until(clock.as_ref(), due, kind, "slow hook").await);
                if patience < time {
                    return Err(HookError::TimedOut(timeout));
                }
            }
            self.state().open.0 -= 1;
            Ok(play(&request))
        };
        answered.boxed()
    }
}

/// Returns the executable of processes that stories run programs in, which lies beside the test executable.
pub fn worker_program() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    exe.parent().and_then(Path::parent).unwrap().join("examples/hook_worker")
}

fn worker() -> WorkerCommand {
    WorkerCommand { program: worker_program(), args: vec![WORKER_ARGUMENT.into()] }
}

/// Returns a reply of these parts.
pub(crate) fn reply(status: u16, body: &str) -> HookReply {
    HookReply { status, headers: HeaderMap::new(), body: body.to_owned().into() }
}
