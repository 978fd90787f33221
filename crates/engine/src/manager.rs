//! Runs what the CompositeController and DecoratorController objects of an API server ask for.

use std::{collections::HashMap, sync::Arc, time::Duration};

use api::{
    Happening, Outcome, SharedHook, composite, decorator, definition,
    names::{self, reasons},
};
use futures::future::join_all;
use k8s::{Object, TimerKind, in_one_line, selector::Selector};
use runtime::{Applier, Cache, Caches, Change, Client, Discovery, EventKind, Events, Queue};
use thiserror::Error;
use tokio::{
    sync::Mutex,
    task::{JoinHandle, JoinSet},
};
use tracing::{info, warn};

use crate::{
    condition::{self, Verdict},
    context::{Context, Means},
    controller::{ControllerError, check},
    finalizers::Finalizers,
    instance::{self, Instance},
    meter,
    options::{EngineOptions, Workers},
    program::Watched,
    queue::Place,
    recorder::Recorder,
    release::release,
    strategy::StrategyError,
    types::{self, TypesError},
};

/// The engine: starts, restarts and stops controllers as their objects come, change and go.
///
/// It works until it is stopped. Clones share it.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

struct Shared {
    caches: Caches,
    /// Those of each kind; a place is one of them with its position here.
    controllers: [Arc<Cache>; 2],
    means: Means,
    workers: Workers,
    /// How often controllers that do not run are tried again.
    discovery: Duration,
    targets: Selector,
    queue: Queue<Place>,
    running: Mutex<HashMap<Place, Instance>>,
    /// What looks out for the programs of controllers that do not start without them.
    awaited: Mutex<HashMap<Place, Awaited>>,
    /// What takes the finalizers of deleted controllers off their parents.
    releases: Mutex<JoinSet<()>>,
    /// What starts and stops controllers.
    task: Mutex<Option<JoinHandle<()>>>,
    /// What is told of finalizers that nobody takes off.
    _finalizers: Arc<Finalizers>,
}

/// What calls for another try of a controller when its programs change.
struct Awaited {
    /// The UID and generation of the controller that asks for the programs.
    of: (String, i64),
    /// It ends when it is dropped.
    _task: JoinSet<()>,
}

/// How many controllers are started at once: one whose types are slow to list must not hold up the rest.
const STARTERS: usize = 4;

