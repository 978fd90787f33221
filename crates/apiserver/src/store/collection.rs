//! The objects of one resource, the events that led to them, and who waits for more.

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
    /// Returns an empty collection whose history begins after a revision.
    pub(super) fn after_revision(revision: u64) -> Self {
        Self { forgotten: revision, ..Self::default() }
    }

    /// Returns a collection to be filled by what was there before, all of it new to everybody.
    pub(super) fn restored(revision: u64) -> Self {
        Self { latest: revision, ..Self::after_revision(revision) }
    }

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
    ///
    /// Nothing if one of these events is no longer kept.
    pub(super) fn list_at(&self, namespace: &str, revision: u64) -> Option<Vec<Arc<Object>>> {
        if revision < self.forgotten {
            return None;
        }
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
        Some(objects.into_values().collect())
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

#[cfg(test)]
mod tests {
    use k8s::Resource;
    use serde_json::json;

    use super::*;
    use crate::store::EventKind;

    /// Writes an object, or removes it, as one event.
    fn write(collection: &mut Collection, revision: u64, name: &str, kind: EventKind) {
        let object = json!({"metadata": {"name": name, "resourceVersion": revision.to_string()}});
        let object = Arc::new(Object::from_value(&object).unwrap());
        let old = match kind {
            EventKind::Deleted => collection.remove(&object.key()),
            _ => collection.put(object.key(), object.clone()),
        };
        let resource = Arc::new(Resource::cluster("v1", "Node", "nodes"));
        collection.log(Arc::new(Event { revision, kind, resource, object, old }));
    }

    fn at(collection: &Collection, revision: u64) -> Option<Vec<String>> {
        let objects = collection.list_at("", revision)?;
        let shown =
            objects.iter().map(|it| format!("{}@{}", it.meta().name, it.meta().resource_version));
        Some(shown.collect())
    }

    #[test]
    fn the_past_is_read_by_undoing_what_came_after() {
        let mut collection = Collection::default();
        write(&mut collection, 2, "a", EventKind::Added);
        write(&mut collection, 3, "b", EventKind::Added);
        write(&mut collection, 5, "a", EventKind::Modified);
        write(&mut collection, 6, "b", EventKind::Deleted);
        for (revision, expected) in [
            (1, vec![]),
            (2, vec!["a@2"]),
            (4, vec!["a@2", "b@3"]),
            (5, vec!["a@5", "b@3"]),
            (9, vec!["a@5"]),
        ] {
            assert_eq!(at(&collection, revision).unwrap(), expected, "{revision}");
        }
    }

    #[test]
    fn what_is_forgotten_is_neither_read_nor_followed() {
        let mut collection = Collection::default();
        for revision in 2..6 {
            write(&mut collection, revision, "a", EventKind::Modified);
        }
        collection.forget(3);
        assert_eq!(at(&collection, 2), None);
        assert!(collection.after(2, 9).is_none());
        let after = collection.after(3, 1).unwrap();
        assert_eq!(after.iter().map(|event| event.revision).collect::<Vec<_>>(), [4]);
    }
}
