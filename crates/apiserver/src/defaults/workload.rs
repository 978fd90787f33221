//! Pure: the defaults of what makes pods.

use serde_json::{Map, Value, json};

use crate::defaults::{each, is_true, map, pod, set, text, within};

pub(super) fn deployment(spec: &mut Map<String, Value>) {
    set(spec, "replicas", 1);
    set(spec, "revisionHistoryLimit", 10);
    set(spec, "progressDeadlineSeconds", 600);
    rolling_update(
        map(spec, "strategy"),
        &[("maxSurge", json!("25%")), ("maxUnavailable", json!("25%"))],
    );
    within(spec, "template", pod::template);
}

pub(super) fn replica_set(spec: &mut Map<String, Value>) {
    set(spec, "replicas", 1);
    within(spec, "template", pod::template);
}

pub(super) fn stateful_set(spec: &mut Map<String, Value>) {
    set(spec, "replicas", 1);
    set(spec, "podManagementPolicy", "OrderedReady");
    set(spec, "revisionHistoryLimit", 10);
    rolling_update(map(spec, "updateStrategy"), &[("partition", json!(0))]);
    let retention = map(spec, "persistentVolumeClaimRetentionPolicy");
    set(retention, "whenDeleted", "Retain");
    set(retention, "whenScaled", "Retain");
    each(spec, "volumeClaimTemplates", |claim| {
        within(claim, "spec", |spec| set(spec, "volumeMode", "Filesystem"));
        set(map(claim, "status"), "phase", "Pending");
        set(claim, "apiVersion", "v1");
        set(claim, "kind", "PersistentVolumeClaim");
    });
    within(spec, "template", pod::template);
}

pub(super) fn daemon_set(spec: &mut Map<String, Value>) {
    set(spec, "revisionHistoryLimit", 10);
    let defaults = [("maxUnavailable", json!(1)), ("maxSurge", json!(0))];
    rolling_update(map(spec, "updateStrategy"), &defaults);
    within(spec, "template", pod::template);
}

pub(super) fn replication_controller(object: &mut Map<String, Value>) {
    let labels =
        object.get("spec").and_then(|spec| spec.pointer("/template/metadata/labels")).cloned();
    if let Some(labels) = labels {
        set(map(object, "metadata"), "labels", labels.clone());
        set(map(object, "spec"), "selector", labels);
    }
    within(object, "spec", replica_set);
}

pub(super) fn job(object: &mut Map<String, Value>) {
    let labels =
        object.get("spec").and_then(|spec| spec.pointer("/template/metadata/labels")).cloned();
    if let Some(labels) = labels {
        set(map(object, "metadata"), "labels", labels);
    }
    within(object, "spec", job_spec);
}

pub(super) fn cron_job(spec: &mut Map<String, Value>) {
    set(spec, "concurrencyPolicy", "Allow");
    set(spec, "suspend", false);
    set(spec, "successfulJobsHistoryLimit", 3);
    set(spec, "failedJobsHistoryLimit", 1);
    within(spec, "jobTemplate", |template| {
        within(template, "spec", |spec| {
            within(spec, "template", pod::template);
        });
    });
}

/// Gives a new job the selector and labels that find its own pods, unless it has a selector.
pub(super) fn job_selector(object: &mut Map<String, Value>) {
    let metadata = map(object, "metadata");
    let (uid, name) = (text(metadata, "uid").to_owned(), text(metadata, "name").to_owned());
    let spec = map(object, "spec");
    if is_true(spec, "manualSelector") {
        return;
    }
    let selector = map(spec, "selector");
    map(selector, "matchLabels")
        .insert("batch.kubernetes.io/controller-uid".to_owned(), json!(uid));
    let labels = map(map(map(spec, "template"), "metadata"), "labels");
    for (key, value) in [("controller-uid", &uid), ("job-name", &name)] {
        labels.insert(key.to_owned(), json!(value));
        labels.insert(format!("batch.kubernetes.io/{key}"), json!(value));
    }
}

fn job_spec(spec: &mut Map<String, Value>) {
    let counted = ["completions", "parallelism"].map(|name| spec.get(name).is_some());
    if counted == [false, false] {
        set(spec, "completions", 1);
    }
    set(spec, "parallelism", 1);
    let limit = if spec.contains_key("backoffLimitPerIndex") { i32::MAX } else { 6 };
    set(spec, "backoffLimit", limit);
    set(spec, "completionMode", "NonIndexed");
    set(spec, "suspend", false);
    set(spec, "manualSelector", false);
    within(spec, "podFailurePolicy", |policy| {
        each(policy, "rules", |rule| {
            each(rule, "onPodConditions", |condition| set(condition, "status", "True"));
        });
    });
    let replaced =
        if spec.contains_key("podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    set(spec, "podReplacementPolicy", replaced);
    within(spec, "template", pod::template);
}

fn rolling_update(strategy: &mut Map<String, Value>, defaults: &[(&str, Value)]) {
    set(strategy, "type", "RollingUpdate");
    if text(strategy, "type") == "RollingUpdate" {
        let rolling = map(strategy, "rollingUpdate");
        for (name, value) in defaults {
            set(rolling, name, value.clone());
        }
    }
}