/// Why a controller does not run.
#[derive(Debug, Error)]
enum StartError {
    #[error(transparent)]
    Controller(#[from] ControllerError),
    #[error(transparent)]
    Types(#[from] TypesError),
    #[error(transparent)]
    Instance(#[from] instance::StartError),
}

impl StartError {
    /// Returns the reason of the event that tells it, and the reason of the condition.
    fn reasons(&self) -> (&'static str, &'static str) {
        match self {
            Self::Controller(error) => (reasons::CREATE_ERROR, error.reason()),
            Self::Types(error) => error.reasons(),
            Self::Instance(instance::StartError::List(_)) => {
                (reasons::CREATE_ERROR, reasons::RESOURCE_UNREADABLE)
            }
            Self::Instance(instance::StartError::Access(_)) => {
                (reasons::CREATE_ERROR, reasons::CREDENTIALS_UNRESOLVED)
            }
            Self::Instance(instance::StartError::Program(_)) => {
                (reasons::CREATE_ERROR, reasons::HOOKS_NOT_READY)
            }
        }
    }

    /// Returns what is noted in the controller.
    fn verdicts(&self, cause: &str) -> Vec<Verdict> {
        let mut verdicts = vec![Verdict::ready(false, self.reasons().1, cause)];
        let hooks = match self {
            Self::Controller(ControllerError::Program { .. }) => Some(reasons::INVALID_HOOK),
            Self::Instance(instance::StartError::Program(error)) => Some(error.reason()),
            _ => None,
        };
        verdicts.extend(hooks.map(|reason| Verdict::hooks_ready(false, reason, cause)));
        verdicts
    }
}

impl Engine {
    /// Starts the engine. It needs the resources of controllers to be served, now or later.
    ///
    /// # Errors
    ///
    /// [`StrategyError`] if the API server cannot do what the strategy needs.
    pub async fn start(client: &Client, options: EngineOptions) -> Result<Self, StrategyError> {
        let EngineOptions { hook, report, workers, targets, namespace, strategy, .. } = options;
        let client = &client.clone().with_managed_fields(options.managed_fields);
        strategy.check(client, &namespace).await?;
        let caches = Caches::new(client.clone());
        let controllers =
            [composite::resource(), decorator::resource()].map(|kind| caches.get(&kind));
        let means = Means {
            namespace,
            caches: caches.clone(),
            client: client.clone(),
            applier: Applier::new(client.clone()),
            discovery: Discovery::new(client.clone()).refreshed_every(options.discovery),
            events: Events::start(client, names::COMPONENT, options.events),
            hook,
            report,
            recorder: Recorder::new(options.record),
            flush: options.flush,
            strategy,
        };
        let (clock, activity) = (client.clock().clone(), client.activity().clone());
        let finalizers = Arc::new(Finalizers::new(controllers.clone(), caches.clone()));
        client.metrics().follow(&finalizers);
        let engine = Self(Arc::new(Shared {
            caches,
            controllers,
            means,
            workers,
            discovery: options.discovery,
            targets,
            queue: Queue::new("start of", clock, activity),
            running: Mutex::default(),
            awaited: Mutex::default(),
            releases: Mutex::default(),
            task: Mutex::default(),
            _finalizers: finalizers,
        }));
        let task = tokio::spawn(Arc::clone(&engine.0).run());
        *engine.0.task.try_lock().expect("nobody else has the engine yet") = Some(task);
        Ok(engine)
    }

    /// Syncs the parents whose hooks changed; `changed` tells it by URL.
    pub async fn hooks_changed(&self, changed: impl Fn(&str) -> bool) {
        for instance in self.0.running.lock().await.values() {
            instance.hooks_changed(&changed);
        }
    }

    /// Returns what every running controller works with, for each type of its parents.
    pub(crate) async fn contexts(&self) -> Vec<Arc<Context>> {
        let running = self.0.running.lock().await;
        running.values().flat_map(|instance| instance.contexts().iter().map(Arc::clone)).collect()
    }

    /// Returns the controller objects that are selected.
    pub(crate) fn objects(&self) -> Vec<Arc<Object>> {
        let objects = self.0.controllers.iter().flat_map(|cache| cache.all());
        objects.filter(|object| self.0.targets.matches(&object.meta().labels)).collect()
    }

    /// Returns what the controllers act through.
    pub(crate) fn means(&self) -> &Means {
        &self.0.means
    }

    /// Stops all controllers. Calls in flight are cancelled.
    pub async fn stop(&self) {
        self.0.queue.close();
        // A controller that is just being started must not come to life after the others have stopped.
        if let Some(task) = self.0.task.lock().await.take() {
            task.abort();
            // It ends cancelled, or has ended with the queue.
            let _ = task.await;
        }
        self.0.releases.lock().await.shutdown().await;
        let running: Vec<_> = self.0.running.lock().await.drain().collect();
        for (_, instance) in running {
            instance.stop().await;
        }
    }
}

impl Shared {
    async fn run(self: Arc<Self>) {
        let follow = |(position, cache): (usize, &Arc<Cache>)| {
            let queue = self.queue.clone();
            cache.subscribe(move |change: &Change| {
                if is_asked_anew(change) {
                    queue.add(Place { position, key: change.latest().key() });
                }
            })
        };
        let _controllers: Vec<_> = self.controllers.iter().enumerate().map(follow).collect();
        // A type that appears or changes may let a controller start that could not.
        let definitions = self.caches.get(&definition::definitions());
        let shared = Arc::downgrade(&self);
        let _definitions = definitions.subscribe(move |_| {
            if let Some(shared) = shared.upgrade() {
                shared.means.discovery.forget();
                shared.caches.retry();
                shared.look_at_all();
            }
        });
        self.look_at_all();
        tokio::select! {
            _ = join_all((0..STARTERS).map(|_| self.work())) => {}
            () = self.look_again() => {}
        }
    }

    /// Tries controllers again that do not run, for ever: not every resource that appears is one of a
    /// CustomResourceDefinition that could be watched.
    async fn look_again(&self) {
        let client = &self.means.client;
        let every = self.discovery.max(Duration::from_secs(1));
        loop {
            let (clock, at) = (client.clock(), client.clock().now() + every);
            let due =
                client.activity().sleep_until(clock.as_ref(), at, TimerKind::Periodic, "discovery");
            let token = due.await;
            let running = self.running.lock().await;
            for place in self.places().filter(|place| !running.contains_key(place)) {
                self.queue.add(place);
            }
            drop(token);
        }
    }

    fn look_at_all(&self) {
        self.places().for_each(|place| self.queue.add(place));
    }

    /// Returns where all controllers are, whether they are wanted or not.
    fn places(&self) -> impl Iterator<Item = Place> {
        self.controllers.iter().enumerate().flat_map(|(position, cache)| {
            let all = cache.all().into_iter();
            all.map(move |controller| Place { position, key: controller.key() })
        })
    }

    async fn work(&self) {
        while let Some(item) = self.queue.next().await {
            self.reconcile(item.key()).await;
        }
    }

    /// Makes what runs under a name equal to what the object of that name asks for.
    async fn reconcile(&self, place: &Place) {
        let is_wanted = |object: &Arc<Object>| {
            !object.meta().is_deleting() && self.targets.matches(&object.meta().labels)
        };
        let wanted = self.controllers[place.position].get(&place.key).filter(is_wanted);
        let running = self.running.lock().await.get(place).map(|running| {
            let (controller, types) = (running.controller(), running.types());
            (Arc::clone(controller), types.clone())
        });
        if let Some((controller, types)) = running {
            if let Some(wanted) = wanted.as_ref().filter(|wanted| is_same(wanted, &controller)) {
                match self.types(wanted).await {
                    Ok(found) if found == types => return self.queue.forget(place),
                    Err(StartError::Types(error)) if !error.is_missing() => {
                        warn!(controller = %place, %error, "failed to look its types up again");
                        return self.queue.add_failed(place.clone());
                    }
                    _ => {}
                }
            }
            self.stop(place, &controller, wanted.is_none()).await;
        }
        let Some(object) = wanted else {
            self.awaited.lock().await.remove(place);
            self.queue.forget(place);
            return;
        };
        match self.start(place, &object).await {
            Ok(instance) => {
                self.awaited.lock().await.remove(place);
                self.queue.forget(place);
                self.running.lock().await.insert(place.clone(), instance);
            }
            Err(error) => self.failed(place, &object, &error).await,
        }
    }

    /// Looks up the types of a controller as they are now.
    async fn types(&self, object: &Arc<Object>) -> Result<types::Types, StartError> {
        Ok(types::find(&check(object)?, &self.means.discovery).await?)
    }

    async fn stop(&self, place: &Place, object: &Object, for_good: bool) {
        self.tell(object, reasons::STOPPING, "Stopping controller");
        let running = self.running.lock().await.remove(place);
        if let Some(running) = running {
            let holds = running.controller_rules().hooks.finalize.is_some();
            let contexts = running.stop().await;
            let controllers = Arc::clone(&self.controllers[place.position]);
            let key = place.key.clone();
            let is_there =
                move || controllers.get(&key).is_some_and(|live| !live.meta().is_deleting());
            // One that is only no longer selected is somebody else's to run.
            if holds && !is_there() {
                self.releases.lock().await.spawn(release(contexts, is_there));
            }
        }
        self.tell(object, reasons::STOPPED, "Stopped controller");
        info!(controller = %place, "stopped");
        if for_good {
            let (kind, name) = (&object.gvk().kind, &object.meta().name);
            meter::forget(self.means.client.metrics(), kind, name);
            self.report(object, Outcome::Gone);
        }
    }

    async fn start(&self, place: &Place, object: &Arc<Object>) -> Result<Instance, StartError> {
        let controller = check(object)?;
        let types = types::find(&controller, &self.means.discovery).await?;
        self.tell(object, reasons::STARTING, "Starting controller");
        let instance = Instance::start(controller, types, self.means.clone(), self.workers).await?;
        self.tell(object, reasons::STARTED, "Started controller");
        info!(controller = object.meta().name, "started");
        self.note(place, object, &Verdict::running(instance.runs_programs())).await;
        // Only now are its programs loaded.
        let hooks = describe(instance.controller_rules(), &self.means.hook);
        self.report(object, Outcome::Done(hooks));
        Ok(instance)
    }

    /// Tries a controller again as soon as a text of its programs changes.
    async fn await_programs(&self, place: &Place, object: &Arc<Object>) {
        let of = (object.meta().uid.clone(), object.meta().generation);
        let mut awaited = self.awaited.lock().await;
        // What was followed from the first failure on must not be told anew as it is with every other.
        if awaited.get(place).is_some_and(|awaited| awaited.of == of) {
            return;
        }
        awaited.remove(place);
        let watched = check(object).ok().and_then(|it| Watched::new(&it.hooks, &self.means));
        let Some(watched) = watched else { return };
        let (queue, again) = (self.queue.clone(), place.clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            loop {
                watched.changed().await;
                queue.add(again.clone());
            }
        });
        awaited.insert(place.clone(), Awaited { of, _task: task });
    }

    async fn failed(&self, place: &Place, object: &Arc<Object>, error: &StartError) {
        let cause = in_one_line(error);
        warn!(controller = %place, error = cause, "failed to start");
        let (event, _) = error.reasons();
        self.means.events.tell(object, EventKind::Warning, event, &*cause);
        self.note(place, object, &error.verdicts(&cause)).await;
        self.report(object, Outcome::Failed(cause));
        if let StartError::Instance(instance::StartError::Program(_)) = error {
            self.await_programs(place, object).await;
        }
        // What is wrong with the object itself is mended by a change of the object alone.
        match error {
            StartError::Types(_) | StartError::Instance(_) => self.queue.add_failed(place.clone()),
            StartError::Controller(_) => self.queue.forget(place),
        }
    }

    async fn note(&self, place: &Place, object: &Object, verdicts: &[Verdict]) {
        let resource = self.controllers[place.position].resource();
        condition::note(&self.means.client, resource, object, verdicts).await;
    }

    fn tell(&self, object: &Object, reason: &str, text: &str) {
        let message = format!("{text}: {}", object.meta().name);
        self.means.events.tell(object, EventKind::Normal, reason, message);
    }

    fn report(&self, object: &Object, outcome: Outcome) {
        let (kind, name) = (object.gvk().clone(), object.meta().name.clone());
        self.means.report.report(Happening::Controller { kind, name, outcome });
    }
}

/// Tells whether a change of a controller is more than what is noted in it.
fn is_asked_anew(change: &Change) -> bool {
    let Some((old, new)) = change.old.as_ref().zip(change.new.as_ref()) else { return true };
    let (old_meta, new_meta) = (old.meta(), new.meta());
    old_meta.uid != new_meta.uid
        || old_meta.generation != new_meta.generation
        || old_meta.labels != new_meta.labels
}

/// Tells whether two versions of a controller object ask for the same.
fn is_same(a: &Object, b: &Object) -> bool {
    a.meta().uid == b.meta().uid && a.to_value().get("spec") == b.to_value().get("spec")
}

/// Says how the hooks of a controller are reached, for views.
fn describe(controller: &crate::Controller, hook: &SharedHook) -> String {
    let hooks = controller.hooks.all();
    let hooks: Vec<_> =
        hooks.map(|(name, webhook)| format!("{name} {}", hook.describe(&webhook.url))).collect();
    hooks.join(", ")
}
