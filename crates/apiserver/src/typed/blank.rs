//! Pure: objects of built-in kinds with nothing in them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use k8s::GroupVersionKind;
use serde_json::{Value, json};

use crate::{pack, typed};

/// Kinds whose replicas have no pointer in the internal form, which turns "not said" into 0.
const COUNTED: &[&str] = &["Deployment", "ReplicaSet", "StatefulSet"];

/// Returns what Go holds of an object before anything was said; of a custom resource that is nothing.
pub(crate) fn decoded(gvk: &GroupVersionKind) -> Arc<Value> {
    /// What was found once: it follows from the types alone.
    static FOUND: Mutex<BTreeMap<GroupVersionKind, Arc<Value>>> = Mutex::new(BTreeMap::new());
    let mut object = json!({"apiVersion": gvk.api_version(), "kind": gvk.kind, "metadata": {}});
    if pack::of(gvk).is_none() {
        return Arc::new(object);
    }
    let mut found = FOUND.lock().expect("the lock of empty objects is never poisoned");
    if let Some(found) = found.get(gvk) {
        return found.clone();
    }
    let unknown = typed::normalise(gvk, &mut object);
    debug_assert!(unknown.is_ok(), "an empty object fits every type");
    found.entry(gvk.clone()).or_insert(Arc::new(object)).clone()
}

/// Returns what becomes of an empty object of the internal form when it is written in this version.
pub(crate) fn converted(gvk: &GroupVersionKind) -> Value {
    let mut object = Value::clone(&decoded(gvk));
    if gvk.group == "apps" && COUNTED.contains(&gvk.kind.as_str()) {
        object["spec"]["replicas"] = json!(0);
    }
    if gvk.group == "apps" && gvk.kind == "DaemonSet" {
        // A field that later versions do not have is kept as an annotation.
        let generation = json!({"deprecated.daemonset.template.generation": "0"});
        object["metadata"]["annotations"] = generation;
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structs_and_what_may_not_be_left_out_show_in_empty_objects() {
        for (api_version, kind, expected) in [
            ("v1", "Namespace", json!({"metadata": {}, "spec": {}, "status": {}})),
            ("rbac.authorization.k8s.io/v1", "Role", json!({"metadata": {}, "rules": null})),
            ("a.b/v1", "C", json!({"metadata": {}})),
        ] {
            let mut object = converted(&GroupVersionKind::new(api_version, kind));
            let fields = object.as_object_mut().unwrap();
            fields.remove("apiVersion");
            fields.remove("kind");
            assert_eq!(object, expected, "{kind}");
        }
        let deployment = converted(&GroupVersionKind::new("apps/v1", "Deployment"));
        assert_eq!(deployment["spec"]["replicas"], 0);
    }
}
