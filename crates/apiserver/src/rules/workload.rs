//! Pure: the rules of what makes pods.

use k8s::selector::Selector;
use serde_json::{Value, json};

use crate::{
    field::{FieldError, FieldPath},
    rules::{Errors, given, number, pod, text},
};

pub(super) fn deployment(path: &FieldPath, new: &Value, old: Option<&Value>, errors: &mut Errors) {
    let spec = &new["spec"];
    errors.not_negative(path, spec, "replicas");
    selector_and_template(path, spec, "deployment", errors);
    always_restarts(path, spec, errors);
    strategy(&path.child("strategy"), &spec["strategy"], errors);
    for name in ["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"] {
        errors.not_negative(path, spec, name);
    }
    let deadline = number(spec, "/progressDeadlineSeconds");
    if deadline <= number(spec, "/minReadySeconds") {
        let path = path.child("progressDeadlineSeconds");
        errors.invalid(&path, deadline, "must be greater than minReadySeconds");
    }
    immutable_selector(path, new, old, errors);
}

pub(super) fn replica_set(path: &FieldPath, new: &Value, old: Option<&Value>, errors: &mut Errors) {
    let spec = &new["spec"];
    errors.not_negative(path, spec, "replicas");
    errors.not_negative(path, spec, "minReadySeconds");
    selector_and_template(path, spec, "deployment", errors);
    always_restarts(path, spec, errors);
    immutable_selector(path, new, old, errors);
}

pub(super) fn daemon_set(path: &FieldPath, new: &Value, old: Option<&Value>, errors: &mut Errors) {
    let spec = &new["spec"];
    selector_and_template(path, spec, "daemonset", errors);
    always_restarts(path, spec, errors);
    let kinds = ["RollingUpdate", "OnDelete"];
    let kind = text(spec, "/updateStrategy/type");
    errors.one_of(&path.child("updateStrategy").child("type"), kind, &kinds);
    immutable_selector(path, new, old, errors);
}

pub(super) fn stateful_set(
    path: &FieldPath,
    new: &Value,
    old: Option<&Value>,
    errors: &mut Errors,
) {
    let spec = &new["spec"];
    errors.not_negative(path, spec, "replicas");
    selector_and_template(path, spec, "statefulset", errors);
    always_restarts(path, spec, errors);
    let policies = ["OrderedReady", "Parallel"];
    let policy = text(spec, "/podManagementPolicy");
    errors.one_of(&path.child("podManagementPolicy"), policy, &policies);
    let Some(old) = old else { return };
    let frozen = |object: &Value| {
        let mut spec = object["spec"].clone();
        if let Some(fields) = spec.as_object_mut() {
            for name in [
                "replicas",
                "ordinals",
                "template",
                "updateStrategy",
                "revisionHistoryLimit",
                "persistentVolumeClaimRetentionPolicy",
                "minReadySeconds",
            ] {
                fields.remove(name);
            }
        }
        spec
    };
    if frozen(new) != frozen(old) {
        let detail = "updates to statefulset spec for fields other than 'replicas', 'ordinals', \
                      'template', 'updateStrategy', 'revisionHistoryLimit', \
                      'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
        errors.push(FieldError::forbidden(path, detail));
    }
}

pub(super) fn job(path: &FieldPath, new: &Value, old: Option<&Value>, errors: &mut Errors) {
    let spec = &new["spec"];
    for name in ["parallelism", "completions", "backoffLimit", "ttlSecondsAfterFinished"] {
        errors.not_negative(path, spec, name);
    }
    if text(spec, "/completionMode") == "Indexed" && given(spec, "completions").is_none() {
        let detail = "when completion mode is Indexed";
        errors.push(FieldError::required(path.child("completions"), detail));
    }
    let template = path.child("template");
    pod::template(&template, spec.get("template"), errors);
    let policy = text(spec, "/template/spec/restartPolicy");
    if policy == "Always" {
        let path = template.child("spec").child("restartPolicy");
        errors.one_of(&path, policy, &["OnFailure", "Never"]);
    }
    let Some(old) = old else { return };
    let suspended = old["spec"]["suspend"] == json!(true);
    for name in ["selector", "completionMode", "template"] {
        // What schedules the pods of a suspended job may still change.
        if name != "template" || !suspended {
            errors.immutable(&path.child(name), spec.get(name), old["spec"].get(name));
        }
    }
}

