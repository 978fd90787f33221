//! Server-side apply, and who owns which fields.

use http::Method;
use serde_json::{Value, json};

use crate::{
    objects::deployment,
    world::{Reply, World},
};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const WEB: &str = "/apis/apps/v1/namespaces/default/deployments/web";

async fn apply(world: &World, path: &str, query: &str, body: Value) -> Reply {
    let headers = [("content-type", "application/apply-patch+yaml")];
    let path = format!("{path}?{query}");
    world.send(Method::PATCH, &path, &headers, body.to_string().into()).await
}

/// Merges as a manager.
async fn merge(world: &World, path: &str, manager: &str, body: Value) -> Reply {
    world.patch(&format!("{path}?fieldManager={manager}"), "merge", body).await
}

fn map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data})
}

fn web(replicas: Option<i64>) -> Value {
    let mut web = deployment("web");
    (web["apiVersion"], web["kind"]) = (json!("apps/v1"), json!("Deployment"));
    if let Some(replicas) = replicas {
        web["spec"]["replicas"] = json!(replicas);
    }
    web
}

/// Returns the managers of an object as `NAME OPERATION`, with the subresource if there is one.
fn managers(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let entries = entries.map(|entry| {
        let words = ["manager", "operation", "subresource"].map(|name| entry[name].as_str());
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    });
    entries.collect()
}

/// Returns what a manager owns.
fn owned(object: &Value, manager: &str) -> Value {
    let mut entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    entries.find(|entry| entry["manager"] == manager).unwrap()["fieldsV1"].clone()
}

/// Sabotage: `managed::run` without its `return Err(refused)`.
#[tokio::test]
async fn acceptance_13_who_applies_owns_what_it_says() {
    let world = World::new().await;
    let created = apply(&world, WEB, "fieldManager=a", web(Some(3))).await;
    assert_eq!((created.code, managers(&created.body)), (201, vec!["a Apply".to_owned()]));
    merge(&world, WEB, "b", json!({"spec": {"replicas": 5}})).await;
    let refused = apply(&world, WEB, "fieldManager=a", web(Some(3))).await;
    let text = "Apply failed with 1 conflict: conflict with \"b\" using apps/v1: .spec.replicas";
    assert_eq!(refused.error(), (409, "Conflict", text));
    assert_eq!(
        refused.body["details"]["causes"],
        json!([{"reason": "FieldManagerConflict", "field": ".spec.replicas",
            "message": "conflict with \"b\" using apps/v1"}])
    );
    let forced = apply(&world, WEB, "fieldManager=a&force=true", web(Some(3))).await;
    assert_eq!(forced.body["spec"]["replicas"], 3);
    assert_eq!(managers(&forced.body), ["a Apply"]);
    let silent = apply(&world, WEB, "fieldManager=a", web(None)).await;
    assert_eq!(silent.body["spec"]["replicas"], 1);
    assert_eq!(owned(&silent.body, "a")["f:spec"].get("f:replicas"), None);
}

/// Sabotage: `managed::update` without `managers.cap()`.
#[tokio::test]
async fn acceptance_14_the_oldest_updates_are_put_together() {
    let world = World::new().await;
    let path = format!("{MAPS}/a");
    apply(&world, &path, "fieldManager=applier", map(json!({"x": "1"}))).await;
    for index in 0..20 {
        let data = json!({"data": {format!("k{index}"): "1"}});
        merge(&world, &path, &format!("m{index:02}"), data).await;
    }
    let found = managers(&world.get(&path).await.body);
    assert_eq!(found.len(), 11);
    assert_eq!(found[..2], ["applier Apply", "ancient-changes Update"]);
}

#[tokio::test]
async fn what_changes_nothing_is_not_written() {
    let world = World::new().await;
    let path = format!("{MAPS}/a");
    let first = apply(&world, &path, "fieldManager=a", map(json!({"x": "1"}))).await;
    world.clock.advance(k8s::SignedDuration::from_secs(5));
    let again = apply(&world, &path, "fieldManager=a", map(json!({"x": "1"}))).await;
    assert_eq!((again.code, again.body), (200, first.body.clone()));
    let merged = merge(&world, &path, "b", json!({"data": {"x": "1"}})).await;
    assert_eq!(merged.body, first.body);
    let dry = apply(&world, &path, "fieldManager=a&dryRun=All", map(json!({"x": "2"}))).await;
    assert_eq!((dry.code, &dry.body["data"]["x"]), (200, &json!("2")));
    assert_eq!(world.get(&path).await.body, first.body);
}

