//! Routes and their programs: loads them, calls them, keeps the last good revision of each.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use k8s::{Activity, SharedClock, SystemClock, Timestamp};
use sha2::{Digest, Sha256};
use tracing::{info, warn};

use crate::{
    bundle::{Bundle, Revision, Variable, hex},
    closure::{self, GivenProgram, ProgramOptions},
    failure::{CallError, ErrorKind, LoadError},
    interpreter::Form,
    pool::{Bound, Ending, Fence, Job, Pool, PoolLimits, Program, WorkerCommand},
    print::Prints,
    wire::Reply,
};

/// How a runtime evaluates programs.
#[derive(Clone, Debug)]
pub struct RuntimeOptions {
    /// How many workers there are at most; they are started when needed.
    pub workers: usize,
    /// How many calls may wait for a worker.
    pub queue: usize,
    /// How long a call may take, without the wait for a worker.
    pub timeout: Duration,
    /// How many bytes of address space one worker may use.
    pub max_memory: u64,
    /// How many bytes a result may have.
    pub max_response: usize,
    /// How workers are started.
    pub command: WorkerCommand,
    /// The clock of deadlines and reloads.
    pub clock: SharedClock,
    /// Where calls and reloads are noted.
    pub activity: Activity,
    /// What all programs have in common.
    pub programs: ProgramOptions,
}

impl Default for RuntimeOptions {
    fn default() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            workers: cpus.min(4),
            queue: 256,
            timeout: Duration::from_secs(10),
            max_memory: 512 << 20,
            max_response: 32 << 20,
            command: WorkerCommand::default(),
            clock: Arc::new(SystemClock),
            activity: Activity::default(),
            programs: ProgramOptions::default(),
        }
    }
}

/// The result of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluated {
    /// The value as JSON text, keys sorted.
    pub json: Bytes,
    /// The revision it was computed by.
    pub revision: Revision,
    /// The hash of the text, in hexadecimal digits without quotes.
    pub etag: String,
}

/// The variables of one route's program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteVariables {
    /// The external variables.
    pub ext_vars: Vec<Variable>,
    /// The extra top-level arguments.
    pub tlas: Vec<Variable>,
}

/// What is known of one route.
#[derive(Clone, Debug)]
pub struct RouteStatus {
    /// The route, without a leading slash.
    pub route: String,
    /// The program's file as it was given.
    pub file: PathBuf,
    /// The revision that calls run on, if any ever loaded.
    pub revision: Option<Revision>,
    /// When that revision was loaded.
    pub loaded_at: Option<Timestamp>,
    /// Why the present state of the file is not what calls run on.
    pub error: Option<LoadError>,
    /// How many calls there were.
    pub calls: u64,
    /// How many of them failed.
    pub failures: u64,
    /// Whether the program is kept from the workers because it killed too many.
    pub fenced: bool,
}

/// Programs by route, and the workers that evaluate them. Clones share them.
#[derive(Clone, Debug)]
pub struct Runtime(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: RuntimeOptions,
    pool: Arc<Pool>,
    routes: Mutex<BTreeMap<Arc<str>, Slot>>,
}

/// One route and its program.
#[derive(Debug)]
struct Slot {
    file: PathBuf,
    program: Option<Arc<Program>>,
    loaded_at: Option<Timestamp>,
    error: Option<LoadError>,
    /// The places that were looked at, as they were just before.
    prints: Prints,
    fence: Fence,
    warned: BTreeSet<String>,
    variables: Option<RouteVariables>,
    /// Whether it is one of the routes that are watched for; others vanish only by `remove`.
    listed: bool,
    calls: u64,
    failures: u64,
}

/// What a call needs to know of its route.
enum Entry {
    Ready(Arc<Program>),
    Fenced,
}

impl Runtime {
    /// Creates a runtime without routes; no process is started yet.
    pub fn new(options: RuntimeOptions) -> Self {
        let limits = PoolLimits {
            workers: options.workers,
            queue: options.queue,
            max_memory: options.max_memory,
            max_response: options.max_response,
        };
        let (clock, activity) = (Arc::clone(&options.clock), options.activity.clone());
        let pool = Pool::new(options.command.clone(), clock, activity, limits);
        Self(Arc::new(Shared { options, pool, routes: Mutex::default() }))
    }

