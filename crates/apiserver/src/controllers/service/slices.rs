//! Pure: the EndpointSlices of a Service.

use serde_json::{Value, json};

use super::{Backend, Observed, bring_to, labels, reference};
use crate::controllers::{
    action::{Action, Deletion, Plan, Target},
    kinds, names,
};

/// How many endpoints one slice holds.
const MOST: usize = 100;

/// Plans as many slices as the endpoints need, at least one, and deletes the others.
pub(super) fn plan(observed: &Observed<'_>, backends: &[Backend<'_>], plan: &mut Plan) {
    let groups = backends.chunk_by(|one, two| one.ports == two.ports);
    let mut parts: Vec<_> = groups.flat_map(|group| group.chunks(MOST)).collect();
    if parts.is_empty() {
        parts.push(&[]);
    }
    let meta = observed.service.object.meta();
    let name = |ordinal| format!("{}-{}", meta.name, names::suffix(&(&meta.uid, ordinal)));
    let named: Vec<_> = parts.iter().enumerate().map(|(ordinal, _)| name(ordinal)).collect();
    for (name, part) in named.iter().zip(parts) {
        let present = observed.slices.iter().find(|it| it.meta().name == *name).copied();
        bring_to(&kinds::ENDPOINT_SLICES, present, slice(observed, name, part), plan);
    }
    let own = observed
        .slices
        .iter()
        .filter(|it| it.meta().labels.get(MANAGED_BY.0).is_some_and(|by| by == MANAGED_BY.1));
    for slice in own.filter(|it| !named.contains(&it.meta().name)) {
        let target = Target::of(&kinds::ENDPOINT_SLICES, slice);
        plan.push(Action::Delete { target, how: Deletion::Background });
    }
}

/// The label that names the Service of a slice.
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The label by which the controller knows its own.
const MANAGED_BY: (&str, &str) =
    ("endpointslice.kubernetes.io/managed-by", "endpointslice-controller.k8s.io");

fn slice(observed: &Observed<'_>, name: &str, backends: &[Backend<'_>]) -> Value {
    let meta = observed.service.object.meta();
    let mut slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "name": name, "namespace": meta.namespace, "generateName": format!("{}-", meta.name),
            "labels": labels(observed.service, &[MANAGED_BY, (SERVICE_NAME, &meta.name)]),
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Service", "name": meta.name, "uid": meta.uid,
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "endpoints": backends.iter().map(endpoint).collect::<Vec<_>>(),
    });
    let ports = backends.first().map_or(&[][..], |it| &it.ports).iter();
    let ports = ports.map(|port| {
        let mut value = port.to_value();
        value["name"] = json!(port.name);
        value
    });
    slice["ports"] = ports.collect();
    slice
}

fn endpoint(backend: &Backend<'_>) -> Value {
    let pod = backend.pod;
    let terminating = pod.object.meta().is_deleting();
    json!({
        "addresses": [pod.ip], "nodeName": pod.node, "targetRef": reference(pod),
        "conditions": {
            "ready": backend.is_ready,
            "serving": pod.ready_since.is_some(),
            "terminating": terminating,
        },
    })
}
