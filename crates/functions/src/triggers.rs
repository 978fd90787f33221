//! Makes triggers do what they are for: routes calls by HTTP, makes calls by the clock, and tells in the status
//! of each trigger how it fares.
//!
//! What is made of a trigger is decided in the modules below, which are pure.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

use api::{function, trigger};
use futures::future::join_all;
use k8s::{Object, ObjectKey, Resource, TimerKind, Timestamp, in_one_line};
use runtime::{Cache, Caches, Change, Client, EventKind, EventLimits, Events, Queue, Subscription};
use serde_json::{Map, Value, json};
use tokio::task::{AbortHandle, JoinHandle};
use tracing::warn;

use self::{
    caller::Caller,
    cron::{Call, CronJobTrigger, cron_jobs},
    firing::{Past, decide},
    http::{Guard, HttpTrigger},
    status::{Calls, Trouble},
};
pub use self::{
    caller::{CallError, call_function},
    cron::CALL_ARGUMENT,
};
use crate::{
    fleet::Fleet,
    function::Function,
    gateway::{Routes, Rule, Users},
    objects::Ports,
    writes::{self, WriteError},
};

mod caller;
mod cron;
mod firing;
mod http;
mod schedule;
mod status;

/// The manager of the fields that are written here.
const MANAGER: &str = "windlass-functions";
/// How many triggers are worked on at once.
const WORKERS: usize = 2;

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