    /// Loads `file` as the program of `route`; calls run on it once it is checked.
    ///
    /// # Errors
    ///
    /// The route exists all the same: the last good revision keeps serving, or calls answer the error.
    pub async fn load(&self, route: &str, file: &Path) -> Result<Revision, LoadError> {
        let _token = self.0.options.activity.hold(format!("load of hook {route}"));
        let (prints, bundle) = self.read(route, file).await;
        let checked = match bundle {
            Ok(bundle) => self.check(route, bundle).await,
            Err(error) => Err(error),
        };
        self.install(route, file, prints, checked)
    }

    /// Gives a route variables of its own, instead of those that all programs have in common, from its next
    /// load on.
    pub fn set_variables(&self, route: &str, variables: RouteVariables) {
        let mut routes = self.routes();
        let slot = routes.entry(route.into()).or_insert_with(|| Slot::new(PathBuf::new()));
        slot.variables = Some(variables);
    }

    /// Loads a program that is in no file as the program of `route`; `label` is what views call its file.
    ///
    /// # Errors
    ///
    /// As [`Runtime::load`].
    pub async fn load_given(
        &self,
        route: &str,
        label: &str,
        program: &GivenProgram,
    ) -> Result<Revision, LoadError> {
        let _token = self.0.options.activity.hold(format!("load of hook {route}"));
        let checked = match closure::read_given(program, &self.0.options.programs) {
            Ok(bundle) => self.check(route, bundle).await,
            Err(error) => Err(error),
        };
        self.install(route, Path::new(label), Prints::default(), checked)
    }

    /// Forgets a route.
    pub fn remove(&self, route: &str) {
        self.routes().remove(route);
    }

    /// Calls the program of `route` with the JSON text `body`, and returns the pretty form.
    ///
    /// # Errors
    ///
    /// Says what kind of failure it was and what the caller is shown.
    pub async fn call(
        &self,
        route: &str,
        body: Bytes,
        timeout: Option<Duration>,
    ) -> Result<Evaluated, CallError> {
        self.call_in(route, body, timeout, Form::Pretty).await
    }

    /// Calls the program of `route` with the JSON text `body`, and returns the form that is asked for.
    ///
    /// # Errors
    ///
    /// As [`Runtime::call`].
    pub async fn call_in(
        &self,
        route: &str,
        body: Bytes,
        timeout: Option<Duration>,
        form: Form,
    ) -> Result<Evaluated, CallError> {
        let _token = self.0.options.activity.hold(format!("hook call of {route}"));
        let entry = self.enter(route)?;
        let result = match entry {
            Entry::Ready(program) => self.evaluate(route, &program, &body, timeout, form).await,
            Entry::Fenced => Err(CallError::new(
                ErrorKind::Runtime,
                "RUNTIME ERROR: the program killed 5 workers in 60s and may not run for 30s",
            )),
        };
        if result.is_err() {
            self.update(route, |slot| slot.failures += 1);
        }
        result
    }

    /// Returns what is known of a route.
    pub fn status(&self, route: &str) -> Option<RouteStatus> {
        let now = self.0.options.clock.now();
        self.routes().get(route).map(|slot| slot.status(route, now))
    }

    /// Returns what is known of all routes, in order.
    pub fn status_all(&self) -> Vec<RouteStatus> {
        let now = self.0.options.clock.now();
        let routes = self.routes();
        routes.iter().map(|(route, slot)| slot.status(route, now)).collect()
    }

    /// Notes that a route stands or falls with the list of routes that is watched.
    pub(crate) fn list(&self, route: &str) {
        self.update(route, |slot| slot.listed = true);
    }

    /// Returns the routes that were noted so.
    pub(crate) fn listed(&self) -> BTreeSet<String> {
        let routes = self.routes();
        let listed = routes.iter().filter(|(_, slot)| slot.listed);
        listed.map(|(route, _)| route.to_string()).collect()
    }

    /// Returns the revision a route serves; nothing at all if there is no such route.
    pub fn revision(&self, route: &str) -> Option<Option<Revision>> {
        self.routes().get(route).map(Slot::revision)
    }

    /// Returns how many calls wait and how many run.
    pub fn load_now(&self) -> (usize, usize) {
        self.0.pool.load()
    }

