//! Pure: the defaults of volumes, claims and storage classes.

use serde_json::{Map, Value};

use crate::defaults::{map, set, within};

pub(super) fn volume(object: &mut Map<String, Value>) {
    set(map(object, "status"), "phase", "Pending");
    within(object, "spec", |spec| {
        set(spec, "persistentVolumeReclaimPolicy", "Retain");
        set(spec, "volumeMode", "Filesystem");
        within(spec, "hostPath", |path| {
            path.entry("type").or_insert_with(|| Value::from(""));
        });
    });
}

pub(super) fn claim(object: &mut Map<String, Value>) {
    set(map(object, "status"), "phase", "Pending");
    within(object, "spec", |spec| set(spec, "volumeMode", "Filesystem"));
}

pub(super) fn class(object: &mut Map<String, Value>) {
    set(object, "reclaimPolicy", "Delete");
    set(object, "volumeBindingMode", "Immediate");
}
