//! Custom resources and their definitions.

use serde_json::{Value, json};

use crate::world::World;

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const THINGS: &str = "/apis/x.io/v1/namespaces/default/things";

fn version(name: &str, storage: bool) -> Value {
    json!({"name": name, "served": true, "storage": storage, "subresources": {"status": {},
        "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}},
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "object", "properties": {
                "replicas": {"type": "integer", "default": 1, "minimum": 0}}},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}})
}

fn definition() -> Value {
    json!({"metadata": {"name": "things.x.io"}, "spec": {"group": "x.io", "scope": "Namespaced",
        "names": {"plural": "things", "kind": "Thing", "shortNames": ["th"]},
        "versions": [version("v1", true), version("v1beta1", false)]}})
}

fn thing(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "x.io/v1", "kind": "Thing", "metadata": {"name": name}, "spec": spec})
}

async fn world() -> World {
    let world = World::new().await;
    let created = world.post(CRDS, definition()).await;
    assert_eq!(created.code, 201, "{}", created.body);
    world
}

/// Breaks when a definition that is created is not told to the registry before the answer.
#[tokio::test]
async fn acceptance_15_objects_can_be_created_at_once() {
    let world = world().await;
    let crd = world.get(&format!("{CRDS}/things.x.io")).await.body;
    let conditions = crd["status"]["conditions"].as_array().unwrap();
    assert!(conditions.iter().any(|it| it["type"] == "Established" && it["status"] == "True"));
    let created = world.post(THINGS, thing("a", json!({"odd": 1}))).await;
    assert_eq!((created.code, &created.body["spec"]), (201, &json!({"replicas": 1})));
    assert_eq!(created.warnings, ["299 - \"unknown field \\\"spec.odd\\\"\""]);
    let refused = world.post(THINGS, thing("b", json!({"replicas": -1}))).await;
    assert_eq!((refused.code, &refused.body["details"]["kind"]), (422, &json!("Thing")));
    let causes = &refused.body["details"]["causes"];
    assert_eq!(causes[0]["field"], "spec.replicas", "{}", refused.body);
}

/// Breaks when `lifecycle/update.rs` does not keep the status, or counts a generation for one.
#[tokio::test]
async fn acceptance_17_status_and_scale_are_apart() {
    let world = world().await;
    let path = format!("{THINGS}/a");
    let mut object = world.post(THINGS, thing("a", json!({}))).await.body;
    object["status"] = json!({"replicas": 2});
    let main = world.put(&path, object.clone()).await.body;
    assert_eq!((main.get("status"), &main["metadata"]["generation"]), (None, &json!(1)));
    let status = world.put(&format!("{path}/status"), object).await.body;
    assert_eq!(
        (&status["status"], &status["metadata"]["generation"]),
        (&json!({"replicas": 2}), &json!(1))
    );
    let mut both = status;
    (both["spec"]["replicas"], both["status"]["replicas"]) = (json!(2), json!(9));
    let main = world.put(&path, both).await.body;
    assert_eq!(
        (&main["status"], &main["metadata"]["generation"]),
        (&json!({"replicas": 2}), &json!(2))
    );
    let scale = world.get(&format!("{path}/scale")).await.body;
    let put = world.put(&format!("{path}/scale"), scale.clone()).await;
    assert_eq!((put.code, &put.body["spec"]), (200, &json!({"replicas": 2})), "{scale}");
    let scale =
        world.patch(&format!("{path}/scale"), "merge", json!({"spec": {"replicas": 3}})).await;
    assert_eq!(
        (&scale.body["spec"]["replicas"], &scale.body["status"]["replicas"]),
        (&json!(3), &json!(2))
    );
    let object = world.get(&path).await.body;
    assert_eq!(
        (&object["spec"]["replicas"], &object["metadata"]["generation"]),
        (&json!(3), &json!(3))
    );
}

/// Breaks when `check_version` in `backend/update.rs` is not asked.
#[tokio::test]
async fn acceptance_8_an_update_must_name_its_version() {
    let world = world().await;
    world.post(THINGS, thing("a", json!({}))).await;
    let refused = world.put(&format!("{THINGS}/a"), thing("a", json!({}))).await;
    let text = "things.x.io \"a\" is invalid: metadata.resourceVersion: Invalid value: 0: must be \
                specified for an update";
    assert_eq!(refused.error(), (422, "Invalid", text));
    let patch = world.patch(&format!("{THINGS}/a"), "strategic-merge", json!({})).await;
    assert_eq!(patch.code, 415);
}

#[tokio::test]
async fn other_versions_show_the_same_objects() {
    let world = world().await;
    let beta = "/apis/x.io/v1beta1/namespaces/default/things";
    let mut old = thing("a", json!({"replicas": 2}));
    old["apiVersion"] = json!("x.io/v1beta1");
    assert_eq!(world.post(beta, old).await.body["apiVersion"], "x.io/v1beta1");
    assert_eq!(world.get(&format!("{THINGS}/a")).await.body["apiVersion"], "x.io/v1");
    let list = world.get(beta).await.body;
    assert_eq!(
        (&list["kind"], &list["items"][0]["apiVersion"]),
        (&json!("ThingList"), &json!("x.io/v1beta1"))
    );
}

#[tokio::test]
async fn a_definition_without_objects_goes_at_once_and_its_watches_end() {
    let world = world().await;
    let mut watch = world.watch(&format!("{THINGS}?watch=true")).await;
    assert_eq!(world.delete(&format!("{CRDS}/things.x.io")).await.code, 200);
    assert_eq!(world.get(THINGS).await.code, 404);
    assert_eq!(watch.next().await, None);
}

#[tokio::test]
async fn a_definition_with_objects_waits_for_them() {
    let world = world().await;
    world.post(THINGS, thing("a", json!({}))).await;
    let marked = world.delete(&format!("{CRDS}/things.x.io")).await.body;
    let finalizers = json!(["customresourcecleanup.apiextensions.k8s.io"]);
    assert_eq!(marked["metadata"]["finalizers"], finalizers);
    let refused = world.post(THINGS, thing("b", json!({}))).await;
    assert_eq!(refused.code, 403, "{}", refused.body);
}

#[tokio::test]
async fn names_that_were_taken_are_given_on() {
    let world = world().await;
    let mut rival = definition();
    rival["metadata"]["name"] = json!("stuffs.x.io");
    rival["spec"]["names"] = json!({"plural": "stuffs", "kind": "Thing"});
    world.post(CRDS, rival).await;
    let stuffs = "/apis/x.io/v1/namespaces/default/stuffs";
    assert_eq!(world.get(stuffs).await.code, 404);
    world.delete(&format!("{CRDS}/things.x.io")).await;
    assert_eq!(world.get(stuffs).await.code, 200);
}
