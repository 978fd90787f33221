//! Pure: what of a pod is set by its way from birth to its node, not by those who write it.

use k8s::Timestamp;
use serde_json::{Value, json};

use crate::lifecycle::rfc3339;

const SCHEDULED: &str = "PodScheduled";

/// Returns the status a pod is born with.
pub(crate) fn born(pod: &Value, quality: &str) -> Value {
    let mut status = json!({"phase": "Pending", "qosClass": quality});
    let gates = pod.pointer("/spec/schedulingGates").and_then(Value::as_array);
    if gates.is_some_and(|gates| !gates.is_empty()) {
        status["conditions"] = json!([{
            "type": SCHEDULED, "status": "False", "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
            "lastProbeTime": null, "lastTransitionTime": pod["metadata"]["creationTimestamp"],
        }]);
    }
    status
}

/// Gives a pod its node and what the binding says of it, or says why it cannot have it.
pub(crate) fn bind(pod: &mut Value, binding: &Value, now: Timestamp) -> Result<(), String> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let gates = pod.pointer("/spec/schedulingGates").and_then(Value::as_array);
    if pod.pointer("/metadata/deletionTimestamp").is_some() {
        return Err(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    if let Some(node) = pod["spec"]["nodeName"].as_str().filter(|node| !node.is_empty()) {
        return Err(format!("pod {name} is already assigned to node {node:?}"));
    }
    if gates.is_some_and(|gates| !gates.is_empty()) {
        return Err(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    pod["spec"]["nodeName"] = binding["target"]["name"].clone();
    for field in ["annotations", "labels"] {
        for (key, value) in binding["metadata"][field].as_object().into_iter().flatten() {
            if !pod["metadata"][field].is_object() {
                pod["metadata"][field] = json!({});
            }
            pod["metadata"][field][key] = value.clone();
        }
    }
    let scheduled = json!({"type": SCHEDULED, "status": "True", "lastProbeTime": null,
        "lastTransitionTime": rfc3339(now)});
    let conditions = pod["status"].get("conditions").and_then(Value::as_array);
    let others = conditions.into_iter().flatten().filter(|it| it["type"] != SCHEDULED).cloned();
    pod["status"]["conditions"] = others.chain([scheduled]).collect();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gated_pod_is_born_unscheduled() {
        let condition = |gates: Value| {
            let pod = json!({"metadata": {}, "spec": {"schedulingGates": gates}});
            born(&pod, "BestEffort").pointer("/conditions/0/reason").cloned()
        };
        assert_eq!(condition(json!([])), None);
        assert_eq!(condition(json!([{"name": "a"}])), Some(json!("SchedulingGated")));
    }

    #[test]
    fn a_pod_is_bound_once() {
        let binding = json!({"target": {"name": "n"}, "metadata": {"labels": {"a": "b"}}});
        let mut pod = json!({"metadata": {"name": "p"}, "spec": {}, "status": {}});
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(bind(&mut pod, &binding, now), Ok(()));
        assert_eq!(
            (&pod["spec"]["nodeName"], &pod["metadata"]["labels"]["a"]),
            (&json!("n"), &json!("b"))
        );
        assert_eq!(pod["status"]["conditions"][0]["status"], "True");
        let again = bind(&mut pod, &binding, now).unwrap_err();
        assert_eq!(again, "pod p is already assigned to node \"n\"");
        let mut gated = json!({"metadata": {"name": "p"}, "spec": {"schedulingGates": [1]}});
        let refused = bind(&mut gated, &binding, now).unwrap_err();
        assert_eq!(refused, "pod p has non-empty .spec.schedulingGates");
    }
}
