//! What windlass does in the containers of a pod: one puts the program in its place, one serves it.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    env, fs, io,
    net::{Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use api::SharedFetch;
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
};
use k8s::{Activity, SharedClock, SystemClock};
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::{
    host::{Health, Host, Log, Means, Settings, SettingsError},
    install::COMPILED,
    launch::Launcher,
    objects::{HOME, OWN, SOURCES},
    preparation::{Preparation, PrepareError},
    prepare::{self, Tools, place},
    runtimes::Language,
    store::Store,
};

/// The first argument of this binary in the container that prepares a pod.
pub const PREPARE_ARGUMENT: &str = "function-prepare";
/// The first argument of this binary in the container that installs or compiles, whose image has what that takes.
pub const EQUIP_ARGUMENT: &str = "function-equip";
/// The first argument of this binary in the container of the function.
pub const HOST_ARGUMENT: &str = "function-host";

/// How often the ConfigMap is read again while it is that of another version.
const LOOKS: u32 = 90;
/// How long each of these waits is.
const LOOK: Duration = Duration::from_secs(1);
/// How long calls may go on after the pod was told to end, unless the function says otherwise.
const SHUTDOWN: Duration = Duration::from_secs(10);
/// Where a container leaves its last words.
const LAST_WORDS: &str = "/dev/termination-log";
/// The variable that names the directory that all paths of a pod are in, where a pod is no more than processes.
const ROOT: &str = "WINDLASS_ROOT";

/// Why a container ended.
#[derive(Debug, Error)]
pub enum ContainerError {
    /// A variable is missing or means nothing.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The program did not get to its place.
    #[error("failed to prepare the program")]
    Prepare(#[from] PrepareError),
    /// HTTPS cannot be spoken, which sources at URLs need.
    #[error("failed to read the certificates of this system")]
    Certificates(#[source] io::Error),
    /// This binary did not get to where the other container runs it.
    #[error("failed to copy windlass to `{OWN}`")]
    Copy(#[source] io::Error),
    /// The program cannot be loaded.
    #[error("failed to load the program: {0}")]
    Load(String),
    /// Nobody can call the function.
    #[error("failed to serve port {port}")]
    Serve {
        /// The port.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
}

/// Prints what a function prints: the kubelet keeps it.
#[derive(Debug)]
struct Console;

impl Log for Console {
    fn line(&self, line: &str) {
        // A console that is gone is no reason to fail.
        let _ = io::Write::write_all(&mut io::stdout().lock(), format!("{line}\n").as_bytes());
    }
}

/// Puts the program of this pod in its place, and windlass beside it.
///
/// # Errors
///
/// [`ContainerError`] if that failed; what the kubelet shows of it is written as well.
pub async fn prepare_pod(fetch: SharedFetch) -> Result<(), ContainerError> {
    remembered(prepare_here(&fetch).await)
}

/// Installs what the program of this pod needs, or compiles it.
///
/// # Errors
///
/// As [`prepare_pod`].
pub async fn equip_pod() -> Result<(), ContainerError> {
    remembered(equip_here().await)
}

fn remembered(result: Result<(), ContainerError>) -> Result<(), ContainerError> {
    let words = match &result {
        Err(ContainerError::Prepare(error)) => error.last_words(),
        Err(ContainerError::Load(message)) => message.clone(),
        _ => return result,
    };
    // Without such a file there is no kubelet to read it.
    let _ = fs::write(inside(LAST_WORDS), words);
    result
}

/// Serves the program of this pod until the pod is told to end.
///
/// # Errors
///
/// [`ContainerError`] if it cannot be served.
pub async fn serve_pod() -> Result<(), ContainerError> {
    remembered(serve_here().await)
}

async fn serve_here() -> Result<(), ContainerError> {
    let env: BTreeMap<_, _> = env::vars().collect();
    let port = env.get("FUNC_PORT").and_then(|port| port.parse().ok()).unwrap_or(8080);
    let patience = env.get("SHUTDOWN_TIMEOUT").and_then(|seconds| seconds.parse().ok());
    let patience = patience.map_or(SHUTDOWN, Duration::from_secs);
    let settings = Settings::read(&env, volume(&env))?;
    let interpreter = match settings.language {
        Language::Python => PathBuf::from("python3"),
        Language::Nodejs => PathBuf::from("node"),
        Language::Go => settings.dir.join(COMPILED),
        Language::Jsonnet => env::current_exe().unwrap_or_else(|_| inside(OWN).join("windlass")),
    };
    let clock: SharedClock = Arc::new(SystemClock);
    let means = Means {
        clock: Arc::clone(&clock),
        activity: Activity::default(),
        launcher: Launcher::default(),
        interpreter,
        log: Arc::new(Console),
        totals: None,
    };
    let failed = |source| ContainerError::Serve { port, source };
    let host = Arc::new(Host::start(settings, means).map_err(failed)?);
    // An address of both protocols, as every pod may have either.
    let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(_) => TcpListener::bind(("0.0.0.0", port)).await.map_err(failed)?,
    };
    let mut terminated = signal(SignalKind::terminate()).map_err(failed)?;
    let connections = GracefulShutdown::new();
    let mut health = host.health();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A connection that was gone before it was taken concerns nobody.
                if let Ok((stream, _)) = accepted {
                    serve(stream, &host, &connections);
                }
            }
            _ = terminated.recv() => break,
            // Only who ends leaves words that the API server shows; the kubelet starts anew, later and later.
            failure = not_loaded(&mut health) => return Err(ContainerError::Load(failure)),
        }
    }
    drop(listener);
    tokio::select! {
        () = connections.shutdown() => {}
        () = clock.sleep_until(clock.after(patience)) => {}
    }
    Ok(())
}