    /// Returns the process ids of the workers that have nothing to do.
    pub fn idle_workers(&self) -> Vec<u32> {
        self.0.pool.idle_workers()
    }

    pub(crate) fn options(&self) -> &RuntimeOptions {
        &self.0.options
    }

    /// Returns the routes whose files are not as they were when they were read.
    pub(crate) async fn changed(&self) -> Vec<(String, PathBuf)> {
        let routes: Vec<_> = {
            let routes = self.routes();
            let routes = routes.iter();
            routes
                .map(|(name, slot)| (name.to_string(), slot.file.clone(), slot.prints.clone()))
                .collect()
        };
        let changed = tokio::task::spawn_blocking(move || {
            let changed = routes.into_iter().filter(|(.., prints)| prints.have_changed());
            changed.map(|(route, file, _)| (route, file)).collect()
        });
        changed.await.unwrap_or_default()
    }

    /// Returns every place that was looked at for any route.
    pub(crate) fn seen(&self) -> BTreeSet<PathBuf> {
        self.routes().values().flat_map(|slot| slot.prints.paths().cloned()).collect()
    }

    async fn read(&self, route: &str, file: &Path) -> (Prints, Result<Bundle, LoadError>) {
        let (main, mut options) = (file.to_owned(), self.0.options.programs.clone());
        let own = self.routes().get(route).and_then(|slot| slot.variables.clone());
        if let Some(RouteVariables { ext_vars, tlas }) = own {
            options = ProgramOptions { ext_vars, tlas, ..options };
        }
        let read = tokio::task::spawn_blocking(move || {
            // Taken before and after, so that a change in between is seen later.
            let (seen, _) = closure::read(&main, &options);
            let prints = Prints::take(seen);
            let (seen, bundle) = closure::read(&main, &options);
            (prints.with(seen), bundle)
        });
        // Others wrote the text that is searched for imports.
        read.await.unwrap_or_else(|error| {
            let path = file.display().to_string();
            (Prints::default(), Err(LoadError::Read { path, reason: error.to_string() }))
        })
    }

    /// Has a worker parse the program, unless it is what the route runs on already.
    async fn check(&self, route: &str, bundle: Bundle) -> Result<Arc<Program>, LoadError> {
        let known = self.routes().get(route).and_then(|slot| slot.program.clone());
        let program = Arc::new(Program { revision: bundle.revision(), bundle });
        if let Some(known) = known {
            if known.revision == program.revision {
                return Ok(known);
            }
            let mut lost = program.bundle.failed_imports();
            let before: BTreeSet<_> = known.bundle.failed_imports().collect();
            if let Some(message) = lost.find(|message| !before.contains(message)) {
                return Err(LoadError::Import(message.to_owned()));
            }
        }
        let lane = Arc::from(format!("load of {route}"));
        let lease = self.0.pool.lease(&lane, Bound::Unlimited).await;
        let mut lease = lease.map_err(LoadError::Unchecked)?;
        let timeout = self.0.options.timeout;
        match lease.run(&program, Job::Check, timeout, |revision| self.is_live(revision)).await {
            Ending::Answered(Reply { outcome: Ok(()), .. }, _) => Ok(program),
            Ending::Answered(Reply { outcome: Err(error), .. }, _) => {
                Err(LoadError::Invalid(error.text))
            }
            Ending::TimedOut => Err(LoadError::Unchecked(timed_out(timeout))),
            Ending::Died(error) => Err(LoadError::Unchecked(error)),
            Ending::NotStarted(error) => Err(LoadError::Unchecked(not_started(&error))),
        }
    }

