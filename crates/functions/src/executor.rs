//! Runs the pods of Functions as processes of this machine.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use api::SharedFetch;
use futures::stream::{self, BoxStream, StreamExt};
use k8s::{
    Executor, LoggedRun, Object, ObjectKey, Outcome, PodLog, PodState, Resource, SharedClock, Token,
};
use runtime::{Client, EventKind, EventLimits, Events};
use tokio::{sync::mpsc, task::JoinHandle};
use tracing::debug;

use crate::{
    content,
    fleet::Fleet,
    host::{Health, Host, Log, Means, Settings, Totals},
    install::{self, COMPILED},
    interpreters::Interpreters,
    journal::Journal,
    launch::Launcher,
    leftovers, mounts,
    needs::{self, Found, Source},
    pods::{self, OOM_KILLED, Stage, Standing, Wanted},
    preparation::PrepareError,
    prepare::{self, Tools, place},
    runtimes::{Language, RuntimeName, Version},
    store::{Place, Store},
};

/// Who tells events of pods and their Functions.
const COMPONENT: &str = "windlass-functions";
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
    /// The URL under which functions reach the gateway, if there is one.
    pub gateway: Option<String>,
}

/// Runs the pods of Functions. Clones share the pods.
#[derive(Clone, Debug)]
pub struct FunctionExecutor(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    client: Client,
    fleet: Fleet,
    events: Events,
    options: ExecutorOptions,
    /// Programs in their places, which pods of the same program share.
    programs: Store,
    tools: Tools,
    pods: Mutex<HashMap<String, Running>>,
    sender: mpsc::UnboundedSender<(Token, Outcome)>,
    receiver: Mutex<Option<mpsc::UnboundedReceiver<(Token, Outcome)>>>,
}

type Variables = BTreeMap<String, String>;

/// A pod that was started, as others see it.
#[derive(Debug)]
struct Running {
    task: JoinHandle<()>,
    /// Which program it runs.
    hash: String,
    journal: Arc<Journal>,
}

/// One pod while it runs.
struct Run {
    shared: Arc<Shared>,
    pod: Arc<Object>,
    wanted: Wanted,
    journal: Arc<Journal>,
    restarts: u32,
}

impl FunctionExecutor {
    /// Returns an executor without pods.
    pub fn new(client: Client, fleet: Fleet, options: ExecutorOptions) -> Self {
        // A process that was killed took nothing with it.
        leftovers::reap(&std::env::temp_dir());
        leftovers::sweep(&options.data, options.clock.now());
        let (sender, receiver) = mpsc::unbounded_channel();
        let (pods, receiver) = (Mutex::default(), Mutex::new(Some(receiver)));
        let programs = Store::new(options.data.join("functions"));
        let tools = Tools {
            launcher: options.launcher.clone(),
            clock: Arc::clone(&options.clock),
            packages: Store::new(options.data.join("dependencies")),
            cache: options.data.join("cache"),
        };
        let events = Events::start(&client, COMPONENT, EventLimits::default());
        let shared =
            Shared { client, fleet, events, options, programs, tools, pods, sender, receiver };
        Self(Arc::new(shared))
    }
}

impl Executor for FunctionExecutor {
    fn start(&self, pod: Arc<Object>) {
        let Some(wanted) = pods::wanted(&pod) else {
            let words = "ContainerRuntimeRequired: this pod needs containers".to_owned();
            self.0.tell(&pod, &Stage::NotPrepared(words).into());
            return;
        };
        let uid = pod.meta().uid.clone();
        let (logs, clock) = (self.0.options.data.join("logs"), Arc::clone(&self.0.options.clock));
        let journal = Arc::new(Journal::new(&pod, &logs, clock));
        let hash = program(&wanted);
        let kept = Arc::clone(&journal);
        let run = Run { shared: Arc::clone(&self.0), pod, wanted, journal, restarts: 0 };
        // Whoever takes away programs that nobody runs must see this one before it looks for its own.
        let mut pods = self.0.pods();
        pods.insert(uid, Running { task: tokio::spawn(run.run()), hash, journal: kept });
    }