/// The calls that were made for one trigger.
#[derive(Debug, Default)]
struct Runs {
    uid: String,
    last: Option<Timestamp>,
    number: u64,
    active: Vec<(u64, AbortHandle)>,
    ended: Option<Result<(), String>>,
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
            queue: Queue::new("trigger", client.clock().clone(), client.activity().clone()),
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
            cache.subscribe(move |change: &Change| {
                let meta = change.latest().meta();
                if let Some(own) = meta.controller().filter(|it| it.kind == owner) {
                    queue.add(Work(kind, ObjectKey::new(&meta.namespace, &own.name)));
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
        let place = TRIGGERS.iter().position(|own| own == kind);
        let Some(cache) = place.and_then(|place| self.triggers.get(place)) else {
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
        match kind {
            Kind::Http => self.sync_http(&object).await,
            Kind::CronJob => self.sync_cron(&object).await,
            Kind::Kinesis => {
                let trouble = ("Unsupported", "calls by Kinesis are not supported".to_owned());
                self.tell(*kind, &object, Some(&trouble), Map::new()).await
            }
            Kind::Kafka | Kind::Nats | Kind::Function => {
                let trouble =
                    ("NotImplemented", "calls by messages are not supported yet".to_owned());
                self.tell(*kind, &object, Some(&trouble), Map::new()).await
            }
        }
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
                let gone = format!("Function `{}` was deleted", key.name);
                self.events.tell(&trigger, EventKind::Normal, "FunctionDeleted", gone);
                self.delete(&kind.resource(), &trigger).await?;
            }
        }
        Ok(())
    }

    async fn sync_http(&self, object: &Object) -> Result<(), WriteError> {
        let key = object.key();
        let guard = match &self.means {
            Means::Here(..) => Guard::Own,
            Means::Cluster { .. } => Guard::Cluster,
        };
        let found = HttpTrigger::check(object, guard)
            .map_err(|refusal| (refusal.reason(), refusal.to_string()))
            .and_then(|trigger| {
                let (_, port) = self.function(&key.namespace, &trigger.function)?;
                Ok((trigger, port))
            });
        let (trigger, port) = match found {
            Ok(found) => found,
            Err(trouble) => {
                self.forget(Kind::Http, &key);
                return self.tell(Kind::Http, object, Some(&trouble), routed_by(object)).await;
            }
        };
        let unlocked = self.route(&key, &trigger);
        let (resource, wanted) = trigger.made(port);
        let is_ingress = resource == http::ingresses();
        let made = is_ingress.then(|| self.ingresses.get(&key)).flatten();
        if let Some(trouble) = conflict(object, made.as_deref()) {
            return self.tell(Kind::Http, object, Some(&trouble), routed_by(object)).await;
        }
        let written = self.client.apply(&resource, &key, MANAGER, wanted.to_string()).await;
        if !is_ingress && written.as_ref().is_err_and(runtime::ApiError::is_not_found) {
            let trouble = ("Unsupported", "the cluster does not serve HTTPRoutes".to_owned());
            return self.tell(Kind::Http, object, Some(&trouble), routed_by(object)).await;
        }
        written.map_err(|source| WriteError { what: "the object that routes", source })?;
        self.remove_other(object, &resource).await?;
        let own = Map::from_iter([("routedBy".to_owned(), json!(resource.gvk.kind))]);
        self.tell(Kind::Http, object, unlocked.as_ref(), own).await
    }

    /// Has the gateway of this process go by a trigger; without the Secret that it names nobody is let in.
    fn route(&self, key: &ObjectKey, trigger: &HttpTrigger) -> Option<Trouble> {
        let (Means::Here(_, routes), Some(secrets)) = (&self.means, &self.secrets) else {
            return None;
        };
        let file = trigger.users.as_ref().map(|name| {
            let secret = secrets.get(&ObjectKey::new(&key.namespace, name));
            secret.and_then(|secret| auth_file(&secret)).ok_or(name)
        });
        let trouble = file.as_ref().and_then(|file| file.as_ref().err()).map(|name| {
            ("SecretNotFound", format!("there is no Secret `{name}` with a key `auth`"))
        });
        let rule = Rule {
            host: trigger.host.clone(),
            path: trigger.path.clone(),
            function: ObjectKey::new(&key.namespace, &trigger.function),
            users: file.map(|file| Arc::new(Users::parse(&file.unwrap_or_default()))),
            cors: trigger.cors,
        };
        routes.set_rule(key, Some(rule));
        trouble
    }

    /// Removes the object that routed before, if it was one of another kind.
    async fn remove_other(&self, object: &Object, now: &Resource) -> Result<(), WriteError> {
        let before = routed_by(object);
        let other = [http::ingresses(), http::routes()].into_iter().find(|resource| {
            resource != now && before.get("routedBy") == Some(&json!(resource.gvk.kind))
        });
        let Some(other) = other else { return Ok(()) };
        match self.client.get(&other, &object.key()).await {
            Ok(old) if is_owned(object, &old) => self.delete(&other, &old).await,
            Err(error) if !error.is_not_found() => {
                Err(WriteError { what: "the object that routed", source: error })
            }
            _ => Ok(()),
        }
    }

    async fn sync_cron(self: &Arc<Self>, object: &Object) -> Result<(), WriteError> {
        let namespace = &object.meta().namespace;
        let found = CronJobTrigger::check(object)
            .map_err(|refusal| (refusal.reason(), refusal.to_string()))
            .and_then(|trigger| {
                let (function, port) = self.function(namespace, &trigger.function)?;
                Ok((trigger, function, port))
            });
        let (trigger, function, port) = match found {
            Ok(found) => found,
            Err(trouble) => {
                let last = Calls::last_of(object);
                let calls = Calls { last, ..Calls::default() };
                return self
                    .tell(Kind::CronJob, object, Some(&trouble), calls.fields(object))
                    .await;
            }
        };
        let call = trigger.call(&function, port);
        match &self.means {
            Means::Here(fleet, _) => {
                self.fire(object, &trigger, (&Caller::Fleet(fleet.clone()), call)).await
            }
            Means::Cluster { .. } if trigger.is_direct => {
                self.remove_cron_job(object, &trigger.name()).await?;
                self.fire(object, &trigger, (&Caller::Network, call)).await
            }
            Means::Cluster { image } => {
                let wanted = trigger.cron_job(&function, port, image);
                self.apply_cron_job(object, &trigger, &wanted).await
            }
        }
    }

    /// Makes the call that is due, if any, and looks again when the next one is.
    async fn fire(
        self: &Arc<Self>,
        object: &Object,
        trigger: &CronJobTrigger,
        (caller, call): (&Caller, Call),
    ) -> Result<(), WriteError> {
        let (key, now) = (object.key(), self.client.clock().now());
        let created = object.meta().creation_timestamp.as_deref();
        let created = created.and_then(|text| text.parse().ok()).unwrap_or(now);
        let calls = {
            let mut all = self.runs();
            let runs = all.entry(key.clone()).or_default();
            if runs.uid != object.meta().uid {
                *runs = Runs { uid: object.meta().uid.clone(), ..Runs::default() };
            }
            // What the cache says may be older than the last call.
            runs.last = runs.last.max(Calls::last_of(object));
            let past = Past { created, last: runs.last, is_busy: !runs.active.is_empty() };
            let firing = decide(trigger, past, now);
            if firing.replaces {
                runs.active.drain(..).for_each(|(_, task)| task.abort());
            }
            if let Some(due) = firing.due {
                runs.last = Some(due);
                let function = ObjectKey::new(&key.namespace, &trigger.function);
                self.start(runs, &key, (caller.clone(), function, call));
            }
            if let Some(next) = firing.next {
                self.queue.add_at(Work(Kind::CronJob, key.clone()), next, TimerKind::Periodic);
            }
            Calls { last: runs.last, ended: runs.ended.clone(), next: firing.next }
        };
        self.tell(Kind::CronJob, object, None, calls.fields(object)).await
    }

    fn start(
        self: &Arc<Self>,
        runs: &mut Runs,
        key: &ObjectKey,
        (caller, function, call): (Caller, ObjectKey, Call),
    ) {
        runs.number += 1;
        let (shared, key, number) = (Arc::clone(self), key.clone(), runs.number);
        let token = self.client.activity().hold(format!("call of {function} by the clock"));
        let task = tokio::spawn(async move {
            let outcome = caller.call(&function, &call, shared.client.clock().as_ref()).await;
            let outcome = outcome.map_err(|error| in_one_line(&error));
            if let Some(runs) = shared.runs().get_mut(&key) {
                let before = runs.active.len();
                runs.active.retain(|(active, _)| *active != number);
                // One that was replaced has nothing to say any more.
                if runs.active.len() < before {
                    runs.ended = Some(outcome.clone());
                }
            }
            if let (Err(why), Some(trigger)) = (outcome, shared.triggers[1].get(&key)) {
                shared.events.tell(&trigger, EventKind::Warning, "CallFailed", why);
            }
            shared.queue.add(Work(Kind::CronJob, key));
            drop(token);
        });
        runs.active.push((number, task.abort_handle()));
    }

    async fn apply_cron_job(
        &self,
        object: &Object,
        trigger: &CronJobTrigger,
        wanted: &Value,
    ) -> Result<(), WriteError> {
        let key = ObjectKey::new(&object.meta().namespace, &trigger.name());
        let made = self.cron_jobs.as_ref().and_then(|cache| cache.get(&key));
        if let Some(trouble) = conflict(object, made.as_deref()) {
            return self.tell(Kind::CronJob, object, Some(&trouble), Map::new()).await;
        }
        let written = self.client.apply(&cron_jobs(), &key, MANAGER, wanted.to_string()).await;
        written.map_err(|source| WriteError { what: "the CronJob", source })?;
        if trigger.old_name() != trigger.name() {
            self.remove_cron_job(object, &trigger.old_name()).await?;
        }
        let now = self.client.clock().now();
        let next = Some(trigger).filter(|trigger| !trigger.suspend);
        let next = next.and_then(|trigger| trigger.schedule.next(now, now));
        let calls = Calls::of_cron_job(made.as_deref(), next);
        self.tell(Kind::CronJob, object, None, calls.fields(object)).await
    }

    /// Removes a CronJob that was made for this trigger and is not needed any more.
    async fn remove_cron_job(&self, object: &Object, name: &str) -> Result<(), WriteError> {
        let key = ObjectKey::new(&object.meta().namespace, name);
        match self.cron_jobs.as_ref().and_then(|cache| cache.get(&key)) {
            Some(old) if is_owned(object, &old) => self.delete(&cron_jobs(), &old).await,
            _ => Ok(()),
        }
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

    async fn delete(&self, resource: &Resource, object: &Object) -> Result<(), WriteError> {
        match self.client.delete(resource, &object.key(), &object.meta().uid).await {
            Err(error) if error.is_conflict() || error.is_not_found() => Ok(()),
            other => other.map_err(|source| WriteError { what: "the end of an object", source }),
        }
    }

    async fn tell(
        &self,
        kind: Kind,
        object: &Object,
        trouble: Option<&Trouble>,
        own: Map<String, Value>,
    ) -> Result<(), WriteError> {
        let after = status::status(object, trouble, own, self.client.clock().now());
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

/// Returns the kind of object that routes, as the status says.
fn routed_by(object: &Object) -> Map<String, Value> {
    let kind = object.to_value().pointer("/status/routedBy").cloned();
    kind.map(|kind| ("routedBy".to_owned(), kind)).into_iter().collect()
}

/// Returns the file of passwords that a Secret holds.
fn auth_file(secret: &Object) -> Option<String> {
    let value = secret.to_value();
    let bytes = crate::content::decode_base64(value.pointer("/data/auth")?.as_str()?).ok()?;
    String::from_utf8(bytes).ok()
}