    fn install(
        &self,
        route: &str,
        file: &Path,
        prints: Prints,
        checked: Result<Arc<Program>, LoadError>,
    ) -> Result<Revision, LoadError> {
        let mut routes = self.routes();
        let slot = routes.entry(route.into()).or_insert_with(|| Slot::new(file.to_owned()));
        file.clone_into(&mut slot.file);
        slot.prints = prints;
        match checked {
            Ok(program) => {
                slot.error = None;
                let revision = program.revision.clone();
                if slot.revision().as_ref() != Some(&revision) {
                    slot.program = Some(program);
                    slot.loaded_at = Some(self.0.options.clock.now());
                    slot.fence = Fence::default();
                    slot.warned.clear();
                    info!(route, %revision, file = %file.display(), "loaded hook");
                }
                Ok(revision)
            }
            Err(error) => {
                if slot.error.as_ref() != Some(&error) {
                    warn!(route, file = %file.display(), %error, "failed to load hook");
                }
                slot.error = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Counts a call and returns what it runs on.
    fn enter(&self, route: &str) -> Result<Entry, CallError> {
        let now = self.0.options.clock.now();
        let mut routes = self.routes();
        let Some(slot) = routes.get_mut(route) else {
            return Err(CallError::new(ErrorKind::Load, format!("no hook at route `{route}`")));
        };
        slot.calls += 1;
        if slot.fence.is_closed(now) {
            return Ok(Entry::Fenced);
        }
        match (&slot.program, &slot.error) {
            (Some(program), _) => Ok(Entry::Ready(Arc::clone(program))),
            (None, error) => {
                slot.failures += 1;
                let error = error.as_ref().map(LoadError::as_call_error);
                Err(error.unwrap_or_else(|| CallError::new(ErrorKind::Load, "not loaded")))
            }
        }
    }

    async fn evaluate(
        &self,
        route: &str,
        program: &Program,
        request: &[u8],
        timeout: Option<Duration>,
        form: Form,
    ) -> Result<Evaluated, CallError> {
        let timeout = timeout.unwrap_or(self.0.options.timeout);
        let mut lease = self.0.pool.lease(&route.into(), Bound::Limited).await?;
        let job = Job::Call { request, form };
        match lease.run(program, job, timeout, |revision| self.is_live(revision)).await {
            Ending::Answered(reply, json) => {
                self.report(route, program, &reply);
                reply.outcome?;
                let etag = hex(Sha256::digest(&json).get(..16).unwrap_or_default());
                Ok(Evaluated { json, revision: program.revision.clone(), etag })
            }
            Ending::TimedOut => Err(timed_out(timeout)),
            Ending::Died(error) => {
                let now = self.0.options.clock.now();
                self.update(route, |slot| slot.fence.note_death(now));
                Err(error)
            }
            Ending::NotStarted(error) => Err(not_started(&error)),
        }
    }

    /// Logs what the program traced and which arguments it does not declare.
    fn report(&self, route: &str, program: &Program, reply: &Reply) {
        for trace in &reply.traces {
            info!(route, place = trace.place, message = trace.message, "std.trace");
        }
        for name in &reply.undeclared {
            let mut first = false;
            self.update(route, |slot| first = slot.warned.insert(name.clone()));
            if first {
                let revision = &program.revision;
                warn!(route, %revision, argument = name, "the function does not declare an argument");
            }
        }
    }

    fn is_live(&self, revision: &Revision) -> bool {
        self.routes().values().any(|slot| slot.revision().as_ref() == Some(revision))
    }

    fn update(&self, route: &str, change: impl FnOnce(&mut Slot)) {
        if let Some(slot) = self.routes().get_mut(route) {
            change(slot);
        }
    }

    fn routes(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Slot>> {
        self.0.routes.lock().expect("the routes lock is never poisoned")
    }
}

impl Slot {
    fn new(file: PathBuf) -> Self {
        Self {
            file,
            program: None,
            loaded_at: None,
            error: None,
            prints: Prints::default(),
            fence: Fence::default(),
            warned: BTreeSet::new(),
            variables: None,
            listed: false,
            calls: 0,
            failures: 0,
        }
    }

    fn status(&self, route: &str, now: Timestamp) -> RouteStatus {
        RouteStatus {
            route: route.to_owned(),
            file: self.file.clone(),
            revision: self.revision(),
            loaded_at: self.loaded_at,
            error: self.error.clone(),
            calls: self.calls,
            failures: self.failures,
            fenced: self.fence.is_closed(now),
        }
    }

    fn revision(&self) -> Option<Revision> {
        self.program.as_ref().map(|program| program.revision.clone())
    }
}

fn timed_out(timeout: Duration) -> CallError {
    CallError::new(ErrorKind::Timeout, format!("hook timed out after {timeout:?}"))
}

fn not_started(error: &std::io::Error) -> CallError {
    CallError::new(ErrorKind::Runtime, format!("RUNTIME ERROR: cannot start a worker: {error}"))
}
