//! Pure: the rules of what pods and containers may do and as whom they run.

use serde_json::Value;

use crate::{
    field::{FieldError, FieldPath},
    fields::{list, text},
    rules::{Errors, given, go_shown, pod::source},
};

/// Checks the security context of a pod.
pub(super) fn of_pod(path: &FieldPath, spec: &Value, errors: &mut Errors) {
    let context = &spec["securityContext"];
    for name in ["fsGroup", "runAsUser", "runAsGroup"] {
        id(&path.child(name), &context[name], errors);
    }
    for (index, group) in list(context, "/supplementalGroups").iter().enumerate() {
        id(&path.child("supplementalGroups").index(index), group, errors);
    }
    if spec["shareProcessNamespace"] == true && spec["hostPID"] == true {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.invalid(&path.child("shareProcessNamespace"), true, detail);
    }
    if let Some(policy) = given(context, "fsGroupChangePolicy").and_then(Value::as_str) {
        let supported = ["Always", "OnRootMismatch"];
        errors.one_of(&path.child("fsGroupChangePolicy"), policy, &supported);
    }
    seccomp(&path.child("seccompProfile"), &context["seccompProfile"], errors);
}

/// Checks the security context of a container.
pub(in crate::rules) fn of_container(path: &FieldPath, context: &Value, errors: &mut Errors) {
    for name in ["runAsUser", "runAsGroup"] {
        id(&path.child(name), &context[name], errors);
    }
    if let Some(mount) = given(context, "procMount").and_then(Value::as_str) {
        errors.one_of(&path.child("procMount"), mount, &["Default", "Unmasked"]);
    }
    seccomp(&path.child("seccompProfile"), &context["seccompProfile"], errors);
    if context["allowPrivilegeEscalation"] != false {
        return;
    }
    let mut contradicts = |what: &str| {
        let detail = format!("cannot set `allowPrivilegeEscalation` to false and {what}");
        errors.push(FieldError::shown_invalid(path, &go_shown(context), &detail));
    };
    if context["privileged"] == true {
        contradicts("`privileged` to true");
    }
    if list(context, "/capabilities/add").iter().any(|it| it == "CAP_SYS_ADMIN") {
        contradicts("`capabilities.Add` CAP_SYS_ADMIN");
    }
}

/// Checks the number of a user or a group.
fn id(path: &FieldPath, number: &Value, errors: &mut Errors) {
    let most = i64::from(i32::MAX);
    if let Some(number) = number.as_i64().filter(|number| !(0..=most).contains(number)) {
        errors.invalid(path, number, "must be between 0 and 2147483647, inclusive");
    }
}

fn seccomp(path: &FieldPath, profile: &Value, errors: &mut Errors) {
    if profile.is_null() {
        return;
    }
    let (kind, at) = (text(profile, "/type"), path.child("localhostProfile"));
    let file = given(profile, "localhostProfile").and_then(Value::as_str);
    if kind.is_empty() {
        let detail = "type is required when seccompProfile is set";
        errors.push(FieldError::required(path.child("type"), detail));
    } else {
        let supported = ["Localhost", "RuntimeDefault", "Unconfined"];
        errors.one_of(&path.child("type"), kind, &supported);
    }
    match (kind, file) {
        ("Localhost", None) => {
            let detail = "must be set when seccomp type is Localhost";
            errors.push(FieldError::required(at, detail));
        }
        ("Localhost", Some(file)) => source::descending(&at, file, errors),
        (_, Some(_)) => {
            let detail = "can only be set when seccomp type is Localhost";
            errors.push(FieldError::shown_invalid(at, &go_shown(profile), detail));
        }
        (_, None) => {}
    }
}
