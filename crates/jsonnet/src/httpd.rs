//! The HTTP server that hooks are called through.

mod admin;
mod answer;
mod body;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::State, serve::ListenerExt};
use bytes::Bytes;
use futures::future::{self, BoxFuture, FutureExt};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use thiserror::Error;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing::{debug, info, warn};

use crate::{
    failure::LoadError,
    routes::{RouteError, Routes},
    runtime::{Runtime, RuntimeOptions},
    watch::Change,
};
use answer::{Target, Wishes};

/// How long calls may go on after the signal to end.
const DRAIN: Duration = Duration::from_secs(10);

/// The header with the id of a call.
const REQUEST_ID: &str = "x-request-id";

/// What the server serves, and where.
#[derive(Clone, Debug)]
pub struct HttpdOptions {
    /// The address of the hook listener; an empty host is every interface.
    pub listen: String,
    /// The listener for health and readiness.
    pub admin: AdminListener,
    /// The programs.
    pub routes: Routes,
    /// How they are evaluated.
    pub runtime: RuntimeOptions,
    /// How many bytes a request may have.
    pub max_request_bytes: usize,
    /// Whether a program that does not load is an error.
    pub strict: bool,
    /// Whether programs are reloaded when their files change.
    pub watch: bool,
}

impl HttpdOptions {
    /// Serves `routes` with the defaults of every flag.
    pub fn new(routes: Routes, runtime: RuntimeOptions) -> Self {
        Self {
            listen: ":8080".to_owned(),
            admin: AdminListener::Default,
            routes,
            runtime,
            max_request_bytes: 32 << 20,
            strict: false,
            watch: true,
        }
    }
}

/// Where health and readiness are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminListener {
    /// Nowhere.
    Off,
    /// At `:8081`, unless that is taken.
    Default,
    /// At this address.
    At(String),
}

impl AdminListener {
    /// Reads the value of the flag: an address or `off`.
    pub fn from_flag(value: Option<&str>) -> Self {
        match value {
            None => Self::Default,
            Some("off") => Self::Off,
            Some(address) => Self::At(address.to_owned()),
        }
    }
}

/// Why the server did not start or ended.
#[derive(Debug, Error)]
pub enum HttpdError {
    /// The programs are not well named.
    #[error(transparent)]
    Routes(#[from] RouteError),
    /// A program's file cannot be read.
    #[error(transparent)]
    Unreadable(LoadError),
    /// A program does not load, and that is not to be tolerated.
    #[error("route `/{route}` does not load")]
    Strict {
        /// The route, without a leading slash.
        route: String,
        /// What is wrong.
        source: LoadError,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on `{address}`")]
    Listen {
        /// The address as it was given.
        address: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The server broke down.
    #[error("hook server failed")]
    Serve(#[source] io::Error),
}

impl HttpdError {
    /// Returns the exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Routes(error) if error.is_usage() => 2,
            Self::Strict { .. } => 2,
            Self::Routes(_) | Self::Unreadable(_) | Self::Listen { .. } | Self::Serve(_) => 1,
        }
    }
}

/// Serves hooks until the process is told to end, and lets running calls finish.
///
/// # Errors
///
/// [`HttpdError`], whose exit code the process should have.
pub async fn run(options: HttpdOptions) -> Result<(), HttpdError> {
    let signals = signals().map_err(HttpdError::Serve)?;
    Httpd::start(options).await?.serve(signals).await
}

/// Resolves when the process is told to end, by SIGTERM or SIGINT.
///
/// # Errors
///
/// What the operating system says if signals cannot be awaited.
pub fn signals() -> io::Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
    })
}

/// A server that listens, but does not answer yet.
#[derive(Debug)]
pub struct Httpd {
    server: Arc<Server>,
    listener: TcpListener,
    admin: Option<TcpListener>,
}

#[derive(Debug)]
struct Server {
    runtime: Runtime,
    options: HttpdOptions,
    draining: AtomicBool,
    calls: AtomicU64,
}

impl Httpd {
    /// Loads the programs and binds the listeners.
    ///
    /// # Errors
    ///
    /// All of [`HttpdError`] but [`HttpdError::Serve`].
    pub async fn start(options: HttpdOptions) -> Result<Self, HttpdError> {
        let runtime = Runtime::new(options.runtime.clone());
        let changes = runtime.load_all(&options.routes).await?;
        changes.into_iter().try_for_each(|change| refuse(change, options.strict))?;
        let listener = bind(&options.listen).await?;
        let admin = bind_admin(&options.admin).await?;
        let (draining, calls) = (AtomicBool::new(false), AtomicU64::new(0));
        let server = Arc::new(Server { runtime, options, draining, calls });
        Ok(Self { server, listener, admin })
    }

