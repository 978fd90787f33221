//! Pure: the rules of where pods want to be: near which nodes, near which other pods.

use serde_json::Value;

use crate::{
    dns,
    field::{FieldError, FieldPath},
    fields::{list, number, text},
    lifecycle::metadata,
    rules::{Errors, given, selector::label_selector},
};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// Checks the affinity of a pod.
pub(super) fn affinity(path: &FieldPath, affinity: &Value, errors: &mut Errors) {
    if let Some(node) = given(affinity, "nodeAffinity") {
        let path = path.child("nodeAffinity");
        if let Some(selector) = given(node, REQUIRED) {
            node_selector(&path.child(REQUIRED), selector, errors);
        }
        weighted(&path.child(PREFERRED), node, "preference", errors, node_selector_term);
    }
    for name in ["podAffinity", "podAntiAffinity"] {
        let Some(pods) = given(affinity, name) else { continue };
        let path = path.child(name);
        for (index, term) in list(pods, &format!("/{REQUIRED}")).iter().enumerate() {
            pod_term(&path.child(REQUIRED).index(index), term, errors);
        }
        weighted(&path.child(PREFERRED), pods, "podAffinityTerm", errors, pod_term);
    }
}

/// Checks preferences and how much each weighs.
fn weighted(
    path: &FieldPath,
    affinity: &Value,
    name: &str,
    errors: &mut Errors,
    rule: fn(&FieldPath, &Value, &mut Errors),
) {
    for (index, each) in list(affinity, &format!("/{PREFERRED}")).iter().enumerate() {
        let path = path.index(index);
        let weight = number(each, "/weight");
        if !(1..=100).contains(&weight) {
            errors.invalid(&path.child("weight"), weight, "must be in the range 1-100");
        }
        rule(&path.child(name), &each[name], errors);
    }
}

fn node_selector(path: &FieldPath, selector: &Value, errors: &mut Errors) {
    let path = path.child("nodeSelectorTerms");
    let terms = list(selector, "/nodeSelectorTerms");
    if terms.is_empty() {
        let detail = "must have at least one node selector term";
        errors.push(FieldError::required(&path, detail));
    }
    for (index, term) in terms.iter().enumerate() {
        node_selector_term(&path.index(index), term, errors);
    }
}

fn node_selector_term(path: &FieldPath, term: &Value, errors: &mut Errors) {
    for (index, each) in list(term, "/matchExpressions").iter().enumerate() {
        node_expression(&path.child("matchExpressions").index(index), each, errors);
    }
    for (index, each) in list(term, "/matchFields").iter().enumerate() {
        node_field(&path.child("matchFields").index(index), each, errors);
    }
}

fn node_expression(path: &FieldPath, requirement: &Value, errors: &mut Errors) {
    let values = list(requirement, "/values");
    let wrong = match text(requirement, "/operator") {
        "In" | "NotIn" if values.is_empty() => {
            Some("must be specified when `operator` is 'In' or 'NotIn'")
        }
        "Gt" | "Lt" if values.len() != 1 => {
            Some("must be specified single value when `operator` is 'Lt' or 'Gt'")
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(path.child("values"), detail));
            None
        }
        "In" | "NotIn" | "Gt" | "Lt" | "Exists" | "DoesNotExist" => None,
        other => {
            errors.invalid(&path.child("operator"), other, "not a valid selector operator");
            None
        }
    };
    if let Some(detail) = wrong {
        errors.push(FieldError::required(path.child("values"), detail));
    }
    let key = text(requirement, "/key");
    errors.checked(&path.child("key"), key, metadata::qualified_name);
    for (index, value) in values.iter().filter_map(Value::as_str).enumerate() {
        errors.checked(&path.child("values").index(index), value, metadata::label_value);
    }
}

/// Checks a requirement of a field of nodes; the only such field is the name.
fn node_field(path: &FieldPath, requirement: &Value, errors: &mut Errors) {
    let operator = text(requirement, "/operator");
    let values = list(requirement, "/values");
    if !["In", "NotIn"].contains(&operator) {
        errors.invalid(&path.child("operator"), operator, "not a valid selector operator");
    } else if values.len() != 1 {
        let detail =
            "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
        errors.push(FieldError::required(path.child("values"), detail));
    }
    let key = text(requirement, "/key");
    if key != "metadata.name" {
        return errors.invalid(&path.child("key"), key, "not a valid field selector key");
    }
    for (index, value) in values.iter().filter_map(Value::as_str).enumerate() {
        errors.checked(&path.child("values").index(index), value, dns::subdomain);
    }
}

fn pod_term(path: &FieldPath, term: &Value, errors: &mut Errors) {
    for name in ["labelSelector", "namespaceSelector"] {
        if let Some(selector) = given(term, name) {
            label_selector(&path.child(name), selector, errors);
        }
    }
    for name in list(term, "/namespaces").iter().filter_map(Value::as_str) {
        errors.checked(&path.child("namespace"), name, dns::label);
    }
    let (key, path) = (text(term, "/topologyKey"), path.child("topologyKey"));
    if key.is_empty() {
        errors.push(FieldError::required(&path, "can not be empty"));
    }
    errors.checked(&path, key, metadata::qualified_name);
}