    fn stop(&self, pod: Arc<Object>) {
        let shared = Arc::clone(&self.0);
        let running = shared.pods().remove(&pod.meta().uid);
        tokio::spawn(async move {
            // The end of the task is that of its workers, after their last calls.
            if let (Some(running), Some(wanted)) = (running, pods::wanted(&pod)) {
                let host = shared.fleet.leave(&wanted.function, &pod.meta().name);
                if let Some(host) = host {
                    host.drain().await;
                }
                running.task.abort();
                let _ = running.task.await;
                shared.discard(&running.hash);
                let _ = fs::remove_dir_all(shared.mounts(&pod));
            }
            shared.send(&pod, PodState::Stopped);
        });
    }

    fn log(&self, pod: &Object, run: LoggedRun) -> Option<PodLog> {
        self.0.pods().get(&pod.meta().uid)?.journal.read(run)
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
    fn tell(&self, pod: &Object, standing: &Standing) {
        let status = pods::status(pod, standing, self.client.clock().now());
        self.send(pod, PodState::Status(status));
    }

    fn send(&self, pod: &Object, state: PodState) {
        let outcome = Outcome { pod: pod.key(), uid: pod.meta().uid.clone(), state };
        // Without a receiver the server is gone, and nobody wants to know.
        let token = self.client.activity().hold(format!("status of {}", outcome.pod));
        let _ = self.sender.send((token, outcome));
    }

    /// Takes a program away that no pod runs any more.
    fn discard(&self, hash: &str) {
        let root = self.programs();
        let old = root.join(format!(".old-{hash}"));
        {
            let pods = self.pods();
            if pods.values().any(|running| running.hash == hash) {
                return;
            }
            // Out of the way while nobody can begin to use it; the rest may take its time.
            if fs::rename(root.join(hash), &old).is_err() {
                return;
            }
        }
        let _ = fs::remove_dir_all(old);
    }

    /// Tells an event about a Function, if it is there.
    async fn tell_function(&self, function: &ObjectKey, news: (EventKind, &str, String)) {
        let (kind, reason, message) = news;
        if let Ok(object) = self.client.get(&api::function::resource(), function).await {
            self.events.tell(&object, kind, reason, message);
        }
    }

    /// Returns where the volumes of a pod lie.
    fn mounts(&self, pod: &Object) -> PathBuf {
        self.options.data.join("mounts").join(&pod.meta().uid)
    }

    fn programs(&self) -> PathBuf {
        self.options.data.join("functions")
    }

    fn pods(&self) -> MutexGuard<'_, HashMap<String, Running>> {
        self.pods.lock().expect("the lock of pods is never poisoned")
    }
}

impl Run {
    /// Prepares the program, tries again until that is done, and serves it until it is stopped.
    async fn run(mut self) {
        let mut gap = FIRST_GAP;
        self.shared.tell(&self.pod, &Stage::Preparing.into());
        let (dir, env, token) = loop {
            let token = self.shared.client.activity().hold("preparation of a pod");
            match self.ready().await {
                Ok((dir, env)) => break (dir, env, token),
                // The ConfigMap comes with the Deployment, though perhaps later.
                Err(PrepareError::Stale) => {
                    debug!(pod = %self.pod.key(), "waiting for the program");
                }
                Err(error) => {
                    self.journal.line(&error.last_words());
                    let stage = Stage::NotPrepared(error.last_words());
                    let standing = Standing { restarts: self.restarts, ..stage.into() };
                    self.shared.tell(&self.pod, &standing);
                    self.restarts += 1;
                }
            }
            let clock = &self.shared.options.clock;
            let due = clock.after(gap);
            drop(token);
            clock.sleep_until(due).await;
            gap = (gap * 2).min(LONGEST_GAP);
        };
        if let Err(failure) = self.serve(dir, env, token).await {
            self.shared.tell(&self.pod, &Stage::Failing(failure).into());
        }
    }

