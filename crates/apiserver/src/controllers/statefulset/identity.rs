//! Pure: what a numbered pod is called, and which claims are its own.

use k8s::Object;
use serde_json::{Value, json};

use super::{REVISION_LABEL, StatefulSet, revisions};
use crate::{
    controllers::{action::Action, kinds, pod::Pod},
    fields,
};

/// Returns the pod of a number as a revision has it.
pub(super) fn pod(set: &StatefulSet, ordinal: i64, revision: &Object) -> Value {
    let name = format!("{}-{ordinal}", set.name());
    let template = revisions::template(revision);
    let mut metadata = json!({
        "name": name, "generateName": format!("{}-", set.name()),
        "namespace": set.object.meta().namespace, "ownerReferences": [set.claimant().reference()],
    });
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template["metadata"].get(field) {
            fields::set(&mut metadata, &[field], value.clone());
        }
    }
    let number = ordinal.to_string();
    for (label, value) in [
        ("statefulset.kubernetes.io/pod-name", &name),
        ("apps.kubernetes.io/pod-index", &number),
        (REVISION_LABEL, &revision.meta().name),
    ] {
        fields::set(&mut metadata, &["labels", label], value.as_str());
    }
    let mut spec = template["spec"].clone();
    fields::set(&mut spec, &["hostname"], name);
    if !set.spec.service_name.is_empty() {
        fields::set(&mut spec, &["subdomain"], set.spec.service_name.as_str());
    }
    mount(set, ordinal, &mut spec);
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
}

/// Puts the claims in the place of volumes of the same name.
fn mount(set: &StatefulSet, ordinal: i64, spec: &mut Value) {
    let names: Vec<_> = set.spec.volume_claim_templates.iter().map(template_name).collect();
    let claims = names.iter().zip(claim_names(set, ordinal));
    let claims = claims
        .map(|(name, claim)| json!({"name": name, "persistentVolumeClaim": {"claimName": claim}}));
    let mut volumes: Vec<_> = claims.collect();
    let others = fields::list(spec, "/volumes").iter();
    let others = others.filter(|volume| !names.contains(&fields::text(volume, "/name")));
    volumes.extend(others.cloned());
    if !volumes.is_empty() {
        fields::set(spec, &["volumes"], volumes);
    }
}

/// Returns the claims of a number, as they are to be created.
pub(super) fn claims(set: &StatefulSet, ordinal: i64) -> Vec<Value> {
    let templates = set.spec.volume_claim_templates.iter().zip(claim_names(set, ordinal));
    let claims = templates.map(|(template, name)| {
        let mut claim = template.clone();
        fields::remove(&mut claim, &["status"]);
        fields::set(&mut claim, &["apiVersion"], "v1");
        fields::set(&mut claim, &["kind"], "PersistentVolumeClaim");
        fields::set(&mut claim, &["metadata", "name"], name);
        let namespace = set.object.meta().namespace.as_str();
        fields::set(&mut claim, &["metadata", "namespace"], namespace);
        let labels = set.spec.selector["matchLabels"].as_object().into_iter().flatten();
        for (label, value) in labels {
            fields::set(&mut claim, &["metadata", "labels", label], value.clone());
        }
        if set.spec.persistent_volume_claim_retention_policy.when_deleted == "Delete" {
            fields::set(&mut claim, &["metadata", "ownerReferences"], vec![set_owner(set)]);
        }
        claim
    });
    claims.collect()
}

/// Returns what the claims of a number are called.
pub(super) fn claim_names(set: &StatefulSet, ordinal: i64) -> Vec<String> {
    let templates = set.spec.volume_claim_templates.iter();
    templates.map(|it| format!("{}-{}-{ordinal}", template_name(it), set.name())).collect()
}

/// Returns the reference with which a claim goes when its set goes.
pub(super) fn set_owner(set: &StatefulSet) -> Value {
    let meta = set.object.meta();
    owner("apps/v1", "StatefulSet", &meta.name, &meta.uid)
}

/// Returns the reference with which a claim goes when its pod goes.
pub(super) fn pod_owner(pod: &Pod) -> Value {
    let meta = pod.object.meta();
    owner("v1", "Pod", &meta.name, &meta.uid)
}

/// Returns the update that leaves a claim no owner but this, of those that a set hands out.
pub(super) fn retain(set: &StatefulSet, claim: &Object, owner: Option<&Value>) -> Option<Action> {
    let mut object = claim.to_value();
    let before = fields::list(&object, "/metadata/ownerReferences").to_vec();
    let is_foreign = |it: &&Value| {
        let is_set = it["uid"] == set.object.meta().uid.as_str();
        let prefix = format!("{}-", set.name());
        let is_pod = it["kind"] == "Pod" && fields::text(it, "/name").starts_with(&prefix);
        !(is_set || is_pod)
    };
    let after: Vec<_> = before.iter().filter(is_foreign).chain(owner).cloned().collect();
    if after == before {
        return None;
    }
    fields::set(&mut object, &["metadata", "ownerReferences"], after);
    let (resource, what) = (kinds::CLAIMS.clone(), "owners".to_owned());
    Some(Action::Update { resource, object, what })
}

fn owner(api_version: &str, kind: &str, name: &str, uid: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "name": name, "uid": uid,
        "controller": true})
}

fn template_name(template: &Value) -> &str {
    fields::text(template, "/metadata/name")
}