/// Waits until the program cannot be loaded, and returns why.
async fn not_loaded(health: &mut watch::Receiver<Health>) -> String {
    let failed = |health: &Health| !health.is_ready && health.failure.is_some();
    match health.wait_for(failed).await {
        Ok(health) => health.failure.clone().unwrap_or_default(),
        // The host is as good as it was when it was last heard of.
        Err(_) => std::future::pending().await,
    }
}

/// Answers the calls of one connection.
pub(crate) fn serve(stream: TcpStream, host: &Arc<Host>, connections: &GracefulShutdown) {
    let host = Arc::clone(host);
    let answer = service_fn(move |request| {
        let host = Arc::clone(&host);
        async move { Ok::<_, Infallible>(host.handle(request).await) }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    let connection = server.serve_connection(TokioIo::new(stream), answer).into_owned();
    tokio::spawn(connections.watch(connection));
}

async fn prepare_here(fetch: &SharedFetch) -> Result<(), ContainerError> {
    let own = env::current_exe().map_err(ContainerError::Copy)?;
    fs::copy(own, inside(OWN).join("windlass")).map_err(ContainerError::Copy)?;
    let preparation = preparation()?;
    let clock = SystemClock;
    let mut work = preparation.plan(&texts(&inside(SOURCES)));
    for _ in 0..LOOKS {
        if work != Err(PrepareError::Stale) {
            break;
        }
        // The kubelet brings changes of a ConfigMap late.
        k8s::Clock::sleep_until(&clock, k8s::Clock::now(&clock) + LOOK).await;
        work = preparation.plan(&texts(&inside(SOURCES)));
    }
    Ok(place(&work?, &volume(&env::vars().collect()), fetch).await?)
}

async fn equip_here() -> Result<(), ContainerError> {
    let env: BTreeMap<_, _> = env::vars().collect();
    let dir = volume(&env);
    let settings = Settings::read(&env, dir.clone())?;
    let work = preparation()?.plan(&texts(&inside(SOURCES)))?;
    let own = dir.join(".windlass");
    let tools = Tools {
        launcher: Launcher::default(),
        clock: Arc::new(SystemClock),
        // Nobody shares them, but the function's container finds them where this one put them.
        packages: Store::new(own.join("dependencies")),
        cache: own.join("cache"),
    };
    let interpreter = PathBuf::from(match settings.language {
        Language::Python => "python3",
        Language::Nodejs => "node",
        Language::Go => "go",
        Language::Jsonnet => "windlass",
    });
    let means = prepare::Means {
        language: settings.language,
        version: &settings.version,
        interpreter: &interpreter,
        env: &env,
    };
    Ok(tools.equip(&work, &dir, &means).await?)
}

fn preparation() -> Result<Preparation, SettingsError> {
    let text = env::var(Preparation::VARIABLE)
        .map_err(|_| SettingsError::Missing(Preparation::VARIABLE))?;
    let wanted = "no preparation";
    serde_json::from_str(&text).map_err(|_| SettingsError::Invalid {
        name: Preparation::VARIABLE,
        value: text,
        wanted,
    })
}

/// Returns the texts of a ConfigMap that is mounted as a directory.
fn texts(dir: &Path) -> BTreeMap<String, String> {
    let files = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    let text = |file: fs::DirEntry| {
        Some((file.file_name().into_string().ok()?, fs::read_to_string(file.path()).ok()?))
    };
    files.filter_map(text).collect()
}

fn volume(env: &BTreeMap<String, String>) -> PathBuf {
    env.get("KUBELESS_INSTALL_VOLUME").map_or_else(|| inside(HOME), PathBuf::from)
}

/// Returns where a path of the pod is.
fn inside(path: &str) -> PathBuf {
    let root = env::var_os(ROOT).map_or_else(|| PathBuf::from("/"), PathBuf::from);
    root.join(path.trim_start_matches('/'))
}
