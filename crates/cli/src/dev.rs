//! `windlass dev`: API server, engine and hooks in one process, fed from files.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ::functions::Launcher;
use api::{Report, composite, decorator, definition, names};
use apiserver::{ApiServer, Settings};
use engine::{Engine, EngineOptions, StrategyError, Workers};
use hooks::{Router, Webhooks};
use jsonnet::{Change, Routes, RuntimeOptions, WorkerCommand};
use k8s::{Activity, Revisions, Settle, SharedClock, SystemClock, Unsettled, in_one_line};
use runtime::{ApiError, Caches, Client, ClientOptions, Discovery};
use thiserror::Error;
use tokio::{net::TcpListener, sync::mpsc::UnboundedReceiver};

pub(crate) use self::tree::state;
use self::{
    applied::Applied,
    functions::FunctionParts,
    ledger::Ledger,
    line::Line,
    tree::{Tree, family},
};
use crate::{
    control::{self, Listening},
    manifest::{self, Manifest, ManifestError},
    programs::{self, Mapping, ProgramsError},
    reach,
    server::{self, ServerError, ServerOptions},
    watched::Files,
};

mod applied;
mod functions;
mod ledger;
mod line;
mod tree;

/// How many parents of one controller are synced at once.
const WORKERS: usize = 16;
/// How long controllers wait for their types before a run with `--once` calls them failing.
const SETTLED: Duration = Duration::ZERO;
/// How long the types of controllers and Functions may take to be served.
const SERVED: Duration = Duration::from_secs(10);

/// How `dev` runs.
pub struct DevOptions {
    /// The files and directories of manifests.
    pub paths: Vec<PathBuf>,
    /// The directory of hooks; `hooks` in one of the paths if absent.
    pub hooks: Option<PathBuf>,
    /// The URLs that files answer.
    pub hook_map: Vec<Mapping>,
    /// Whether files that change are applied again.
    pub watch: bool,
    /// Whether to end when nothing moves any more.
    pub once: bool,
    /// The longest wait for that.
    pub timeout: Duration,
    /// Where the kubeconfig is written.
    pub kubeconfig: PathBuf,
    /// How the API server is set up.
    pub settings: Settings,
    /// Where each request is noted; `-` is standard error.
    pub audit_log: Option<PathBuf>,
    /// Where the API server listens; absent means the default port, or the next one that is free.
    pub api: Option<SocketAddr>,
    /// Where other commands reach it; absent means the default port, or the next one that is free.
    pub console: Option<SocketAddr>,
    /// Where functions are called from outside; absent means the default port, or the next one that is free.
    pub gateway: Option<SocketAddr>,
    /// Where lines go.
    pub out: Box<dyn Write + Send + Sync>,
    /// How workers are started.
    pub worker: WorkerCommand,
    /// How the workers of functions are started.
    pub launcher: Launcher,
}

