//! Finalizers on parents whose controller does not exist: nobody takes them off.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use api::names;
use k8s::{Object, ObjectKey};
use runtime::{Cache, Caches, Sample, Source};
use tracing::warn;

use crate::meter::STALE;

/// Counts them whenever somebody reads the metrics, and logs those that are new.
pub(crate) struct Finalizers {
    /// Those of each kind.
    controllers: [Arc<Cache>; 2],
    caches: Caches,
    /// Those that were logged, by the UID of their object.
    told: Mutex<BTreeSet<(String, String)>>,
}

impl Finalizers {
    /// Returns what looks for them in whatever is watched.
    pub(crate) fn new(controllers: [Arc<Cache>; 2], caches: Caches) -> Self {
        Self { controllers, caches, told: Mutex::default() }
    }

    fn stale(&self) -> BTreeSet<(String, String)> {
        let mut all = BTreeSet::new();
        for cache in self.caches.all() {
            for object in cache.all() {
                all.extend(stale(&object, |kind, name| self.is_there(kind, name)));
            }
        }
        all
    }

    fn is_there(&self, kind: &str, name: &str) -> bool {
        let is_of = |cache: &&Arc<Cache>| cache.resource().gvk.kind.eq_ignore_ascii_case(kind);
        let mut controllers = self.controllers.iter().filter(is_of);
        controllers.any(|cache| cache.get(&ObjectKey::new("", name)).is_some())
    }
}

impl Source for Finalizers {
    fn samples(&self) -> Vec<Sample> {
        // Before the controllers are known, every finalizer seems to be left behind.
        if self.controllers.iter().any(|cache| !cache.is_filled()) {
            return Vec::new();
        }
        let stale = self.stale();
        let mut told = self.told.lock().expect("the lock of the finalizers is never poisoned");
        for (uid, finalizer) in stale.difference(&told) {
            warn!(uid, finalizer, "found a finalizer whose controller does not exist");
        }
        let value = u32::try_from(stale.len()).unwrap_or(u32::MAX).into();
        *told = stale;
        vec![Sample { metric: &STALE, labels: Vec::new(), value }]
    }
}

/// Returns the finalizers of an object whose controller is not there, with the object's UID.
fn stale<'a>(
    object: &'a Object,
    is_there: impl Fn(&str, &str) -> bool + 'a,
) -> impl Iterator<Item = (String, String)> + 'a {
    let is_stale = move |finalizer: &&String| {
        names::finalizer_owner(finalizer).is_some_and(|(kind, name)| !is_there(kind, name))
    };
    let meta = object.meta();
    let stale = meta.finalizers.iter().filter(is_stale);
    stale.map(|finalizer| (meta.uid.clone(), finalizer.clone()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_finalizers_of_controllers_that_are_gone_are_stale() {
        let finalizers = [
            "example.com/x",
            "metacontroller.io/compositecontroller-here",
            "metacontroller.io/compositecontroller-gone",
            "metacontroller.io/decoratorcontroller-here",
            "metacontroller.app/compositecontroller-gone",
        ];
        let object = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "uid": "u", "finalizers": finalizers}});
        let object = Object::from_value(&object).unwrap();
        let is_there = |kind: &str, name: &str| kind == "compositecontroller" && name == "here";
        let found: Vec<_> = stale(&object, is_there).map(|(_, finalizer)| finalizer).collect();
        assert_eq!(found, [finalizers[2], finalizers[3], finalizers[4]]);
    }
}
