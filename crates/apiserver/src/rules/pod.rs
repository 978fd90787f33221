//! Pure: the rules of pods and pod templates.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    dns,
    field::{FieldError, FieldPath},
    lifecycle::metadata,
    pack,
    rules::{Errors, container, list, number, text},
};

const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,\
    `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
    `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub(super) fn pod(new: &Value, old: Option<&Value>, errors: &mut Errors) {
    let spec = FieldPath::new("spec");
    pod_spec(&spec, &new["spec"], errors);
    if let Some(old) = old {
        update(&spec, &new["spec"], &old["spec"], errors);
    }
}

pub(super) fn template(path: &FieldPath, template: Option<&Value>, errors: &mut Errors) {
    // The reference leaves `metadata` out of this path.
    let labels = path.child("labels").to_string();
    let metadata = template.and_then(|template| template.get("metadata"));
    for error in metadata::labels_at(&labels, metadata.unwrap_or(&Value::Null)) {
        errors.push(error);
    }
    let spec = template.and_then(|template| template.get("spec"));
    pod_spec(&path.child("spec"), spec.unwrap_or(&Value::Null), errors);
    if spec.is_some_and(|spec| !list(spec, "/ephemeralContainers").is_empty()) {
        let path = path.child("spec").child("ephemeralContainers");
        let detail = "ephemeral containers not allowed in pod template";
        errors.push(FieldError::forbidden(path, detail));
    }
}

fn pod_spec(path: &FieldPath, spec: &Value, errors: &mut Errors) {
    let volumes = volumes(&path.child("volumes"), spec, errors);
    let mut names = BTreeSet::new();
    let containers = path.child("containers");
    if list(spec, "/containers").is_empty() {
        errors.required(&containers);
    }
    for field in ["containers", "initContainers"] {
        let path = path.child(field);
        for (index, each) in list(spec, &format!("/{field}")).iter().enumerate() {
            let path = path.index(index);
            container::container(&path, each, &volumes, errors);
            let name = text(each, "/name");
            if !name.is_empty() && !names.insert(name) {
                errors.push(FieldError::duplicate(path.child("name"), name));
            }
        }
    }
    let policies = ["Always", "OnFailure", "Never"];
    errors.one_of(&path.child("restartPolicy"), text(spec, "/restartPolicy"), &policies);
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    errors.one_of(&path.child("dnsPolicy"), text(spec, "/dnsPolicy"), &policies);
    errors.not_negative(path, spec, "terminationGracePeriodSeconds");
    if spec.get("activeDeadlineSeconds").is_some_and(|_| number(spec, "/activeDeadlineSeconds") < 1)
    {
        let detail = "must be between 1 and 2147483647, inclusive";
        let value = number(spec, "/activeDeadlineSeconds");
        errors.invalid(&path.child("activeDeadlineSeconds"), value, detail);
    }
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
    tolerations(&path.child("tolerations"), spec, errors);
}

/// Checks the volumes and returns their names.
fn volumes<'a>(path: &FieldPath, spec: &'a Value, errors: &mut Errors) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    for (index, volume) in list(spec, "/volumes").iter().enumerate() {
        let path = path.index(index);
        let name = text(volume, "/name");
        errors.name(&path.child("name"), name, dns::label);
        if !name.is_empty() && !names.insert(name) {
            errors.push(FieldError::duplicate(path.child("name"), name));
        }
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
        if sources.is_empty() {
            errors.push(FieldError::required(&path, "must specify a volume type"));
        }
    }
    names
}

fn tolerations(path: &FieldPath, spec: &Value, errors: &mut Errors) {
    for (index, toleration) in list(spec, "/tolerations").iter().enumerate() {
        let path = path.index(index);
        let operator = text(toleration, "/operator");
        if text(toleration, "/key").is_empty() && operator != "Exists" {
            let detail = "operator must be Exists when `key` is empty, which means \"match all values \
                          and all keys\"";
            errors.invalid(&path.child("operator"), operator, detail);
        }
        if operator == "Exists" && !text(toleration, "/value").is_empty() {
            let detail = "value must be empty when `operator` is 'Exists'";
            errors.invalid(&path.child("operator"), toleration.clone(), detail);
        }
        if !["", "Exists", "Equal"].contains(&operator) {
            errors.one_of(&path.child("operator"), operator, &["Equal", "Exists"]);
        }
        let effect = text(toleration, "/effect");
        if !effect.is_empty() {
            let supported = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
            errors.one_of(&path.child("effect"), effect, &supported);
        }
    }
}

/// Refuses changes of a pod beyond its images and the few other fields that may change.
fn update(path: &FieldPath, new: &Value, old: &Value, errors: &mut Errors) {
    for field in ["containers", "initContainers"] {
        let (new, old) = (list(new, &format!("/{field}")), list(old, &format!("/{field}")));
        if new.len() != old.len() {
            let detail = "pod updates may not add or remove containers";
            errors.push(FieldError::forbidden(path.child(field), detail));
            return;
        }
    }
    let old_tolerations = list(old, "/tolerations");
    if !old_tolerations.iter().all(|each| list(new, "/tolerations").contains(each)) {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden(path.child("tolerations"), detail));
    }
    if frozen(new, old) != frozen(old, old) {
        let detail = format!("pod updates may not change fields other than {UPDATABLE}");
        errors.push(FieldError::forbidden(path, detail));
    }
}

/// Returns a pod's spec without what may change.
fn frozen(spec: &Value, old: &Value) -> Value {
    let mut frozen = spec.clone();
    for field in ["containers", "initContainers"] {
        let containers = frozen.get_mut(field).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
            container.remove("image");
        }
    }
    let Value::Object(fields) = &mut frozen else { return frozen };
    for name in ["activeDeadlineSeconds", "tolerations", "schedulingGates", "ephemeralContainers"] {
        fields.remove(name);
    }
    if number(old, "/terminationGracePeriodSeconds") < 0 {
        fields.remove("terminationGracePeriodSeconds");
    }
    frozen
}
