//! Makes the objects of every Function what they should be, and tells in its status how it fares.

mod meter;
mod writer;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use api::{definition, function};
use futures::future::join_all;
use k8s::{Object, ObjectKey, Resource, SignedDuration, TimerKind, in_one_line};
use runtime::{Cache, Caches, Change, Client, EventKind, EventLimits, Events, Queue, Subscription};
use tokio::task::JoinHandle;
use tracing::warn;

use self::{meter::Meter, writer::Writer};
use crate::{
    choice::Offered,
    config::{self, Watched},
    interpreters::Interpreters,
    objects::Surroundings,
    plan::{Live, Plan, Seen, plan},
    runtimes::{Language, RuntimeName},
    status::{self, Observed},
    table::{Runtime, table},
    writes::{self, WriteError},
};

/// The manager of the fields that are written here.
const MANAGER: &str = "windlass-functions";
/// The finalizer that Kubeless put on Functions; nobody else would take it off.
const FINALIZER: &str = "kubeless.io/function";
/// How many Functions are worked on at once.
const WORKERS: usize = 4;
/// How long a Function rests before it is looked at again without a cause.
const RESYNC: SignedDuration = SignedDuration::from_mins(10);
/// The gap after the first failure, and the longest one.
const GAPS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(5));

/// Which versions of languages there are.
#[derive(Clone, Debug)]
pub enum Offer {
    /// Those that have an image.
    Images,
    /// Those that this machine can run.
    Machine(Arc<Interpreters>),
}

/// Is told of each Function whose calls are answered by another version from now on.
pub type Served = Arc<dyn Fn(&ObjectKey) + Send + Sync>;

/// How Functions are run.
#[derive(Clone)]
pub struct Options {
    /// Where their pods run.
    pub surroundings: Surroundings,
    /// Which versions of languages there are.
    pub offer: Offer,
    /// The variables that say where the configuration is and which images run single versions.
    pub environment: BTreeMap<String, String>,
    /// Who wants to know of new versions.
    pub served: Served,
}

/// Works on Functions until it is dropped.
#[derive(Debug)]
pub struct Functions {
    task: JoinHandle<()>,
}

struct Shared {
    client: Client,
    options: Options,
    functions: Arc<Cache>,
    pods: Arc<Cache>,
    /// The definition of Functions, whose annotations may say where the configuration is.
    definition: Arc<Cache>,
    made: Made,
    writer: Writer,
    events: Events,
    meter: Meter,
    queue: Queue<ObjectKey>,
    known: Mutex<Arc<Known>>,
    /// The version of each Function that answers.
    versions: Mutex<HashMap<ObjectKey, String>>,
}

/// The configuration, and all runtimes that there are under it.
#[derive(Clone, Default)]
struct Known {
    watched: Watched,
    table: Vec<Runtime>,
}

/// The objects of all Functions, and others of their types.
struct Made {
    config_maps: Arc<Cache>,
    services: Arc<Cache>,
    deployments: Arc<Cache>,
    autoscalers: Arc<Cache>,
}

impl Functions {
    /// Starts to work on the Functions of an API server.
    pub fn start(client: &Client, options: Options) -> Self {
        let caches = Caches::new(client.clone());
        let key = ObjectKey::new("", &format!("functions.{}", function::GROUP));
        let made = Made {
            config_maps: caches.get(&writer::config_maps()),
            services: caches.get(&writer::services()),
            deployments: caches.get(&writer::deployments()),
            autoscalers: caches.get(&writer::autoscalers()),
        };
        let events = Events::start(client, MANAGER, EventLimits::default());
        let queue = Queue::new("function", client.clock().clone(), client.activity().clone());
        let shared = Arc::new(Shared {
            client: client.clone(),
            options,
            functions: caches.get(&function::resource()),
            pods: caches.get(&Resource::namespaced("v1", "Pod", "pods")),
            definition: caches.get_one(&definition::definitions(), &key),
            made,
            writer: Writer::new(client),
            events,
            meter: Meter::new(client.metrics().clone()),
            queue: queue.with_gaps(GAPS.0, GAPS.1).measured(client.metrics(), "functions"),
            known: Mutex::default(),
            versions: Mutex::default(),
        });
        Self { task: tokio::spawn(shared.run()) }
    }
}

