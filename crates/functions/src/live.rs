//! Pure: whether an object of the cluster is what is wanted already, and how one that Kubeless made is taken over.

use api::function;
use k8s::Object;
use serde_json::{Map, Value, json};

/// The only manager whose fields are nobody's wish: it notes revisions.
const NOTES: &str = "kube-controller-manager";

/// Returns whether an object has all that is wanted of it, so that it need not be written.
///
/// A server writes some values in another way than they were sent; such an object is written once too often, which
/// changes nothing.
pub(crate) fn holds(wanted: &Value, live: &Value) -> bool {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => {
            wanted.iter().all(|(key, value)| live.get(key).is_some_and(|live| holds(value, live)))
        }
        (Value::Array(wanted), Value::Array(live)) => {
            wanted.len() == live.len()
                && wanted.iter().zip(live).all(|(wanted, live)| holds(wanted, live))
        }
        (wanted, live) => wanted == live,
    }
}

/// Returns a Service that is wanted with the addresses of the one that is there, which cannot be changed: one refused
/// write would hold up all others of its Function.
pub(crate) fn with_addresses(wanted: &Value, live: Option<&Object>) -> Value {
    let mut wanted = wanted.clone();
    let live = live.map(Object::to_value).unwrap_or_default();
    for field in ["clusterIP", "clusterIPs"] {
        let (given, kept) = (&mut wanted["spec"][field], &live["spec"][field]);
        if !given.is_null() && !kept.is_null() && kept != "" {
            *given = kept.clone();
        } else if given.is_null() {
            wanted["spec"].as_object_mut().map(|spec| spec.remove(field));
        }
    }
    wanted
}

/// Returns whether an object was made by Kubeless or windlass, so that it may be changed.
pub(crate) fn is_ours(object: &Object) -> bool {
    let (label, ours) = function::CREATED_BY;
    object.meta().labels.get(label).is_some_and(|by| by == ours)
}

/// Returns whether an object belongs to a Function.
pub(crate) fn is_owned(object: &Object, uid: &str) -> bool {
    object.meta().owner_references.iter().any(|owner| owner.uid == uid)
}

/// Returns whether Kubeless made an object that windlass did not take over yet: it never said who its controller is.
pub(crate) fn is_of_kubeless(object: &Object) -> bool {
    is_ours(object) && object.meta().controller().is_none()
}

/// Returns the managedFields of an object with the wishes of all others turned into those of `manager`, so that what
/// it does not want any more goes when it applies.
pub(crate) fn taken_over(object: &Value, manager: &str) -> Value {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    let (mut kept, mut fields, mut version) = (Vec::new(), json!({}), json!("v1"));
    for entry in entries.into_iter().flatten() {
        let is_part = entry["subresource"].as_str().is_some_and(|part| !part.is_empty());
        if is_part || entry["manager"] == NOTES {
            kept.push(entry.clone());
        } else {
            version = entry["apiVersion"].clone();
            unite(&mut fields, &entry["fieldsV1"]);
        }
    }
    kept.push(json!({
        "manager": manager, "operation": "Apply", "apiVersion": version, "fieldsType": "FieldsV1",
        "fieldsV1": fields}));
    kept.into()
}

fn unite(one: &mut Value, other: &Value) {
    let Some(others) = other.as_object() else { return };
    if !one.is_object() {
        *one = Value::Object(Map::new());
    }
    for (key, other) in others {
        unite(&mut one[key.as_str()], other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_adds_does_not_count() {
        let live = json!({"a": 1, "b": {"c": 2, "d": 3}, "e": [{"f": 1, "g": 2}]});
        for (wanted, expected) in [
            (json!({"a": 1, "b": {"d": 3}}), true),
            (json!({"e": [{"f": 1}]}), true),
            (json!({"a": 2}), false),
            (json!({"x": 1}), false),
            (json!({"e": [{"f": 2}]}), false),
            (json!({"e": []}), false),
        ] {
            assert_eq!(holds(&wanted, &live), expected, "{wanted}");
        }
    }

    #[test]
    fn addresses_stay_as_they_are() {
        let service = |spec: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {}, "spec": spec});
        let live = Object::from_value(&service(
            json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"]}),
        ));
        let live = live.unwrap();
        for (wanted, live, expected) in [
            (json!({"clusterIP": "None"}), Some(&live), json!({"clusterIP": "10.0.0.1"})),
            (json!({"clusterIP": "None"}), None, json!({"clusterIP": "None"})),
            (json!({}), Some(&live), json!({})),
        ] {
            assert_eq!(with_addresses(&service(wanted), live), service(expected));
        }
    }

    #[test]
    fn what_others_wanted_becomes_a_wish_of_ours() {
        let entry = |manager: &str, operation: &str, fields: Value| {
            json!({"manager": manager, "operation": operation, "apiVersion": "apps/v1",
                "fieldsType": "FieldsV1", "fieldsV1": fields})
        };
        let mut status = entry("kube-controller-manager", "Update", json!({"f:status": {}}));
        status["subresource"] = json!("status");
        let notes = entry(
            "kube-controller-manager",
            "Update",
            json!({"f:metadata": {"f:annotations": {}}}),
        );
        let object = json!({"metadata": {"managedFields": [
            entry("function-controller", "Update", json!({"f:spec": {"f:replicas": {}}})),
            entry("kubectl", "Update", json!({"f:spec": {"f:paused": {}}})), status, notes]}});
        let fields = json!({"f:spec": {"f:replicas": {}, "f:paused": {}}});
        assert_eq!(taken_over(&object, "us"), json!([status, notes, entry("us", "Apply", fields)]));
    }
}
