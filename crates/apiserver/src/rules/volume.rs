//! Pure: the rules of volumes and claims.

use serde_json::{Value, json};

use crate::{
    dns,
    field::{FieldError, FieldPath},
    fields::{list, text},
    quantity,
    rules::{Errors, given, pod::source, selector::label_selector},
};

const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

/// Where volumes may come from, in the order in which the first one counts.
///
/// The schema does not tell these fields of a volume from the others.
const SOURCES: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

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
    let affinity = path.child("nodeAffinity");
    match given(spec, "nodeAffinity") {
        Some(it) if given(it, "required").is_none() => {
            let why = "must specify required node constraints";
            errors.push(FieldError::required(affinity.child("required"), why));
        }
        Some(it) if list(it, "/required/nodeSelectorTerms").is_empty() => {
            let path = affinity.child("required").child("nodeSelectorTerms");
            errors.push(FieldError::required(path, "must have at least one node selector term"));
        }
        _ => {}
    }
    sources(&path, spec, errors);
    if reclaim == "Recycle" && is_root(text(spec, "/hostPath/path")) {
        let why = "may not be 'recycle' for a hostPath mount of '/'";
        errors.push(FieldError::forbidden(&policy, why));
    }
    class_and_mode(&path, spec, errors);
    if let Some(old) = old {
        if SOURCES.iter().any(|name| given(spec, name) != given(&old["spec"], name)) {
            // The reference shows what changed as values of its own types, which only it has.
            let path = "spec.persistentvolumesource";
            let why = format!("{path} is immutable after creation");
            errors.push(FieldError::forbidden(path, why));
        }
        let mode = FieldPath::new("volumeMode");
        errors.immutable(&mode, spec.get("volumeMode"), old["spec"].get("volumeMode"));
    }
}

/// Checks where a volume comes from: one place, which is described in full.
fn sources(path: &FieldPath, spec: &Value, errors: &mut Errors) {
    let mut given = SOURCES.iter().filter_map(|name| Some((*name, given(spec, name)?)));
    let Some((name, source)) = given.next() else {
        errors.push(FieldError::required(path, "must specify a volume type"));
        return;
    };
    let at = path.child(name);
    match name {
        "hostPath" => source::host_path(&at, source, errors),
        "nfs" => nfs(&at, source, errors),
        "csi" => {
            errors.name(&at.child("driver"), text(source, "/driver"), dns::subdomain);
            required(&at, source, &["volumeHandle"], errors);
        }
        "local" => {
            required(&at, source, &["path"], errors);
            source::no_steps_back(&at.child("path"), text(source, "/path"), errors);
        }
        _ => {}
    }
    for (extra, _) in given {
        let why = "may not specify more than 1 volume type";
        errors.push(FieldError::forbidden(path.child(extra), why));
    }
    if name == "local" && spec["nodeAffinity"].is_null() {
        let why = "Local volume requires node affinity";
        errors.push(FieldError::required(path.child("nodeAffinity"), why));
    }
}

fn nfs(path: &FieldPath, nfs: &Value, errors: &mut Errors) {
    required(path, nfs, &["server", "path"], errors);
    let at = text(nfs, "/path");
    if !at.is_empty() && !at.starts_with('/') {
        errors.invalid(&path.child("path"), at, "must be an absolute path");
    }
}

fn required(path: &FieldPath, value: &Value, fields: &[&str], errors: &mut Errors) {
    for field in fields {
        if text(value, &format!("/{field}")).is_empty() {
            errors.required(&path.child(field));
        }
    }
}

fn is_root(path: &str) -> bool {
    !path.is_empty() && path.chars().all(|c| c == '/')
}

pub(super) fn claim(new: &Value, old: Option<&Value>, errors: &mut Errors) {
    claim_spec(&FieldPath::new("spec"), &new["spec"], errors);
    if let Some(old) = old {
        claim_update(new, old, errors);
    }
}

/// Checks what is claimed, wherever it stands.
pub(super) fn claim_spec(path: &FieldPath, spec: &Value, errors: &mut Errors) {
    if list(spec, "/accessModes").is_empty() {
        let why = "at least 1 access mode is required";
        errors.push(FieldError::required(path.child("accessModes"), why));
    }
    if let Some(selector) = given(spec, "selector") {
        label_selector(&path.child("selector"), selector, errors);
    }
    access_modes(path, spec, errors);
    let storage = path.child("resources").key("storage");
    match text(spec, "/resources/requests/storage") {
        "" => errors.required(&storage),
        size => positive(&storage, size, errors),
    }
    class_and_mode(path, spec, errors);
    let class = text(spec, "/volumeAttributesClassName");
    if !class.is_empty() {
        errors.name(&path.child("volumeAttributesClassName"), class, dns::subdomain);
    }
    origins(path, spec, errors);
}

