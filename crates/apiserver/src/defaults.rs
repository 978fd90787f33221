//! Pure: fills in what the API fills in for built-in kinds.
//!
//! Works on objects in the form that `typed` gives them: no nulls, no empty texts, structs always there.

mod networking;
mod pod;
mod storage;
#[cfg(test)]
mod tests;
mod workload;

use base64::{Engine, prelude::BASE64_STANDARD};
use k8s::GroupVersionKind;
use serde_json::{Map, Value, json};

use crate::lifecycle::pods;

/// Fills in the defaults of a built-in kind; other kinds stay as they are.
pub(crate) fn apply(gvk: &GroupVersionKind, object: &mut Value) {
    let Value::Object(object) = object else { return };
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Namespace") => namespace(object),
        ("", "Node") => node(object),
        ("", "Pod") => pod::pod(object),
        ("", "PodTemplate") => within(object, "template", pod::template),
        ("", "Service") => networking::service(object),
        ("", "Endpoints") => networking::endpoints(object),
        ("", "Secret") => secret(object),
        ("", "PersistentVolume") => storage::volume(object),
        ("", "PersistentVolumeClaim") => storage::claim(object),
        ("", "ReplicationController") => workload::replication_controller(object),
        ("apps", "Deployment") => within(object, "spec", workload::deployment),
        ("apps", "ReplicaSet") => within(object, "spec", workload::replica_set),
        ("apps", "StatefulSet") => within(object, "spec", workload::stateful_set),
        ("apps", "DaemonSet") => within(object, "spec", workload::daemon_set),
        ("batch", "Job") => workload::job(object),
        ("batch", "CronJob") => within(object, "spec", workload::cron_job),
        ("discovery.k8s.io", "EndpointSlice") => networking::endpoint_slice(object),
        ("networking.k8s.io", "NetworkPolicy") => within(object, "spec", networking::policy),
        ("networking.k8s.io", "IngressClass") => networking::ingress_class(object),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => binding(object),
        ("storage.k8s.io", "StorageClass") => storage::class(object),
        ("scheduling.k8s.io", "PriorityClass") => {
            set(object, "preemptionPolicy", "PreemptLowerPriority");
        }
        _ => {}
    }
}

/// Has a namespace wait for its content to go, besides what else it waits for.
fn hold(spec: &mut Map<String, Value>) {
    const CONTENT: &str = "kubernetes";
    let finalizers = spec.entry("finalizers").or_insert(Value::Null);
    if !finalizers.is_array() {
        *finalizers = json!([]);
    }
    if let Some(finalizers) = finalizers.as_array_mut()
        && !finalizers.contains(&json!(CONTENT))
    {
        finalizers.push(json!(CONTENT));
    }
}

/// Gives a new object what it has from birth; its name and UID are known by now.
pub(crate) fn give_birth(gvk: &GroupVersionKind, object: &mut Value) {
    let Value::Object(object) = object else { return };
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Namespace") => {
            hold(map(object, "spec"));
            object.insert("status".to_owned(), json!({"phase": "Active"}));
        }
        ("", "Pod") => {
            let quality = pod::quality_of_service(object);
            let status = pods::born(&Value::Object(object.clone()), quality);
            object.insert("status".to_owned(), status);
        }
        ("", "PersistentVolume" | "PersistentVolumeClaim") => {
            object.insert("status".to_owned(), json!({"phase": "Pending"}));
        }
        ("batch", "Job") => workload::job_selector(object),
        _ => {}
    }
}

fn namespace(object: &mut Map<String, Value>) {
    let metadata = map(object, "metadata");
    if let Some(name) = metadata.get("name").cloned() {
        map(metadata, "labels").insert("kubernetes.io/metadata.name".to_owned(), name);
    }
    set(map(object, "status"), "phase", "Active");
}

/// A node that does not say otherwise gives everything it has.
fn node(object: &mut Map<String, Value>) {
    within(object, "status", |status| {
        if let Some(capacity) = status.get("capacity").cloned() {
            set(status, "allocatable", capacity);
        }
    });
}

fn secret(object: &mut Map<String, Value>) {
    set(object, "type", "Opaque");
    let Some(Value::Object(texts)) = object.remove("stringData") else { return };
    let data = map(object, "data");
    for (key, text) in texts {
        let text = text.as_str().unwrap_or_default();
        data.insert(key, json!(BASE64_STANDARD.encode(text)));
    }
}

fn binding(object: &mut Map<String, Value>) {
    const GROUP: &str = "rbac.authorization.k8s.io";
    within(object, "roleRef", |role| set(role, "apiGroup", GROUP));
    each(object, "subjects", |subject| {
        if matches!(text(subject, "kind"), "User" | "Group") {
            set(subject, "apiGroup", GROUP);
        }
    });
}

/// Sets a field that is missing or empty.
fn set(fields: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    let missing = match fields.get(name) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(_) => false,
    };
    if missing {
        fields.insert(name.to_owned(), value.into());
    }
}

/// Returns the object under a name, made if it is missing.
fn map<'a>(fields: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    let value = fields.entry(name).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().expect("it was just made an object")
}

/// Visits the object under a name, if there is one.
fn within(
    fields: &mut Map<String, Value>,
    name: &str,
    visit: impl FnOnce(&mut Map<String, Value>),
) {
    if let Some(Value::Object(inner)) = fields.get_mut(name) {
        visit(inner);
    }
}

/// Visits each object of the list under a name.
fn each(
    fields: &mut Map<String, Value>,
    name: &str,
    mut visit: impl FnMut(&mut Map<String, Value>),
) {
    let items = fields.get_mut(name).and_then(Value::as_array_mut);
    items.into_iter().flatten().filter_map(Value::as_object_mut).for_each(&mut visit);
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn is_true(fields: &Map<String, Value>, name: &str) -> bool {
    fields.get(name) == Some(&Value::Bool(true))
}
