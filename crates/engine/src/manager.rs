//! Runs what the CompositeController objects of an API server ask for.

use std::{collections::HashMap, sync::Arc};

use api::{
    Happening, Outcome, SharedHook, SharedReport, composite,
    names::{self, conditions, reasons},
};
use k8s::{Object, ObjectKey, Resource, Timestamp, in_one_line, selector::Selector};
use runtime::{
    ApiError, Applier, Caches, Change, Client, Discovery, EventKind, Events, Part, Queue,
};
use serde_json::{Value, json};
use thiserror::Error;
use tokio::sync::{Mutex, watch};
use tracing::{info, warn};

use crate::{
    context::Means,
    controller::{ControllerError, check},
    instance::Instance,
    types::{self, TypesError},
};

/// How the engine works.
#[derive(Clone)]
pub struct EngineOptions {
    /// How hooks are called.
    pub hook: SharedHook,
    /// Who is told what happens.
    pub report: SharedReport,
    /// How many parents of one controller are synced at once.
    pub workers: usize,
    /// The labels of the controller objects that are run; others are left alone.
    pub targets: Selector,
}

/// The engine: starts, restarts and stops controllers as their objects come, change and go.
///
/// It works until it is dropped or stopped. Clones share it.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

struct Shared {
    caches: Caches,
    controllers: Arc<runtime::Cache>,
    means: Means,
    workers: usize,
    targets: Selector,
    queue: Queue<ObjectKey>,
    running: Mutex<HashMap<ObjectKey, Instance>>,
    stopped: watch::Sender<bool>,
}

