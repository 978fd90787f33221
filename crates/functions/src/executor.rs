//! Runs the pods of Functions as processes of this machine.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use api::SharedFetch;
use futures::stream::{self, BoxStream, StreamExt};
use k8s::{Executor, Object, ObjectKey, Outcome, PodState, Resource, SharedClock, Token};
use runtime::Client;
use tokio::{sync::mpsc, task::JoinHandle};
use tracing::{debug, info};

use crate::{
    content,
    fleet::Fleet,
    host::{Health, Host, Log, Means, Settings, Totals},
    install::{self, COMPILED},
    interpreters::Interpreters,
    launch::Launcher,
    pods::{self, Stage, Standing, Wanted},
    preparation::PrepareError,
    prepare::{self, Tools, place},
    runtimes::{Language, RuntimeName},
    store::{Place, Store},
};

/// The first wait before a program is prepared again; it doubles up to the longest.
const FIRST_GAP: Duration = Duration::from_secs(1);
/// The longest wait before a program is prepared again.
const LONGEST_GAP: Duration = Duration::from_mins(5);

/// What runs pods needs.
#[derive(Clone, Debug)]
pub struct ExecutorOptions {
    /// The directory of programs and what they need.
    pub data: PathBuf,
    /// How processes are started.
    pub launcher: Launcher,
    /// What this machine can run.
    pub interpreters: Arc<Interpreters>,
    /// The clock that calls and processes follow.
    pub clock: SharedClock,
    /// How sources at URLs are got.
    pub fetch: SharedFetch,
}

/// Runs the pods of Functions. Clones share the pods.
#[derive(Clone, Debug)]
pub struct FunctionExecutor(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    client: Client,
    fleet: Fleet,
    options: ExecutorOptions,
    /// Programs in their places, which pods of the same program share.
    programs: Store,
    tools: Tools,
    pods: Mutex<HashMap<String, JoinHandle<()>>>,
    sender: mpsc::UnboundedSender<(Token, Outcome)>,
    receiver: Mutex<Option<mpsc::UnboundedReceiver<(Token, Outcome)>>>,
}

/// One pod while it runs.
struct Run {
    shared: Arc<Shared>,
    pod: Arc<Object>,
    wanted: Wanted,
    restarts: u32,
}

/// Prints the lines of a pod to the log of this process.
#[derive(Debug)]
struct Tracing(ObjectKey);

impl Log for Tracing {
    fn line(&self, line: &str) {
        info!(pod = %self.0, line, "function");
    }
}

impl FunctionExecutor {
    /// Returns an executor without pods.
    pub fn new(client: Client, fleet: Fleet, options: ExecutorOptions) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let (pods, receiver) = (Mutex::default(), Mutex::new(Some(receiver)));
        let programs = Store::new(options.data.join("functions"));
        let tools = Tools {
            launcher: options.launcher.clone(),
            clock: Arc::clone(&options.clock),
            packages: Store::new(options.data.join("dependencies")),
            cache: options.data.join("cache"),
        };
        Self(Arc::new(Shared { client, fleet, options, programs, tools, pods, sender, receiver }))
    }
}

impl Executor for FunctionExecutor {
    fn start(&self, pod: Arc<Object>) {
        let Some(wanted) = pods::wanted(&pod) else {
            self.0.tell(
                &pod,
                Stage::NotPrepared(
                    "ContainerRuntimeRequired: this pod needs containers".to_owned(),
                ),
                0,
            );
            return;
        };
        let uid = pod.meta().uid.clone();
        let run = Run { shared: Arc::clone(&self.0), pod, wanted, restarts: 0 };
        self.0.pods().insert(uid, tokio::spawn(run.run()));
    }

    fn stop(&self, pod: Arc<Object>) {
        let shared = Arc::clone(&self.0);
        let task = shared.pods().remove(&pod.meta().uid);
        tokio::spawn(async move {
            // The end of the task is that of its workers, after their last calls.
            if let (Some(task), Some(wanted)) = (task, pods::wanted(&pod)) {
                let host = shared.fleet.leave(&wanted.function, &pod.meta().name);
                if let Some(host) = host {
                    host.drain().await;
                }
                task.abort();
            }
            shared.send(&pod, PodState::Stopped);
        });
    }

    fn outcomes(&self) -> BoxStream<'static, Outcome> {
        let receiver =
            self.0.receiver.lock().expect("the lock of outcomes is never poisoned").take();
        // Whoever asks for the next outcome has written down the one before.
        let next = |(mut receiver, told): (
            mpsc::UnboundedReceiver<(Token, Outcome)>,
            Option<Token>,
        )| async move {
            drop(told);
            let (token, outcome) = receiver.recv().await?;
            Some((outcome, (receiver, Some(token))))
        };
        stream::iter(receiver)
            .flat_map(move |receiver| stream::unfold((receiver, None), next))
            .boxed()
    }
}

impl Shared {
    fn tell(&self, pod: &Object, stage: Stage, restarts: u32) {
        let is_looping = 5 <= restarts;
        let standing = Standing { stage, restarts, is_looping };
        let status = pods::status(pod, &standing, self.client.clock().now());
        self.send(pod, PodState::Status(status));
    }

    fn send(&self, pod: &Object, state: PodState) {
        let outcome = Outcome { pod: pod.key(), uid: pod.meta().uid.clone(), state };
        // Without a receiver the server is gone, and nobody wants to know.
        let token = self.client.activity().hold(format!("status of {}", outcome.pod));
        let _ = self.sender.send((token, outcome));
    }

