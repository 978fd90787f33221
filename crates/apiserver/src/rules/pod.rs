//! Pure: the rules of pods and pod templates.

mod affinity;
mod network;
mod placement;
pub(super) mod security;
pub(super) mod source;
mod update;

use std::collections::BTreeSet;

use serde_json::{Value, json};

pub(super) use self::update::status;
use crate::{
    dns,
    field::{FieldError, FieldPath},
    fields::{list, text},
    lifecycle::metadata,
    rules::{
        Errors,
        container::{self, Role},
        given,
    },
};

pub(super) fn pod(new: &Value, old: Option<&Value>, errors: &mut Errors) {
    let path = FieldPath::new("spec");
    let spec = &new["spec"];
    pod_spec(&path, spec, errors);
    let Some(old) = old else { return born(&path, spec, errors) };
    update::update(&path, spec, &old["spec"], errors);
}

/// Refuses what only comes to pods after they were created, or waits for what they do not say at first.
fn born(path: &FieldPath, spec: &Value, errors: &mut Errors) {
    if !list(spec, "/ephemeralContainers").is_empty() {
        let path = path.child("ephemeralContainers");
        errors.push(FieldError::forbidden(path, "cannot be set on create"));
    }
    if !list(spec, "/schedulingGates").is_empty() && !text(spec, "/nodeName").is_empty() {
        let detail = "cannot be set until all schedulingGates have been cleared";
        errors.push(FieldError::forbidden(path.child("nodeName"), detail));
    }
}

pub(super) fn template(path: &FieldPath, template: Option<&Value>, errors: &mut Errors) {
    template_labels(path, template, errors);
    let spec = template.and_then(|template| template.get("spec"));
    pod_spec(&path.child("spec"), spec.unwrap_or(&Value::Null), errors);
    if spec.is_some_and(|spec| !list(spec, "/ephemeralContainers").is_empty()) {
        let path = path.child("spec").child("ephemeralContainers");
        let detail = "ephemeral containers not allowed in pod template";
        errors.push(FieldError::forbidden(path, detail));
    }
}

pub(super) fn template_labels(path: &FieldPath, template: Option<&Value>, errors: &mut Errors) {
    // The reference leaves `metadata` out of this path.
    let labels = path.child("labels").to_string();
    let metadata = template.and_then(|template| template.get("metadata"));
    for error in metadata::labels_at(&labels, metadata.unwrap_or(&Value::Null)) {
        errors.push(error);
    }
}

fn pod_spec(path: &FieldPath, spec: &Value, errors: &mut Errors) {
    containers(path, spec, errors);
    let policies = ["Always", "OnFailure", "Never"];
    errors.one_of(&path.child("restartPolicy"), text(spec, "/restartPolicy"), &policies);
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    errors.one_of(&path.child("dnsPolicy"), text(spec, "/dnsPolicy"), &policies);
    // What a pod wants of its node is written as the node's labels are.
    let labels = json!({"labels": spec["nodeSelector"]});
    for error in metadata::labels_at(&path.child("nodeSelector").to_string(), &labels) {
        errors.push(error);
    }
    if spec["hostNetwork"] == true {
        container::shared_ports(&path.child("containers"), list(spec, "/containers"), errors);
    }
    security::of_pod(&path.child("securityContext"), spec, errors);
    if let Some(each) = given(spec, "affinity") {
        affinity::affinity(&path.child("affinity"), each, errors);
    }
    network::dns_config(&path.child("dnsConfig"), spec, errors);
    placement::readiness_gates(&path.child("readinessGates"), spec, errors);
    placement::gates(&path.child("schedulingGates"), spec, errors);
    placement::spread(&path.child("topologySpreadConstraints"), spec, errors);
    let seconds = given(spec, "activeDeadlineSeconds").and_then(Value::as_i64);
    if let Some(seconds) = seconds.filter(|seconds| !(1..=i64::from(i32::MAX)).contains(seconds)) {
        let detail = "must be between 1 and 2147483647, inclusive";
        errors.invalid(&path.child("activeDeadlineSeconds"), seconds, detail);
    }
    names(path, spec, errors);
    placement::tolerations(&path.child("tolerations"), spec, errors);
    network::host_aliases(&path.child("hostAliases"), spec, errors);
    system(path, spec, errors);
}

fn containers(path: &FieldPath, spec: &Value, errors: &mut Errors) {
    let volumes = source::volumes(&path.child("volumes"), spec, errors);
    let mut names = BTreeSet::new();
    if list(spec, "/containers").is_empty() {
        errors.required(&path.child("containers"));
    }
    for (field, role) in [("containers", Role::Main), ("initContainers", Role::Init)] {
        let path = path.child(field);
        let containers = list(spec, &format!("/{field}"));
        for (index, each) in containers.iter().enumerate() {
            let path = path.index(index);
            container::container(&path, each, role, &volumes, errors);
            let name = text(each, "/name");
            if !name.is_empty() && !names.insert(name) {
                errors.push(FieldError::duplicate(path.child("name"), name));
            }
        }
        container::host_ports(&path, containers, errors);
    }
}

fn names(path: &FieldPath, spec: &Value, errors: &mut Errors) {
    for (name, rule) in [
        ("serviceAccountName", dns::subdomain as fn(&str) -> Vec<String>),
        ("nodeName", dns::subdomain),
        ("hostname", dns::label),
        ("subdomain", dns::label),
    ] {
        let value = text(spec, &format!("/{name}"));
        if !value.is_empty() {
            errors.name(&path.child(name), value, rule);
        }
    }
}

/// Checks which system the containers are for.
fn system(path: &FieldPath, spec: &Value, errors: &mut Errors) {
    let Some(system) = given(spec, "os") else { return };
    let path = path.child("os");
    match text(system, "/name") {
        "" => errors.push(FieldError::required(path.child("name"), "cannot be empty")),
        name => errors.one_of(&path, name, &["linux", "windows"]),
    }
}
