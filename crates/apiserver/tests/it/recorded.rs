//! Answers that were recorded from the reference.

use serde_json::{Value, json};

use crate::world::World;

const PODS: &str = "/api/v1/namespaces/default/pods";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const TABLE: &str = "application/json;as=Table;g=meta.k8s.io;v=v1";

/// Breaks when `defaults/workload.rs` gives a Deployment another number of old ReplicaSets to keep.
#[tokio::test]
async fn acceptance_7_a_minimal_deployment_is_filled_in() {
    let world = World::new().await;
    let container = |name: &str, image: &str, policy: &str| {
        json!({"name": name, "image": image, "imagePullPolicy": policy, "resources": {},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"})
    };
    let recorded = json!({
        "progressDeadlineSeconds": 600, "replicas": 1, "revisionHistoryLimit": 10,
        "selector": {"matchLabels": {"app": "mini"}},
        "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}, "type": "RollingUpdate"},
        "template": {"metadata": {"labels": {"app": "mini"}}, "spec": {
            "containers": [container("a", "nginx", "Always"), container("b", "nginx:1.27", "IfNotPresent"),
                container("c", "nginx:latest", "Always")],
            "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
            "securityContext": {}, "terminationGracePeriodSeconds": 30}}});
    let minimal = json!({"metadata": {"name": "mini"}, "spec": {
        "selector": {"matchLabels": {"app": "mini"}},
        "template": {"metadata": {"labels": {"app": "mini"}}, "spec": {"containers": [
            {"name": "a", "image": "nginx"}, {"name": "b", "image": "nginx:1.27"},
            {"name": "c", "image": "nginx:latest"}]}}}});
    let created = world.post(DEPLOYMENTS, minimal).await.body;
    assert_eq!(created["spec"], recorded);
    assert_eq!((&created["status"], &created["metadata"]["generation"]), (&json!({}), &json!(1)));
    let read = world.get(&format!("{DEPLOYMENTS}/mini")).await.body;
    assert_eq!(read["spec"], recorded);
}

/// Breaks when `table/pod.rs` does not look at init containers first.
#[tokio::test]
async fn acceptance_18_pods_show_the_state_they_are_in() {
    let world = World::new().await;
    let state = |name: &str, state: Value, ready: bool, restarts: i64| {
        json!([{"name": name, "image": "x", "imageID": "", "ready": ready, "restartCount": restarts,
            "state": state}])
    };
    let running = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
    let waiting = |reason: &str| json!({"waiting": {"reason": reason}});
    for (name, status) in [
        (
            "init",
            json!({"phase": "Pending", "initContainerStatuses": state("i", running.clone(), false, 0),
            "containerStatuses": state("c", waiting("PodInitializing"), false, 0)}),
        ),
        (
            "crash",
            json!({"phase": "Running",
            "containerStatuses": state("c", waiting("CrashLoopBackOff"), false, 3)}),
        ),
        (
            "done",
            json!({"phase": "Succeeded", "containerStatuses":
            state("c", json!({"terminated": {"exitCode": 0, "reason": "Completed"}}), false, 0)}),
        ),
        (
            "gone",
            json!({"phase": "Running", "containerStatuses": state("c", running, true, 0),
            "podIP": "10.0.0.9", "podIPs": [{"ip": "10.0.0.9"}]}),
        ),
    ] {
        let mut pod = json!({"metadata": {"name": name}, "spec": {
            "containers": [{"name": "c", "image": "x"}]}});
        match name {
            "init" => pod["spec"]["initContainers"] = json!([{"name": "i", "image": "x"}]),
            "gone" => pod["metadata"]["finalizers"] = json!(["x.io/hold"]),
            _ => {}
        }
        assert_eq!(world.post(PODS, pod).await.code, 201);
        let path = format!("{PODS}/{name}/status");
        assert_eq!(world.patch(&path, "merge", json!({"status": status})).await.code, 200);
    }
    world.delete(&format!("{PODS}/gone")).await;
    let table = world.get_as(PODS, TABLE).await.body;
    let rows: Vec<_> = table["rows"].as_array().unwrap().iter().map(|row| &row["cells"]).collect();
    let none = "<none>";
    assert_eq!(
        rows,
        [
            &json!(["crash", "0/1", "CrashLoopBackOff", "3", "0s", none, none, none, none]),
            &json!(["done", "0/1", "Completed", "0", "0s", none, none, none, none]),
            &json!(["gone", "1/1", "Terminating", "0", "0s", "10.0.0.9", none, none, none]),
            &json!(["init", "0/1", "Init:0/1", "0", "0s", none, none, none, none]),
        ]
    );
}

/// Breaks when `table/custom.rs` shows a date that is none as it stands.
#[tokio::test]
async fn acceptance_18_custom_columns_show_what_fits_their_type() {
    let world = World::new().await;
    let column =
        |name: &str, kind: &str, path: &str| json!({"name": name, "type": kind, "jsonPath": path});
    let definition = json!({"metadata": {"name": "cols.x.io"}, "spec": {"group": "x.io",
        "scope": "Namespaced", "names": {"plural": "cols", "kind": "Col"}, "versions": [{
            "name": "v1", "served": true, "storage": true,
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            "additionalPrinterColumns": [
                column("When", "date", ".spec.when"), column("Odd", "date", ".spec.odd"),
                column("Size", "integer", ".spec.size"), column("Text", "integer", ".spec.text"),
                column("Missing", "string", ".spec.missing"),
                column("Items", "string", ".spec.items[*].n"), column("Map", "string", ".spec.map"),
                column("Flag", "boolean", ".spec.flag"), column("Num", "number", ".spec.num")]}]}});
    assert_eq!(world.post(CRDS, definition).await.code, 201);
    let cols = "/apis/x.io/v1/namespaces/default/cols";
    let full = json!({"apiVersion": "x.io/v1", "kind": "Col", "metadata": {"name": "full"}, "spec": {
        "when": "2025-12-31T23:00:00Z", "odd": "nodate", "size": 3, "text": "x",
        "items": [{"n": "a"}, {"n": "b"}], "map": {"a": 1}, "flag": true, "num": 1.5}});
    world.post(cols, full).await;
    world
        .post(cols, json!({"apiVersion": "x.io/v1", "kind": "Col", "metadata": {"name": "none"}}))
        .await;
    let table = world.get_as(cols, TABLE).await.body;
    let full = json!(["full", "60m", "<invalid>", 3, null, null, "a", "{\"a\":1}", true, 1.5]);
    assert_eq!(table["rows"][0]["cells"], full);
    let none = json!(["none", null, null, null, null, null, null, null, null, null]);
    assert_eq!(table["rows"][1]["cells"], none);
}

fn ranges() -> Value {
    json!({"metadata": {"name": "ranges.x.io"}, "spec": {"group": "x.io",
        "scope": "Namespaced", "names": {"plural": "ranges", "kind": "Range"}, "versions": [{
            "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "status": {"type": "object", "properties": {"seen": {"type": "integer"}}},
                "spec": {"type": "object",
                    "x-kubernetes-validations": [
                        {"rule": "self.min <= self.max", "message": "min must not exceed max"},
                        {"rule": "self.min >= oldSelf.min", "message": "min must not shrink"}],
                    "properties": {
                        "min": {"type": "integer", "default": 1}, "max": {"type": "integer", "default": 9},
                        "mode": {"type": "string", "enum": ["on", "off"], "default": "on"},
                        "parts": {"type": "array", "x-kubernetes-list-type": "map",
                            "x-kubernetes-list-map-keys": ["name"], "items": {"type": "object",
                                "required": ["name"], "properties": {"name": {"type": "string"}}}}}}}}}}]}})
}