#[tokio::test]
async fn writers_are_known_by_name_or_program() {
    let world = World::new().await;
    let headers = [("user-agent", "kubectl/v1.36 (linux)")];
    let body = map(json!({"x": "1"})).to_string();
    let created = world.send(Method::POST, MAPS, &headers, body.into()).await;
    let expected = json!({"f:data": {".": {}, "f:x": {}}});
    assert_eq!(owned(&created.body, "kubectl"), expected);
    let named = merge(&world, &format!("{MAPS}/a"), "me", json!({"data": {"y": "1"}})).await;
    assert_eq!(managers(&named.body), ["kubectl Update", "me Update"]);
    world.post("/apis/apps/v1/namespaces/default/deployments", web(Some(3))).await;
    merge(&world, &format!("{WEB}/scale"), "s", json!({"spec": {"replicas": 4}})).await;
    let status = json!({"status": {"observedGeneration": 7}});
    merge(&world, &format!("{WEB}/status"), "t", status).await;
    let web = world.get(WEB).await.body;
    assert_eq!(managers(&web), ["s Update scale", "t Update status", "unknown Update"]);
    assert_eq!(owned(&web, "s"), json!({"f:spec": {"f:replicas": {}}}));
    assert_eq!(owned(&web, "t"), json!({"f:status": {"f:observedGeneration": {}}}));
}

#[tokio::test]
async fn scale_and_status_are_applied_too() {
    let world = World::new().await;
    apply(&world, WEB, "fieldManager=a", web(Some(3))).await;
    let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"},
        "spec": {"replicas": 6}});
    let path = format!("{WEB}/scale");
    let refused = apply(&world, &path, "fieldManager=t", scale.clone()).await;
    let text = "Apply failed with 1 conflict: conflict with \"a\": .spec.replicas";
    assert_eq!(refused.error(), (409, "Conflict", text));
    let forced = apply(&world, &path, "fieldManager=t&force=true", scale).await;
    assert_eq!(
        (&forced.body["kind"], &forced.body["spec"]["replicas"]),
        (&json!("Scale"), &json!(6))
    );
    let mut status = web(Some(9));
    status["status"] = json!({"conditions": [{"type": "Odd", "status": "True"}]});
    apply(&world, &format!("{WEB}/status"), "fieldManager=u", status).await;
    let web = world.get(WEB).await.body;
    assert_eq!(managers(&web), ["t Apply scale", "a Apply", "u Apply status"]);
    assert_eq!(
        (&web["spec"]["replicas"], &web["status"]["conditions"][0]["type"]),
        (&json!(6), &json!("Odd"))
    );
}

#[tokio::test]
async fn owners_are_forgotten_and_found_again() {
    let world = World::new().await;
    let path = format!("{MAPS}/a");
    world.post(MAPS, map(json!({"x": "1"}))).await;
    let reset = merge(&world, &path, "b", json!({"metadata": {"managedFields": [{}]}})).await;
    assert_eq!((reset.code, managers(&reset.body)), (200, vec![]));
    let untracked = merge(&world, &path, "b", json!({"data": {"y": "1"}})).await;
    assert_eq!(managers(&untracked.body), [""; 0]);
    let refused = apply(&world, &path, "fieldManager=a", map(json!({"x": "2"}))).await;
    let text =
        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.x";
    assert_eq!(refused.error(), (409, "Conflict", text));
    let shared = apply(&world, &path, "fieldManager=a", map(json!({"x": "1"}))).await;
    assert_eq!(managers(&shared.body), ["a Apply", "before-first-apply Update"]);
}

#[tokio::test]
async fn kubectl_takes_over_from_its_older_self() {
    let world = World::new().await;
    let path = format!("{MAPS}/a");
    let mut before = map(json!({"x": "1", "y": "1"}));
    let copy = before.to_string();
    let name = "kubectl.kubernetes.io/last-applied-configuration";
    before["metadata"]["annotations"] = json!({name: copy});
    world.post(MAPS, before).await;
    let wanted = map(json!({"x": "2", "y": "1"}));
    let other = apply(&world, &path, "fieldManager=other", wanted.clone()).await;
    assert_eq!(other.code, 409);
    let taken = apply(&world, &path, "fieldManager=kubectl", wanted.clone()).await;
    assert_eq!((taken.code, &taken.body["data"]["x"]), (200, &json!("2")));
    assert_eq!(taken.body["metadata"]["annotations"][name], format!("{wanted}\n"));
}

