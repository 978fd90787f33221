//! Pure: the rules of what environments and files take from the pod, from config maps and from secrets.

use serde_json::Value;

use crate::{
    dns,
    field::{FieldError, FieldPath},
    fields::text,
    lifecycle::metadata,
    rules::{Errors, config},
};

/// The fields of a pod that have a name in its API.
const FIELDS: [&str; 14] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.phase",
    "status.podIP",
    "status.podIPs",
];
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

/// Checks a reference to a field of the pod that is one of the `supported` ones.
pub(in crate::rules) fn field(
    path: &FieldPath,
    reference: &Value,
    supported: &[&str],
    errors: &mut Errors,
) {
    let field = text(reference, "/fieldPath");
    let at = path.child("fieldPath");
    if field.is_empty() {
        return errors.required(&at);
    }
    let subscripted = field.strip_suffix("']").and_then(|field| field.split_once("['"));
    match subscripted {
        Some(("metadata.annotations", key)) => {
            for why in metadata::qualified_name(&key.to_lowercase()) {
                errors.invalid(path, key, why);
            }
        }
        Some(("metadata.labels", key)) => errors.checked(path, key, metadata::qualified_name),
        Some((whole, _)) if FIELDS.contains(&whole) => {
            errors.invalid(path, whole, "does not support subscript");
        }
        None if FIELDS.contains(&field) => errors.one_of(&at, field, supported),
        Some(_) | None => {
            let detail = format!("error converting fieldPath: field label not supported: {field}");
            errors.invalid(&at, field, detail);
        }
    }
}

/// Checks a reference to an amount that a container asks for or is limited to.
pub(in crate::rules) fn resource(path: &FieldPath, reference: &Value, errors: &mut Errors) {
    let resource = text(reference, "/resource");
    let path = path.child("resource");
    let is_huge_pages = ["limits.hugepages-", "requests.hugepages-"];
    if resource.is_empty() {
        errors.required(&path);
    } else if !is_huge_pages.iter().any(|start| resource.starts_with(start)) {
        errors.one_of(&path, resource, &RESOURCES);
    }
}

/// Checks a reference to a key of a config map or secret.
pub(super) fn key(path: &FieldPath, reference: &Value, errors: &mut Errors) {
    errors.checked(&path.child("name"), text(reference, "/name"), dns::subdomain);
    match text(reference, "/key") {
        "" => errors.required(&path.child("key")),
        key => errors.checked(&path.child("key"), key, config::key_syntax),
    }
}

/// Checks a reference to all of a config map or secret.
pub(super) fn all_of(path: &FieldPath, reference: &Value, errors: &mut Errors) {
    match text(reference, "/name") {
        "" => errors.push(FieldError::required(path.child("name"), "")),
        name => errors.checked(&path.child("name"), name, dns::subdomain),
    }
}
