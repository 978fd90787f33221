//! Makes triggers do what they are for: routes calls by HTTP, makes calls by the clock, and tells in the status
//! of each trigger how it fares.
//!
//! What is made of a trigger is decided in the modules below, which are pure.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use api::{function, trigger};
use futures::future::join_all;
use k8s::{Object, ObjectKey, Resource, TimerKind, in_one_line};
use runtime::{Cache, Caches, Change, Client, EventKind, EventLimits, Events, Queue, Subscription};
use serde_json::{Map, Value, json};
use thiserror::Error;
use tokio::task::JoinHandle;
use tracing::warn;

pub use self::{
    caller::{CallError, call_function},
    cron::CALL_ARGUMENT,
};
use self::{cron::cron_jobs, status::Trouble, ticks::Runs};
use crate::{
    fleet::Fleet,
    function::Function,
    gateway::Routes,
    objects::Ports,
    writes::{self, WriteError},
};

mod caller;
mod cron;
mod firing;
mod http;
mod routing;
mod schedule;
mod status;
mod ticks;

/// The manager of the fields that are written here.
const MANAGER: &str = "windlass-functions";
/// How many triggers are worked on at once.
const WORKERS: usize = 2;
/// After how long a trigger is looked at again, as what routes by it may have changed unseen.
const RESYNC: Duration = Duration::from_mins(10);

/// Who does what triggers ask for.
#[derive(Clone, Debug)]
pub enum Means {
    /// This process: functions run here, and its gateway goes by these routes.
    Here(Fleet, Routes),
    /// A cluster: its gateways, and pods of this image.
    Cluster {
        /// The image with windlass itself.
        image: String,
    },
}

/// Works on triggers until it is dropped.
#[derive(Debug)]
pub struct Triggers {
    task: JoinHandle<()>,
}

/// The kinds of what is worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// A Function: what it has to do with triggers.
    Function,
    Http,
    CronJob,
    Kafka,
    Nats,
    Kinesis,
}

/// The kinds of triggers.
const TRIGGERS: [Kind; 5] = [Kind::Http, Kind::CronJob, Kind::Kafka, Kind::Nats, Kind::Kinesis];

/// What is worked on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Work(Kind, ObjectKey);

struct Shared {
    client: Client,
    means: Means,
    functions: Arc<Cache>,
    triggers: [Arc<Cache>; 5],
    ingresses: Arc<Cache>,
    /// The CronJobs, where a cluster makes calls.
    cron_jobs: Option<Arc<Cache>>,
    /// The Secrets, where the gateway is here.
    secrets: Option<Arc<Cache>>,
    events: Events,
    queue: Queue<Work>,
    runs: Mutex<HashMap<ObjectKey, Runs>>,
}

/// Why a trigger does not do what it is for.
#[derive(Debug, Error)]
enum Halt {
    /// Nothing helps before something else changes.
    #[error("{}", .0.1)]
    Trouble(Trouble),
    /// It may go better the next time.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Triggers {
    /// Starts to work on the triggers of an API server.
    pub fn start(client: &Client, means: Means) -> Self {
        let caches = Caches::new(client.clone());
        let is_here = matches!(means, Means::Here(..));
        let secrets = Resource::namespaced("v1", "Secret", "secrets");
        let shared = Arc::new(Shared {
            client: client.clone(),
            functions: caches.get(&function::resource()),
            triggers: TRIGGERS.map(|kind| caches.get(&kind.resource())),
            ingresses: caches.get(&http::ingresses()),
            cron_jobs: (!is_here).then(|| caches.get(&cron_jobs())),
            secrets: is_here.then(|| caches.get(&secrets)),
            events: Events::start(client, MANAGER, EventLimits::default()),
            queue: Queue::new("trigger", client.clock().clone(), client.activity().clone())
                .measured(client.metrics(), "triggers"),
            runs: Mutex::default(),
            means,
        });
        Self { task: tokio::spawn(shared.run()) }
    }
}

impl Drop for Triggers {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Kind {
    fn resource(self) -> Resource {
        match self {
            Self::Function => function::resource(),
            Self::Http => trigger::http(),
            Self::CronJob => trigger::cron_job(),
            Self::Kafka => trigger::kafka(),
            Self::Nats => trigger::nats(),
            Self::Kinesis => trigger::kinesis(),
        }
    }

    /// Returns the finalizer that Kubeless put on triggers of this kind; nobody else would take it off.
    fn finalizer(self) -> String {
        format!("kubeless.io/{}", self.resource().gvk.kind.to_lowercase())
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.resource().gvk.kind, self.1)
    }
}