/// Checks what a claim is to be filled from.
fn origins(path: &FieldPath, spec: &Value, errors: &mut Errors) {
    let fields = ["dataSource", "dataSourceRef"];
    for field in fields {
        let Some(origin) = given(spec, field) else { continue };
        let path = path.child(field);
        required(&path, origin, &["name", "kind"], errors);
        let (group, kind) = (text(origin, "/apiGroup"), text(origin, "/kind"));
        if group.is_empty() && kind != "PersistentVolumeClaim" {
            let why = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
            errors.invalid(&path, kind, why);
        }
        if !group.is_empty() {
            errors.name(&path.child("apiGroup"), group, dns::subdomain);
        }
    }
    let [Some(origin), Some(reference)] = fields.map(|field| given(spec, field)) else { return };
    if ["/apiGroup", "/kind", "/name"].iter().any(|it| text(origin, it) != text(reference, it)) {
        // What the reference shows of the value is nothing at all.
        errors.invalid(path, json!({}), "must match dataSourceRef");
    }
}

/// Checks that a claim only grows, and only once it has a volume.
fn claim_update(new: &Value, old: &Value, errors: &mut Errors) {
    const SIZE: &str = "/spec/resources/requests/storage";
    let mut kept = new["spec"].clone();
    let before = &old["spec"];
    let take_back = |kept: &mut Value, name: &str| match before.get(name) {
        Some(value) => kept[name] = value.clone(),
        None => drop(kept.as_object_mut().map(|it| it.remove(name))),
    };
    // Whoever binds a claim names its volume once.
    if text(old, "/spec/volumeName").is_empty() {
        take_back(&mut kept, "volumeName");
    }
    if text(new, "/status/phase") == "Bound" {
        take_back(&mut kept, "volumeAttributesClassName");
        if let (Some(size), Some(before)) =
            (kept.pointer_mut("/resources/requests/storage"), old.pointer(SIZE))
        {
            *size = before.clone();
        }
    }
    if !k8s::json::same(&kept, before) {
        // The reference shows what changed as values of its own types, which only it has.
        let why = "spec is immutable after creation except resources.requests and \
                   volumeAttributesClassName for bound claims";
        errors.push(FieldError::forbidden("spec", why));
    }
    let size = |value, pointer| quantity::nanos(text(value, pointer)).unwrap_or_default();
    let (after, filled) = (size(new, SIZE), size(old, "/status/capacity/storage"));
    if after < size(old, SIZE) && after <= filled {
        let path = "spec.resources.requests.storage";
        errors.push(FieldError::forbidden(path, "field can not be less than status.capacity"));
    }
    let mode = FieldPath::new("volumeMode");
    errors.immutable(&mode, new["spec"].get("volumeMode"), before.get("volumeMode"));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn told(rule: impl Fn(&mut Errors)) -> Vec<String> {
        let mut errors = Errors::default();
        rule(&mut errors);
        errors.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn volumes_come_from_one_place() {
        let path = FieldPath::new("spec");
        for (spec, expected) in [
            (json!({}), vec!["spec: Required value: must specify a volume type"]),
            (json!({"hostPath": {"path": "/x", "type": ""}}), vec![]),
            (
                json!({"hostPath": {"path": ""}, "nfs": {}, "csi": {}}),
                vec![
                    "spec.hostPath.path: Required value",
                    "spec.nfs: Forbidden: may not specify more than 1 volume type",
                    "spec.csi: Forbidden: may not specify more than 1 volume type",
                ],
            ),
            (
                json!({"local": {"path": "/a/.."}}),
                vec![
                    "spec.local.path: Invalid value: \"/a/..\": must not contain '..'",
                    "spec.nodeAffinity: Required value: Local volume requires node affinity",
                ],
            ),
            (
                json!({"csi": {}}),
                vec!["spec.csi.driver: Required value", "spec.csi.volumeHandle: Required value"],
            ),
        ] {
            assert_eq!(told(|errors| sources(&path, &spec, errors)), expected, "{spec}");
        }
    }

    #[test]
    fn claims_grow_once_they_are_bound() {
        let claim = |phase: &str, size: &str, volume: &str| {
            json!({"spec": {"volumeName": volume, "resources": {"requests": {"storage": size}}},
                "status": {"phase": phase, "capacity": {"storage": "2Gi"}}})
        };
        let old = claim("Bound", "4Gi", "v");
        for (new, count) in [
            (claim("Bound", "9Gi", "v"), 0),
            (claim("Bound", "3Gi", "v"), 0),
            (claim("Bound", "2Gi", "v"), 1),
            (claim("Pending", "9Gi", "v"), 1),
            (claim("Bound", "4Gi", "other"), 1),
        ] {
            assert_eq!(told(|errors| claim_update(&new, &old, errors)).len(), count, "{new}");
        }
        let (free, bound) = (claim("Pending", "4Gi", ""), claim("Pending", "4Gi", "v"));
        assert!(told(|errors| claim_update(&bound, &free, errors)).is_empty());
    }
}
