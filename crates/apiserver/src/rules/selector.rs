//! Pure: the rules of label selectors.

use serde_json::Value;

use crate::{
    field::{FieldError, FieldPath},
    fields::{list, text},
    lifecycle::metadata,
    rules::{Errors, entries},
};

/// Checks a label selector, wherever it stands.
pub(super) fn label_selector(path: &FieldPath, selector: &Value, errors: &mut Errors) {
    let labels = path.child("matchLabels");
    for (key, value) in entries(selector, "matchLabels") {
        for why in metadata::qualified_name(key) {
            errors.invalid(&labels, key.as_str(), why);
        }
        let value = value.as_str().unwrap_or_default();
        for why in metadata::label_value(value) {
            errors.invalid(&labels, value, why);
        }
    }
    for (index, requirement) in list(selector, "/matchExpressions").iter().enumerate() {
        expression(&path.child("matchExpressions").index(index), requirement, errors);
    }
}

fn expression(path: &FieldPath, requirement: &Value, errors: &mut Errors) {
    let values = list(requirement, "/values");
    match text(requirement, "/operator") {
        "In" | "NotIn" if values.is_empty() => {
            let detail = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(FieldError::required(path.child("values"), detail));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(path.child("values"), detail));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => errors.invalid(&path.child("operator"), other, "not a valid selector operator"),
    }
    let key = text(requirement, "/key");
    for why in metadata::qualified_name(key) {
        errors.invalid(&path.child("key"), key, why);
    }
    for (index, value) in values.iter().filter_map(Value::as_str).enumerate() {
        for why in metadata::label_value(value) {
            errors.invalid(&path.child("values").index(index), value, why);
        }
    }
}