impl Shared {
    async fn run(self: Arc<Self>) {
        let _subscriptions = self.follow();
        let others = [
            Some(&self.functions),
            Some(&self.ingresses),
            self.cron_jobs.as_ref(),
            self.secrets.as_ref(),
        ];
        for cache in others.into_iter().flatten().chain(&self.triggers) {
            // What cannot be listed is tried again, and seen later.
            let _ = cache.filled().await;
        }
        for object in self.functions.all() {
            self.queue.add(Work(Kind::Function, object.key()));
        }
        for (kind, cache) in TRIGGERS.into_iter().zip(&self.triggers) {
            cache.all().iter().for_each(|object| self.queue.add(Work(kind, object.key())));
        }
        join_all((0..WORKERS).map(|_| self.work())).await;
    }

    fn follow(self: &Arc<Self>) -> Vec<Subscription> {
        let own =
            TRIGGERS.into_iter().zip(&self.triggers).chain([(Kind::Function, &self.functions)]);
        let own = own.map(|(kind, cache)| {
            let queue = self.queue.clone();
            cache.subscribe(move |change: &Change| queue.add(Work(kind, change.latest().key())))
        });
        let made = [(Kind::Http, Some(&self.ingresses)), (Kind::CronJob, self.cron_jobs.as_ref())];
        let made = made.into_iter().filter_map(|(kind, cache)| Some((kind, cache?)));
        let made = made.map(|(kind, cache)| {
            let (queue, owner) = (self.queue.clone(), kind.resource().gvk.kind);
            let triggers = self.triggers_of(kind).cloned();
            cache.subscribe(move |change: &Change| {
                let meta = change.latest().meta();
                if let Some(own) = meta.controller().filter(|it| it.kind == owner) {
                    queue.add(Work(kind, ObjectKey::new(&meta.namespace, &own.name)));
                } else if let Some(triggers) = triggers.as_ref().filter(|_| change.new.is_none()) {
                    // It may have stood in somebody's way.
                    for trigger in triggers.in_namespace(&meta.namespace) {
                        queue.add(Work(kind, trigger.key()));
                    }
                }
            })
        });
        let secrets = self.secrets.iter().map(|cache| {
            let (queue, triggers) = (self.queue.clone(), Arc::clone(&self.triggers[0]));
            cache.subscribe(move |change: &Change| {
                let secret = change.latest().key();
                let using = triggers.in_namespace(&secret.namespace).into_iter().filter(|it| {
                    it.to_value().pointer("/spec/basic-auth-secret") == Some(&json!(secret.name))
                });
                using.for_each(|it| queue.add(Work(Kind::Http, it.key())));
            })
        });
        own.chain(made).chain(secrets).collect()
    }

    async fn work(self: &Arc<Self>) {
        while let Some(item) = self.queue.next().await {
            match self.sync(item.key()).await {
                Ok(()) => self.queue.forget(item.key()),
                Err(error) => {
                    warn!(trigger = %item.key(), error = in_one_line(&error), "failed to sync");
                    self.queue.add_failed(item.key().clone());
                }
            }
        }
    }

    async fn sync(self: &Arc<Self>, Work(kind, key): &Work) -> Result<(), WriteError> {
        let Some(cache) = self.triggers_of(*kind) else {
            return self.sync_function(key).await;
        };
        let object = cache.get(key);
        let Some(object) = object.filter(|object| !object.meta().is_deleting()) else {
            self.forget(*kind, key);
            return match cache.get(key) {
                Some(object) => {
                    let (resource, finalizer) = (kind.resource(), kind.finalizer());
                    writes::let_go(&self.client, &resource, &object, &finalizer).await
                }
                None => Ok(()),
            };
        };
        let again = self.client.clock().after(RESYNC);
        self.queue.add_at(Work(*kind, key.clone()), again, TimerKind::Periodic);
        match kind {
            Kind::Http => self.sync_http(&object).await,
            Kind::CronJob => self.sync_cron(&object).await,
            Kind::Kinesis => {
                let trouble = ("Unsupported", "calls by Kinesis are not supported".to_owned());
                self.tell(*kind, &object, Err(&trouble), Map::new()).await
            }
            Kind::Kafka | Kind::Nats | Kind::Function => {
                let trouble =
                    ("NotImplemented", "calls by messages are not supported yet".to_owned());
                self.tell(*kind, &object, Err(&trouble), Map::new()).await
            }
        }
    }

    fn triggers_of(&self, kind: Kind) -> Option<&Arc<Cache>> {
        let place = TRIGGERS.iter().position(|own| *own == kind);
        place.and_then(|place| self.triggers.get(place))
    }

    fn forget(&self, kind: Kind, key: &ObjectKey) {
        if let (Kind::Http, Means::Here(_, routes)) = (kind, &self.means) {
            routes.set_rule(key, None);
        }
        if kind == Kind::CronJob {
            self.runs().remove(key);
        }
    }

