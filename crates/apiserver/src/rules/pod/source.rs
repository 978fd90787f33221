//! Pure: the rules of the volumes of pods and what they are filled from.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    dns,
    field::{FieldError, FieldPath},
    fields::{list, number, text},
    pack,
    rules::{Errors, container::reference, given},
};

const NO_MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
/// What may be found at a path of a node.
const HOST_PATHS: [&str; 8] = [
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
];
/// How long a token lives at least and at most, in seconds.
const SHORTEST: i64 = 10 * 60;
const LONGEST: i64 = 1 << 32;

/// Checks the volumes and returns their names.
pub(super) fn volumes<'a>(
    path: &FieldPath,
    spec: &'a Value,
    errors: &mut Errors,
) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    for (index, volume) in list(spec, "/volumes").iter().enumerate() {
        let path = path.index(index);
        source(&path, volume, errors);
        let name = text(volume, "/name");
        errors.name(&path.child("name"), name, dns::label);
        if !name.is_empty() && !names.insert(name) {
            errors.push(FieldError::duplicate(path.child("name"), name));
        }
    }
    names
}

/// Checks what a volume is filled from: one thing, and that is complete.
fn source(path: &FieldPath, volume: &Value, errors: &mut Errors) {
    let mut sources = Vec::new();
    if let Some(source) = pack::named("core.v1.VolumeSource") {
        source.for_each_field(&mut |field| {
            if volume.get(field.name).is_some() {
                sources.push(field.name);
            }
        });
    }
    for extra in sources.iter().skip(1) {
        let detail = "may not specify more than 1 volume type";
        errors.push(FieldError::forbidden(path.child(extra), detail));
    }
    let Some(name) = sources.first() else {
        return errors.push(FieldError::required(path, "must specify a volume type"));
    };
    let (path, source) = (path.child(name), &volume[*name]);
    match *name {
        "hostPath" => host_path(&path, source, errors),
        "secret" => keyed(&path, source, "secretName", errors),
        "configMap" => keyed(&path, source, "name", errors),
        "persistentVolumeClaim" if text(source, "/claimName").is_empty() => {
            errors.required(&path.child("claimName"));
        }
        "downwardAPI" => {
            mode(&path.child("defaultMode"), &source["defaultMode"], errors);
            for file in list(source, "/items") {
                // The reference names the volume here, not the item.
                downward_file(&path, file, errors);
            }
        }
        "projected" => projected(&path, source, errors),
        _ => {}
    }
}

/// Checks a volume that is a path of its node.
pub(in crate::rules) fn host_path(path: &FieldPath, source: &Value, errors: &mut Errors) {
    let target = text(source, "/path");
    if target.is_empty() {
        return errors.required(&path.child("path"));
    }
    no_steps_back(&path.child("path"), target, errors);
    errors.one_of(&path.child("type"), text(source, "/type"), &HOST_PATHS);
}

/// Checks a volume with the keys of a config map or a secret; `name` is the field that says of which.
fn keyed(path: &FieldPath, source: &Value, name: &str, errors: &mut Errors) {
    if text(source, &format!("/{name}")).is_empty() {
        errors.required(&path.child(name));
    }
    mode(&path.child("defaultMode"), &source["defaultMode"], errors);
    items(path, source, errors);
}

fn items(path: &FieldPath, source: &Value, errors: &mut Errors) {
    for (index, item) in list(source, "/items").iter().enumerate() {
        let path = path.child("items").index(index);
        if text(item, "/key").is_empty() {
            errors.required(&path.child("key"));
        }
        local_path(&path.child("path"), text(item, "/path"), errors);
        mode(&path.child("mode"), &item["mode"], errors);
    }
}

fn projected(path: &FieldPath, projected: &Value, errors: &mut Errors) {
    mode(&path.child("defaultMode"), &projected["defaultMode"], errors);
    for (index, source) in list(projected, "/sources").iter().enumerate() {
        let at = path.child("sources").index(index);
        for (name, source) in source.as_object().into_iter().flatten() {
            let at = at.child(name);
            match name.as_str() {
                "secret" | "configMap" => {
                    if text(source, "/name").is_empty() {
                        errors.required(&at.child("name"));
                    }
                    items(&at, source, errors);
                }
                "downwardAPI" => {
                    for file in list(source, "/items") {
                        downward_file(&at, file, errors);
                    }
                }
                "serviceAccountToken" => token(path, &at, source, errors),
                _ => {}
            }
        }
        if source.as_object().is_some_and(|it| 1 < it.len()) {
            let detail = "may not specify more than 1 volume type per source";
            errors.push(FieldError::forbidden(at, detail));
        }
    }
}

fn token(volume: &FieldPath, path: &FieldPath, token: &Value, errors: &mut Errors) {
    let seconds = number(token, "/expirationSeconds");
    let path = path.child("expirationSeconds");
    if seconds < SHORTEST {
        errors.invalid(&path, seconds, "may not specify a duration less than 10 minutes");
    } else if LONGEST < seconds {
        errors.invalid(&path, seconds, "may not specify a duration larger than 2^32 seconds");
    }
    // The reference looks for the path in the volume when it says that there is none.
    local_path(&volume.child("path"), text(token, "/path"), errors);
}

fn downward_file(path: &FieldPath, file: &Value, errors: &mut Errors) {
    const FIELDS: [&str; 5] = [
        "metadata.annotations",
        "metadata.labels",
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
    ];
    local_path(&path.child("path"), text(file, "/path"), errors);
    match (given(file, "fieldRef"), given(file, "resourceFieldRef")) {
        (Some(field), resource) => {
            reference::field(&path.child("fieldRef"), field, &FIELDS, errors);
            if resource.is_some() {
                let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.invalid(path, "resource", detail);
            }
        }
        (None, Some(resource)) => {
            let path = path.child("resourceFieldRef");
            if text(resource, "/containerName").is_empty() {
                errors.required(&path.child("containerName"));
            } else {
                reference::resource(&path, resource, errors);
            }
        }
        (None, None) => {
            let detail = "one of fieldRef and resourceFieldRef is required";
            errors.push(FieldError::required(path, detail));
        }
    }
    mode(&path.child("mode"), &file["mode"], errors);
}

fn mode(path: &FieldPath, mode: &Value, errors: &mut Errors) {
    if let Some(mode) = mode.as_i64().filter(|mode| !(0..=0o777).contains(mode)) {
        errors.invalid(path, mode, NO_MODE);
    }
}

/// Checks a path that must be given and stay below where it starts.
fn local_path(path: &FieldPath, target: &str, errors: &mut Errors) {
    if target.is_empty() {
        return errors.required(path);
    }
    descending(path, target, errors);
    if target.starts_with("..") && !target.starts_with("../") {
        errors.invalid(path, target, "must not start with '..'");
    }
}

/// Checks a path that must stay below where it starts.
pub(in crate::rules) fn descending(path: &FieldPath, target: &str, errors: &mut Errors) {
    if target.starts_with('/') {
        errors.invalid(path, target, "must be a relative path");
    }
    no_steps_back(path, target, errors);
}

/// Refuses a path that leads upwards.
pub(in crate::rules) fn no_steps_back(path: &FieldPath, target: &str, errors: &mut Errors) {
    if target.split('/').any(|part| part == "..") {
        errors.invalid(path, target, "must not contain '..'");
    }
}
