//! Pure: what is wrong with the metadata of an object.

use k8s::OwnerReference;
use serde::Deserialize as _;
use serde_json::Value;

use crate::{dns, field::FieldError, registry::Registered};

const ANNOTATIONS_LIMIT: u64 = 256 * 1024;

/// Finalizers without a domain that the reference itself knows.
const STANDARD_FINALIZERS: &[&str] = &["foregroundDeletion", "kubernetes", "orphan"];

const QUALIFIED: &str = "must consist of alphanumeric characters, '-', '_' or '.', and \
    must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or \
    '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric \
    characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. \
    'MyValue',  or 'my_value',  or '12345', regex used for validation is \
    '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// Returns everything that is wrong with the metadata of an object.
pub(crate) fn validate(registered: &Registered, value: &Value) -> Vec<FieldError> {
    let empty = Value::Null;
    let metadata = value.get("metadata").unwrap_or(&empty);
    let mut errors = name(registered, metadata);
    errors.extend(labels(metadata));
    errors.extend(annotations(metadata));
    errors.extend(owners(metadata));
    errors.extend(finalizers(registered, metadata));
    errors
}

/// Returns the warnings about finalizers that may clash with those of others.
pub(crate) fn warnings(registered: &Registered, value: &Value) -> Vec<String> {
    if !registered.is_custom() {
        return vec![];
    }
    let finalizers = value.pointer("/metadata/finalizers").and_then(Value::as_array);
    let mut odd: Vec<_> = texts(finalizers)
        .filter(|name| !name.contains('/') && !STANDARD_FINALIZERS.contains(name))
        .collect();
    odd.sort_unstable();
    let warning = |name: &str| {
        let path = if name.contains('.') { " including a path (/)" } else { "" };
        format!(
            "metadata.finalizers: \"{name}\": prefer a domain-qualified finalizer name{path} to \
             avoid accidental conflicts with other finalizer writers"
        )
    };
    odd.into_iter().map(warning).collect()
}

fn name(registered: &Registered, metadata: &Value) -> Vec<FieldError> {
    let name = metadata.get("name").and_then(Value::as_str).unwrap_or_default();
    if name.is_empty() {
        return vec![FieldError::required("metadata.name", "name or generateName is required")];
    }
    let why = match registered.resource.gvk.group.as_str() {
        "rbac.authorization.k8s.io" => path_segment(name),
        _ if registered.is("", "namespaces") || registered.is("", "services") => dns::label(name),
        _ => dns::subdomain(name),
    };
    why.into_iter().map(|why| FieldError::invalid("metadata.name", name, why)).collect()
}

pub(crate) fn path_segment(name: &str) -> Vec<String> {
    if name == "." || name == ".." {
        return vec![format!("may not be '{name}'")];
    }
    let banned = ['/', '%'].into_iter().filter(|banned| name.contains(*banned));
    banned.map(|banned| format!("may not contain '{banned}'")).collect()
}

fn labels(metadata: &Value) -> Vec<FieldError> {
    labels_at("metadata.labels", metadata)
}

/// Returns what is wrong with the labels in some metadata; `path` is where the errors say they are.
pub(crate) fn labels_at(path: &str, metadata: &Value) -> Vec<FieldError> {
    let mut errors = vec![];
    for (key, value) in metadata.get("labels").and_then(Value::as_object).into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        errors.extend(
            qualified_name(key).into_iter().map(|why| FieldError::invalid(path, key.as_str(), why)),
        );
        errors.extend(
            label_value(value).into_iter().map(|why| FieldError::invalid(path, value, why)),
        );
    }
    errors
}

