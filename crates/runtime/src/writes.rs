//! Pure: reading one's own writes, by knowing which of them the caches have not seen yet.

use std::{collections::HashMap, sync::Arc};

use k8s::{Object, ObjectKey, Resource};

use crate::Written;

/// The writes of one key that the caches must have reached before it is worked on again.
#[derive(Debug, Default)]
pub struct Expectations {
    pending: HashMap<(Resource, ObjectKey), Written>,
}

impl Expectations {
    /// Expects a write to be seen; a later write of the same object replaces an earlier one.
    pub fn expect(&mut self, written: Written) {
        let key = (written.resource().clone(), written.key().clone());
        self.pending.insert(key, written);
    }

    /// Returns whether all writes have been seen; `look` tells what a cache shows of an object.
    pub fn reached(&mut self, look: impl Fn(&Resource, &ObjectKey) -> Shown) -> bool {
        self.pending.retain(|(resource, key), written| !is_reached(written, &look(resource, key)));
        self.pending.is_empty()
    }
}

/// What a cache shows of an object.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// The revision up to which the cache has told its handlers of all events.
    pub seen: u64,
    /// The object.
    pub object: Option<Arc<Object>>,
}

/// Tells whether a cache has seen a write and told of it.
///
/// resourceVersions of one server compare as integers; where they are none, only equality tells.
fn is_reached(written: &Written, shown: &Shown) -> bool {
    let meta = shown.object.as_ref().map(|object| object.meta());
    match written {
        Written::Deleted { uid, .. } => {
            meta.is_none_or(|meta| meta.uid != *uid || meta.is_deleting())
        }
        Written::Stored { uid, version, .. } => match version.parse::<u64>() {
            Ok(version) => version <= shown.seen,
            Err(_) => {
                meta.is_some_and(|meta| meta.uid != *uid || meta.resource_version == *version)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(uid: &str, version: &str) -> Object {
        let value = json!({"metadata": {"name": "a", "uid": uid, "resourceVersion": version}});
        Object::from_value(&value).unwrap()
    }

    fn shown(seen: u64, object: Option<Object>) -> Shown {
        Shown { seen, object: object.map(Arc::new) }
    }

    #[test]
    fn versions_compare_as_numbers_or_else_by_equality() {
        let resource = Resource::namespaced("v1", "ConfigMap", "configmaps");
        let stored = |version: &str| Written::stored(&resource, &object("u", version));
        assert!(is_reached(&stored("9"), &shown(10, None)));
        assert!(!is_reached(&stored("11"), &shown(10, Some(object("u", "11")))));
        assert!(!is_reached(&stored("x1"), &shown(0, Some(object("u", "x2")))));
        assert!(is_reached(&stored("x1"), &shown(0, Some(object("u", "x1")))));
        assert!(is_reached(&stored("x1"), &shown(0, Some(object("other", "x2")))));
        assert!(!is_reached(&stored("x1"), &shown(0, None)));
    }

    #[test]
    fn a_deleted_object_is_gone_or_marked() {
        let resource = Resource::namespaced("v1", "ConfigMap", "configmaps");
        let deleted =
            Written::Deleted { resource, key: ObjectKey::new("", "a"), uid: "u".to_owned() };
        assert!(is_reached(&deleted, &shown(0, None)));
        assert!(is_reached(&deleted, &shown(0, Some(object("v", "1")))));
        assert!(!is_reached(&deleted, &shown(0, Some(object("u", "1")))));
    }
}
