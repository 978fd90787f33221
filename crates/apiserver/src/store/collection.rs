//! The objects of one resource, the events that led to them, and who waits for more.

use std::{
    borrow::Borrow,
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use k8s::{GroupVersionKind, Object, ObjectKey};
use tokio::sync::watch;

use crate::store::Event;

/// The most events a follower may be behind, and the most bytes; it is closed if it exceeds both.
const BACKLOG_EVENTS: usize = 1000;
const BACKLOG_BYTES: u64 = 16 * 1024 * 1024;

/// The most that a follower takes out at once.
const BATCH_EVENTS: usize = 256;
const BATCH_BYTES: u64 = 1024 * 1024;

pub(super) struct Collection {
    /// By namespace. What an object costs here counts: the keys are those inside of the objects.
    objects: BTreeMap<String, BTreeSet<Named>>,
    log: VecDeque<Logged>,
    latest: u64,
    /// The newest revision of this resource whose event is no longer kept.
    forgotten: u64,
    changed: watch::Sender<u64>,
    /// The kind of the objects, which they share.
    kind: Arc<GroupVersionKind>,
}

/// An object that is found by its name.
struct Named(Arc<Object>);

/// An event, and how many bytes all events have had up to and with it.
struct Logged {
    event: Arc<Event>,
    bytes: u64,
}

/// Why a follower gets no more events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// What it wants is no longer kept.
    HistoryGone,
    /// It has left too much unread.
    TooSlow,
}

impl Borrow<str> for Named {
    fn borrow(&self) -> &str {
        &self.0.meta().name
    }
}

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Named {}

impl PartialOrd for Named {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Named {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.meta().name.cmp(&other.0.meta().name)
    }
}

impl Collection {
    /// Returns an empty collection whose history begins after a revision.
    pub(super) fn after_revision(revision: u64) -> Self {
        Self {
            objects: BTreeMap::new(),
            log: VecDeque::new(),
            latest: 0,
            forgotten: revision,
            changed: watch::Sender::new(0),
            kind: Arc::default(),
        }
    }

    /// Returns the kind that the objects share.
    pub(super) fn kind(&mut self, gvk: &GroupVersionKind) -> Arc<GroupVersionKind> {
        // Another version of a custom resource may become the one that is kept.
        if *self.kind != *gvk {
            self.kind = Arc::new(gvk.clone());
        }
        self.kind.clone()
    }

    /// Returns a collection to be filled by what was there before, all of it new to everybody.
    pub(super) fn restored(revision: u64) -> Self {
        Self { latest: revision, ..Self::after_revision(revision) }
    }

    pub(super) fn latest(&self) -> u64 {
        self.latest
    }

    pub(super) fn get(&self, key: &ObjectKey) -> Option<&Arc<Object>> {
        Some(&self.objects.get(&key.namespace)?.get(key.name.as_str())?.0)
    }

