//! Copies of an API server's objects, kept current by one watch per resource.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, RwLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use k8s::{Lag, Object, ObjectKey, Resource, TimerKind};
use tokio::{sync::watch, task::AbortHandle};
use tracing::{debug, warn};

use self::index::Index;
use crate::{ApiError, Client, client::WatchLine};

mod index;

/// How long to wait before a list or watch that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// One object before and after it changed; both are never absent.
#[derive(Clone, Debug)]
pub struct Change {
    /// The object as it was, absent if it is new.
    pub old: Option<Arc<Object>>,
    /// The object as it is, absent if it is gone.
    pub new: Option<Arc<Object>>,
}

impl Change {
    /// Returns the object as it is, or as it last was.
    pub fn latest(&self) -> &Arc<Object> {
        self.new.as_ref().or(self.old.as_ref()).expect("a change has an object")
    }
}

type Handler = Arc<dyn Fn(&Change) + Send + Sync>;

/// A copy of all objects of one resource. It is filled and followed until it is dropped.
#[derive(Debug)]
pub struct Cache {
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    resource: Resource,
    client: Client,
    index: RwLock<Index>,
    handlers: Mutex<Handlers>,
    filled: watch::Sender<bool>,
    /// The revision up to which all was seen and handed to the handlers.
    seen: AtomicU64,
}

#[derive(Default)]
struct Handlers {
    next: u64,
    list: Vec<(u64, Handler)>,
}

/// Keeps a handler of changes in place until it is dropped.
#[must_use = "dropping the subscription ends it"]
pub struct Subscription {
    shared: Weak<Shared>,
    id: u64,
}

/// The caches of one client: one for each resource that somebody uses.
#[derive(Clone, Debug)]
pub struct Caches {
    client: Client,
    caches: Arc<Mutex<HashMap<Resource, Weak<Cache>>>>,
}

impl Caches {
    /// Returns the caches of this client, none so far.
    pub fn new(client: Client) -> Self {
        Self { client, caches: Arc::default() }
    }

    /// Returns the cache of a resource, and starts to fill it if nobody used it yet.
    pub fn get(&self, resource: &Resource) -> Arc<Cache> {
        let mut caches = self.caches.lock().expect("the lock of the caches is never poisoned");
        caches.retain(|_, cache| cache.strong_count() > 0);
        if let Some(cache) = caches.get(resource).and_then(Weak::upgrade) {
            return cache;
        }
        let cache = Arc::new(Cache::start(self.client.clone(), resource.clone()));
        caches.insert(resource.clone(), Arc::downgrade(&cache));
        cache
    }
}

impl Cache {
    fn start(client: Client, resource: Resource) -> Self {
        let shared = Arc::new(Shared {
            resource,
            client,
            index: RwLock::default(),
            handlers: Mutex::default(),
            filled: watch::Sender::new(false),
            seen: AtomicU64::new(0),
        });
        shared.client.activity().follow(&shared);
        let task = tokio::spawn(Arc::clone(&shared).run()).abort_handle();
        Self { shared, task }
    }

    /// Returns the resource whose objects are kept.
    pub fn resource(&self) -> &Resource {
        &self.shared.resource
    }

    /// Returns the revision up to which all was seen and handed to the handlers.
    pub fn seen(&self) -> u64 {
        self.shared.seen.load(Ordering::Acquire)
    }

    /// Waits until the first list is in.
    pub async fn filled(&self) {
        let mut filled = self.shared.filled.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = filled.wait_for(|filled| *filled).await;
    }

    /// Calls `handler` for every change from now on, until the subscription is dropped.
    pub fn subscribe(&self, handler: impl Fn(&Change) + Send + Sync + 'static) -> Subscription {
        let mut handlers = self.shared.handlers();
        handlers.next += 1;
        let id = handlers.next;
        handlers.list.push((id, Arc::new(handler)));
        Subscription { shared: Arc::downgrade(&self.shared), id }
    }

    /// Returns an object.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<Object>> {
        self.shared.read(|index| index.get(key).cloned())
    }

    /// Returns all objects, in the order of their keys.
    pub fn all(&self) -> Vec<Arc<Object>> {
        self.shared.read(|index| index.all().cloned().collect())
    }

    /// Returns the objects of a namespace, or all if it is empty.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<Object>> {
        self.shared.read(|index| index.in_namespace(namespace).cloned().collect())
    }

    /// Returns the objects whose controller has this UID.
    pub fn controlled_by(&self, uid: &str) -> Vec<Arc<Object>> {
        self.shared.read(|index| index.controlled_by(uid).cloned().collect())
    }

    /// Returns the objects of a namespace, or of all if it is empty, that have no controller.
    pub fn orphans(&self, namespace: &str) -> Vec<Arc<Object>> {
        self.shared.read(|index| index.orphans(namespace).cloned().collect())
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.handlers().list.retain(|(id, _)| *id != self.id);
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscription({})", self.id)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cache of {}", self.resource)
    }
}

