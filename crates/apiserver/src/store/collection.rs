//! Pure: the objects of one resource and the events that led to them.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::Arc,
};

use k8s::{Object, ObjectKey};
use tokio::sync::watch;

use crate::store::Event;

pub(super) struct Collection {
    objects: BTreeMap<ObjectKey, Arc<Object>>,
    log: VecDeque<Arc<Event>>,
    latest: u64,
    /// The newest revision of this resource whose event is no longer kept.
    forgotten: u64,
    changed: watch::Sender<u64>,
}

impl Default for Collection {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            log: VecDeque::new(),
            latest: 0,
            forgotten: 0,
            changed: watch::Sender::new(0),
        }
    }
}

impl Collection {
    pub(super) fn latest(&self) -> u64 {
        self.latest
    }

    pub(super) fn get(&self, key: &ObjectKey) -> Option<&Arc<Object>> {
        self.objects.get(key)
    }

    pub(super) fn list(&self, namespace: &str) -> Vec<Arc<Object>> {
        if namespace.is_empty() {
            return self.objects.values().cloned().collect();
        }
        let from = Bound::Included(ObjectKey::new(namespace, ""));
        let inside = self.objects.range((from, Bound::Unbounded));
        inside.take_while(|(key, _)| key.namespace == namespace).map(|it| it.1.clone()).collect()
    }

    /// Returns the objects as they were at `revision`, by undoing every event after it.
    pub(super) fn list_at(&self, namespace: &str, revision: u64) -> Vec<Arc<Object>> {
        let now = self.list(namespace);
        let mut objects: BTreeMap<_, _> = now.into_iter().map(|it| (it.key(), it)).collect();
        for event in self.log.iter().rev().take_while(|event| revision < event.revision) {
            let key = event.object.key();
            if !namespace.is_empty() && key.namespace != namespace {
                continue;
            }
            match &event.old {
                Some(old) => objects.insert(key, old.clone()),
                None => objects.remove(&key),
            };
        }
        objects.into_values().collect()
    }

    pub(super) fn put(&mut self, key: ObjectKey, object: Arc<Object>) -> Option<Arc<Object>> {
        self.objects.insert(key, object)
    }

    pub(super) fn remove(&mut self, key: &ObjectKey) -> Option<Arc<Object>> {
        self.objects.remove(key)
    }

    pub(super) fn log(&mut self, event: Arc<Event>) {
        self.latest = event.revision;
        self.log.push_back(event);
    }

    /// Returns the events after `cursor`, oldest first, or nothing if some are no longer kept.
    pub(super) fn after(&self, cursor: u64, limit: usize) -> Option<Vec<Arc<Event>>> {
        if cursor < self.forgotten {
            return None;
        }
        let start = self.log.partition_point(|event| event.revision <= cursor);
        Some(self.log.range(start..).take(limit).cloned().collect())
    }

    pub(super) fn forget(&mut self, up_to: u64) {
        while self.log.front().is_some_and(|event| event.revision <= up_to) {
            self.log.pop_front();
            self.forgotten = up_to;
        }
    }

    pub(super) fn expire(&mut self) {
        self.log.clear();
        self.forgotten = self.latest;
    }

    pub(super) fn changed(&self) -> watch::Sender<u64> {
        self.changed.clone()
    }
}
