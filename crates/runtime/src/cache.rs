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
use k8s::{GroupVersionKind, Lag, Object, ObjectKey, Resource, TimerKind, in_one_line};
use thiserror::Error;
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
};
use tracing::{debug, warn};

use self::index::Index;
use crate::{ApiError, Client, client::WatchLine};

mod index;

/// How long to wait before a list or watch that failed is tried again; it doubles with every failure in a
/// row, so that what a cluster forbids is not asked for every second.
const RETRY: Duration = Duration::from_secs(1);
/// The longest such wait.
const LONGEST_RETRY: Duration = Duration::from_secs(8);
/// How long a watch may say nothing. Servers send a bookmark every minute: one that is silent for longer is
/// a connection that broke without a word.
const SILENCE: Duration = Duration::from_mins(5);

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

/// Called when the cache has come further.
type SeenHandler = Arc<dyn Fn() + Send + Sync>;

/// Why a cache has no objects.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("failed to list {resource}: {cause}")]
pub struct ListError {
    /// The type that could not be listed.
    pub resource: Resource,
    /// What the server said.
    pub cause: String,
}

/// Whether the first list is in.
#[derive(Clone, Debug)]
enum Fill {
    Empty,
    Failed(String),
    Filled,
}

/// A copy of all objects of one resource. It is filled and followed until it is dropped.
#[derive(Debug)]
pub struct Cache {
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    resource: Resource,
    /// The kind of the resource, which all objects share.
    kind: Arc<GroupVersionKind>,
    /// The only object that is kept, if not all are.
    only: Option<ObjectKey>,
    client: Client,
    index: RwLock<Index>,
    handlers: Mutex<Handlers>,
    fill: watch::Sender<Fill>,
    /// Wakes the task from its wait for the next try.
    retry: Notify,
    /// The revision up to which all was seen and handed to the handlers.
    seen: AtomicU64,
}

#[derive(Default)]
struct Handlers {
    next: u64,
    list: Vec<(u64, Handler)>,
    seen: Vec<(u64, SeenHandler)>,
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
    caches: Arc<Mutex<HashMap<Scope, Weak<Cache>>>>,
}

/// What a cache keeps: all objects of a resource, or one.
type Scope = (Resource, Option<ObjectKey>);

impl Caches {
    /// Returns the caches of this client, none so far.
    pub fn new(client: Client) -> Self {
        Self { client, caches: Arc::default() }
    }

    /// Returns the cache of a resource, and starts to fill it if nobody used it yet.
    pub fn get(&self, resource: &Resource) -> Arc<Cache> {
        self.of(resource, None)
    }

    /// Returns a cache of one object: it asks for no more than that object, nor for the right to see more.
    ///
    /// Nothing waits for such a cache to be up to date: what happens to other objects it never hears of.
    pub fn get_one(&self, resource: &Resource, key: &ObjectKey) -> Arc<Cache> {
        self.of(resource, Some(key))
    }

    fn of(&self, resource: &Resource, only: Option<&ObjectKey>) -> Arc<Cache> {
        let mut caches = self.caches.lock().expect("the lock of the caches is never poisoned");
        caches.retain(|_, cache| cache.strong_count() > 0);
        let scope = (resource.clone(), only.cloned());
        if let Some(cache) = caches.get(&scope).and_then(Weak::upgrade) {
            return cache;
        }
        let cache = Cache::start(self.client.clone(), resource.clone(), only.cloned());
        let cache = Arc::new(cache);
        caches.insert(scope, Arc::downgrade(&cache));
        cache
    }

    /// Returns the caches that somebody uses now.
    pub fn all(&self) -> Vec<Arc<Cache>> {
        let caches = self.caches.lock().expect("the lock of the caches is never poisoned");
        caches.values().filter_map(Weak::upgrade).collect()
    }

