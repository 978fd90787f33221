//! What is kept: every object, the revision counter, and the events that led here.
//!
//! One writer at a time (the caller sees to that with [`Store::writer`]); readers wait for nothing but the
//! insertion of one object. Every committed write takes the next revision and is one event.

mod collection;
mod follow;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use k8s::{GroupVersionKind, Object, ObjectKey, Resource, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;

pub(crate) use crate::store::collection::Behind;
pub(crate) use crate::store::follow::Follow;
pub use crate::store::follow::Subscription;
use crate::{settings::Settings, store::collection::Collection};

/// One committed write.
#[derive(Clone, Debug)]
pub struct Event {
    /// The revision the write took.
    pub revision: u64,
    /// What it did.
    pub kind: EventKind,
    /// The resource whose collection keeps the object.
    pub resource: Arc<Resource>,
    /// The object after the write; of a deleted one its last state, at the revision of the deletion.
    pub object: Arc<Object>,
    /// The object before the write, if it existed.
    pub old: Option<Arc<Object>>,
}

/// What a write did to its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It did not exist before.
    Added,
    /// It was changed.
    Modified,
    /// It is gone.
    Deleted,
}

/// The history asked for is no longer kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HistoryGone;

/// The object is larger than what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// How long the text of an object is expected to be.
const USUAL_SIZE: usize = 2048;

/// How much history is kept: whichever of age and count keeps more, but at most four times the count.
#[derive(Clone, Copy, Debug)]
struct History {
    age: Duration,
    events: usize,
}

/// Objects of one resource as they were at one revision.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) revision: u64,
    /// Ordered by namespace, then name.
    pub(crate) objects: Vec<Arc<Object>>,
}

pub(crate) struct Store {
    state: RwLock<State>,
    writer: Mutex<()>,
    history: History,
    /// The longest text of an object.
    max_object: usize,
    /// The newest revision, for those who follow everything.
    newest: watch::Sender<u64>,
}

struct State {
    revision: u64,
    /// By plural and group: versions of a resource share one collection.
    collections: HashMap<String, HashMap<String, Collection>>,
    log: VecDeque<(Timestamp, Arc<Event>)>,
    /// The newest revision whose event is no longer kept.
    evicted: u64,
}

impl Store {
    pub(crate) fn new(settings: &Settings) -> Arc<Self> {
        // The first write gets revision 2, so that no list answers with 0, which means "any".
        let state =
            State { revision: 1, collections: HashMap::new(), log: VecDeque::new(), evicted: 1 };
        Arc::new(Self {
            state: RwLock::new(state),
            writer: Mutex::new(()),
            history: History { age: settings.history_age, events: settings.history_events },
            max_object: settings.max_object,
            newest: watch::Sender::new(1),
        })
    }

    /// Makes the caller the only writer until the guard is dropped.
    pub(crate) fn writer(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().expect("the writer lock is never poisoned")
    }

    /// Returns the newest revision.
    pub(crate) fn revision(&self) -> u64 {
        self.read().revision
    }

    /// Returns the revision of the last write to the resource, 0 if there was none.
    pub(crate) fn latest(&self, resource: &Resource) -> u64 {
        self.read().collection(resource).map_or(0, Collection::latest)
    }

    pub(crate) fn get(&self, resource: &Resource, key: &ObjectKey) -> Option<Arc<Object>> {
        self.read().collection(resource)?.get(key).cloned()
    }

    /// Returns the present objects of a namespace, or of all if `namespace` is empty.
    pub(crate) fn list(&self, resource: &Resource, namespace: &str) -> Snapshot {
        let state = self.read();
        let objects = state.collection(resource).map(|it| it.list(namespace)).unwrap_or_default();
        Snapshot { revision: state.revision, objects }
    }

    /// Returns the objects as they were at a revision.
    pub(crate) fn list_at(
        &self,
        resource: &Resource,
        namespace: &str,
        revision: u64,
    ) -> Result<Snapshot, HistoryGone> {
        let state = self.read();
        if revision < state.evicted || state.revision < revision {
            return Err(HistoryGone);
        }
        let objects = match state.collection(resource) {
            Some(collection) => collection.list_at(namespace, revision).ok_or(HistoryGone)?,
            None => vec![],
        };
        Ok(Snapshot { revision, objects })
    }

    /// Writes an object that the caller has checked; the caller is the only writer.
    pub(crate) fn put(
        &self,
        resource: &Arc<Resource>,
        mut value: Value,
        now: Timestamp,
    ) -> Result<Arc<Object>, TooLarge> {
        let mut state = self.write();
        let revision = state.revision + 1;
        let kind = state.collection_mut(resource).kind(&resource.gvk);
        drop(state);
        value["metadata"]["resourceVersion"] = json!(revision.to_string());
        let object = encode(kind, &value);
        if self.max_object < object.json().len() {
            return Err(TooLarge);
        }
        let mut state = self.write();
        let old = state.collection_mut(resource).put(object.clone());
        let kind = if old.is_some() { EventKind::Modified } else { EventKind::Added };
        let resource = resource.clone();
        self.log(state, now, Event { revision, kind, resource, object: object.clone(), old });
        Ok(object)
    }