    /// Returns the directory of the program and the variables of its processes, once all they need is there.
    async fn ready(&self) -> Result<(PathBuf, Variables), PrepareError> {
        let dir = self.prepared().await?;
        let pod = self.pod.to_value();
        let mut found = Found::new();
        for source in needs::sources(&pod) {
            let (resource, name) = match &source {
                Source::Secret(name) => ("Secret", name),
                Source::ConfigMap(name) => ("ConfigMap", name),
            };
            let plural = format!("{}s", resource.to_lowercase());
            let resource = Resource::namespaced("v1", resource, &plural);
            let key = ObjectKey::new(&self.pod.meta().namespace, name);
            match self.shared.client.get(&resource, &key).await {
                Ok(object) => drop(found.insert(source, needs::data(&object.to_value()))),
                // Whether it must be there is for those who refer to it to say.
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(PrepareError::Fetch(k8s::in_one_line(&error))),
            }
        }
        let mut env = needs::variables(&pod, &found)?;
        let mounts = needs::mounts(&pod, &found)?;
        if !mounts.is_empty() {
            let root = self.shared.mounts(&self.pod);
            mounts::realise(&root, &mounts).map_err(|error| PrepareError::Write {
                what: root.display().to_string(),
                cause: error.to_string(),
            })?;
            env.insert(mounts::VARIABLE.to_owned(), root.display().to_string());
            let paths: Vec<_> = mounts.iter().map(|mount| mount.path.as_str()).collect();
            let message = format!(
                "{} of pod {} lie below `${}`",
                paths.join(", "),
                self.pod.meta().name,
                mounts::VARIABLE
            );
            let news = (EventKind::Normal, "MountRelocated", message);
            self.shared.tell_function(&self.wanted.function, news).await;
        }
        Ok((dir, env))
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
        let key = program(&self.wanted);
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
        // While it is tried again, what went wrong the last time is worth more.
        if self.restarts == 0 && prepare::is_to_be_equipped(&work, language) {
            shared.tell(&self.pod, &Stage::Equipping.into());
        }
        let means = prepare::Means { language, version: &version, interpreter: &interpreter, env };
        shared.tools.equip(&work, new.path(), &means).await?;
        new.keep().map_err(failed)
    }

    /// Serves the program until the task ends.
    async fn serve(&self, dir: PathBuf, own: Variables, token: Token) -> Result<(), String> {
        let shared = &self.shared;
        shared.tell(&self.pod, &Stage::Starting.into());
        let mut env = system_env();
        env.insert("FUNC_EXPOSE_ERRORS".to_owned(), "true".to_owned());
        env.extend(shared.options.gateway.clone().map(|url| ("WINDLASS_GATEWAY".to_owned(), url)));
        env.extend(own);
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
            log: Arc::clone(&self.journal) as Arc<dyn Log>,
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
        // Pods with other variables are another version, though of the same program.
        let value = self.pod.to_value();
        let template = value["metadata"]["labels"]["pod-template-hash"].as_str();
        let version = template.unwrap_or(&self.wanted.preparation.hash);
        let name = &self.pod.meta().name;
        let mut restarts = 0;
        loop {
            let now = health.borrow_and_update().clone();
            if std::mem::replace(&mut restarts, now.restarts) != now.restarts {
                self.journal.restart();
                if now.last_end.as_ref().is_some_and(|end| end.is_out_of_memory) {
                    self.tell_of_memory().await;
                }
            }
            if now.is_ready {
                shared.fleet.join(&self.wanted.function, (name, version), &host);
            }
            shared.tell(&self.pod, &standing(now));
            if health.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    async fn tell_of_memory(&self) {
        let limit = self.wanted.env.get("FUNC_MEMORY_LIMIT").filter(|limit| *limit != "0");
        let limit = limit.map_or_else(String::new, |limit| format!(" of {limit}"));
        let message = format!(
            "a process of pod {} wanted more memory than its limit{limit}",
            self.pod.meta().name
        );
        let news = (EventKind::Warning, OOM_KILLED, message);
        self.shared.tell_function(&self.wanted.function, news).await;
    }

    async fn interpreter(&self, language: Language, version: &str) -> Result<PathBuf, String> {
        let wanted = Version::parse(version).unwrap_or_default();
        let all = self.shared.options.interpreters.of(language, &wanted).await;
        let own = all.into_iter().find(|it| it.version.to_string() == version);
        let name = language.facts().id;
        own.map(|own| own.path).ok_or_else(|| format!("`{name}{version}` is not on this machine"))
    }
}

fn standing(health: Health) -> Standing {
    let Health { is_ready, is_crashing, restarts, failure, last_end } = health;
    let stage = match failure {
        _ if is_ready => Stage::Ready,
        Some(failure) => Stage::Failing(failure),
        None => Stage::Starting,
    };
    Standing { stage, restarts, is_looping: is_crashing, last_end }
}

/// Returns the name of the directory that a pod's program is in.
fn program(wanted: &Wanted) -> String {
    let runtime = wanted.env.get("WINDLASS_RUNTIME").map_or("", String::as_str);
    content::hash(&[&wanted.preparation.hash, runtime, &install::registries(&wanted.env)])
}

/// Returns what workers see of the environment of this process.
pub(crate) fn system_env() -> BTreeMap<String, String> {
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
