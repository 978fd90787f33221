//! Pure: one object as other versions of its resource show it.

use std::sync::Arc;

use k8s::Object;
use serde_json::{Map, Value};

use crate::{registry::Registered, store};

/// Returns a kept object as the resource serves it.
pub(crate) fn served(registered: &Registered, object: &Arc<Object>) -> Arc<Object> {
    if *object.gvk() == registered.resource.gvk {
        return object.clone();
    }
    let value = served_value(registered, object);
    store::encode(Arc::new(registered.resource.gvk.clone()), &value)
}

/// Returns the value of a kept object as the resource serves it.
pub(crate) fn served_value(registered: &Registered, object: &Object) -> Value {
    let mut value = object.to_value();
    if *object.gvk() != registered.resource.gvk {
        if registered.is("events.k8s.io", "events") {
            rename(&mut value, |(old, new)| (old, new));
        }
        value["apiVersion"] = registered.resource.gvk.api_version().into();
    }
    value
}

/// Turns a value as the resource serves it into what is kept.
pub(crate) fn stored(registered: &Registered, value: &mut Value) {
    if registered.resource.gvk == registered.storage.gvk {
        return;
    }
    if registered.is("events.k8s.io", "events") {
        rename(value, |(old, new)| (new, old));
    }
    value["apiVersion"] = registered.storage.gvk.api_version().into();
}

/// How v1 names the fields of an event, and how events.k8s.io/v1 does.
const EVENT_FIELDS: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

fn rename<'n>(value: &mut Value, order: impl Fn((&'n str, &'n str)) -> (&'n str, &'n str)) {
    let Value::Object(fields) = value else { return };
    let moved: Map<_, _> = EVENT_FIELDS
        .iter()
        .filter_map(|&names| {
            let (from, to) = order(names);
            Some((to.to_owned(), fields.remove(from)?))
        })
        .collect();
    fields.extend(moved);
}

#[cfg(test)]
mod tests {
    use k8s::GroupVersion;
    use serde_json::json;

    use super::*;
    use crate::registry::Registry;

    #[test]
    fn events_are_renamed_both_ways() {
        let registry = Registry::new(vec![]);
        let events = registry.by_path(&GroupVersion::new("events.k8s.io", "v1"), "events").unwrap();
        let new = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "a"},
            "note": "hi", "regarding": {"kind": "Pod"}, "reason": "R"});
        let mut old = new.clone();
        stored(events, &mut old);
        assert_eq!(old["message"], "hi");
        assert_eq!(old["involvedObject"]["kind"], "Pod");
        assert_eq!(served_value(events, &Object::from_value(&old).unwrap()), new);
    }
}
