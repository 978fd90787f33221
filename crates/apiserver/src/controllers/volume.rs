//! Pure: keeps volumes and claims while they are in use, and says which volumes are there to be claimed.
//!
//! Binding them to each other is left to whoever writes `claimRef` and `volumeName`.

use k8s::Object;
use serde_json::{Value, json};

use super::{
    action::{Action, Plan, Target},
    garbage, kinds,
    kinds::Shared,
    pod::Pod,
};
use crate::{
    fields,
    prepare::{CLAIM_IN_USE, VOLUME_IN_USE},
};

/// Plans what a volume needs: its finalizer as long as it is bound, and its phase while nobody claims it.
pub(crate) fn plan(volume: &Object) -> Plan {
    let value = volume.to_value();
    let phase = fields::text(&value, "/status/phase");
    let mut plan = protection(&kinds::VOLUMES, volume, VOLUME_IN_USE, phase == "Bound");
    let is_free = value.pointer("/spec/claimRef").is_none();
    if plan.is_idle() && !volume.meta().is_deleting() && is_free && phase != "Available" {
        let mut object = value;
        fields::set(&mut object, &["status", "phase"], "Available");
        fields::remove(&mut object, &["status", "message"]);
        plan.push(Action::Status { resource: kinds::VOLUMES.clone(), object });
    }
    plan
}

/// Plans what a claim needs: its finalizer as long as a pod of its namespace uses it.
pub(crate) fn plan_claim<'a>(claim: &Object, pods: impl IntoIterator<Item = &'a Pod>) -> Plan {
    let is_used = claim.meta().is_deleting() && pods.into_iter().any(|pod| uses(pod, claim));
    protection(&kinds::CLAIMS, claim, CLAIM_IN_USE, is_used)
}

fn protection(resource: &Shared, object: &Object, finalizer: &str, is_used: bool) -> Plan {
    let mut plan = Plan::default();
    let meta = object.meta();
    match (meta.is_deleting(), meta.has_finalizer(finalizer)) {
        (true, true) if !is_used => {
            let target = Target::of(resource, object);
            plan.push(garbage::without_finalizer(&target, object, finalizer));
        }
        (false, false) => {
            let mut value = object.to_value();
            let mut finalizers = meta.finalizers.clone();
            finalizers.push(finalizer.to_owned());
            fields::set(&mut value, &["metadata", "finalizers"], json!(finalizers));
            let (resource, what) = (resource.clone(), format!("add finalizer {finalizer}"));
            plan.push(Action::Update { resource, object: value, what });
        }
        _ => {}
    }
    plan
}

/// Returns whether a pod uses a claim; one without a node cannot start any more once the claim is going.
fn uses(pod: &Pod, claim: &Object) -> bool {
    let meta = claim.meta();
    if pod.node.is_empty() {
        return false;
    }
    let value = pod.object.to_value();
    let name = &pod.object.meta().name;
    let is_own = meta.controller().is_some_and(|owner| owner.uid == pod.object.meta().uid);
    fields::list(&value, "/spec/volumes").iter().any(|volume| {
        let made_for = || format!("{name}-{}", volume["name"].as_str().unwrap_or_default());
        let is_named = fields::text(volume, "/persistentVolumeClaim/claimName") == meta.name;
        let is_made = volume.get("ephemeral").is_some_and(Value::is_object);
        is_named || is_made && is_own && made_for() == meta.name
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn object(kind: &str, finalizers: &[&str], is_deleting: bool, rest: &Value) -> Object {
        let mut value = json!({"apiVersion": "v1", "kind": kind,
            "metadata": {"name": "a", "uid": "u", "finalizers": finalizers}});
        if is_deleting {
            value["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        k8s::patch::merge(&mut value, rest);
        Object::from_value(&value).unwrap()
    }

    #[test]
    fn volumes_are_kept_while_they_are_bound() {
        let volume = |finalizers: &[&str], is_deleting, phase| {
            let status = json!({"status": {"phase": phase}});
            plan(&object("PersistentVolume", finalizers, is_deleting, &status)).to_string()
        };
        let held = [VOLUME_IN_USE];
        let update = "update PersistentVolume a: ";
        for (found, expected) in [
            (volume(&held, false, "Available"), String::new()),
            (volume(&held, false, "Pending"), "status PersistentVolume a\n".to_owned()),
            (volume(&[], false, "Available"), format!("{update}add finalizer {VOLUME_IN_USE}\n")),
            (volume(&held, true, "Bound"), String::new()),
            (volume(&held, true, "Available"), format!("{update}drop finalizer {VOLUME_IN_USE}\n")),
        ] {
            assert_eq!(found, expected);
        }
        let claimed = json!({"spec": {"claimRef": {}}, "status": {"phase": "Pending"}});
        assert!(plan(&object("PersistentVolume", &held, false, &claimed)).is_idle());
    }

    #[test]
    fn claims_are_kept_while_a_pod_on_a_node_uses_them() {
        let claim = object("PersistentVolumeClaim", &[CLAIM_IN_USE], true, &json!({}));
        let planned = |node: &str, volume: Value| {
            let spec = json!({"spec": {"nodeName": node, "volumes": [volume]}});
            let pod = Pod::read(Arc::new(object("Pod", &[], false, &spec)));
            plan_claim(&claim, [&pod]).is_idle()
        };
        let user = json!({"name": "v", "persistentVolumeClaim": {"claimName": "a"}});
        assert!(planned("n", user.clone()));
        assert!(!planned("", user));
        assert!(!planned("n", json!({"name": "v", "persistentVolumeClaim": {"claimName": "b"}})));
    }
}