impl Drop for Functions {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Made {
    fn all(&self) -> [&Arc<Cache>; 4] {
        [&self.config_maps, &self.services, &self.deployments, &self.autoscalers]
    }

    fn live(&self, key: &ObjectKey) -> Live {
        Live {
            config_map: self.config_maps.get(key),
            service: self.services.get(key),
            deployment: self.deployments.get(key),
            autoscaler: self.autoscalers.get(key),
        }
    }
}

impl Shared {
    async fn run(self: Arc<Self>) {
        let _subscriptions: Vec<_> = self.follow();
        let own = [&self.functions, &self.pods, &self.definition];
        for cache in own.into_iter().chain(self.made.all()) {
            // What cannot be listed is tried again, and seen later.
            let _ = cache.filled().await;
        }
        self.add_all();
        tokio::join!(join_all((0..WORKERS).map(|_| self.work())), self.look_for_interpreters());
    }

    /// Works again on Functions that had nothing to run them whenever something new can.
    async fn look_for_interpreters(&self) {
        let Offer::Machine(interpreters) = &self.options.offer else { return };
        loop {
            interpreters.news().await;
            let waiting = self.functions.all().into_iter().filter(|it| status::waits(it));
            waiting.for_each(|function| self.queue.add(function.key()));
        }
    }

    fn follow(self: &Arc<Self>) -> Vec<Subscription> {
        let queue = self.queue.clone();
        let own = self.functions.subscribe(move |change: &Change| queue.add(change.latest().key()));
        let made = self.made.all().into_iter().chain([&self.pods]).map(|cache| {
            let shared = Arc::downgrade(self);
            cache.subscribe(move |change: &Change| {
                let Some(shared) = shared.upgrade() else { return };
                let latest = change.latest();
                // One that stands in the way has the name of a Function, but no label.
                shared.add(&latest.key());
                if let Some(name) = latest.meta().labels.get(function::LABEL) {
                    shared.add(&ObjectKey::new(&latest.meta().namespace, name));
                }
                if latest.gvk().kind == "ConfigMap" && latest.key() == shared.place() {
                    shared.add_all();
                }
            })
        });
        let shared = Arc::downgrade(self);
        let definition = self.definition.subscribe(move |_: &Change| {
            if let Some(shared) = shared.upgrade() {
                shared.add_all();
            }
        });
        made.chain([own, definition]).collect()
    }

    fn add(&self, key: &ObjectKey) {
        if self.functions.get(key).is_some() {
            self.queue.add(key.clone());
        }
    }

    fn add_all(&self) {
        self.functions.all().iter().for_each(|object| self.queue.add(object.key()));
    }

    async fn work(&self) {
        while let Some(item) = self.queue.next().await {
            let (key, start) = (item.key(), self.client.clock().now());
            let synced = self.sync(key).await;
            let now = self.client.clock().now();
            self.meter.synced(synced.is_ok(), now.duration_since(start));
            match synced {
                Ok(is_there) => {
                    self.queue.forget(key);
                    if is_there {
                        let again = now.checked_add(RESYNC).unwrap_or(now);
                        self.queue.add_at(key.clone(), again, TimerKind::Periodic);
                    }
                }
                Err(error) => {
                    warn!(function = %key, error = in_one_line(&error), "failed to sync");
                    self.queue.add_failed(key.clone());
                }
            }
        }
    }

    /// Works on one Function, and tells whether there is anything to come back to.
    async fn sync(&self, key: &ObjectKey) -> Result<bool, WriteError> {
        let Some(object) = self.functions.get(key) else {
            self.versions().remove(key);
            self.writer.forget(key);
            return Ok(false);
        };
        if object.meta().is_deleting() {
            let resource = function::resource();
            return writes::let_go(&self.client, &resource, &object, FINALIZER)
                .await
                .map(|()| false);
        }
        let known = self.known();
        let only = known.watched.config().namespace.as_ref();
        if only.is_some_and(|only| *only != key.namespace) {
            return Ok(false);
        }
        let live = self.made.live(key);
        let plan = self.plan(&object, &known, &live).await;
        if let Plan::Make(make) = &plan {
            let written = self.writer.write(&make.function, &make.objects, &live).await;
            if let Err(error) = written {
                if writer::is_refused(&error.source) {
                    // Only the API server knows what is wrong there, and only its user can mend it.
                    let message = in_one_line(&error);
                    self.events.tell(&object, EventKind::Warning, "WriteFailed", message);
                }
                return Err(error);
            }
            let is_new =
                object.to_value()["status"]["observedGeneration"] != object.meta().generation;
            if is_new && make.objects.autoscaler.is_some() && self.runs_here() {
                let message = "nothing scales by a HorizontalPodAutoscaler here";
                self.events.tell(&object, EventKind::Warning, "AutoscalingNotEnforced", message);
            }
        }
        self.tell(&object, &plan, &live).await.map(|()| true)
    }

