#![expect(clippy::needless_pass_by_value, reason = "tests read better with owned JSON")]

use std::sync::Arc;

use k8s::GroupVersion;

use super::*;
use crate::{crd, registry::Registry};

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

fn registered(api_version: &str, plural: &str) -> Arc<Registered> {
    let registry = Registry::new(vec![]);
    registry.by_path(&GroupVersion::parse(api_version), plural).unwrap().clone()
}

/// Returns the cells of an object made an hour ago, without those of a wide table.
fn narrow(api_version: &str, plural: &str, mut object: Value) -> Value {
    object["metadata"]["name"] = json!("a");
    object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    let registered = registered(api_version, plural);
    let table = table(&registered, [&object], json!({}), "v1", IncludeObject::None, now());
    let columns = table["columnDefinitions"].as_array().unwrap();
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(columns.len(), cells.len());
    let shown = columns.iter().zip(cells).filter(|(column, _)| column["priority"] == 0);
    shown.map(|(_, cell)| cell.clone()).collect()
}

/// Returns the cells ready, status and restarts of a pod with this status.
fn pod(status: Value) -> Value {
    let spec = json!({"containers": [{"name": "c"}], "initContainers": [{"name": "i"}]});
    let cells = narrow("v1", "pods", json!({"spec": spec, "status": status}));
    json!(cells.as_array().unwrap()[1..4])
}

#[test]
fn pods_show_what_their_containers_do() {
    for (status, expected) in [
        (json!({"phase": "Pending"}), json!(["0/1", "Pending", "0"])),
        (
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}),
            json!(["0/1", "Init:0/1", "0"]),
        ),
        (
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i",
                "state": {"terminated": {"exitCode": 2}}}]}),
            json!(["0/1", "Init:ExitCode:2", "0"]),
        ),
        (
            json!({"phase": "Running", "containerStatuses": [{"ready": true, "state": {"running": {}}}]}),
            json!(["1/1", "Running", "0"]),
        ),
        (
            json!({"phase": "Running", "containerStatuses": [{"restartCount": 3,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"finishedAt": "2026-01-01T00:55:00Z"}}}]}),
            json!(["0/1", "CrashLoopBackOff", "3 (5m ago)"]),
        ),
        (
            json!({"phase": "Succeeded", "containerStatuses": [{
                "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}]}),
            json!(["0/1", "Completed", "0"]),
        ),
        (
            json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]}),
            json!(["0/1", "SchedulingGated", "0"]),
        ),
    ] {
        assert_eq!(pod(status), expected);
    }
}

#[test]
fn a_pod_that_goes_says_so() {
    let object = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:59:00Z"}, "status": {"phase": "Running"}});
    assert_eq!(narrow("v1", "pods", object)[2], "Terminating");
}

#[test]
fn rows_have_the_cells_of_their_kind() {
    for (api_version, plural, object, expected) in [
        (
            "apps/v1",
            "deployments",
            json!({"spec": {"replicas": 3}, "status": {"readyReplicas": 1, "updatedReplicas": 2}}),
            json!(["a", "1/3", 2, 0, "60m"]),
        ),
        (
            "apps/v1",
            "replicasets",
            json!({"spec": {"replicas": 3}, "status": {"replicas": 2}}),
            json!(["a", 3, 2, 0, "60m"]),
        ),
        (
            "v1",
            "services",
            json!({"spec": {"type": "NodePort", "clusterIPs": ["10.0.0.1"], "ports": [
                {"port": 80, "protocol": "TCP", "nodePort": 30000}, {"port": 53, "protocol": "UDP"}]}}),
            json!(["a", "NodePort", "10.0.0.1", "<none>", "80:30000/TCP,53/UDP", "60m"]),
        ),
        (
            "v1",
            "endpoints",
            json!({"subsets": [{"addresses": [{"ip": "1.1.1.1"}, {"ip": "1.1.1.2"}], "ports": [{"port": 1}, {"port": 2}]}]}),
            json!(["a", "1.1.1.1:1,1.1.1.2:1,1.1.1.1:2 + 1 more...", "60m"]),
        ),
        ("v1", "configmaps", json!({"data": {"a": "", "b": ""}}), json!(["a", 2, "60m"])),
        ("v1", "secrets", json!({"type": "Opaque"}), json!(["a", "Opaque", 0, "60m"])),
        (
            "v1",
            "nodes",
            json!({"metadata": {"labels": {"node-role.kubernetes.io/worker": ""}},
                "spec": {"unschedulable": true},
                "status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1"}}}),
            json!(["a", "Ready,SchedulingDisabled", "worker", "60m", "v1"]),
        ),
        (
            "v1",
            "events",
            json!({"lastTimestamp": "2026-01-01T00:59:50Z", "type": "Normal", "reason": "R", "message": "m\n",
                "involvedObject": {"kind": "Pod", "name": "p"}}),
            json!(["10s", "Normal", "R", "pod/p", "m"]),
        ),
        (
            "batch/v1",
            "jobs",
            json!({"spec": {"completions": 1}, "status": {"succeeded": 1, "startTime": "2026-01-01T00:00:00Z",
                "completionTime": "2026-01-01T00:00:05Z", "conditions": [{"type": "Complete", "status": "True"}]}}),
            json!(["a", "Complete", "1/1", "5s", "60m"]),
        ),
        ("rbac.authorization.k8s.io/v1", "roles", json!({}), json!(["a", "2026-01-01T00:00:00Z"])),
    ] {
        assert_eq!(narrow(api_version, plural, object), expected, "{plural}");
    }
}

#[test]
fn custom_resources_show_declared_columns() {
    let definition = json!({"spec": {"group": "a.b", "scope": "Namespaced", "names": {"plural": "cs", "kind": "C"},
        "versions": [{"name": "v1", "served": true, "storage": true,
            "schema": {"openAPIV3Schema": {"type": "object"}},
            "additionalPrinterColumns": [
                {"name": "N", "type": "integer", "jsonPath": ".spec.n"},
                {"name": "Wrong", "type": "integer", "jsonPath": ".spec.s"},
                {"name": "S", "type": "string", "jsonPath": ".spec.s", "priority": 1},
                {"name": "Missing", "type": "string", "jsonPath": ".spec.x"},
                {"name": "Born", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                {"name": "Odd", "type": "date", "jsonPath": ".spec.s"}]}]}});
    let version = crd::versions(&definition).unwrap().remove(0);
    let row = Row {
        object: &json!({"metadata": {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"n": 3, "s": "text"}}),
        now: now(),
    };
    assert_eq!(
        json!(custom::cells(&version.columns, row)),
        json!(["a", 3, null, "text", null, "60m", "<invalid>"])
    );
    assert_eq!(custom::columns(&version.columns)[3]["priority"], 1);
    assert_eq!(custom::columns(&[])[1]["name"], "Age");
    assert_eq!(json!(custom::cells(&[], row)), json!(["a", "60m"]));
}

#[test]
fn objects_come_along_as_asked() {
    let pods = registered("v1", "pods");
    let object = json!({"metadata": {"name": "a"}, "status": {"phase": "Failed"}});
    let of = |include| row(&pods, &object, "v1", include, now());
    assert_eq!(of(IncludeObject::None).get("object"), Some(&Value::Null));
    assert_eq!(
        of(IncludeObject::Metadata)["object"],
        json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "a"}})
    );
    assert_eq!(of(IncludeObject::Object)["object"], object);
    assert_eq!(of(IncludeObject::None)["conditions"][0]["reason"], "Failed");
}
