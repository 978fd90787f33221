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

    /// Returns whether all writes have been seen; `find` looks an object up in the caches.
    pub fn reached(&mut self, find: impl Fn(&Resource, &ObjectKey) -> Option<Arc<Object>>) -> bool {
        self.pending.retain(|(resource, key), written| {
            !is_reached(written, find(resource, key).as_deref())
        });
        self.pending.is_empty()
    }
}

/// Tells whether a cache that holds `found` has seen a write.
///
/// resourceVersions of one server compare as integers; where they are none, only equality tells.
fn is_reached(written: &Written, found: Option<&Object>) -> bool {
    match (written, found) {
        (Written::Deleted { uid, .. }, found) => {
            found.is_none_or(|found| found.meta().uid != *uid || found.meta().is_deleting())
        }
        (Written::Stored { uid, .. }, Some(found)) if found.meta().uid != *uid => true,
        (Written::Stored { version, .. }, Some(found)) => {
            match (version.parse::<u64>(), found.meta().revision()) {
                (Ok(wanted), Some(seen)) => wanted <= seen,
                _ => found.meta().resource_version == *version,
            }
        }
        (Written::Stored { .. }, None) => false,
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

    #[test]
    fn versions_compare_as_numbers_or_else_by_equality() {
        let resource = Resource::namespaced("v1", "ConfigMap", "configmaps");
        let stored = |version: &str| Written::stored(&resource, &object("u", version));
        assert!(is_reached(&stored("9"), Some(&object("u", "10"))));
        assert!(!is_reached(&stored("11"), Some(&object("u", "10"))));
        assert!(!is_reached(&stored("x1"), Some(&object("u", "x2"))));
        assert!(is_reached(&stored("11"), Some(&object("other", "1"))));
        assert!(!is_reached(&stored("11"), None));
    }

    #[test]
    fn a_deleted_object_is_gone_or_marked() {
        let resource = Resource::namespaced("v1", "ConfigMap", "configmaps");
        let deleted =
            Written::Deleted { resource, key: ObjectKey::new("", "a"), uid: "u".to_owned() };
        assert!(is_reached(&deleted, None));
        assert!(is_reached(&deleted, Some(&object("v", "1"))));
        assert!(!is_reached(&deleted, Some(&object("u", "1"))));
    }
}