    pub(super) fn list(&self, namespace: &str) -> Vec<Arc<Object>> {
        if namespace.is_empty() {
            return self.objects.values().flatten().map(|it| it.0.clone()).collect();
        }
        self.objects.get(namespace).into_iter().flatten().map(|it| it.0.clone()).collect()
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
        let events = self.log.iter().rev().map(|it| &it.event);
        for event in events.take_while(|event| revision < event.revision) {
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

    /// Puts an object in the place of the one of the same name, which it returns.
    pub(super) fn put(&mut self, object: Arc<Object>) -> Option<Arc<Object>> {
        let namespace = &object.meta().namespace;
        let objects = match self.objects.get_mut(namespace) {
            Some(objects) => objects,
            None => self.objects.entry(namespace.clone()).or_default(),
        };
        objects.replace(Named(object)).map(|old| old.0)
    }

    pub(super) fn remove(&mut self, key: &ObjectKey) -> Option<Arc<Object>> {
        let objects = self.objects.get_mut(&key.namespace)?;
        let old = objects.take(key.name.as_str());
        if objects.is_empty() {
            self.objects.remove(&key.namespace);
        }
        old.map(|old| old.0)
    }

    pub(super) fn log(&mut self, event: Arc<Event>) {
        self.latest = event.revision;
        let before = self.log.back().map_or(0, |it| it.bytes);
        let bytes = before + event.object.json().len() as u64;
        self.log.push_back(Logged { event, bytes });
    }

    /// Returns the next events after `cursor`, oldest first.
    ///
    /// Whoever wants events from after the revision `present` on shall keep up with them; what was there
    /// before may be read at leisure.
    pub(super) fn after(&self, cursor: u64, present: u64) -> Result<Vec<Arc<Event>>, Behind> {
        if cursor < self.forgotten {
            return Err(Behind::HistoryGone);
        }
        if self.is_too_far(cursor.max(present)) {
            return Err(Behind::TooSlow);
        }
        let start = self.position(cursor);
        let limit = self.bytes_before(start) + BATCH_BYTES;
        let mut events = vec![];
        for logged in self.log.range(start..).take(BATCH_EVENTS) {
            if limit < logged.bytes && !events.is_empty() {
                break;
            }
            events.push(logged.event.clone());
        }
        Ok(events)
    }

    fn is_too_far(&self, cursor: u64) -> bool {
        let start = self.position(cursor);
        let newest = self.log.back().map_or(0, |it| it.bytes);
        BACKLOG_EVENTS < self.log.len() - start
            && BACKLOG_BYTES < newest.saturating_sub(self.bytes_before(start))
    }

    /// Returns where in the log the events after a revision begin.
    fn position(&self, revision: u64) -> usize {
        self.log.partition_point(|it| it.event.revision <= revision)
    }

    fn bytes_before(&self, position: usize) -> u64 {
        let before = position.checked_sub(1).and_then(|before| self.log.get(before));
        match (before, self.log.front()) {
            (Some(before), _) => before.bytes,
            // The first that is kept is rarely the first there was.
            (None, Some(first)) => {
                first.bytes.saturating_sub(first.event.object.json().len() as u64)
            }
            (None, None) => 0,
        }
    }

    pub(super) fn forget(&mut self, up_to: u64) {
        while self.log.front().is_some_and(|it| it.event.revision <= up_to) {
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
            _ => collection.put(object.clone()),
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
        let mut collection = Collection::after_revision(0);
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
        let mut collection = Collection::after_revision(0);
        for revision in 2..6 {
            write(&mut collection, revision, "a", EventKind::Modified);
        }
        collection.forget(3);
        assert_eq!(at(&collection, 2), None);
        assert_eq!(collection.after(2, 0).unwrap_err(), Behind::HistoryGone);
        let after = collection.after(3, 0).unwrap();
        assert_eq!(after.iter().map(|event| event.revision).collect::<Vec<_>>(), [4, 5]);
    }

    #[test]
    fn a_follower_may_be_behind_by_many_events_or_many_bytes_but_not_by_both() {
        const KIB: usize = 1024;
        for (events, size, expected) in [
            (1001, 17 * KIB, Err(Behind::TooSlow)),
            (1000, 17 * KIB, Ok(60)),
            (1001, 15 * KIB, Ok(68)),
            (20, 900 * KIB, Ok(1)),
            (1001, 1, Ok(256)),
        ] {
            let mut collection = Collection::after_revision(0);
            let text = "x".repeat(size);
            let object =
                Arc::new(Object::from_value(&json!({"metadata": {}, "text": text})).unwrap());
            let resource = Arc::new(Resource::cluster("v1", "Node", "nodes"));
            for revision in 1..=events {
                let (kind, object) = (EventKind::Modified, object.clone());
                let event = Event { revision, kind, resource: resource.clone(), object, old: None };
                collection.log(Arc::new(event));
            }
            let found = collection.after(0, 0).map(|events| events.len());
            assert_eq!(found, expected, "{events} of {size}");
            // What was there before a follower began does not count.
            assert!(collection.after(0, events).is_ok());
        }
    }
}
