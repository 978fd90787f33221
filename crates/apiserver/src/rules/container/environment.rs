//! Pure: the rules of the environments of containers.

use serde_json::{Map, Value};

use super::reference;
use crate::{
    field::FieldPath,
    fields::{list, text},
    rules::{Errors, given},
};

const SEVERAL: &str = "may not have more than one field specified at a time";

/// The fields of a pod that its containers may see in their environments.
const FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Checks the variables of a container.
pub(super) fn variables(path: &FieldPath, container: &Value, errors: &mut Errors) {
    for (index, variable) in list(container, "/env").iter().enumerate() {
        let path = path.index(index);
        match text(variable, "/name") {
            "" => errors.required(&path.child("name")),
            name => errors.checked(&path.child("name"), name, name_syntax),
        }
        if let Some(source) = given(variable, "valueFrom") {
            source_of(&path.child("valueFrom"), source, text(variable, "/value"), errors);
        }
    }
}

fn source_of(path: &FieldPath, source: &Value, value: &str, errors: &mut Errors) {
    for (name, reference) in source.as_object().into_iter().flatten() {
        let path = path.child(name);
        match name.as_str() {
            "fieldRef" => reference::field(&path, reference, &FIELDS, errors),
            "resourceFieldRef" => reference::resource(&path, reference, errors),
            "configMapKeyRef" | "secretKeyRef" => reference::key(&path, reference, errors),
            _ => {}
        }
    }
    let sources = source.as_object().map_or(0, Map::len);
    if sources == 0 {
        let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, \
                      `secretKeyRef` or `fileKeyRef`";
        errors.invalid(path, "", detail);
    } else if !value.is_empty() {
        errors.invalid(path, "", "may not be specified when `value` is not empty");
    } else if 1 < sources {
        errors.invalid(path, "", SEVERAL);
    }
}

/// Checks the config maps and secrets whose keys all become variables.
pub(super) fn sources(path: &FieldPath, container: &Value, errors: &mut Errors) {
    for (index, source) in list(container, "/envFrom").iter().enumerate() {
        let at = path.index(index);
        let prefix = text(source, "/prefix");
        if !prefix.is_empty() {
            errors.checked(&at.child("prefix"), prefix, name_syntax);
        }
        let references = ["configMapRef", "secretRef"];
        let references = references.iter().filter_map(|name| Some((name, given(source, name)?)));
        let mut count = 0;
        for (name, reference) in references {
            reference::all_of(&at.child(name), reference, errors);
            count += 1;
        }
        // The reference names the list here, not the item.
        match count {
            0 => errors.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => errors.invalid(path, "", SEVERAL),
        }
    }
}

fn name_syntax(name: &str) -> Vec<String> {
    let is_good = name.chars().all(|c| matches!(c, ' '..='~') && c != '=');
    let why = "a valid environment variable name must consist only of printable ASCII \
               characters other than '='";
    (!is_good).then(|| why.to_owned()).into_iter().collect()
}