    /// Lists and watches again at once what could not be listed or watched, because the server's resources
    /// changed.
    pub fn retry(&self) {
        let caches = self.caches.lock().expect("the lock of the caches is never poisoned");
        for cache in caches.values().filter_map(Weak::upgrade) {
            cache.shared.retry.notify_waiters();
        }
    }
}

impl Cache {
    fn start(client: Client, resource: Resource, only: Option<ObjectKey>) -> Self {
        let shared = Arc::new(Shared {
            kind: Arc::new(resource.gvk.clone()),
            resource,
            only,
            client,
            index: RwLock::default(),
            handlers: Mutex::default(),
            fill: watch::Sender::new(Fill::Empty),
            retry: Notify::new(),
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

    /// Tells whether the first list is in.
    pub fn is_filled(&self) -> bool {
        matches!(*self.shared.fill.borrow(), Fill::Filled)
    }

    /// Waits until the first list is in.
    ///
    /// # Errors
    ///
    /// [`ListError`] if the server refused it; it is tried again in the background.
    pub async fn filled(&self) -> Result<(), ListError> {
        let mut fill = self.shared.fill.subscribe();
        let known = fill.wait_for(|fill| !matches!(fill, Fill::Empty)).await;
        match &*known.expect("the sender lives as long as the cache") {
            Fill::Failed(cause) => {
                let (resource, cause) = (self.shared.resource.clone(), cause.clone());
                Err(ListError { resource, cause })
            }
            Fill::Empty | Fill::Filled => Ok(()),
        }
    }

    /// Calls `handler` for every change from now on, until the subscription is dropped.
    pub fn subscribe(&self, handler: impl Fn(&Change) + Send + Sync + 'static) -> Subscription {
        let mut handlers = self.shared.handlers();
        handlers.next += 1;
        let id = handlers.next;
        handlers.list.push((id, Arc::new(handler)));
        Subscription { shared: Arc::downgrade(&self.shared), id }
    }

    /// Calls `handler` whenever the handlers of changes were told of all up to a revision, until the
    /// subscription is dropped.
    pub fn on_seen(&self, handler: impl Fn() + Send + Sync + 'static) -> Subscription {
        let mut handlers = self.shared.handlers();
        handlers.next += 1;
        let id = handlers.next;
        handlers.seen.push((id, Arc::new(handler)));
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

    /// Returns the objects that have an owner of this UID, whether it is their controller or not.
    pub fn owned_by(&self, uid: &str) -> Vec<Arc<Object>> {
        self.shared.read(|index| index.owned_by(uid))
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
            let mut handlers = shared.handlers();
            handlers.list.retain(|(id, _)| *id != self.id);
            handlers.seen.retain(|(id, _)| *id != self.id);
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
        // Nobody waits for what may not be seen; other failures are waited for by their next try.
        if self.only.is_some() || matches!(*self.fill.borrow(), Fill::Failed(_)) {
            return None;
        }
        let latest = self.client.revisions()?.latest_revision(&self.resource);
        let seen = self.seen.load(Ordering::Acquire);
        (seen < latest).then(|| format!("the cache of {} at {seen} of {latest}", self.resource))
    }
}

impl Shared {
    /// Lists and follows for ever.
    async fn run(self: Arc<Self>) {
        let mut wait = RETRY;
        loop {
            let token = self.client.activity().hold(format!("list of {}", self.resource));
            let listed = self.list().await;
            drop(token);
            match listed {
                Ok(revision) => {
                    wait = RETRY;
                    self.follow(revision).await;
                }
                Err(error) => {
                    warn!(resource = %self.resource, %error, "failed to list");
                    let mut kind = TimerKind::Blocking;
                    if error.is_not_found() {
                        kind = TimerKind::Periodic;
                        // A type that is gone has no objects, and nothing more will be seen of it.
                        self.replace(Vec::new(), u64::MAX);
                    } else {
                        if error.is_forbidden() {
                            kind = TimerKind::Periodic;
                        }
                        let cause = in_one_line(&error);
                        self.fill.send_if_modified(|fill| {
                            let is_empty = !matches!(fill, Fill::Filled);
                            if is_empty {
                                *fill = Fill::Failed(cause);
                            }
                            is_empty
                        });
                    }
                    self.pause(&mut wait, kind, "relist").await;
                }
            }
        }
    }

    /// Waits for the next try, longer every time, or until somebody says that the world has changed.
    async fn pause(&self, wait: &mut Duration, kind: TimerKind, what: &'static str) {
        let called = self.retry.notified();
        let due = self.client.pause(*wait, kind, what);
        *wait = wait.saturating_mul(2).min(LONGEST_RETRY);
        tokio::select! {
            () = called => {}
            () = due => {}
        }
    }

    async fn list(&self) -> Result<String, ApiError> {
        let mut objects = Vec::new();
        let mut next = None;
        loop {
            let page =
                self.client.list_page(&self.resource, self.only.as_ref(), next.as_deref()).await?;
            objects.extend(page.items.into_iter().map(|object| self.kept(object)));
            next = page.next;
            if next.is_none() {
                // Revisions that are no numbers cannot be compared: what was listed is as old as any.
                self.replace(objects, page.revision.parse().unwrap_or_default());
                return Ok(page.revision);
            }
        }
    }

    /// Watches until the history after `revision` is gone.
    async fn follow(&self, mut revision: String) {
        let mut wait = RETRY;
        loop {
            let before = revision.clone();
            let error = match self.client.watch(&self.resource, self.only.as_ref(), &revision).await
            {
                Ok(lines) => self.take(lines, &mut revision).await,
                Err(error) => Some(error),
            };
            match error {
                None => debug!(resource = %self.resource, "watch ended"),
                // Only a new list helps: the history, or the type itself, is gone.
                Some(error) if error.is_expired() || error.is_not_found() => return,
                Some(error) => warn!(resource = %self.resource, %error, "watch failed"),
            }
            if before == revision {
                // It told nothing: a server or proxy that ends watches at once is not asked at full speed.
                self.pause(&mut wait, TimerKind::Blocking, "watch again").await;
            } else {
                wait = RETRY;
            }
        }
    }

    /// Takes lines until the watch ends or falls silent; returns why if it did not end well.
    async fn take(
        &self,
        mut lines: impl futures::Stream<Item = WatchLine> + Unpin,
        revision: &mut String,
    ) -> Option<ApiError> {
        let mut heard = true;
        let mut silence = self.client.after(SILENCE);
        loop {
            let line = tokio::select! {
                biased;
                line = lines.next() => line?,
                () = &mut silence => {
                    if !std::mem::take(&mut heard) {
                        debug!(resource = %self.resource, "watch fell silent");
                        return None;
                    }
                    silence = self.client.after(SILENCE);
                    continue;
                }
            };
            heard = true;
            let (seen, change) = match line {
                WatchLine::Added(object) => {
                    let seen = object.meta().resource_version.clone();
                    let object = self.kept(object);
                    (seen, self.write(|index| index.put(object)))
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
            if let Ok(seen) = seen.parse() {
                self.saw(seen);
            }
            *revision = seen;
        }
    }

    fn kept(&self, object: Object) -> Arc<Object> {
        Arc::new(object.compact(&self.kind))
    }

    fn replace(&self, objects: Vec<Arc<Object>>, revision: u64) {
        for change in self.write(|index| index.replace(objects)) {
            self.tell(&change);
        }
        self.saw(revision);
        self.fill.send_replace(Fill::Filled);
    }

    /// Notes that all up to a revision was handed on.
    fn saw(&self, revision: u64) {
        self.seen.store(revision, Ordering::Release);
        let handlers: Vec<_> =
            self.handlers().seen.iter().map(|(_, handler)| Arc::clone(handler)).collect();
        for handler in handlers {
            handler();
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
