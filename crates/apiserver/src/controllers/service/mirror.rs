//! Pure: the EndpointSlices that mirror Endpoints which somebody else wrote.

use k8s::Object;
use serde_json::{Value, json};

use super::{SERVICE_NAME, bring_to, subsets};
use crate::{
    controllers::{
        action::{Action, Deletion, Plan, Target},
        kinds, names,
    },
    fields,
};

/// The label by which the controller knows its own.
const MANAGED_BY: (&str, &str) =
    ("endpointslice.kubernetes.io/managed-by", "endpointslicemirroring-controller.k8s.io");

/// The label of Endpoints that are not to be mirrored.
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";

/// Plans a slice for each subset and family of addresses, and deletes the others.
pub(super) fn plan(endpoints: Option<&Object>, slices: &[&Object], plan: &mut Plan) {
    let is_wanted = |endpoints: &&Object| {
        let meta = endpoints.meta();
        let skips = meta.labels.get(SKIP).is_some_and(|skip| skip == "true");
        !skips && !meta.is_deleting() && !subsets::is_own(endpoints)
    };
    let wanted = endpoints.filter(is_wanted).map(mirrored).unwrap_or_default();
    let name = |slice: &Value| fields::text(slice, "/metadata/name").to_owned();
    let names: Vec<_> = wanted.iter().map(name).collect();
    for (slice, name) in wanted.into_iter().zip(&names) {
        let present = slices.iter().find(|it| it.meta().name == *name).copied();
        bring_to(&kinds::ENDPOINT_SLICES, present, slice, plan);
    }
    let own = slices
        .iter()
        .filter(|it| it.meta().labels.get(MANAGED_BY.0).is_some_and(|by| by == MANAGED_BY.1));
    for slice in own.filter(|it| !names.contains(&it.meta().name) && !it.meta().is_deleting()) {
        let target = Target::of(&kinds::ENDPOINT_SLICES, slice);
        plan.push(Action::Delete { target, how: Deletion::Background });
    }
}

fn mirrored(endpoints: &Object) -> Vec<Value> {
    let value = endpoints.to_value();
    let subsets = fields::list(&value, "/subsets").iter().enumerate();
    let slices = subsets.flat_map(|(number, subset)| {
        let families = [("IPv4", false), ("IPv6", true)].into_iter();
        families.filter_map(move |(family, has_colons)| {
            let of = |field: &str, ready: bool| {
                let addresses = fields::list(subset, field).iter();
                let addresses = addresses
                    .filter(|it| fields::text(it, "/ip").contains(':') == has_colons)
                    .map(|it| endpoint(it, ready));
                addresses.collect::<Vec<_>>()
            };
            let all = [of("/addresses", true), of("/notReadyAddresses", false)].concat();
            (!all.is_empty()).then(|| slice(endpoints, (number, family), subset, &all))
        })
    });
    slices.collect()
}

fn slice(endpoints: &Object, which: (usize, &str), subset: &Value, all: &[Value]) -> Value {
    let (meta, (_, family)) = (endpoints.meta(), which);
    let mut labels = json!(meta.labels);
    for (label, value) in [MANAGED_BY, (SERVICE_NAME, &meta.name)] {
        fields::set(&mut labels, &[label], value);
    }
    let ports = fields::list(subset, "/ports").iter().map(|port| {
        let mut port = port.clone();
        let name = fields::text(&port, "/name").to_owned();
        fields::set(&mut port, &["name"], name);
        port
    });
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
        "metadata": {
            "name": format!("{}-{}", meta.name, names::suffix(&(&meta.uid, which))),
            "namespace": meta.namespace, "generateName": format!("{}-", meta.name), "labels": labels,
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Endpoints", "name": meta.name, "uid": meta.uid,
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "endpoints": all, "ports": ports.collect::<Vec<_>>(),
    })
}

fn endpoint(address: &Value, ready: bool) -> Value {
    let mut endpoint = json!({"addresses": [address["ip"]], "conditions": {"ready": ready}});
    for field in ["hostname", "nodeName", "targetRef"] {
        if let Some(value) = address.get(field) {
            endpoint[field] = value.clone();
        }
    }
    endpoint
}