    /// Returns the address that hooks are called at.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Returns the address of the admin listener, if there is one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref()?.local_addr().ok()
    }

    /// Returns what evaluates the hooks.
    pub fn runtime(&self) -> &Runtime {
        &self.server.runtime
    }

    /// Answers calls until `shutdown` resolves, and then as long as calls run, but at most 10 s.
    ///
    /// # Errors
    ///
    /// [`HttpdError::Serve`].
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), HttpdError> {
        self.announce();
        let Self { server, listener, admin } = self;
        let clock = Arc::clone(&server.options.runtime.clock);
        let reloads =
            server.options.watch.then(|| server.runtime.watch(server.options.routes.clone()));
        let (stop, stopped) = watch::channel(false);
        let hooks = Router::new().fallback(hook).with_state(Arc::clone(&server));
        let hooks = serve(listener, hooks, stopped.clone());
        // Readiness is told until the last call has ended.
        let admin = admin.map(|admin| {
            let router = admin::router(Arc::clone(&server));
            axum::serve(admin, router).into_future().map(drop).boxed()
        });
        let admin = admin.unwrap_or_else(|| future::pending().boxed());
        let ending = async {
            shutdown.await;
            server.draining.store(true, Ordering::Relaxed);
            info!("shutting down");
            let _ = stop.send(true);
            clock.sleep_until(clock.after(DRAIN)).await;
            warn!("gave up waiting for running calls");
        };
        let result = tokio::select! {
            result = hooks => result.map_err(HttpdError::Serve),
            () = ending => Ok(()),
            () = admin => Ok(()),
        };
        drop(reloads);
        result
    }

    fn announce(&self) {
        let address = self.address().map(|address| address.to_string()).unwrap_or_default();
        for status in self.server.runtime.status_all() {
            info!(route = status.route, file = %status.file.display(), address, "serving hook");
        }
        if let Some(admin) = self.admin_address() {
            info!(%admin, "serving health and readiness");
        }
    }
}

/// Turns a failed first load into an error if it must not be served.
fn refuse(change: Change, strict: bool) -> Result<(), HttpdError> {
    match change {
        Change::Failed { error: error @ LoadError::Read { .. }, .. } => {
            Err(HttpdError::Unreadable(error))
        }
        Change::Failed { route, error } if strict => {
            Err(HttpdError::Strict { route, source: error })
        }
        Change::Failed { .. } | Change::Loaded { .. } | Change::Removed { .. } => Ok(()),
    }
}

fn serve(
    listener: TcpListener,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) -> BoxFuture<'static, io::Result<()>> {
    // Answers are small and waited for.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let stop = async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    axum::serve(listener, router).with_graceful_shutdown(stop).into_future().boxed()
}

async fn bind_admin(admin: &AdminListener) -> Result<Option<TcpListener>, HttpdError> {
    match admin {
        AdminListener::Off => Ok(None),
        AdminListener::At(address) => bind(address).await.map(Some),
        AdminListener::Default => match bind(":8081").await {
            Ok(listener) => Ok(Some(listener)),
            Err(error) => {
                warn!(%error, "no health and readiness");
                Ok(None)
            }
        },
    }
}

/// Listens on `host:port`; an empty host is every interface of both address families, if there are two.
async fn bind(address: &str) -> Result<TcpListener, HttpdError> {
    let bound = match address.strip_prefix(':') {
        None => TcpListener::bind(address).await,
        Some(port) => match TcpListener::bind(format!("[::]:{port}")).await {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                TcpListener::bind(format!("0.0.0.0:{port}")).await
            }
            bound => bound,
        },
    };
    bound.map_err(|source| HttpdError::Listen { address: address.to_owned(), source })
}

/// Answers one request to the hook listener.
async fn hook(State(server): State<Arc<Server>>, request: Request<Body>) -> Response<Body> {
    let id = server.call_id(&request);
    let path = percent_decode_str(request.uri().path()).decode_utf8_lossy().into_owned();
    let route = path.strip_prefix('/').unwrap_or(&path).to_owned();
    let Some(revision) = server.runtime.revision(&route) else {
        return answer::text(StatusCode::NOT_FOUND, "404 page not found").map(Body::from);
    };
    let target = Target { route, revision };
    let mut response = server.answer(request, &target).await;
    let status = response.status().as_u16();
    if response.status().is_client_error() || response.status().is_server_error() {
        warn!(route = target.route, status, id, "hook call failed");
    } else {
        debug!(route = target.route, status, id, bytes = response.body().len(), "called hook");
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response.map(Body::from)
}

impl Server {
    /// Returns the caller's id of this call, or a new one.
    fn call_id(&self, request: &Request<Body>) -> String {
        let given = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
        given.map_or_else(
            || {
                let number = self.calls.fetch_add(1, Ordering::Relaxed);
                let now = self.options.runtime.clock.now().as_millisecond();
                format!("{now:x}-{number:x}")
            },
            str::to_owned,
        )
    }

    async fn answer(&self, request: Request<Body>, target: &Target) -> Response<Bytes> {
        if self.draining.load(Ordering::Relaxed) {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return answer::refusal(status, "shutting down", target);
        }
        if request.method() != Method::POST {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            return answer::refusal(status, "Method not allowed", target);
        }
        let wishes = Wishes::of(request.headers());
        let body = match body::read(request, self.options.max_request_bytes).await {
            Ok(body) => body,
            Err(body::BodyError::Json(error)) => return answer::failure(&error, target, &wishes),
            Err(body::BodyError::Refused(status, message)) => {
                return answer::bad_body(status, &message, target, &wishes);
            }
        };
        match self.runtime.call(&target.route, body, None).await {
            Ok(evaluated) => answer::value(evaluated, target, &wishes),
            Err(error) => {
                let (kind, message) = (error.kind.as_str(), error.message());
                warn!(route = target.route, kind, message, "hook failed");
                answer::failure(&error, target, &wishes)
            }
        }
    }
}