#[tokio::test]
async fn what_cannot_be_applied_is_told() {
    let world = World::new().await;
    let body = |change: Value| {
        let mut body = map(json!({}));
        k8s::patch::merge(&mut body, &change);
        body
    };
    let path = format!("{MAPS}/a");
    for (query, change, code, message) in [
        (
            "",
            json!({}),
            422,
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
        ),
        (
            "fieldManager=m",
            json!({"apiVersion": "v2"}),
            400,
            "invalid object type: /v2, Kind=ConfigMap",
        ),
        ("fieldManager=m", json!({"kind": null}), 400, "invalid object type: /v1, Kind="),
        (
            "fieldManager=m",
            json!({"metadata": {"managedFields": []}}),
            400,
            "metadata.managedFields must be nil",
        ),
        (
            "fieldManager=m",
            json!({"metadata": {"name": "b"}}),
            400,
            "the name of the object (b) does not match the name on the URL (a)",
        ),
        (
            "fieldManager=m",
            json!({"metadata": {"uid": "u"}}),
            409,
            "Operation cannot be fulfilled on configmaps \"a\": uid mismatch: the provided object \
             specified uid u, and no existing object was found",
        ),
        (
            "fieldManager=m",
            json!({"odd": 1}),
            500,
            "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .odd: field not declared in schema",
        ),
    ] {
        let reply = apply(&world, &path, query, body(change)).await;
        assert_eq!((reply.code, reply.message()), (code, message));
    }
    let status = apply(&world, &format!("{WEB}/status"), "fieldManager=m", web(None)).await;
    assert_eq!(status.error(), (404, "NotFound", "deployments.apps \"web\" not found"));
}

#[tokio::test]
async fn custom_resources_are_owned_as_their_schema_says() {
    let world = World::new().await;
    let list = json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"],
        "items": {"type": "object", "required": ["n"], "properties": {
            "n": {"type": "string"}, "v": {"type": "integer"}}}});
    let set =
        json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}});
    let free = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let atomic = json!({"type": "object", "x-kubernetes-map-type": "atomic",
        "additionalProperties": {"type": "string"}});
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "list": list, "set": set, "free": free, "atomic": atomic,
        "plain": {"type": "array", "items": {"type": "integer"}}}}}});
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
    let crd = json!({"metadata": {"name": "foos.a.b"}, "spec": {"group": "a.b", "scope": "Namespaced",
        "names": {"plural": "foos", "kind": "Foo"}, "versions": [version]}});
    world.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd).await;
    let path = "/apis/a.b/v1/namespaces/default/foos/f";
    let foo = |spec: Value| json!({"apiVersion": "a.b/v1", "kind": "Foo", "metadata": {"name": "f"}, "spec": spec});
    let spec = json!({"list": [{"n": "x", "v": 1}], "set": ["a"], "free": {"q": {"r": [1]}},
        "atomic": {"k": "v"}, "plain": [1]});
    let created = apply(&world, path, "fieldManager=m", foo(spec)).await;
    assert_eq!(
        owned(&created.body, "m"),
        json!({"f:spec": {"f:list": {"k:{\"n\":\"x\"}": {".": {}, "f:n": {}, "f:v": {}}},
            "f:set": {"v:\"a\"": {}}, "f:free": {"f:q": {".": {}, "f:r": {}}},
            "f:atomic": {}, "f:plain": {}}})
    );
    let other = json!({"list": [{"n": "y"}], "set": ["b"]});
    let both = apply(&world, path, "fieldManager=o", foo(other)).await.body;
    assert_eq!(both["spec"]["list"], json!([{"n": "x", "v": 1}, {"n": "y"}]));
    let left = apply(&world, path, "fieldManager=m", foo(json!({}))).await.body;
    assert_eq!(left["spec"], json!({"list": [{"n": "y"}], "set": ["b"]}));
}
