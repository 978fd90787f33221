//! Pure: how pods may change.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    field::{FieldError, FieldPath},
    fields::{list, number, text},
    rules::{Errors, given},
};

const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,\
    `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
    `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Refuses changes of a pod beyond its images and the few other fields that may change.
pub(super) fn update(path: &FieldPath, new: &Value, old: &Value, errors: &mut Errors) {
    for field in ["containers", "initContainers"] {
        let path = path.child(field);
        let (new, old) = (list(new, &format!("/{field}")), list(old, &format!("/{field}")));
        if new.len() != old.len() {
            let detail = "pod updates may not add or remove containers";
            return errors.push(FieldError::forbidden(path, detail));
        }
        // The reference asks for images a second time when a pod is updated.
        for (index, container) in new.iter().enumerate() {
            if text(container, "/image").is_empty() {
                errors.required(&path.index(index).child("image"));
            }
        }
    }
    if !deadline(&path.child("activeDeadlineSeconds"), new, old, errors) {
        return;
    }
    let old_tolerations = list(old, "/tolerations");
    if !old_tolerations.iter().all(|each| list(new, "/tolerations").contains(each)) {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden(path.child("tolerations"), detail));
    }
    gates(&path.child("schedulingGates"), new, old, errors);
    if frozen(new, old) != frozen(old, old) {
        let detail = format!("pod updates may not change fields other than {UPDATABLE}");
        errors.push(FieldError::forbidden(path, detail));
    }
}

/// Keeps the class of a pod's quality, which was decided when the pod was created.
pub(in crate::rules) fn status(new: &Value, old: &Value, errors: &mut Errors) {
    let class = |pod: &Value| text(pod, "/status/qosClass").to_owned();
    if class(new) != class(old) {
        let path = FieldPath::new("status").child("qosClass");
        errors.invalid(&path, class(new), "field is immutable");
    }
}

/// A deadline may be set and come nearer; returns whether there is more to check.
fn deadline(path: &FieldPath, new: &Value, old: &Value, errors: &mut Errors) -> bool {
    let seconds = |spec| given(spec, "activeDeadlineSeconds").and_then(Value::as_i64);
    match (seconds(new), seconds(old)) {
        (Some(new), Some(old)) if old < new => {
            errors.invalid(path, new, "must be less than or equal to previous value");
            return false;
        }
        (None, Some(_)) => {
            let detail = "must not update from a positive integer to nil value";
            errors.invalid(path, Value::Null, detail);
        }
        _ => {}
    }
    true
}

/// Gates may be lifted, but none put up.
fn gates(path: &FieldPath, new: &Value, old: &Value, errors: &mut Errors) {
    let names = |spec| list(spec, "/schedulingGates").iter().map(|gate| text(gate, "/name"));
    let known: BTreeSet<_> = names(old).collect();
    for (index, name) in names(new).enumerate().filter(|(_, name)| !known.contains(name)) {
        let detail = format!("only deletion is allowed, but found new scheduling gate '{name}'");
        errors.push(FieldError::forbidden(path.index(index).child("name"), detail));
    }
}

/// Returns a pod's spec without what may change.
fn frozen(spec: &Value, old: &Value) -> Value {
    let mut frozen = spec.clone();
    for field in ["containers", "initContainers"] {
        let containers = frozen.get_mut(field).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
            container.remove("image");
        }
    }
    let Value::Object(fields) = &mut frozen else { return frozen };
    for name in ["activeDeadlineSeconds", "tolerations", "schedulingGates", "ephemeralContainers"] {
        fields.remove(name);
    }
    if number(old, "/terminationGracePeriodSeconds") < 0 {
        fields.remove("terminationGracePeriodSeconds");
    }
    frozen
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn deadlines_come_nearer_and_gates_are_lifted() {
        let wrong = |old: &Value, new: &Value| {
            let mut errors = Errors::default();
            update(&FieldPath::new("spec"), new, old, &mut errors);
            errors.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        let deadline = |seconds: Value| json!({"activeDeadlineSeconds": seconds});
        let gates = |names: &[&str]| {
            let gates: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
            json!({"schedulingGates": gates})
        };
        for (old, new, expected) in [
            (deadline(json!(null)), deadline(json!(2)), ""),
            (deadline(json!(2)), deadline(json!(1)), ""),
            (
                deadline(json!(1)),
                deadline(json!(2)),
                "spec.activeDeadlineSeconds: Invalid value: 2: must be less than or equal to previous value",
            ),
            (
                deadline(json!(1)),
                deadline(json!(null)),
                "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value",
            ),
            (gates(&["a", "b"]), gates(&["b"]), ""),
            (
                gates(&["a"]),
                gates(&["a", "b"]),
                "spec.schedulingGates[1].name: Forbidden: only deletion is allowed, but found new scheduling gate 'b'",
            ),
        ] {
            assert_eq!(wrong(&old, &new), expected);
        }
    }

    #[test]
    fn the_quality_of_a_pod_stays() {
        let of = |class: &str| json!({"status": {"qosClass": class}});
        let mut errors = Errors::default();
        status(&of("Burstable"), &of("Burstable"), &mut errors);
        assert_eq!(errors.0, []);
        status(&of("Guaranteed"), &of("Burstable"), &mut errors);
        let expected = "status.qosClass: Invalid value: \"Guaranteed\": field is immutable";
        assert_eq!(errors.0.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
    }
}
