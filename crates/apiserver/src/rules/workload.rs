//! Pure: the rules of what makes pods.

use std::{borrow::Cow, collections::BTreeSet};

use k8s::selector::Selector;
use serde_json::{Value, json};

use crate::{
    dns,
    field::{FieldError, FieldPath},
    fields::{list, number, text},
    rules::{Errors, given, pod, selector::label_selector, volume},
};

pub(super) fn deployment(path: &FieldPath, new: &Value, old: Option<&Value>, errors: &mut Errors) {
    let spec = &new["spec"];
    errors.not_negative(path, spec, "replicas");
    selector_and_template(path, spec, "deployment", errors);
    always_restarts(path, spec, "ReplicaSet", errors);
    strategy(&path.child("strategy"), &spec["strategy"], errors);
    for name in ["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"] {
        errors.not_negative(path, spec, name);
    }
    let deadline = number(spec, "/progressDeadlineSeconds");
    if given(spec, "progressDeadlineSeconds").is_some()
        && deadline <= number(spec, "/minReadySeconds")
    {
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
    always_restarts(path, spec, "ReplicaSet", errors);
    immutable_selector(path, new, old, errors);
}

pub(super) fn daemon_set(path: &FieldPath, new: &Value, old: Option<&Value>, errors: &mut Errors) {
    let spec = &new["spec"];
    selector_and_template(path, spec, "daemonset", errors);
    always_restarts(path, spec, "DaemonSet", errors);
    errors.not_negative(path, spec, "minReadySeconds");
    daemon_set_strategy(&path.child("updateStrategy"), &spec["updateStrategy"], errors);
    errors.not_negative(path, spec, "revisionHistoryLimit");
    immutable_selector(path, new, old, errors);
}

pub(super) fn stateful_set(
    path: &FieldPath,
    new: &Value,
    old: Option<&Value>,
    errors: &mut Errors,
) {
    let spec = &new["spec"];
    let policy = text(spec, "/podManagementPolicy");
    if !["OrderedReady", "Parallel"].contains(&policy) {
        let detail = "must be 'OrderedReady' or 'Parallel'";
        errors.invalid(&path.child("podManagementPolicy"), policy, detail);
    }
    stateful_set_strategy(&path.child("updateStrategy"), &spec["updateStrategy"], errors);
    let retention = path.child("persistentVolumeClaimRetentionPolicy");
    for name in ["whenDeleted", "whenScaled"] {
        let policy = text(&spec["persistentVolumeClaimRetentionPolicy"], &format!("/{name}"));
        errors.one_of(&retention.child(name), policy, &["Retain", "Delete"]);
    }
    errors.not_negative(path, spec, "replicas");
    errors.not_negative(path, spec, "minReadySeconds");
    errors.not_negative(&path.child("ordinals"), &spec["ordinals"], "start");
    let service = text(spec, "/serviceName");
    if !service.is_empty() {
        errors.name(&path.child("serviceName"), service, dns::label);
    }
    selector_and_template(path, &with_claims(spec), "statefulset", errors);
    for (index, claim) in list(spec, "/volumeClaimTemplates").iter().enumerate() {
        let path = path.child("volumeClaimTemplates").index(index).child("spec");
        volume::claim_spec(&path, &claim["spec"], errors);
    }
    always_restarts(path, spec, "StatefulSet", errors);
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

/// A count of collisions never falls: the names that it is part of are taken.
pub(super) fn status(new: &Value, old: &Value, errors: &mut Errors) {
    let count = |object: &Value| object.pointer("/status/collisionCount").and_then(Value::as_i64);
    if count(new) < count(old) {
        let path = FieldPath::new("status").child("collisionCount");
        errors.invalid(&path, count(new).unwrap_or_default(), "cannot be decremented");
    }
}

pub(super) fn controller_revision(new: &Value, old: Option<&Value>, errors: &mut Errors) {
    errors.not_negative(&FieldPath::default(), new, "revision");
    let data = FieldPath::new("data");
    match (given(new, "data"), old) {
        (None, _) => errors.push(FieldError::required(&data, "data is mandatory")),
        (sent, Some(old)) => errors.immutable(&data, sent, old.get("data")),
        (Some(_), None) => {}
    }
}

/// Returns a spec whose template has the volumes that its pods get from the claims.
fn with_claims(spec: &Value) -> Cow<'_, Value> {
    let claims = list(spec, "/volumeClaimTemplates").iter().map(|it| text(it, "/metadata/name"));
    let claims: BTreeSet<_> = claims.collect();
    if claims.is_empty() {
        return Cow::Borrowed(spec);
    }
    let claimed = claims
        .iter()
        .map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": name}}));
    let own = list(spec, "/template/spec/volumes").iter();
    let own = own.filter(|it| !claims.contains(text(it, "/name"))).cloned();
    let mut extended = spec.clone();
    extended["template"]["spec"]["volumes"] = claimed.chain(own).collect();
    Cow::Owned(extended)
}

/// Checks a required selector, the template and that they fit.
fn selector_and_template(path: &FieldPath, spec: &Value, kind: &str, errors: &mut Errors) {
    let selector_path = path.child("selector");
    let parsed = match given(spec, "selector") {
        None => {
            // The reference does not ask DaemonSets for one: the template says then that nothing selects it.
            if kind != "daemonset" {
                errors.required(&selector_path);
            }
            None
        }
        Some(selector) => {
            label_selector(&selector_path, selector, errors);
            match (Selector::from_label_selector(selector), kind) {
                (Err(_), "daemonset") => {
                    return pod::template(&path.child("template"), spec.get("template"), errors);
                }
                (Err(_), _) => {
                    // What is wrong was said already; the reference ends with this when it cannot go on.
                    let why = if kind == "statefulset" { "" } else { "invalid label selector" };
                    return errors.invalid(&selector_path, selector.clone(), why);
                }
                (Ok(parsed), _) => {
                    if parsed.is_empty() {
                        let detail = format!("empty selector is invalid for {kind}");
                        errors.invalid(&selector_path, selector.clone(), detail);
                    }
                    Some(parsed)
                }
            }
        }
    };
    let template = path.child("template");
    let labels = spec.pointer("/template/metadata/labels").cloned().unwrap_or_default();
    let texts = serde_json::from_value(labels.clone()).unwrap_or_default();
    // A missing selector selects nothing, an empty one everything.
    if !parsed.is_some_and(|selector| selector.matches(&texts)) {
        let path = template.child("metadata").child("labels");
        errors.invalid(&path, labels, "`selector` does not match template `labels`");
    }
    if kind == "statefulset" {
        // The reference looks at these labels twice and tells twice what it found.
        pod::template_labels(&template, spec.get("template"), errors);
    }
    pod::template(&template, spec.get("template"), errors);
}

/// Checks that pods run for ever; `kind` is what the reference calls their maker, whatever makes that one.
fn always_restarts(path: &FieldPath, spec: &Value, kind: &str, errors: &mut Errors) {
    let path = path.child("template").child("spec");
    let policy = text(spec, "/template/spec/restartPolicy");
    errors.one_of(&path.child("restartPolicy"), policy, &["Always"]);
    if spec.pointer("/template/spec/activeDeadlineSeconds").is_some() {
        let detail = format!("activeDeadlineSeconds in {kind} is not Supported");
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
            at_most_all(&rolling_path.child("maxUnavailable"), &rolling["maxUnavailable"], errors);
            let is_zero = |name: &str| [json!(0), json!("0%")].contains(&rolling[name]);
            if is_zero("maxUnavailable") && is_zero("maxSurge") {
                let path = rolling_path.child("maxUnavailable");
                let detail = "may not be 0 when `maxSurge` is 0";
                errors.invalid(&path, rolling["maxUnavailable"].clone(), detail);
            }
        }
        ("Recreate" | "RollingUpdate", None) => {}
        (kind, _) => {
            let shown = shown(kind, rolling, ["MaxUnavailable", "MaxSurge"]);
            errors.push(FieldError::shown_not_supported(
                path,
                &shown,
                &["Recreate", "RollingUpdate"],
            ));
        }
    }
}