impl Lag for Shared {
    fn lag(&self) -> Option<String> {
        let latest = self.client.revisions()?.latest_revision(&self.resource);
        let seen = self.seen.load(Ordering::Acquire);
        (seen < latest).then(|| format!("the cache of {} at {seen} of {latest}", self.resource))
    }
}

impl Shared {
    /// Lists and follows for ever.
    async fn run(self: Arc<Self>) {
        loop {
            let token = self.client.activity().hold(format!("list of {}", self.resource));
            let listed = self.list().await;
            drop(token);
            match listed {
                Ok(revision) => self.follow(revision).await,
                Err(error) => {
                    warn!(resource = %self.resource, %error, "failed to list");
                    let mut kind = TimerKind::Blocking;
                    if error.is_not_found() {
                        kind = TimerKind::Periodic;
                        // A type that is gone has no objects, and nothing more will be seen of it.
                        self.replace(Vec::new(), "");
                        self.seen.store(u64::MAX, Ordering::Release);
                    }
                    self.client.pause(RETRY, kind, "relist").await;
                }
            }
        }
    }

    async fn list(&self) -> Result<String, ApiError> {
        let mut objects = Vec::new();
        let mut next = None;
        loop {
            let page = self.client.list_page(&self.resource, next.as_deref()).await?;
            objects.extend(page.items.into_iter().map(Arc::new));
            next = page.next;
            if next.is_none() {
                self.replace(objects, &page.revision);
                return Ok(page.revision);
            }
        }
    }

    /// Watches until the history after `revision` is gone.
    async fn follow(&self, mut revision: String) {
        loop {
            let error = match self.client.watch(&self.resource, &revision).await {
                Ok(lines) => self.take(lines, &mut revision).await,
                Err(error) => Some(error),
            };
            match error {
                None => debug!(resource = %self.resource, "watch ended"),
                Some(error) if error.is_expired() || error.is_not_found() => return,
                Some(error) => {
                    warn!(resource = %self.resource, %error, "watch failed");
                    self.client.pause(RETRY, TimerKind::Blocking, "watch again").await;
                }
            }
        }
    }

    /// Takes lines until the watch ends; returns why if it did not end well.
    async fn take(
        &self,
        mut lines: impl futures::Stream<Item = WatchLine> + Unpin,
        revision: &mut String,
    ) -> Option<ApiError> {
        while let Some(line) = lines.next().await {
            let (seen, change) = match line {
                WatchLine::Added(object) => {
                    let seen = object.meta().resource_version.clone();
                    (seen, self.write(|index| index.put(Arc::new(object))))
                }
                WatchLine::Deleted(object) => {
                    let seen = object.meta().resource_version.clone();
                    (seen, self.write(|index| index.remove(&object)))
                }
                WatchLine::Bookmark(seen) => (seen, None),
                WatchLine::Failed(error) => return Some(error),
            };
            if let Some(change) = change {
                self.client.activity().touch();
                self.tell(&change);
            }
            self.saw(&seen);
            *revision = seen;
        }
        None
    }

    fn replace(&self, objects: Vec<Arc<Object>>, revision: &str) {
        for change in self.write(|index| index.replace(objects)) {
            self.tell(&change);
        }
        self.saw(revision);
        self.filled.send_replace(true);
    }

    /// Notes that all up to a revision was handed on.
    fn saw(&self, revision: &str) {
        if let Ok(revision) = revision.parse() {
            self.seen.store(revision, Ordering::Release);
        }
    }

    fn tell(&self, change: &Change) {
        let handlers: Vec<_> =
            self.handlers().list.iter().map(|(_, handler)| Arc::clone(handler)).collect();
        for handler in handlers {
            handler(change);
        }
    }

    fn read<T>(&self, read: impl FnOnce(&Index) -> T) -> T {
        read(&self.index.read().expect("the lock of an index is never poisoned"))
    }

    fn write<T>(&self, write: impl FnOnce(&mut Index) -> T) -> T {
        write(&mut self.index.write().expect("the lock of an index is never poisoned"))
    }

    fn handlers(&self) -> MutexGuard<'_, Handlers> {
        self.handlers.lock().expect("the lock of handlers is never poisoned")
    }
}