/// Breaks when `Schema::check_rules` is not called in `admission.rs`.
#[tokio::test]
async fn acceptance_15_rules_hold_for_every_write() {
    let world = World::new().await;
    let created = world.post(CRDS, ranges()).await;
    assert_eq!(created.code, 201, "{}", created.body);
    let all = "/apis/x.io/v1/namespaces/default/ranges";
    let range = |spec: Value| json!({"apiVersion": "x.io/v1", "kind": "Range", "metadata": {"name": "a"}, "spec": spec});
    for (spec, text) in [
        (json!({"min": 10}), "spec: Invalid value: min must not exceed max"),
        (
            json!({"mode": "x"}),
            "[spec.mode: Unsupported value: \"x\": supported values: \"on\", \"off\", \
            <nil>: Invalid value: null: some validation rules were not checked because the object was \
            invalid; correct the existing errors to complete validation]",
        ),
        (
            json!({"parts": [{"name": "a"}, {"name": "a"}]}),
            "spec.parts[1]: Duplicate value: {\"name\":\"a\"}",
        ),
    ] {
        let refused = world.post(all, range(spec)).await;
        let text = format!("Range.x.io \"a\" is invalid: {text}");
        assert_eq!(refused.error(), (422, "Invalid", text.as_str()));
    }
    let created = world.post(all, range(json!({"min": 2, "odd": 1}))).await;
    assert_eq!(created.body["spec"], json!({"min": 2, "max": 9, "mode": "on"}));
    let path = format!("{all}/a");
    let shrunk = world.patch(&path, "merge", json!({"spec": {"min": 1}})).await;
    let text = "Range.x.io \"a\" is invalid: spec: Invalid value: min must not shrink";
    assert_eq!(shrunk.error(), (422, "Invalid", text));
    assert_eq!(world.patch(&path, "merge", json!({"spec": {"min": 3}})).await.code, 200);
    let status = json!({"status": {"seen": 1}});
    assert_eq!(world.patch(&format!("{path}/status"), "merge", status).await.code, 200);
}

/// Breaks when `rules::compile` passes over what is wrong with a rule.
#[tokio::test]
async fn acceptance_15_definitions_with_rules_that_mean_nothing_are_refused() {
    let world = World::new().await;
    for (rule, text) in [
        ("self.min <=", "Syntax error: mismatched input '<EOF>'"),
        ("self.min <= other", "undeclared reference to 'other' (in container '')"),
        ("self.parts.sortBy(p, p.name).size() > 0", "'sortBy': sortBy is not supported yet"),
    ] {
        let mut definition = ranges();
        let spec =
            "/spec/versions/0/schema/openAPIV3Schema/properties/spec/x-kubernetes-validations";
        *definition.pointer_mut(spec).unwrap() = json!([{ "rule": rule }]);
        let refused = world.post(CRDS, definition).await;
        assert_eq!(refused.code, 422);
        let cause = &refused.body["details"]["causes"][0];
        let field =
            "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule";
        assert_eq!(cause["field"], field);
        assert!(cause["message"].as_str().unwrap().contains(text), "{cause}");
    }
}
