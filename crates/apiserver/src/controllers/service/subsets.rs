//! Pure: the Endpoints of a Service.

use k8s::Object;
use serde_json::{Value, json};

use super::{Backend, Observed, Port, bring_to, labels, reference};
use crate::controllers::{action::Plan, kinds};

/// The label by which the controller knows its own.
const MANAGED_BY: (&str, &str) = ("endpoints.kubernetes.io/managed-by", "endpoint-controller");

/// Plans the one Endpoints object, which has the name of the Service.
pub(super) fn plan(observed: &Observed<'_>, backends: &[Backend<'_>], plan: &mut Plan) {
    let meta = observed.service.object.meta();
    let mut wanted = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {
            "name": meta.name, "namespace": meta.namespace,
            "labels": labels(observed.service, &[MANAGED_BY]),
        },
    });
    let groups = backends.chunk_by(|one, two| one.ports == two.ports);
    let subsets: Vec<_> = groups.filter_map(subset).collect();
    if !subsets.is_empty() {
        wanted["subsets"] = json!(subsets);
    }
    bring_to(&kinds::ENDPOINTS, observed.endpoints, wanted, plan);
}

/// Returns whether the controller made it.
pub(super) fn is_own(endpoints: &Object) -> bool {
    endpoints.meta().labels.get(MANAGED_BY.0).is_some_and(|by| by == MANAGED_BY.1)
}

fn subset(backends: &[Backend<'_>]) -> Option<Value> {
    let (ready, unready): (Vec<_>, Vec<_>) = backends.iter().partition(|it| it.is_ready);
    let unready = unready.into_iter().filter(|it| !it.pod.object.meta().is_deleting());
    let unready: Vec<_> = unready.map(address).collect();
    let ready: Vec<_> = ready.into_iter().map(address).collect();
    if ready.is_empty() && unready.is_empty() {
        return None;
    }
    let mut subset = json!({});
    for (name, list) in [
        ("addresses", ready),
        ("notReadyAddresses", unready),
        ("ports", backends.first()?.ports.iter().map(port).collect()),
    ] {
        if !list.is_empty() {
            subset[name] = Value::Array(list);
        }
    }
    Some(subset)
}

fn address(backend: &Backend<'_>) -> Value {
    let pod = backend.pod;
    json!({"ip": pod.ip, "nodeName": pod.node, "targetRef": reference(pod)})
}

fn port(port: &Port) -> Value {
    let mut value = port.to_value();
    if !port.name.is_empty() {
        value["name"] = json!(port.name);
    }
    value
}
