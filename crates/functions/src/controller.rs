//! Makes the objects of every Function what they should be, and tells in its status how it fares.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use api::function;
use futures::future::join_all;
use k8s::{Object, ObjectKey, Resource, in_one_line};
use runtime::{Cache, Caches, Change, Client, EventLimits, Events, Queue, Subscription};
use tokio::task::JoinHandle;
use tracing::warn;

use crate::{
    function::Function,
    interpreters::Interpreters,
    objects::{Choice, Objects, Surroundings, objects},
    runtimes::{Language, Policy, Resolved, Version, resolve},
    status::{self, Observed, Verdict},
    writes::{self, WriteError},
};

/// The manager of the fields that are written here.
const MANAGER: &str = "windlass-functions";
/// How many Functions are worked on at once.
const WORKERS: usize = 4;
/// The finalizer that Kubeless put on Functions; nobody else would take it off.
const FINALIZER: &str = "kubeless.io/function";

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
    /// Whether other versions than those asked for will do.
    pub policy: Policy,
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
    deployments: Arc<Cache>,
    pods: Arc<Cache>,
    /// Those whose changes and disappearance matter, besides the ones above.
    others: [Arc<Cache>; 2],
    events: Events,
    queue: Queue<ObjectKey>,
    /// The version of each Function that answers.
    versions: Mutex<HashMap<ObjectKey, String>>,
}

