//! Pure: the rules of what pods wait for, put up with and how they spread before they get a node.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    field::{FieldError, FieldPath},
    fields::{list, number, text},
    lifecycle::metadata,
    rules::{Errors, given, selector::label_selector},
};

const POSITIVE: &str = "must be greater than zero";

/// Checks what must be lifted before a pod is scheduled.
pub(super) fn gates(path: &FieldPath, spec: &Value, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (index, gate) in list(spec, "/schedulingGates").iter().enumerate() {
        let (path, name) = (path.index(index), text(gate, "/name"));
        errors.checked(&path, name, metadata::qualified_name);
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path, name));
        }
    }
}

/// Checks the conditions that must hold before a pod is ready.
pub(super) fn readiness_gates(path: &FieldPath, spec: &Value, errors: &mut Errors) {
    for (index, gate) in list(spec, "/readinessGates").iter().enumerate() {
        let path = path.index(index).child("conditionType");
        errors.checked(&path, text(gate, "/conditionType"), metadata::qualified_name);
    }
}

/// Checks how pods spread over the zones of a cluster.
pub(super) fn spread(path: &FieldPath, spec: &Value, errors: &mut Errors) {
    let constraints = list(spec, "/topologySpreadConstraints");
    for (index, each) in constraints.iter().enumerate() {
        let path = path.index(index);
        let skew = number(each, "/maxSkew");
        if skew < 1 {
            errors.invalid(&path.child("maxSkew"), skew, POSITIVE);
        }
        let key = text(each, "/topologyKey");
        if key.is_empty() {
            errors.push(FieldError::required(path.child("topologyKey"), "can not be empty"));
        }
        let otherwise = text(each, "/whenUnsatisfiable");
        let supported = ["DoNotSchedule", "ScheduleAnyway"];
        errors.one_of(&path.child("whenUnsatisfiable"), otherwise, &supported);
        let is_same = |it: &Value| {
            it["topologyKey"] == each["topologyKey"]
                && it["whenUnsatisfiable"] == each["whenUnsatisfiable"]
        };
        // The reference names the first of two, not the second.
        if constraints.iter().skip(index + 1).any(is_same) {
            let path = path.child("{topologyKey, whenUnsatisfiable}");
            errors.push(FieldError::duplicate(path, format!("{{{key}, {otherwise}}}")));
        }
        spread_options(&path, each, errors);
    }
}

fn spread_options(path: &FieldPath, constraint: &Value, errors: &mut Errors) {
    if let Some(domains) = given(constraint, "minDomains").and_then(Value::as_i64) {
        let path = path.child("minDomains");
        if domains < 1 {
            errors.invalid(&path, domains, POSITIVE);
        }
        let otherwise = text(constraint, "/whenUnsatisfiable");
        if otherwise != "DoNotSchedule" {
            let detail = format!(
                "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {otherwise}"
            );
            errors.invalid(&path, domains, detail);
        }
    }
    for name in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
        if let Some(policy) = given(constraint, name).and_then(Value::as_str) {
            errors.one_of(&path.child(name), policy, &["Honor", "Ignore"]);
        }
    }
    if let Some(selector) = given(constraint, "labelSelector") {
        label_selector(&path.child("labelSelector"), selector, errors);
    }
}

/// Checks the taints of nodes that a pod tolerates.
pub(super) fn tolerations(path: &FieldPath, spec: &Value, errors: &mut Errors) {
    for (index, toleration) in list(spec, "/tolerations").iter().enumerate() {
        let path = path.index(index);
        let (key, effect) = (text(toleration, "/key"), text(toleration, "/effect"));
        let operator = text(toleration, "/operator");
        if !key.is_empty() {
            errors.checked(&path.child("key"), key, metadata::qualified_name);
        } else if operator != "Exists" {
            let detail = "operator must be Exists when `key` is empty, which means \"match all values \
                          and all keys\"";
            errors.invalid(&path.child("operator"), operator, detail);
        }
        if given(toleration, "tolerationSeconds").is_some() && effect != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.invalid(&path.child("effect"), effect, detail);
        }
        tolerated_value(&path.child("operator"), operator, text(toleration, "/value"), errors);
        if !effect.is_empty() {
            let supported = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
            errors.one_of(&path.child("effect"), effect, &supported);
        }
    }
}

fn tolerated_value(path: &FieldPath, operator: &str, value: &str, errors: &mut Errors) {
    match operator {
        "" | "Equal" => {
            let why = metadata::label_value(value);
            if !why.is_empty() {
                errors.invalid(path, value, why.join(";"));
            }
        }
        "Exists" if value.is_empty() => {}
        "Exists" => errors.invalid(path, value, "value must be empty when `operator` is 'Exists'"),
        other => errors.one_of(path, other, &["Equal", "Exists"]),
    }
}