/// Why `dev` could not run, or why a run with `once` did not end well.
#[derive(Debug, Error)]
pub enum DevError {
    /// A path names nothing.
    #[error(transparent)]
    Path(ManifestError),
    /// The programs of hooks cannot be used.
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    /// The directory of hooks cannot be used.
    #[error("cannot use the hooks in `{}`", dir.display())]
    Hooks {
        /// The directory.
        dir: PathBuf,
        /// What is wrong with it.
        source: jsonnet::RouteError,
    },
    /// The API server does not run.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Other commands cannot reach it, or callers its functions.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// What the user can do about it.
        hint: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The API server did not take what windlass itself needs.
    #[error("failed to install windlass's own resources")]
    Install(#[source] ApiError),
    /// The engine does not run.
    #[error(transparent)]
    Engine(StrategyError),
    /// The system's certificates cannot be read.
    #[error("failed to set up calls of hooks")]
    Certificates(#[source] io::Error),
    /// Something was moving for longer than it may.
    #[error("not all has settled")]
    Unsettled(#[source] Unsettled),
    /// Some things are failing.
    #[error("{}", failing(.0))]
    Failing(Vec<String>),
    /// Pods of functions cannot be run.
    #[error("failed to set up functions")]
    Functions(#[source] apiserver::ApiError),
    /// The end of the process cannot be waited for.
    #[error("failed to listen for signals")]
    Signals(#[source] io::Error),
    /// The file system cannot be watched.
    #[error("failed to watch the files")]
    Watch(#[source] notify::Error),
}

impl DevError {
    /// Returns whether the command line is to blame.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Path(error) => error.is_missing(),
            Self::Programs(ProgramsError::NoDirectory(_)) => true,
            Self::Hooks { source, .. } => source.is_usage(),
            Self::Server(error) => error.is_usage(),
            Self::Programs(ProgramsError::Unreadable { .. })
            | Self::Listen { .. }
            | Self::Install(_)
            | Self::Engine(_)
            | Self::Certificates(_)
            | Self::Unsettled(_)
            | Self::Failing(_)
            | Self::Functions(_)
            | Self::Signals(_)
            | Self::Watch(_) => false,
        }
    }

    /// Returns what the user can do about it, if that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Path(_) => Some("give a file or a directory of manifests"),
            Self::Server(error) => error.hint(),
            Self::Listen { hint, .. } => Some(hint),
            Self::Unsettled(_) => Some("give more time by --timeout"),
            Self::Programs(_) => {
                Some("give --hooks DIR, --hook-map URL=FILE of files that are there")
            }
            Self::Hooks { .. }
            | Self::Install(_)
            | Self::Engine(_)
            | Self::Certificates(_)
            | Self::Failing(_)
            | Self::Functions(_)
            | Self::Signals(_)
            | Self::Watch(_) => None,
        }
    }
}

/// A socket of `dev` besides that of the API server.
struct Listener {
    /// Where it is unless something else is asked for.
    usual: SocketAddr,
    /// What is asked for.
    wanted: fn(&DevOptions) -> Option<SocketAddr>,
    /// What the user can do if it is taken.
    hint: &'static str,
}

/// Where other commands reach `dev`.
const CONSOLE: Listener = Listener {
    usual: control::DEFAULT,
    wanted: |options| options.console,
    hint: "leave --console out to take the next free port",
};
/// Where functions are called from outside.
const GATEWAY: Listener = Listener {
    usual: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
    wanted: |options| options.gateway,
    hint: "leave --gateway out to take the next free port",
};

/// Everything that runs in the process.
struct Dev {
    options: DevOptions,
    server: ApiServer,
    client: Client,
    ledger: Arc<Ledger>,
    hooks: Hooks,
    engine: Engine,
    /// Where other commands reach it.
    _control: Option<Listening>,
    _functions: FunctionParts,
    applied: Applied,
    /// The files that could not be read when they were read last.
    broken: BTreeSet<String>,
}

/// How hooks are called.
struct Hooks {
    /// The directory whose programs answer, if there is one.
    dir: Option<PathBuf>,
    /// What answers by its path in that directory.
    routes: Routes,
    runtime: jsonnet::Runtime,
    router: Router,
}

/// Runs until nothing moves, with `once`, or else until the process is interrupted.
pub async fn run(options: DevOptions) -> Result<(), DevError> {
    let hooks_dir = hooks_dir(&options)?;
    let (manifests, errors) = manifest::load(&options.paths, hooks_dir.as_deref());
    let (missing, errors): (Vec<_>, Vec<_>) =
        errors.into_iter().partition(ManifestError::is_missing);
    if let Some(missing) = missing.into_iter().next() {
        return Err(DevError::Path(missing));
    }
    let mut dev = Dev::start(options, hooks_dir).await?;
    dev.apply(manifests, &errors).await;
    let ending = if dev.options.once { dev.once().await } else { dev.follow().await };
    dev.engine.stop().await;
    dev.server.shutdown().await;
    ending
}

fn failing(things: &[String]) -> String {
    let count = match things.len() {
        1 => "1 thing is failing".to_owned(),
        many => format!("{many} things are failing"),
    };
    things.iter().fold(count, |text, thing| format!("{text}\n  {}", thing.replace('\n', "\n    ")))
}

/// Returns the directory of hooks: the one that was named, or `hooks` in a path.
fn hooks_dir(options: &DevOptions) -> Result<Option<PathBuf>, DevError> {
    match &options.hooks {
        Some(dir) => Ok(Some(programs::directory(dir)?)),
        None => Ok(options.paths.iter().map(|path| path.join("hooks")).find(|dir| dir.is_dir())),
    }
}

impl Dev {
    async fn start(mut options: DevOptions, hooks_dir: Option<PathBuf>) -> Result<Self, DevError> {
        let clock: SharedClock = Arc::new(SystemClock);
        let activity = Activity::default();
        let socket = ServerOptions {
            bind: options.api,
            allow_non_loopback: false,
            kubeconfig: options.kubeconfig.clone(),
            settings: options.settings.clone(),
            audit_log: options.audit_log.clone(),
            load: vec![],
        };
        let server = server::builder(&socket)?.clock(Arc::clone(&clock));
        let server = server.activity(activity.clone()).start().await.map_err(ServerError::Start)?;
        let address = server::listen(&server, &socket).await?;
        let out = std::mem::replace(&mut options.out, Box::new(io::sink()));
        let ledger = Arc::new(Ledger::new(out));
        let (console, gateway) = (CONSOLE.listen(&options).await?, GATEWAY.listen(&options).await?);
        let revisions = Some(Arc::new(server.clone()) as Arc<dyn Revisions>);
        let (transport, activity_of_hooks) = (kube_client(&server), activity.clone());
        let client_options = ClientOptions {
            clock: Arc::clone(&clock),
            activity,
            agent: names::COMPONENT,
            revisions,
        };
        let client = Client::new(transport, client_options);
        install(&client).await.map_err(DevError::Install)?;
        // Whoever reads the line below may create what these definitions define.
        let served = Settle { limit: SERVED, quiet_for: Duration::ZERO };
        let _ = client.activity().settle(clock.as_ref(), served).await;
        let shown = |name: &str, listener: &Option<(TcpListener, String)>| {
            let listener = listener.as_ref();
            listener.map(|(_, address)| format!("   {name} http://{address}")).unwrap_or_default()
        };
        ledger.print(&format!(
            "windlass {}   api https://{address}{}{}   kubeconfig {}",
            env!("CARGO_PKG_VERSION"),
            shown("console", &console),
            shown("gateway", &gateway),
            options.kubeconfig.display()
        ));
        let means = (&clock, &activity_of_hooks);
        let hooks = load_hooks(hooks_dir, &options, means, &server, &ledger).await?;
        let engine = Engine::start(
            &client,
            EngineOptions {
                report: Arc::clone(&ledger) as Arc<dyn Report>,
                workers: Workers::Exactly(WORKERS),
                ..EngineOptions::new(Arc::new(hooks.router.clone()))
            },
        );
        let engine = engine.await.map_err(DevError::Engine)?;
        let functions = functions::start(&server, (&client, &engine), &options, gateway)?;
        let control = serve(console, &engine, &options.kubeconfig)?;
        let applied = Applied::new(client.clone());
        Ok(Self {
            options,
            server,
            client,
            ledger,
            hooks,
            engine,
            _control: control,
            _functions: functions,
            applied,
            broken: BTreeSet::new(),
        })
    }

    /// Applies what the files hold now.
    async fn apply(&mut self, manifests: Vec<Manifest>, errors: &[ManifestError]) {
        let mut broken = BTreeMap::<_, Vec<_>>::new();
        for error in errors {
            let file = error.path().display().to_string();
            broken.entry(file).or_default().push(in_one_line(error));
        }
        for (file, causes) in &broken {
            self.ledger.failed(file, &causes.join("\n"));
        }
        for mended in self.broken.difference(&broken.keys().cloned().collect()) {
            self.ledger.forget(mended);
        }
        self.broken = broken.into_keys().collect();
        // A file that cannot be read may still hold what seems to be gone.
        let prune = errors.is_empty();
        self.applied.apply(&manifest::order(manifests), prune, &self.ledger).await;
    }

    /// Waits until nothing moves and prints what there is.
    async fn once(&self) -> Result<(), DevError> {
        let settle = Settle { limit: self.options.timeout, quiet_for: SETTLED };
        let clock = Arc::clone(self.client.clock());
        let settled = self.client.activity().settle(clock.as_ref(), settle).await;
        let tree = self.tree().await;
        self.ledger.print(&format!("\n{tree}"));
        settled.map_err(DevError::Unsettled)?;
        let failing = self.ledger.failing();
        if failing.is_empty() { Ok(()) } else { Err(DevError::Failing(failing)) }
    }

    /// Applies files again as they change, until the process is interrupted.
    async fn follow(&mut self) -> Result<(), DevError> {
        let hooks_dir = self.hooks.dir.clone();
        let paths = self.options.watch.then_some(&self.options.paths);
        let files = paths.map(|paths| Files::watch(paths)).transpose();
        let mut files = files.map_err(DevError::Watch)?;
        let Hooks { routes, runtime, .. } = &self.hooks;
        let mut hooks = self.options.watch.then(|| runtime.watch(routes.clone()));
        let interrupted = jsonnet::httpd::signals().map_err(DevError::Signals)?;
        tokio::pin!(interrupted);
        loop {
            tokio::select! {
                () = &mut interrupted => return Ok(()),
                () = Files::next(files.as_mut(), &self.client) => {
                    let (manifests, errors) =
                        manifest::load(&self.options.paths, hooks_dir.as_deref());
                    self.apply(manifests, &errors).await;
                }
                change = next(hooks.as_mut()) => self.hook_changed(change).await,
            }
        }
    }

    async fn hook_changed(&self, change: Change) {
        match change {
            Change::Failed { route, error } => {
                self.ledger.failed(&hook_name(&route), &error.to_string());
            }
            Change::Removed { route } => {
                self.ledger.done(&Line::new("removed", hook_name(&route), ""));
            }
            Change::Loaded { route, .. } => {
                self.ledger.done(&Line::new("loaded", hook_name(&route), ""));
                let router = &self.hooks.router;
                self.engine.hooks_changed(|url| router.is_answered_by(url, &route)).await;
            }
        }
    }

    /// Collects the parents of all controllers and their children.
    async fn tree(&self) -> Tree {
        let caches = Caches::new(self.client.clone());
        let discovery = Discovery::new(self.client.clone());
        let mut controllers = Vec::new();
        for kind in [composite::resource(), decorator::resource()] {
            let cache = caches.get(&kind);
            // What cannot be listed is not shown.
            let _ = cache.filled().await;
            controllers.extend(cache.all());
        }
        let mut families = BTreeMap::new();
        for controller in controllers {
            let Ok(controller) = engine::check(&controller) else { continue };
            let mut children = Vec::new();
            for rule in &controller.children {
                let found = all(&caches, &discovery, &rule.api_version, &rule.plural).await;
                children.extend(found.unwrap_or_default());
            }
            for rule in &controller.parents {
                let parents = all(&caches, &discovery, &rule.api_version, &rule.plural).await;
                let parents = parents.unwrap_or_default();
                for parent in parents.into_iter().filter(|parent| rule.selects(parent)) {
                    let family = family(&parent, children.iter().map(AsRef::as_ref));
                    families.insert(family.parent.clone(), family);
                }
            }
        }
        Tree { families: families.into_values().collect(), failing: self.ledger.failing().len() }
    }
}

impl Listener {
    /// Takes the address; a `dev` that ends by itself cannot be asked or called.
    async fn listen(
        &self,
        options: &DevOptions,
    ) -> Result<Option<(TcpListener, String)>, DevError> {
        if options.once {
            return Ok(None);
        }
        let wanted = (self.wanted)(options);
        let listener = control::bind(wanted, self.usual).await;
        let found = listener.and_then(|listener| {
            let address = listener.local_addr()?.to_string();
            Ok(Some((listener, address)))
        });
        let address = wanted.unwrap_or(self.usual).to_string();
        found.map_err(|source| DevError::Listen { address, hint: self.hint, source })
    }
}

/// Lets other commands of this directory ask the engine, where there is a listener.
fn serve(
    listener: Option<(TcpListener, String)>,
    engine: &Engine,
    kubeconfig: &Path,
) -> Result<Option<Listening>, DevError> {
    let Some((listener, address)) = listener else { return Ok(None) };
    let served = control::serve(listener, engine, (Path::new(reach::DEV), kubeconfig));
    let failed = |source| DevError::Listen { address, hint: CONSOLE.hint, source };
    served.map(Some).map_err(failed)
}

/// Returns all objects of a type, or nothing if there is no such type.
async fn all(
    caches: &Caches,
    discovery: &Discovery,
    api_version: &str,
    plural: &str,
) -> Option<Vec<Arc<k8s::Object>>> {
    let found = discovery.by_plural(api_version, plural).await.ok()?;
    let cache = caches.get(&found.resource);
    cache.filled().await.ok()?;
    Some(cache.all())
}

fn kube_client(server: &ApiServer) -> kube::Client {
    kube::Client::new(server.service(), "default")
}

/// Installs the resources that windlass itself watches.
async fn install(client: &Client) -> Result<(), ApiError> {
    for definition in definition::all().into_iter().chain(definition::of_functions()) {
        client.create(&definition::definitions(), "", definition.to_string()).await?;
    }
    Ok(())
}

/// Loads the programs of a directory and of mapped URLs; those that are broken are noted, and may be mended
/// later.
async fn load_hooks(
    dir: Option<PathBuf>,
    options: &DevOptions,
    (clock, activity): (&SharedClock, &Activity),
    server: &ApiServer,
    ledger: &Ledger,
) -> Result<Hooks, DevError> {
    // Controllers may bring programs along although there is no directory of hooks.
    let runtime = jsonnet::Runtime::new(RuntimeOptions {
        clock: Arc::clone(clock),
        activity: activity.clone(),
        command: options.worker.clone(),
        ..RuntimeOptions::default()
    });
    let webhooks = Webhooks::new(Arc::clone(clock), activity.clone());
    let webhooks = webhooks.map_err(DevError::Certificates)?;
    let webhooks = webhooks.with_services(Arc::new(server.clone()));
    let mut router = Router::new(webhooks, Some(runtime.clone()));
    let mut routes = Routes::default();
    if let Some(dir) = &dir {
        let failed = |source| DevError::Hooks { dir: dir.clone(), source };
        for file in other_languages(dir) {
            ledger.failed(&format!("hook {file}"), "hooks in this language are not supported yet");
        }
        router = router.with_programs(dir.clone());
        routes = Routes::from_args(&[dir.to_string_lossy()], Path::is_dir).map_err(failed)?;
        for change in runtime.load_all(&routes).await.map_err(failed)? {
            if let Change::Failed { route, error } = change {
                ledger.failed(&hook_name(&route), &error.to_string());
            }
        }
    }
    for (url, cause) in programs::map(&mut router, &options.hook_map).await? {
        ledger.failed(&hook_name(&url), &cause);
    }
    for Mapping { url, file } in &options.hook_map {
        ledger.done(&Line::new("mapped", hook_name(url), file.display().to_string()));
    }
    Ok(Hooks { dir, routes, runtime, router })
}

/// Returns what lines call the hook at a route: its path, or the URL or the controller that it is for.
fn hook_name(route: &str) -> String {
    let is_path = !route.contains(':') && !route.contains("Controller/");
    if is_path { format!("hook /{route}") } else { format!("hook {route}") }
}

/// Returns the files of a directory that are hooks in languages other than Jsonnet.
fn other_languages(dir: &Path) -> Vec<String> {
    let files = std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    let files = files.map(|file| file.path()).filter(|file| {
        file.extension().is_some_and(|extension| extension == "py" || extension == "js")
    });
    files.map(|file| file.display().to_string()).collect()
}

/// Waits for the next change of a hook, for ever if none are followed.
async fn next(changes: Option<&mut UnboundedReceiver<Change>>) -> Change {
    if let Some(changes) = changes
        && let Some(change) = changes.recv().await
    {
        return change;
    }
    std::future::pending().await
}
