//! Pure: the objects of a cache, found by key, by owner and by lack of a controller.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use k8s::{Object, ObjectKey};

use super::Change;

/// All objects of one resource.
#[derive(Debug, Default)]
pub(super) struct Index {
    objects: BTreeMap<ObjectKey, Arc<Object>>,
    by_controller: Owned,
    /// By the owners that are not controllers; few objects have any.
    by_owner: Owned,
    orphans: BTreeSet<ObjectKey>,
}

/// The keys of objects by the UIDs of their owners. One set for all: most owners have few objects, and a set for
/// each would take more room than they do.
#[derive(Debug, Default)]
struct Owned(BTreeSet<(String, ObjectKey)>);

impl Owned {
    fn insert(&mut self, owner: &str, key: ObjectKey) {
        self.0.insert((owner.to_owned(), key));
    }

    fn remove(&mut self, owner: &str, key: &ObjectKey) {
        self.0.remove(&(owner.to_owned(), key.clone()));
    }

    fn of(&self, owner: &str) -> impl Iterator<Item = &ObjectKey> {
        let from = (owner.to_owned(), ObjectKey::new("", ""));
        let is_owner = move |(uid, _): &&(String, ObjectKey)| *uid == owner;
        self.0.range(from..).take_while(is_owner).map(|(_, key)| key)
    }
}

impl Index {
    pub(super) fn get(&self, key: &ObjectKey) -> Option<&Arc<Object>> {
        self.objects.get(key)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.values()
    }

    /// Returns the objects of a namespace, or all if it is empty.
    pub(super) fn in_namespace(&self, namespace: &str) -> impl Iterator<Item = &Arc<Object>> {
        let from = Bound::Included(ObjectKey::new(namespace, ""));
        let inside = move |key: &ObjectKey| namespace.is_empty() || key.namespace == namespace;
        let range = self.objects.range((from, Bound::Unbounded));
        range.take_while(move |(key, _)| inside(key)).map(|(_, object)| object)
    }

    pub(super) fn controlled_by(&self, uid: &str) -> impl Iterator<Item = &Arc<Object>> {
        self.by_controller.of(uid).filter_map(|key| self.objects.get(key))
    }

    /// Returns the objects with an owner of this UID, controller or not.
    pub(super) fn owned_by(&self, uid: &str) -> Vec<Arc<Object>> {
        let keys = [&self.by_controller, &self.by_owner].into_iter();
        let keys: BTreeSet<_> = keys.flat_map(|by| by.of(uid)).collect();
        keys.into_iter().filter_map(|key| self.objects.get(key)).cloned().collect()
    }

    pub(super) fn orphans(&self, namespace: &str) -> impl Iterator<Item = &Arc<Object>> {
        let from = Bound::Included(ObjectKey::new(namespace, ""));
        let inside = move |key: &&ObjectKey| namespace.is_empty() || key.namespace == namespace;
        let keys = self.orphans.range((from, Bound::Unbounded)).take_while(inside);
        keys.filter_map(|key| self.objects.get(key))
    }

    /// Adds or replaces an object; an unchanged resourceVersion is no change.
    pub(super) fn put(&mut self, object: Arc<Object>) -> Option<Change> {
        let key = object.key();
        let old = self.objects.get(&key).cloned();
        if old.as_ref().is_some_and(|old| {
            old.meta().resource_version == object.meta().resource_version
                && old.meta().uid == object.meta().uid
        }) {
            return None;
        }
        if let Some(old) = &old {
            self.forget(old);
        }
        match object.meta().controller() {
            Some(owner) => self.by_controller.insert(&owner.uid, key.clone()),
            None => {
                self.orphans.insert(key.clone());
            }
        }
        for owner in object.meta().owner_references.iter().filter(|owner| !owner.is_controller()) {
            self.by_owner.insert(&owner.uid, key.clone());
        }
        self.objects.insert(key, Arc::clone(&object));
        Some(Change { old, new: Some(object) })
    }

    /// Removes the object of this key.
    pub(super) fn remove(&mut self, object: &Object) -> Option<Change> {
        let old = self.objects.remove(&object.key())?;
        self.forget(&old);
        Some(Change { old: Some(old), new: None })
    }