    /// Removes an object and returns its last state; the caller is the only writer.
    pub(crate) fn remove(
        &self,
        resource: &Arc<Resource>,
        old: &Arc<Object>,
        now: Timestamp,
    ) -> Arc<Object> {
        let revision = self.revision() + 1;
        let mut value = old.to_value();
        value["metadata"]["resourceVersion"] = json!(revision.to_string());
        let kind = self.write().collection_mut(resource).kind(&resource.gvk);
        let object = encode(kind, &value);
        let mut state = self.write();
        let old = state.collection_mut(resource).remove(&object.key());
        let (kind, resource) = (EventKind::Deleted, resource.clone());
        self.log(state, now, Event { revision, kind, resource, object: object.clone(), old });
        object
    }

    /// Forgets a resource that is no longer served and has no objects; who follows it is told.
    pub(crate) fn close(&self, resource: &Resource) {
        let mut state = self.write();
        // Who comes back to a successor of the resource must not take its history for its own.
        let empty = Collection::after_revision(state.revision);
        *state.collection_mut(resource) = empty;
    }

    /// Makes these all objects there are, at a new revision; the caller is the only writer.
    ///
    /// Whoever follows a resource is cut off and finds that history is gone.
    pub(crate) fn restore(&self, all: &[(Arc<Resource>, Vec<Arc<Object>>)]) {
        let mut state = self.write();
        state.revision += 1;
        let revision = state.revision;
        state.log.clear();
        state.evicted = revision;
        let collections = state.collections.values_mut().flat_map(HashMap::values_mut);
        collections.for_each(|it| *it = Collection::restored(revision));
        for (resource, objects) in all {
            for object in objects {
                state.collection_mut(resource).put(object.clone());
            }
        }
        drop(state);
        self.newest.send_replace(revision);
    }

    /// Returns how many past events are kept.
    pub(crate) fn history_events(&self) -> usize {
        self.read().log.len()
    }

    /// Forgets all history: older revisions can neither be read nor followed.
    pub(crate) fn expire(&self) {
        let mut state = self.write();
        state.evicted = state.revision;
        state.log.clear();
        state.collections.values_mut().flat_map(HashMap::values_mut).for_each(Collection::expire);
    }

    fn log(&self, mut state: RwLockWriteGuard<'_, State>, now: Timestamp, event: Event) {
        let revision = event.revision;
        let event = Arc::new(event);
        state.revision = revision;
        let collection = state.collection_mut(&event.resource);
        collection.log(event.clone());
        let changed = collection.changed();
        state.log.push_back((now, event));
        state.evict(self.history, now);
        drop(state);
        changed.send_replace(revision);
        self.newest.send_replace(revision);
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect("the store lock is never poisoned")
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().expect("the store lock is never poisoned")
    }
}

impl State {
    fn collection(&self, resource: &Resource) -> Option<&Collection> {
        self.collections.get(&resource.plural)?.get(&resource.gvk.group)
    }

    fn collection_mut(&mut self, resource: &Resource) -> &mut Collection {
        let Resource { plural, gvk, .. } = resource;
        if self.collection(resource).is_none() {
            let groups = self.collections.entry(plural.clone()).or_default();
            groups.insert(gvk.group.clone(), Collection::after_revision(0));
        }
        let groups = self.collections.get_mut(plural).expect("the plural was just put in");
        groups.get_mut(&gvk.group).expect("the group was just put in")
    }

    fn evict(&mut self, history: History, now: Timestamp) {
        while let Some((at, event)) = self.log.front() {
            let age = Duration::try_from(now.duration_since(*at)).unwrap_or_default();
            let over = history.events < self.log.len() && history.age < age;
            if !over && self.log.len() <= history.events.saturating_mul(4) {
                return;
            }
            let (revision, resource) = (event.revision, event.resource.clone());
            self.log.pop_front();
            self.evicted = revision;
            self.collection_mut(&resource).forget(revision);
        }
    }
}

/// Serialises an object with its type first, so that lists can leave the type out without parsing.
pub(crate) fn encode(gvk: Arc<GroupVersionKind>, value: &Value) -> Arc<Object> {
    let fields = value.as_object().expect("a checked object is an object");
    let type_of = |name| fields.get(name).unwrap_or(&Value::Null);
    let mut text = Vec::with_capacity(USUAL_SIZE);
    text.extend_from_slice(type_prefix(type_of("kind"), type_of("apiVersion")).as_bytes());
    for (name, value) in fields.iter().filter(|(name, _)| !is_type(name)) {
        write_json(&mut text, name);
        text.push(b':');
        write_json(&mut text, value);
        text.push(b',');
    }
    text.pop();
    text.push(b'}');
    text.shrink_to_fit();
    let object = Object::of_parts(gvk, value, text);
    Arc::new(object.expect("a checked object has metadata of the right types"))
}

fn is_type(field: &str) -> bool {
    field == "kind" || field == "apiVersion"
}

fn write_json(text: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(text, value).expect("a value is JSON");
}

fn type_prefix(kind: &Value, api_version: &Value) -> String {
    format!("{{\"kind\":{kind},\"apiVersion\":{api_version},")
}

/// Returns the JSON text of a kept object without its type, as lists of built-ins show it.
pub(crate) fn without_type(object: &Object) -> Option<&[u8]> {
    let gvk = object.gvk();
    let (kind, api_version) = (Value::from(gvk.kind.as_str()), Value::from(gvk.api_version()));
    let prefix = type_prefix(&kind, &api_version);
    object.json().strip_prefix(prefix.as_bytes())
}