    fn pods(&self) -> MutexGuard<'_, HashMap<String, JoinHandle<()>>> {
        self.pods.lock().expect("the lock of pods is never poisoned")
    }
}

impl Run {
    /// Prepares the program, tries again until that is done, and serves it until it is stopped.
    async fn run(mut self) {
        let mut gap = FIRST_GAP;
        self.shared.tell(&self.pod, Stage::Preparing, 0);
        let (dir, token) = loop {
            let token = self.shared.client.activity().hold("preparation of a pod");
            match self.prepared().await {
                Ok(dir) => break (dir, token),
                // The ConfigMap comes with the Deployment, though perhaps later.
                Err(PrepareError::Stale) => {
                    debug!(pod = %self.pod.key(), "waiting for the program");
                }
                Err(error) => {
                    let stage = Stage::NotPrepared(error.last_words());
                    self.shared.tell(&self.pod, stage, self.restarts);
                    self.restarts += 1;
                }
            }
            drop(token);
            self.wait(gap).await;
            gap = (gap * 2).min(LONGEST_GAP);
        };
        if let Err(failure) = self.serve(dir, token).await {
            self.shared.tell(&self.pod, Stage::Failing(failure), 0);
        }
    }

    async fn wait(&self, gap: Duration) {
        let clock = &self.shared.options.clock;
        clock.sleep_until(clock.after(gap)).await;
    }

    /// Returns the directory of the program, which others of the same program share.
    async fn prepared(&self) -> Result<PathBuf, PrepareError> {
        let Wanted { function, preparation, env, .. } = &self.wanted;
        let shared = &self.shared;
        let runtime = env.get("WINDLASS_RUNTIME").map_or("", String::as_str);
        let name = RuntimeName::parse(runtime);
        let language = name.as_ref().and_then(|name| Language::of_id(&name.id));
        let Some((name, language)) = name.zip(language) else {
            return Err(PrepareError::Runtime(format!(
                "`{runtime}` is no runtime of this machine"
            )));
        };
        let version = name.version.to_string();
        let interpreter =
            self.interpreter(language, &version).await.map_err(PrepareError::Runtime)?;
        // What is installed and compiled depends on more than the program.
        let key = content::hash(&[&preparation.hash, runtime, &install::registries(env)]);
        let failed = |error: std::io::Error| PrepareError::Write {
            what: "the program".to_owned(),
            cause: error.to_string(),
        };
        let new = match shared.programs.place(&key).await.map_err(failed)? {
            Place::Kept(dir) => return Ok(dir),
            Place::New(new) => new,
        };
        let config_maps = Resource::namespaced("v1", "ConfigMap", "configmaps");
        let config_map = shared.client.get(&config_maps, function).await;
        let config_map = config_map.map_err(|error| {
            if error.is_not_found() {
                PrepareError::Stale
            } else {
                PrepareError::Fetch(k8s::in_one_line(&error))
            }
        })?;
        let work = preparation.plan(&config_map.texts())?;
        place(&work, new.path(), &shared.options.fetch).await?;
        let means = prepare::Means { language, version: &version, interpreter: &interpreter, env };
        shared.tools.equip(&work, new.path(), &means).await?;
        new.keep().map_err(failed)
    }

    /// Serves the program until the task ends.
    async fn serve(&self, dir: PathBuf, token: Token) -> Result<(), String> {
        let shared = &self.shared;
        shared.tell(&self.pod, Stage::Starting, 0);
        let mut env = system_env();
        env.insert("FUNC_EXPOSE_ERRORS".to_owned(), "true".to_owned());
        env.extend(self.wanted.env.clone());
        let settings = Settings::read(&env, dir).map_err(|error| error.to_string())?;
        let interpreter = match settings.language {
            Language::Go => settings.dir.join(COMPILED),
            language => self.interpreter(language, &settings.version).await?,
        };
        let means = Means {
            clock: Arc::clone(&shared.options.clock),
            activity: shared.client.activity().clone(),
            launcher: shared.options.launcher.clone(),
            interpreter,
            log: Arc::new(Tracing(self.pod.key())),
            totals: Some(Totals {
                metrics: shared.client.metrics().clone(),
                function: self.wanted.function.clone(),
                pod: self.pod.meta().name.clone(),
            }),
        };
        let host = Arc::new(Host::start(settings, means).map_err(|error| error.to_string())?);
        let mut health = host.health();
        // From here on the host says itself what it is at.
        drop(token);
        let (name, hash) = (&self.pod.meta().name, &self.wanted.preparation.hash);
        loop {
            let now = health.borrow_and_update().clone();
            if now.is_ready {
                shared.fleet.join(&self.wanted.function, (name, hash), &host);
            }
            shared.tell(&self.pod, stage(&now), now.restarts);
            if health.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    async fn interpreter(&self, language: Language, version: &str) -> Result<PathBuf, String> {
        let all = self.shared.options.interpreters.of(language).await;
        let own = all.into_iter().find(|it| it.version.to_string() == version);
        let name = language.facts().id;
        own.map(|own| own.path).ok_or_else(|| format!("`{name}{version}` is not on this machine"))
    }
}

fn stage(health: &Health) -> Stage {
    match &health.failure {
        _ if health.is_ready => Stage::Ready,
        Some(failure) => Stage::Failing(failure.clone()),
        None => Stage::Starting,
    }
}

/// Returns what workers see of the environment of this process.
fn system_env() -> BTreeMap<String, String> {
    const SHOWN: [&str; 9] = [
        "PATH",
        "LANG",
        "TZ",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "no_proxy",
    ];
    SHOWN.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect()
}