    /// Makes the index hold exactly these objects and returns what that changed.
    pub(super) fn replace(&mut self, objects: Vec<Arc<Object>>) -> Vec<Change> {
        let uids: BTreeMap<_, _> =
            objects.iter().map(|object| (object.key(), object.meta().uid.clone())).collect();
        // One that was deleted and created again while nobody looked is another object.
        let gone: Vec<_> = self
            .objects
            .iter()
            .filter(|(key, object)| uids.get(key) != Some(&object.meta().uid))
            .map(|(_, object)| Arc::clone(object))
            .collect();
        let mut changes: Vec<_> = gone.iter().filter_map(|object| self.remove(object)).collect();
        changes.extend(objects.into_iter().filter_map(|object| self.put(object)));
        changes
    }

    /// Takes an object out of the look-ups by owner.
    fn forget(&mut self, object: &Object) {
        let key = object.key();
        self.orphans.remove(&key);
        for owner in &object.meta().owner_references {
            let by =
                if owner.is_controller() { &mut self.by_controller } else { &mut self.by_owner };
            by.remove(&owner.uid, &key);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, revision: u64, controller: Option<&str>) -> Arc<Object> {
        let owners = controller.map(|uid| json!([{"uid": uid, "controller": true}]));
        let value = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "n",
            "name": name, "resourceVersion": revision.to_string(), "ownerReferences": owners}});
        Arc::new(Object::from_value(&value).unwrap())
    }

    fn names<'a>(objects: impl Iterator<Item = &'a Arc<Object>>) -> Vec<String> {
        objects.map(|object| object.meta().name.clone()).collect()
    }

    #[test]
    fn an_adopted_object_moves_from_the_orphans_to_its_controller() {
        let mut index = Index::default();
        index.put(object("a", 1, None));
        assert_eq!(names(index.orphans("n")), ["a"]);
        assert!(index.put(object("a", 1, None)).is_none());
        index.put(object("a", 2, Some("u")));
        assert_eq!(names(index.orphans("n")), Vec::<String>::new());
        assert_eq!(names(index.controlled_by("u")), ["a"]);
    }

    #[test]
    fn an_object_is_found_by_all_its_owners() {
        let owned = |revision: u64, owners: serde_json::Value| {
            let value = json!({"metadata": {"namespace": "n", "name": "a",
                "resourceVersion": revision.to_string(), "ownerReferences": owners}});
            Arc::new(Object::from_value(&value).unwrap())
        };
        let mut index = Index::default();
        index.put(owned(1, json!([{"uid": "u", "controller": true}, {"uid": "v"}])));
        for uid in ["u", "v"] {
            assert_eq!(names(index.owned_by(uid).iter()), ["a"], "{uid}");
        }
        index.put(owned(2, json!([{"uid": "v"}])));
        assert_eq!(names(index.owned_by("u").iter()), Vec::<String>::new());
        assert_eq!(names(index.owned_by("v").iter()), ["a"]);
        assert_eq!(names(index.orphans("n")), ["a"], "nobody controls it");
        index.replace(Vec::new());
        assert_eq!((index.by_owner.0.len(), index.by_controller.0.len()), (0, 0));
    }

    #[test]
    fn an_object_that_came_back_under_its_name_is_told_as_gone_and_new() {
        let of = |uid: &str| {
            let value = json!({"metadata": {"name": "a", "uid": uid, "resourceVersion": "1"}});
            Arc::new(Object::from_value(&value).unwrap())
        };
        let mut index = Index::default();
        index.replace(vec![of("old")]);
        let changes = index.replace(vec![of("new")]);
        let told: Vec<_> = changes
            .iter()
            .map(|change| (change.latest().meta().uid.as_str(), change.new.is_some()))
            .collect();
        assert_eq!(told, [("old", false), ("new", true)]);
    }

    #[test]
    fn replacing_tells_what_came_changed_and_went() {
        let mut index = Index::default();
        index.replace(vec![object("a", 1, None), object("b", 1, None)]);
        let changes = index.replace(vec![object("b", 2, None), object("c", 3, None)]);
        let told: Vec<_> = changes
            .iter()
            .map(|change| {
                (change.latest().meta().name.as_str(), change.old.is_some(), change.new.is_some())
            })
            .collect();
        assert_eq!(told, [("a", true, false), ("b", true, true), ("c", false, true)]);
        assert_eq!(names(index.in_namespace("n")), ["b", "c"]);
        assert_eq!(names(index.in_namespace("m")), Vec::<String>::new());
    }
}