fn daemon_set_strategy(path: &FieldPath, strategy: &Value, errors: &mut Errors) {
    let rolling = given(strategy, "rollingUpdate");
    let kind = text(strategy, "/type");
    if !["OnDelete", "RollingUpdate"].contains(&kind) {
        let shown = shown(kind, rolling, ["MaxUnavailable", "MaxSurge"]);
        errors.push(FieldError::shown_not_supported(path, &shown, &["RollingUpdate", "OnDelete"]));
    }
    let (Some(rolling), "RollingUpdate") = (rolling, kind) else { return };
    let path = path.child("rollingUpdate");
    for name in ["maxUnavailable", "maxSurge"] {
        int_or_percent(&path.child(name), &rolling[name], errors);
        at_most_all(&path.child(name), &rolling[name], errors);
    }
    let is_zero = |name: &str| [json!(0), json!("0%")].contains(&rolling[name]);
    match (is_zero("maxUnavailable"), is_zero("maxSurge")) {
        (true, true) => {
            let detail = "cannot be 0 when maxSurge is 0";
            errors.push(FieldError::required(path.child("maxUnavailable"), detail));
        }
        (false, false) => {
            let detail = "may not be set when maxUnavailable is non-zero";
            errors.invalid(&path.child("maxSurge"), rolling["maxSurge"].clone(), detail);
        }
        _ => {}
    }
}

