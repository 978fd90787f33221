//! The object rules over the store: what HTTP handlers and the controllers inside call.

mod create;
mod delete;
mod ownership;
mod restore;
mod special;
mod update;

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, OnceLock, RwLock},
};

use k8s::{Activity, Object, ObjectKey, Resource, Revisions, SharedClock, Timestamp};
use serde_json::Value;
use tokio::sync::watch;

pub(crate) use crate::backend::update::Modify;
use crate::{
    admission, convert,
    entropy::Entropy,
    error::ApiError,
    executors::Executors,
    managed::Author,
    metrics::Metrics,
    registry::{Registered, Registry},
    sent::Sent,
    settings::Settings,
    store::{Snapshot, Store, Subscription},
    warnings::Warnings,
};

/// The API server behind its transports: reads and writes that follow the rules of the Kubernetes API.
///
/// Every call returns at once; nothing here waits. Clones share the state.
#[derive(Clone)]
pub struct Backend(Arc<Shared>);

struct Shared {
    store: Arc<Store>,
    registry: RwLock<Arc<Registry>>,
    clock: SharedClock,
    activity: Activity,
    stopping: watch::Sender<bool>,
    entropy: Entropy,
    /// The certificate that clients trust, as namespaces show it.
    ca_certificate: String,
    settings: Settings,
    metrics: Metrics,
    executors: Executors,
    /// Where the server is reached, once it listens.
    address: OnceLock<SocketAddr>,
}

/// What a backend is made of.
pub(crate) struct Setup {
    pub(crate) clock: SharedClock,
    pub(crate) activity: Activity,
    pub(crate) entropy: Entropy,
    /// The certificate that clients trust, as namespaces show it.
    pub(crate) ca_certificate: String,
    pub(crate) settings: Settings,
}

/// Which part of an object an update writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything but the status, where status is a subresource.
    Main,
    /// The status alone.
    Status,
    /// The finalizers in the spec of a namespace.
    Finalize,
}

impl Part {
    /// Returns the name of the subresource, empty for the resource itself.
    pub(crate) fn subresource(self) -> &'static str {
        match self {
            Self::Main => "",
            Self::Status => "status",
            Self::Finalize => "finalize",
        }
    }
}

/// What becomes of the dependents of a deleted object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They are deleted after it.
    Background,
    /// It goes after they have gone.
    Foreground,
    /// They stay.
    Orphan,
}

/// How to delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// How many seconds a pod gets to stop.
    pub grace: Option<i64>,
    /// Refuses to delete an object of another UID.
    pub uid: Option<String>,
    /// Refuses to delete an object at another resourceVersion.
    pub resource_version: Option<String>,
    /// What becomes of the dependents.
    pub propagation: Option<Propagation>,
    /// Whether everything but the deletion itself is done.
    pub dry_run: bool,
}

/// What a deletion did.
#[derive(Clone, Debug)]
pub enum Deleted {
    /// The object is gone; this was its last state.
    Gone(Arc<Object>),
    /// The object is marked and waits for its finalizers or its grace period.
    Marked(Arc<Object>),
}

impl Deleted {
    /// Returns the object as the deletion left it.
    pub fn object(&self) -> &Arc<Object> {
        match self {
            Self::Gone(object) | Self::Marked(object) => object,
        }
    }
}

/// How to write.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WriteOptions<'a> {
    pub(crate) dry_run: bool,
    pub(crate) validation: FieldValidation,
    pub(crate) ownership: Ownership<'a>,
    /// What was sent, for what is said about it.
    pub(crate) sent: Sent<'a>,
    /// Where warnings go; the server does not warn itself.
    pub(crate) warnings: Option<&'a Warnings>,
}

impl WriteOptions<'_> {
    /// Brings what was sent into the form of its kind and warns of what that drops.
    pub(crate) fn normalise(
        &self,
        registered: &Registered,
        value: &mut Value,
    ) -> Result<(), ApiError> {
        let unknown = admission::normalise(registered, value)
            .map_err(|why| self.sent.refuse(registered, &why))?;
        self.warn(self.sent.judge(registered, &unknown, self.validation)?);
        Ok(())
    }

    /// Warns whoever writes.
    pub(crate) fn warn(&self, warnings: impl IntoIterator<Item = String>) {
        if let Some(all) = self.warnings {
            all.add(warnings);
        }
    }
}

/// What becomes of the owners of the fields.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ownership<'a> {
    /// The author takes over what changes.
    Take(Author<'a>),
    /// It is decided: the value that is written says who owns what.
    Decided,
}

impl Default for Ownership<'_> {
    /// Returns that of the controllers inside, which the reference runs as one process.
    fn default() -> Self {
        Self::Take(Author { name: "kube-controller-manager", subresource: "" })
    }
}

/// What happens to fields that no schema knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// What a write did.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// The object as it is served in the version of the request.
    pub(crate) object: Arc<Object>,
    pub(crate) created: bool,
}

impl Backend {
    /// Returns the backend of a server.
    pub(crate) fn new(setup: Setup) -> Self {
        let Setup { clock, activity, entropy, ca_certificate, settings } = setup;
        Self(Arc::new(Shared {
            store: Store::new(&settings),
            registry: RwLock::new(Arc::new(Registry::new(vec![]))),
            clock,
            activity,
            stopping: watch::Sender::new(false),
            entropy,
            ca_certificate,
            settings,
            metrics: Metrics::default(),
            executors: Executors::default(),
            address: OnceLock::new(),
        }))
    }

