//! Pure: the rules of volumes and claims.

use serde_json::Value;

use crate::{
    dns,
    field::{FieldError, FieldPath},
    quantity,
    rules::{Errors, given, list, selector::label_selector, text},
};

const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

pub(super) fn volume(new: &Value, old: Option<&Value>, errors: &mut Errors) {
    let path = FieldPath::new("spec");
    let spec = &new["spec"];
    if list(spec, "/accessModes").is_empty() {
        errors.required(&path.child("accessModes"));
    }
    access_modes(&path, spec, errors);
    capacity(&path.child("capacity"), given(spec, "capacity"), errors);
    let reclaim = text(spec, "/persistentVolumeReclaimPolicy");
    let policy = path.child("persistentVolumeReclaimPolicy");
    errors.one_of(&policy, reclaim, &["Delete", "Recycle", "Retain"]);
    if let Some(host) = given(spec, "hostPath") {
        let (path, at) = (path.child("hostPath"), text(host, "/path"));
        if at.is_empty() {
            errors.required(&path.child("path"));
        } else if at.split('/').any(|part| part == "..") {
            errors.invalid(&path.child("path"), at, "must not contain '..'");
        }
        if reclaim == "Recycle" && !at.is_empty() && at.chars().all(|c| c == '/') {
            let why = "may not be 'recycle' for a hostPath mount of '/'";
            errors.push(FieldError::forbidden(&policy, why));
        }
    }
    if let Some(nfs) = given(spec, "nfs") {
        let path = path.child("nfs");
        for field in ["server", "path"] {
            if text(nfs, &format!("/{field}")).is_empty() {
                errors.required(&path.child(field));
            }
        }
        let at = text(nfs, "/path");
        if !at.is_empty() && !at.starts_with('/') {
            errors.invalid(&path.child("path"), at, "must be an absolute path");
        }
        if given(spec, "hostPath").is_some() {
            let why = "may not specify more than 1 volume type";
            errors.push(FieldError::forbidden(&path, why));
        }
    }
    class_and_mode(&path, spec, errors);
    if let Some(old) = old {
        let mode = FieldPath::new("volumeMode");
        errors.immutable(&mode, spec.get("volumeMode"), old["spec"].get("volumeMode"));
    }
}

pub(super) fn claim(new: &Value, errors: &mut Errors) {
    let path = FieldPath::new("spec");
    let spec = &new["spec"];
    if list(spec, "/accessModes").is_empty() {
        let why = "at least 1 access mode is required";
        errors.push(FieldError::required(path.child("accessModes"), why));
    }
    if let Some(selector) = given(spec, "selector") {
        label_selector(&path.child("selector"), selector, errors);
    }
    access_modes(&path, spec, errors);
    let storage = path.child("resources").key("storage");
    match text(spec, "/resources/requests/storage") {
        "" => errors.required(&storage),
        size => positive(&storage, size, errors),
    }
    class_and_mode(&path, spec, errors);
    let class = text(spec, "/volumeAttributesClassName");
    if !class.is_empty() {
        errors.name(&path.child("volumeAttributesClassName"), class, dns::subdomain);
    }
}

fn access_modes(path: &FieldPath, spec: &Value, errors: &mut Errors) {
    let path = path.child("accessModes");
    let modes: Vec<_> = list(spec, "/accessModes").iter().filter_map(Value::as_str).collect();
    for mode in &modes {
        errors.one_of(&path, mode, &MODES);
    }
    let exclusive = "ReadWriteOncePod";
    let others = modes.iter().filter(|mode| MODES.contains(mode) && **mode != exclusive);
    if modes.contains(&exclusive) && 0 < others.count() {
        let why = "may not use ReadWriteOncePod with other access modes";
        errors.push(FieldError::forbidden(&path, why));
    }
}

fn capacity(path: &FieldPath, capacity: Option<&Value>, errors: &mut Errors) {
    let sizes = capacity.and_then(Value::as_object);
    if sizes.is_none() {
        errors.required(path);
    }
    if sizes.is_none_or(|it| it.len() != 1 || !it.contains_key("storage")) {
        let shown = capacity.cloned().unwrap_or_default();
        errors.push(FieldError::not_supported(path, shown, &["storage"]));
        return;
    }
    for (name, size) in sizes.into_iter().flatten() {
        positive(&path.key(name), size.as_str().unwrap_or_default(), errors);
    }
}

fn positive(path: &FieldPath, size: &str, errors: &mut Errors) {
    if quantity::nanos(size).is_some_and(|nanos| nanos <= 0) {
        errors.invalid(path, size, "must be greater than zero");
    }
}

fn class_and_mode(path: &FieldPath, spec: &Value, errors: &mut Errors) {
    let class = text(spec, "/storageClassName");
    if !class.is_empty() {
        errors.name(&path.child("storageClassName"), class, dns::subdomain);
    }
    let mode = text(spec, "/volumeMode");
    errors.one_of(&path.child("volumeMode"), mode, &["Block", "Filesystem"]);
}