    /// Has the triggers of a Function synced, or deletes them where it is gone: Kubeless did so.
    async fn sync_function(&self, key: &ObjectKey) -> Result<(), WriteError> {
        let object = self.functions.get(key).filter(|object| !object.meta().is_deleting());
        if let Means::Here(_, routes) = &self.means {
            let function = object.as_ref().and_then(|object| Function::check(object).ok());
            let ports = function.and_then(|function| Ports::of(&function).ok());
            routes.set_port(key, ports.map(|ports| ports.service));
        }
        for (kind, cache) in TRIGGERS.into_iter().zip(&self.triggers).take(2) {
            let named = cache.in_namespace(&key.namespace).into_iter().filter(|trigger| {
                trigger.to_value().pointer("/spec/function-name") == Some(&json!(key.name))
            });
            for trigger in named {
                if object.is_some() {
                    self.queue.add(Work(kind, trigger.key()));
                    continue;
                }
                if self.delete(&kind.resource(), &trigger).await? {
                    let gone = format!("Function `{}` was deleted", key.name);
                    self.events.tell(&trigger, EventKind::Normal, "FunctionDeleted", gone);
                }
            }
        }
        Ok(())
    }

    /// Returns a Function and the port of its Service, or why there is none that could be called.
    fn function(&self, namespace: &str, name: &str) -> Result<(Function, u16), Trouble> {
        let object = self.functions.get(&ObjectKey::new(namespace, name));
        let missing = || ("FunctionNotFound", format!("there is no Function `{name}`"));
        let object = object.ok_or_else(missing)?;
        let function =
            Function::check(&object).map_err(|refusal| (refusal.reason(), refusal.to_string()))?;
        let ports = Ports::of(&function).map_err(|error| ("InvalidService", error.to_string()))?;
        Ok((function, ports.service))
    }

    /// Writes what is made of a trigger, unless others made an object of that name.
    async fn make(
        &self,
        trigger: &Object,
        (resource, wanted): (&Resource, &Value),
        made: Option<&Object>,
    ) -> Result<(), Halt> {
        let name = wanted.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let key = ObjectKey::new(&trigger.meta().namespace, name);
        let found = match made {
            Some(_) => None,
            // The cache may be behind, and an apply would take over what others made meanwhile.
            None => self.client.get(resource, &key).await.ok(),
        };
        if let Some(trouble) = conflict(trigger, made.or(found.as_ref())) {
            return Err(Halt::Trouble(trouble));
        }
        let written = self.client.apply(resource, &key, MANAGER, wanted.to_string()).await;
        written.map(|_| ()).map_err(|source| match source.code() {
            // Hosts, paths and schedules that the server, or a webhook of the gateway, does not take.
            Some(400 | 422) => Halt::Trouble(("InvalidSpec", source.to_string())),
            _ => WriteError { what: "what is made of a trigger", source }.into(),
        })
    }

    /// Deletes an object and returns whether it was there.
    async fn delete(&self, resource: &Resource, object: &Object) -> Result<bool, WriteError> {
        match self.client.delete(resource, &object.key(), &object.meta().uid).await {
            Err(error) if error.is_conflict() || error.is_not_found() => Ok(false),
            Err(source) => Err(WriteError { what: "the end of an object", source }),
            Ok(()) => Ok(true),
        }
    }

    /// Writes the status of a trigger: it is ready, with a remark, or in trouble.
    async fn tell(
        &self,
        kind: Kind,
        object: &Object,
        outcome: Result<&str, &Trouble>,
        own: Map<String, Value>,
    ) -> Result<(), WriteError> {
        let after = status::status(object, outcome, own, self.client.clock().now());
        let means = (&self.client, &self.events);
        writes::tell(means, &kind.resource(), object, &after).await.map(drop)
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<ObjectKey, Runs>> {
        self.runs.lock().expect("the lock of runs is never poisoned")
    }
}

/// Returns what stands in the way: an object of the wanted name that others made.
fn conflict(trigger: &Object, made: Option<&Object>) -> Option<Trouble> {
    let (label, ours) = function::CREATED_BY;
    let made = made.filter(|made| !is_owned(trigger, made))?;
    let is_ours = made.meta().labels.get(label).is_some_and(|by| by == ours);
    let text = || format!("Found a conflicting {} object {}", made.gvk().kind, made.key());
    (!is_ours).then(|| ("Conflict", text()))
}

fn is_owned(trigger: &Object, made: &Object) -> bool {
    made.meta().owner_references.iter().any(|owner| owner.uid == trigger.meta().uid)
}