impl Functions {
    /// Starts to work on the Functions of an API server.
    pub fn start(client: &Client, options: Options) -> Self {
        let caches = Caches::new(client.clone());
        let shared = Arc::new(Shared {
            client: client.clone(),
            options,
            functions: caches.get(&function::resource()),
            deployments: caches.get(&deployments()),
            pods: caches.get(&Resource::namespaced("v1", "Pod", "pods")),
            others: [caches.get(&config_maps()), caches.get(&services())],
            events: Events::start(client, MANAGER, EventLimits::default()),
            queue: Queue::new("function", client.clock().clone(), client.activity().clone()),
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

impl Shared {
    async fn run(self: Arc<Self>) {
        let _subscriptions: Vec<_> = self.follow();
        for cache in
            [&self.functions, &self.deployments, &self.pods].into_iter().chain(&self.others)
        {
            // What cannot be listed is tried again, and seen later.
            let _ = cache.filled().await;
        }
        self.functions.all().iter().for_each(|object| self.queue.add(object.key()));
        join_all((0..WORKERS).map(|_| self.work())).await;
    }

    fn follow(&self) -> Vec<Subscription> {
        let queue = self.queue.clone();
        let own = self.functions.subscribe(move |change: &Change| queue.add(change.latest().key()));
        let made = [&self.deployments, &self.pods].into_iter().chain(&self.others).map(|cache| {
            let queue = self.queue.clone();
            cache.subscribe(move |change: &Change| {
                let latest = change.latest();
                if let Some(name) = latest.meta().labels.get(function::LABEL) {
                    queue.add(ObjectKey::new(&latest.meta().namespace, name));
                }
            })
        });
        made.chain([own]).collect()
    }

    async fn work(&self) {
        while let Some(item) = self.queue.next().await {
            match self.sync(item.key()).await {
                Ok(()) => self.queue.forget(item.key()),
                Err(error) => {
                    warn!(function = %item.key(), error = in_one_line(&error), "failed to sync");
                    self.queue.add_failed(item.key().clone());
                }
            }
        }
    }

    /// Works on one Function.
    async fn sync(&self, key: &ObjectKey) -> Result<(), WriteError> {
        let Some(object) = self.functions.get(key) else {
            self.versions.lock().expect("the lock of versions is never poisoned").remove(key);
            return Ok(());
        };
        if object.meta().is_deleting() {
            return writes::let_go(&self.client, &function::resource(), &object, FINALIZER).await;
        }
        let function = match Function::check(&object) {
            Ok(function) => function,
            Err(refusal) => {
                let verdict =
                    Verdict::Refused { reason: refusal.reason(), message: &refusal.to_string() };
                return self.tell(&object, &verdict).await;
            }
        };
        let choice = match self.choose(&function).await {
            Ok(choice) => choice,
            Err((is_refused, reason, message)) => {
                let (reason, message) = (reason, message.as_str());
                let verdict = if is_refused {
                    Verdict::Refused { reason, message }
                } else {
                    Verdict::Unavailable { function: &function, reason, message }
                };
                return self.tell(&object, &verdict).await;
            }
        };
        let (language, resolved) = choice.unzip();
        let choice =
            language.zip(resolved.as_ref()).map(|(language, resolved): (Language, &Resolved)| {
                Choice { language, version: resolved.version.clone() }
            });
        let made = match objects(&function, choice.as_ref(), &self.options.surroundings) {
            Ok(made) => made,
            Err(error) => {
                let verdict =
                    Verdict::Refused { reason: "InvalidService", message: &error.to_string() };
                return self.tell(&object, &verdict).await;
            }
        };
        let ports = made.ports;
        if let Some(message) = self.conflict(&object) {
            return self
                .tell(&object, &Verdict::Refused { reason: "Conflict", message: &message })
                .await;
        }
        self.write(key, &made).await?;
        let verdict = Verdict::Accepted { function: &function, resolved: resolved.as_ref(), ports };
        self.tell(&object, &verdict).await
    }

    /// Chooses what runs a Function; an error says whether it is refused, why and how.
    async fn choose(
        &self,
        function: &Function,
    ) -> Result<Option<(Language, Resolved)>, (bool, &'static str, String)> {
        let Some(wanted) = function.runtime.as_ref().filter(|_| function.image().is_none()) else {
            return Ok(None);
        };
        let text = &function.texts.runtime;
        let Some(language) = Language::of_id(&wanted.id) else {
            return Err((true, "UnknownRuntime", format!("runtime `{text}` is unknown")));
        };
        let policy = function.policy.unwrap_or(self.options.policy);
        let found = resolve(&wanted.version, &self.offered(language).await, policy);
        let message =
            || format!("runtime `{text}` is not there, and no other version is to be used instead");
        found
            .map(|found| Some((language, found)))
            .ok_or_else(|| (false, "RuntimeUnavailable", message()))
    }

    async fn offered(&self, language: Language) -> Vec<Version> {
        match &self.options.offer {
            Offer::Images if language.facts().versions.is_empty() => vec![Version::default()],
            Offer::Images => {
                language.facts().versions.iter().filter_map(|it| Version::parse(it)).collect()
            }
            Offer::Machine(interpreters) => {
                interpreters.of(language).await.into_iter().map(|it| it.version).collect()
            }
        }
    }

    /// Returns what stands in the way: an object of the Function's name that others made.
    fn conflict(&self, object: &Object) -> Option<String> {
        let (label, ours) = function::CREATED_BY;
        let key = object.key();
        let caches = [&self.deployments].into_iter().chain(&self.others);
        let found = caches.filter_map(|cache| cache.get(&key));
        let mut foreign =
            found.filter(|it| it.meta().labels.get(label).is_none_or(|by| by != ours));
        foreign.next().map(|it| format!("Found a conflicting {} object {key}", it.gvk().kind))
    }

    async fn write(&self, key: &ObjectKey, made: &Objects) -> Result<(), WriteError> {
        // The program is there before what runs it.
        for (what, resource, wanted) in [
            ("the ConfigMap", config_maps(), &made.config_map),
            ("the Service", services(), &made.service),
            ("the Deployment", deployments(), &made.deployment),
        ] {
            let written = self.client.apply(&resource, key, MANAGER, wanted.to_string()).await;
            written.map_err(|source| WriteError { what, source })?;
        }
        Ok(())
    }

    /// Writes the status if it says something new, and tells of it by events.
    async fn tell(&self, object: &Object, verdict: &Verdict<'_>) -> Result<(), WriteError> {
        let key = object.key();
        let pods = self.pods.in_namespace(&key.namespace);
        let is_own = |pod: &Arc<Object>| pod.meta().labels.get(function::LABEL) == Some(&key.name);
        let observed = Observed {
            deployment: self.deployments.get(&key),
            pods: pods.into_iter().filter(is_own).filter(|pod| !pod.meta().is_deleting()).collect(),
        };
        if let Verdict::Accepted { function, .. } = verdict
            && status::is_served(function, &observed)
        {
            self.note_version(&key, function.hash());
        }
        let after = status::status(object, verdict, &observed, self.client.clock().now());
        let means = (&self.client, &self.events);
        writes::tell(means, &function::resource(), object, &after).await
    }

    /// Says that a version of a Function answers, once.
    fn note_version(&self, key: &ObjectKey, hash: String) {
        let mut versions = self.versions.lock().expect("the lock of versions is never poisoned");
        let before = versions.insert(key.clone(), hash.clone());
        drop(versions);
        if before != Some(hash) {
            (self.options.served)(key);
        }
    }
}

fn config_maps() -> Resource {
    Resource::namespaced("v1", "ConfigMap", "configmaps")
}

fn services() -> Resource {
    Resource::namespaced("v1", "Service", "services")
}

fn deployments() -> Resource {
    Resource::namespaced("apps/v1", "Deployment", "deployments")
}