fn stateful_set_strategy(path: &FieldPath, strategy: &Value, errors: &mut Errors) {
    let rolling = given(strategy, "rollingUpdate");
    let names = ["Partition", "MaxUnavailable"];
    let rolling_path = path.child("rollingUpdate");
    match (text(strategy, "/type"), rolling) {
        ("OnDelete", Some(rolling)) => {
            let detail = "only allowed for updateStrategy 'RollingUpdate'";
            errors.push(FieldError::shown_invalid(rolling_path, &fields(rolling, names), detail));
        }
        ("RollingUpdate", Some(rolling)) => {
            errors.not_negative(&rolling_path, rolling, "partition");
            let path = rolling_path.child("maxUnavailable");
            let share = rolling.get("maxUnavailable").unwrap_or(&Value::Null);
            int_or_percent(&path, share, errors);
            at_most_all(&path, share, errors);
        }
        ("OnDelete" | "RollingUpdate", None) => {}
        (kind, rolling) => {
            let detail = "must be 'RollingUpdate' or 'OnDelete'";
            errors.push(FieldError::shown_invalid(path, &shown(kind, rolling, names), detail));
        }
    }
}

/// Writes a strategy as the reference shows it: as its Go fields, all of them.
fn shown(kind: &str, rolling: Option<&Value>, names: [&str; 2]) -> String {
    let rolling = rolling.map_or("null".to_owned(), |rolling| fields(rolling, names));
    format!("{{\"Type\":{},\"RollingUpdate\":{rolling}}}", json!(kind))
}

fn fields(rolling: &Value, names: [&str; 2]) -> String {
    let field = |name: &str| {
        let (first, rest) = name.split_at(1);
        let value = rolling.get(format!("{}{rest}", first.to_lowercase()));
        format!("\"{name}\":{}", value.unwrap_or(&Value::Null))
    };
    format!("{{{}}}", names.map(field).join(","))
}

fn int_or_percent(path: &FieldPath, value: &Value, errors: &mut Errors) {
    match value {
        Value::String(text) if percent(text).is_none() => {
            let detail = "a valid percent string must be a numeric string followed by an ending '%' \
                          (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
            errors.invalid(path, text.as_str(), detail);
        }
        Value::Number(number) if number.as_i64() < Some(0) => {
            errors.invalid(path, value.clone(), "must be greater than or equal to 0");
        }
        _ => {}
    }
}

/// Refuses shares of more than everything.
fn at_most_all(path: &FieldPath, value: &Value, errors: &mut Errors) {
    if let Some(text) = value.as_str().filter(|text| Some(100) < percent(text)) {
        errors.invalid(path, text, "must not be greater than 100%");
    }
}

fn percent(text: &str) -> Option<u32> {
    text.strip_suffix('%')?.parse().ok()
}