fn annotations(metadata: &Value) -> Vec<FieldError> {
    let path = "metadata.annotations";
    let mut errors = vec![];
    let mut size = 0;
    for (key, value) in metadata.get("annotations").and_then(Value::as_object).into_iter().flatten()
    {
        let why = qualified_name(&key.to_lowercase());
        errors.extend(why.into_iter().map(|why| FieldError::invalid(path, key.as_str(), why)));
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if ANNOTATIONS_LIMIT < size as u64 {
        errors.push(FieldError::too_long(path, ANNOTATIONS_LIMIT));
    }
    errors
}

fn owners(metadata: &Value) -> Vec<FieldError> {
    let path = "metadata.ownerReferences";
    let Some(references) = metadata.get("ownerReferences") else { return vec![] };
    let owners = Vec::<OwnerReference>::deserialize(references).unwrap_or_default();
    let sent = references.as_array().into_iter().flatten();
    let mut errors: Vec<_> =
        owners.iter().zip(sent).flat_map(|(it, sent)| owner(path, it, sent)).collect();
    let mut managing = owners.iter().filter(|owner| owner.is_controller());
    if let (Some(first), Some(second)) = (managing.next(), managing.next()) {
        let why = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for \
             {}/{} and {}/{}",
            first.kind, first.name, second.kind, second.name
        );
        errors.push(FieldError::invalid(path, references.clone(), why));
    }
    errors
}

fn owner(path: &str, owner: &OwnerReference, sent: &Value) -> Vec<FieldError> {
    let mut errors = vec![];
    for (field, value, why) in [
        ("apiVersion", &owner.api_version, "version must not be empty"),
        ("kind", &owner.kind, "must not be empty"),
        ("name", &owner.name, "must not be empty"),
        ("uid", &owner.uid, "must not be empty"),
    ] {
        if value.is_empty() {
            errors.push(FieldError::invalid(format!("{path}.{field}"), "", why));
        }
    }
    if owner.kind == "Event" && ["v1", "events.k8s.io/v1"].contains(&owner.api_version.as_str()) {
        let slash = if owner.api_version.contains('/') { "" } else { "/" };
        let why = format!(
            "{slash}{}, Kind={} is disallowed from being an owner",
            owner.api_version, owner.kind
        );
        errors.push(FieldError::invalid(path, sent.clone(), why));
    }
    errors
}

fn finalizers(registered: &Registered, metadata: &Value) -> Vec<FieldError> {
    let path = "metadata.finalizers";
    let mut errors = vec![];
    for (index, name) in texts(metadata.get("finalizers").and_then(Value::as_array)).enumerate() {
        let why = qualified_name(name);
        errors.extend(why.into_iter().map(|why| FieldError::invalid(path, name, why)));
        // Definitions are served apart from the other built-ins, by the general rules alone.
        let is_general = registered.is_custom()
            || registered.is("apiextensions.k8s.io", "customresourcedefinitions");
        if !is_standard_finalizer(name) && !is_general {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(format!("{path}[{index}]"), name, why));
        }
    }
    errors
}

/// Returns whether somebody is known to act on a finalizer: it is one of all objects, or names who does.
pub(crate) fn is_standard_finalizer(name: &str) -> bool {
    name.contains('/') || STANDARD_FINALIZERS.contains(&name)
}

/// Returns what is wrong with the key of a label.
pub(crate) fn qualified_name(text: &str) -> Vec<String> {
    if 1 < text.matches('/').count() {
        let prefix = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
        return vec![format!("a valid label key {QUALIFIED} {prefix}")];
    }
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    let mut errors = vec![];
    match prefix {
        Some("") => errors.push("prefix part must be non-empty".to_owned()),
        Some(prefix) => {
            errors
                .extend(dns::subdomain(prefix).into_iter().map(|why| format!("prefix part {why}")));
        }
        None => {}
    }
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if 63 < name.len() {
        errors.push("name part must be no more than 63 characters".to_owned());
    }
    if !is_name(name) {
        errors.push(format!("name part {QUALIFIED}"));
    }
    errors
}

/// Returns what is wrong with the value of a label.
pub(crate) fn label_value(text: &str) -> Vec<String> {
    let mut errors = vec![];
    if 63 < text.len() {
        errors.push("must be no more than 63 characters".to_owned());
    }
    if !text.is_empty() && !is_name(text) {
        errors.push(LABEL_VALUE.to_owned());
    }
    errors
}

fn is_name(text: &str) -> bool {
    let ends_well = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(ends_well)
        && text.ends_with(ends_well)
        && text.chars().all(|c| ends_well(c) || matches!(c, '-' | '_' | '.'))
}

fn texts(items: Option<&Vec<Value>>) -> impl Iterator<Item = &str> {
    items.into_iter().flatten().filter_map(Value::as_str)
}