    /// Returns one object in the version of `resource`.
    ///
    /// # Errors
    ///
    /// `NotFound` if the object or the resource does not exist.
    pub fn get(&self, resource: &Resource, key: &ObjectKey) -> Result<Arc<Object>, ApiError> {
        let registered = self.registered(resource)?;
        self.stored(&registered, key).map(|object| convert::served(&registered, &object))
    }

    /// Returns the objects of a namespace, or of all if `namespace` is empty, by namespace and name.
    pub fn list(&self, resource: &Resource, namespace: &str) -> Vec<Arc<Object>> {
        let Ok(registered) = self.registered(resource) else { return vec![] };
        let Snapshot { objects, .. } = self.0.store.list(&registered.storage, namespace);
        objects.iter().map(|object| convert::served(&registered, object)).collect()
    }

    /// Creates an object.
    ///
    /// # Errors
    ///
    /// What a client would be answered.
    pub fn create(&self, resource: &Resource, value: Value) -> Result<Arc<Object>, ApiError> {
        let registered = self.registered(resource)?;
        let namespace = text(&value, "namespace").to_owned();
        let written = self.create_with(&registered, &namespace, value, WriteOptions::default())?;
        Ok(written.object)
    }

    /// Replaces one part of an object.
    ///
    /// # Errors
    ///
    /// What a client would be answered.
    pub fn update(
        &self,
        resource: &Resource,
        value: Value,
        part: Part,
    ) -> Result<Arc<Object>, ApiError> {
        let registered = self.registered(resource)?;
        let key = ObjectKey::new(text(&value, "namespace"), text(&value, "name"));
        let author = Author { name: agent(&registered, part), subresource: part.subresource() };
        let options =
            WriteOptions { ownership: Ownership::Take(author), ..WriteOptions::default() };
        let modify = Modify { registered: &registered, key: &key, part, options };
        Ok(self.replace(modify, value)?.object)
    }

    /// Deletes an object, or marks it as to be deleted.
    ///
    /// # Errors
    ///
    /// What a client would be answered.
    pub fn delete(
        &self,
        resource: &Resource,
        key: &ObjectKey,
        options: &DeleteOptions,
    ) -> Result<Deleted, ApiError> {
        let registered = self.registered(resource)?;
        self.delete_with(&registered, key, options)
    }

    /// Follows every write after the revision `from`, whatever the resource.
    pub fn subscribe(&self, from: u64) -> Subscription {
        let stopping = self.0.stopping.subscribe();
        Subscription::new(&self.0.store, &self.0.activity, stopping, from)
    }

    /// Returns the revision of the newest write.
    pub fn revision(&self) -> u64 {
        self.0.store.revision()
    }

    /// Returns the clock that all times come from.
    pub fn clock(&self) -> &SharedClock {
        &self.0.clock
    }

    /// Returns the register of what is at work.
    pub fn activity(&self) -> &Activity {
        &self.0.activity
    }

    /// Tells when the server stops: the value turns true, once.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.0.stopping.subscribe()
    }

    /// Returns the resources served now, in the order of discovery.
    pub fn resources(&self) -> Vec<Resource> {
        self.registry().all().iter().map(|each| each.resource.clone()).collect()
    }

    /// Forgets all history, as if it had grown too old.
    pub fn expire_history(&self) {
        self.0.store.expire();
    }

    pub(crate) fn executors(&self) -> &Executors {
        &self.0.executors
    }

    /// Returns where the server is reached, nothing without a socket.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.0.address.get().copied()
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(crate) fn new_uid(&self) -> String {
        self.0.entropy.uid()
    }

    /// Returns the certificate that clients trust.
    pub(crate) fn ca_certificate(&self) -> &str {
        &self.0.ca_certificate
    }

    pub(crate) fn stop(&self) {
        self.0.stopping.send_replace(true);
    }

    pub(crate) fn registry(&self) -> Arc<Registry> {
        self.0.registry.read().expect("the registry lock is never poisoned").clone()
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.0.store
    }

    /// Returns what is served under the path of a resource.
    pub(crate) fn registered(&self, resource: &Resource) -> Result<Arc<Registered>, ApiError> {
        let version = resource.gvk.group_version();
        self.registry()
            .by_path(&version, &resource.plural)
            .cloned()
            .ok_or_else(ApiError::resource_not_found)
    }

    /// Returns an object as it is kept.
    pub(crate) fn stored(
        &self,
        registered: &Registered,
        key: &ObjectKey,
    ) -> Result<Arc<Object>, ApiError> {
        let found = self.0.store.get(&registered.storage, key);
        found.ok_or_else(|| ApiError::not_found(registered, &key.name))
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }
}

impl Revisions for Backend {
    fn latest_revision(&self, resource: &Resource) -> u64 {
        self.registered(resource).map_or(0, |it| self.0.store.latest(&it.storage))
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backend(revision {})", self.revision())
    }
}

/// Returns which process of the reference would write this part of an object.
fn agent(registered: &Registered, part: Part) -> &'static str {
    let is_nodes = registered.is("", "pods") || registered.is("", "nodes");
    if is_nodes && part == Part::Status { "kubelet" } else { "kube-controller-manager" }
}

/// Returns a text of the metadata, empty if there is none.
pub(crate) fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.pointer("/metadata").and_then(|it| it.get(field)).and_then(Value::as_str).unwrap_or("")
}