/// Checks a required selector, the template and that they fit.
fn selector_and_template(path: &FieldPath, spec: &Value, kind: &str, errors: &mut Errors) {
    let selector_path = path.child("selector");
    let parsed = match given(spec, "selector") {
        None => {
            errors.required(&selector_path);
            None
        }
        Some(selector) => match Selector::from_label_selector(selector) {
            Err(_) => {
                errors.invalid(&selector_path, selector.clone(), "invalid label selector");
                return;
            }
            Ok(parsed) => {
                if parsed.is_empty() {
                    let detail = format!("empty selector is invalid for {kind}");
                    errors.invalid(&selector_path, selector.clone(), detail);
                }
                Some(parsed)
            }
        },
    };
    let template = path.child("template");
    let labels = spec.pointer("/template/metadata/labels").cloned().unwrap_or_default();
    let texts = serde_json::from_value(labels.clone()).unwrap_or_default();
    // A missing selector selects nothing, an empty one everything.
    if !parsed.is_some_and(|selector| selector.matches(&texts)) {
        let path = template.child("metadata").child("labels");
        errors.invalid(&path, labels, "`selector` does not match template `labels`");
    }
    pod::template(&template, spec.get("template"), errors);
}

fn always_restarts(path: &FieldPath, spec: &Value, errors: &mut Errors) {
    let path = path.child("template").child("spec");
    let policy = text(spec, "/template/spec/restartPolicy");
    errors.one_of(&path.child("restartPolicy"), policy, &["Always"]);
    if spec.pointer("/template/spec/activeDeadlineSeconds").is_some() {
        let detail = "activeDeadlineSeconds in ReplicaSet is not Supported";
        errors.push(FieldError::forbidden(path.child("activeDeadlineSeconds"), detail));
    }
}

fn immutable_selector(path: &FieldPath, new: &Value, old: Option<&Value>, errors: &mut Errors) {
    if let Some(old) = old {
        let (new, old) = (new["spec"].get("selector"), old["spec"].get("selector"));
        errors.immutable(&path.child("selector"), new, old);
    }
}

fn strategy(path: &FieldPath, strategy: &Value, errors: &mut Errors) {
    let rolling = given(strategy, "rollingUpdate");
    let rolling_path = path.child("rollingUpdate");
    match (text(strategy, "/type"), rolling) {
        ("Recreate", Some(_)) => {
            let detail = "may not be specified when strategy `type` is 'Recreate'";
            errors.push(FieldError::forbidden(rolling_path, detail));
        }
        ("RollingUpdate", Some(rolling)) => {
            for name in ["maxUnavailable", "maxSurge"] {
                int_or_percent(&rolling_path.child(name), &rolling[name], errors);
            }
            let is_zero = |name: &str| [json!(0), json!("0%")].contains(&rolling[name]);
            if is_zero("maxUnavailable") && is_zero("maxSurge") {
                let path = rolling_path.child("maxUnavailable");
                let detail = "may not be 0 when `maxSurge` is 0";
                errors.invalid(&path, rolling["maxUnavailable"].clone(), detail);
            }
        }
        ("Recreate" | "RollingUpdate", None) => {}
        (_, _) => {
            let supported = ["Recreate", "RollingUpdate"];
            errors.push(FieldError::not_supported(path, strategy.clone(), &supported));
        }
    }
}

fn int_or_percent(path: &FieldPath, value: &Value, errors: &mut Errors) {
    match value {
        Value::String(text) => {
            let percent = text.strip_suffix('%').and_then(|digits| digits.parse::<u32>().ok());
            if percent.is_none() {
                let detail = "a valid percent string must be a numeric string followed by an ending \
                              '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
                errors.invalid(path, text.as_str(), detail);
            } else if percent > Some(100) && path.to_string().ends_with("maxUnavailable") {
                errors.invalid(path, text.as_str(), "must not be greater than 100%");
            }
        }
        Value::Number(number) if number.as_i64() < Some(0) => {
            errors.invalid(path, value.clone(), "must be greater than or equal to 0");
        }
        _ => {}
    }
}