/// Why a controller does not run.
#[derive(Debug, Error)]
enum StartError {
    #[error(transparent)]
    Controller(#[from] ControllerError),
    #[error(transparent)]
    Types(#[from] TypesError),
}

impl StartError {
    /// Returns the reason of the event that tells it, and the reason of the condition.
    fn reasons(&self) -> (&'static str, &'static str) {
        match self {
            Self::Controller(error) => (reasons::CREATE_ERROR, error.reason()),
            Self::Types(error) => error.reasons(),
        }
    }
}

impl Engine {
    /// Starts the engine. It needs the CompositeController resource to be served, now or later.
    pub fn start(client: &Client, options: EngineOptions) -> Self {
        let EngineOptions { hook, report, workers, targets } = options;
        let caches = Caches::new(client.clone());
        let controllers = caches.get(&composite::resource());
        let means = Means {
            client: client.clone(),
            applier: Applier::new(client.clone()),
            discovery: Discovery::new(client.clone()),
            events: Events::start(client, names::COMPONENT),
            hook,
            report,
        };
        let (clock, activity) = (client.clock().clone(), client.activity().clone());
        let engine = Self(Arc::new(Shared {
            caches,
            controllers,
            means,
            workers: workers.max(1),
            targets,
            queue: Queue::new("start of", clock, activity),
            running: Mutex::default(),
            stopped: watch::Sender::new(false),
        }));
        tokio::spawn(Arc::clone(&engine.0).run());
        engine
    }

    /// Syncs the parents whose hooks changed; `changed` tells it by URL.
    pub async fn hooks_changed(&self, changed: impl Fn(&str) -> bool) {
        for instance in self.0.running.lock().await.values() {
            instance.hooks_changed(&changed);
        }
    }

    /// Stops all controllers. Calls in flight are cancelled.
    pub async fn stop(&self) {
        self.0.stopped.send_replace(true);
        self.0.queue.close();
        let running: Vec<_> = self.0.running.lock().await.drain().collect();
        for (_, instance) in running {
            instance.stop().await;
        }
    }
}

impl Shared {
    async fn run(self: Arc<Self>) {
        let queue = self.queue.clone();
        let _subscription = self.controllers.subscribe(move |change: &Change| {
            let only_noted =
                change.old.as_ref().zip(change.new.as_ref()).is_some_and(|(old, new)| {
                    old.meta().uid == new.meta().uid
                        && old.meta().generation == new.meta().generation
                });
            if !only_noted {
                queue.add(change.latest().key());
            }
        });
        // A type that appears or changes may let a controller start that could not.
        let definitions = self.caches.get(&definitions());
        let (queue, controllers) = (self.queue.clone(), Arc::clone(&self.controllers));
        let discovery = self.means.discovery.clone();
        let _definitions = definitions.subscribe(move |_| {
            discovery.forget();
            for controller in controllers.all() {
                queue.add(controller.key());
            }
        });
        self.controllers.filled().await;
        for controller in self.controllers.all() {
            self.queue.add(controller.key());
        }
        while let Some(item) = self.queue.next().await {
            self.reconcile(item.key()).await;
        }
    }

    /// Makes what runs under a name equal to what the object of that name asks for.
    async fn reconcile(&self, key: &ObjectKey) {
        let is_wanted = |object: &Arc<Object>| {
            !object.meta().is_deleting() && self.targets.matches(&object.meta().labels)
        };
        let wanted = self.controllers.get(key).filter(is_wanted);
        let running = self.running.lock().await.remove(key);
        if let Some(running) = running {
            let same = wanted.as_ref().is_some_and(|wanted| is_same(wanted, running.controller()));
            if same && self.types_are_there(wanted.as_ref()).await {
                self.running.lock().await.insert(key.clone(), running);
                return;
            }
            let old = Arc::clone(running.controller());
            self.tell(&old, reasons::STOPPING, "Stopping controller");
            running.stop().await;
            self.tell(&old, reasons::STOPPED, "Stopped controller");
            info!(controller = %key, "stopped");
            if wanted.is_none() {
                self.report(&old, Outcome::Gone);
            }
        }
        let Some(object) = wanted else {
            self.queue.forget(key);
            return;
        };
        match self.start(&object).await {
            Ok(instance) => {
                self.queue.forget(key);
                self.running.lock().await.insert(key.clone(), instance);
            }
            Err(error) => self.failed(key, &object, &error).await,
        }
    }

    /// Tells whether the types of a controller that runs are still served.
    async fn types_are_there(&self, object: Option<&Arc<Object>>) -> bool {
        let Some(Ok(controller)) = object.map(check) else { return false };
        types::find(&controller, &self.means.discovery).await.is_ok()
    }

    async fn start(&self, object: &Arc<Object>) -> Result<Instance, StartError> {
        let controller = check(object)?;
        let types = types::find(&controller, &self.means.discovery).await?;
        self.tell(object, reasons::STARTING, "Starting controller");
        let hooks = describe(&controller, &self.means.hook);
        let instance =
            Instance::start(controller, types, &self.caches, self.means.clone(), self.workers)
                .await;
        self.tell(object, reasons::STARTED, "Started controller");
        info!(controller = object.meta().name, "started");
        self.note(object, true, reasons::RUNNING, "").await;
        self.report(object, Outcome::Done(hooks));
        Ok(instance)
    }

    async fn failed(&self, key: &ObjectKey, object: &Object, error: &StartError) {
        let cause = in_one_line(error);
        warn!(controller = %key, error = cause, "failed to start");
        let (event, condition) = error.reasons();
        self.means.events.tell(object, EventKind::Warning, event, &*cause);
        self.note(object, false, condition, &cause).await;
        self.report(object, Outcome::Failed(cause));
        // What is wrong with the object itself is mended by a change of the object alone.
        if let StartError::Types(_) = error {
            self.queue.add_failed(key.clone());
        }
    }

    fn tell(&self, object: &Object, reason: &str, text: &str) {
        let message = format!("{text}: {}", object.meta().name);
        self.means.events.tell(object, EventKind::Normal, reason, message);
    }

    fn report(&self, object: &Object, outcome: Outcome) {
        let (kind, name) = (object.gvk().clone(), object.meta().name.clone());
        self.means.report.report(Happening::Controller { kind, name, outcome });
    }

    /// Writes the condition `Ready` of a controller, where its resource has a status.
    async fn note(&self, object: &Object, ready: bool, reason: &str, message: &str) {
        let (client, resource) = (&self.means.client, composite::resource());
        let now = client.clock().now();
        let result: Result<(), ApiError> = async {
            let live = client.get(&resource, &object.key()).await?;
            let Some(value) = with_condition(&live, ready, reason, message, now) else {
                return Ok(());
            };
            client.update(&resource, &object.key(), Part::Status, value.to_string()).await?;
            Ok(())
        }
        .await;
        if let Err(error) =
            result.or_else(|error| if error.is_not_found() { Ok(()) } else { Err(error) })
        {
            warn!(controller = object.meta().name, %error, "failed to write a status");
        }
    }
}

fn definitions() -> Resource {
    let api_version = "apiextensions.k8s.io/v1";
    Resource::cluster(api_version, "CustomResourceDefinition", "customresourcedefinitions")
}

/// Tells whether two versions of a controller object ask for the same.
fn is_same(a: &Object, b: &Object) -> bool {
    a.meta().uid == b.meta().uid && a.to_value().get("spec") == b.to_value().get("spec")
}

/// Says how the hooks of a controller are reached, for views.
fn describe(controller: &crate::Controller, hook: &SharedHook) -> String {
    let hooks = [("sync", &controller.sync), ("finalize", &controller.finalize)];
    let hooks = hooks.into_iter().filter_map(|(name, webhook)| Some((name, webhook.as_ref()?)));
    let hooks: Vec<_> =
        hooks.map(|(name, webhook)| format!("{name} {}", hook.describe(&webhook.url))).collect();
    hooks.join(", ")
}

/// Returns a controller with its condition `Ready` set, or nothing if it is so already.
fn with_condition(
    controller: &Object,
    ready: bool,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Option<Value> {
    let mut value = controller.to_value();
    let generation = controller.meta().generation;
    let status = if ready { "True" } else { "False" };
    let mut conditions: Vec<Value> =
        value.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let old = conditions.iter().position(|condition| condition["type"] == conditions::READY);
    let old = old.map(|position| conditions.remove(position));
    let since = old
        .as_ref()
        .filter(|old| old["status"] == status)
        .and_then(|old| old["lastTransitionTime"].as_str())
        .map_or_else(|| now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), ToOwned::to_owned);
    let condition = json!({
        "type": conditions::READY, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": since, "observedGeneration": generation});
    if old.as_ref() == Some(&condition) {
        return None;
    }
    conditions.push(condition);
    value["status"] = json!({"observedGeneration": generation, "conditions": conditions});
    Some(value)
}