    async fn plan(&self, object: &Object, known: &Known, live: &Live) -> Plan {
        let Options { offer, surroundings, .. } = &self.options;
        let Known { watched, table } = known;
        let mut found = Vec::new();
        let offered = match offer {
            Offer::Images => Offered::Images,
            Offer::Machine(interpreters) => {
                let name = object.to_value()["spec"]["runtime"].as_str().map(RuntimeName::parse);
                // Others than those of its language need not be asked for their versions.
                if let Some(name) = name.flatten()
                    && let Some(language) = Language::of_id(&name.id)
                {
                    found = interpreters.of(language, &name.version).await;
                }
                Offered::Machine(&found)
            }
        };
        plan(object, Seen { watched, table, offered, surroundings, live })
    }

    /// Returns whether processes of this machine are the pods, of which nobody measures the use.
    fn runs_here(&self) -> bool {
        self.options.surroundings.executor.is_some()
    }

    /// Returns where the configuration is.
    fn place(&self) -> ObjectKey {
        let definition = self.definition.all();
        config::place(&self.options.environment, definition.first().map(Arc::as_ref))
    }

    /// Returns the configuration as it is now, and tells of what means nothing there.
    fn known(&self) -> Arc<Known> {
        let object = self.made.config_maps.get(&self.place());
        let mut known = self.known.lock().expect("the lock of the configuration is never poisoned");
        if known.watched.is_of(object.as_deref()) {
            return Arc::clone(&known);
        }
        let mut watched = known.watched.clone();
        watched.read(object.as_deref());
        let table = table(&watched.config().runtimes, &self.options.environment);
        *known = Arc::new(Known { watched, table });
        if let Some(object) = &object {
            for fault in known.watched.faults() {
                let message = format!("`{}`: {}", fault.key, fault.error);
                self.events.tell(object, EventKind::Warning, "ConfigInvalid", message);
            }
            if known.watched.config().builds {
                let message = "images are not built; Functions run without";
                self.events.tell(object, EventKind::Warning, "BuildStepUnsupported", message);
            }
        }
        Arc::clone(&known)
    }

    /// Writes the status if it says something new, and tells of it by events.
    async fn tell(&self, object: &Object, plan: &Plan, live: &Live) -> Result<(), WriteError> {
        let key = object.key();
        let pods = self.pods.in_namespace(&key.namespace);
        let is_own = |pod: &Arc<Object>| pod.meta().labels.get(function::LABEL) == Some(&key.name);
        let observed = Observed {
            deployment: live.deployment.clone(),
            pods: pods.into_iter().filter(is_own).filter(|pod| !pod.meta().is_deleting()).collect(),
        };
        if let Plan::Make(make) = plan
            && status::is_served(&make.function, &observed)
        {
            self.note_version(&key, make.function.hash());
        }
        let after = status::status(object, plan, &observed, self.client.clock().now());
        let means = (&self.client, &self.events);
        let news = writes::tell(means, &function::resource(), object, &after).await?;
        let troubles = news.iter().filter(|news| news.is_trouble);
        troubles.for_each(|news| self.meter.failed(&news.reason));
        Ok(())
    }

    /// Says that a version of a Function answers, once.
    fn note_version(&self, key: &ObjectKey, hash: String) {
        let before = self.versions().insert(key.clone(), hash.clone());
        if before != Some(hash) {
            (self.options.served)(key);
        }
    }

    fn versions(&self) -> MutexGuard<'_, HashMap<ObjectKey, String>> {
        self.versions.lock().expect("the lock of versions is never poisoned")
    }
}
