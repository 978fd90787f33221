//! A decorator adds to objects that are somebody else's.

use e2e::{World, story};
use k8s::Resource;
use serde_json::{Value, json};

use crate::{child, configmaps};

fn services() -> Resource {
    Resource::namespaced("v1", "Service", "services")
}

/// Returns the spec of a decorator of Services that this world marked, with ConfigMaps attached.
fn decorator(world: &World, hooks: &[&str]) -> Value {
    let hooks: serde_json::Map<_, _> = hooks
        .iter()
        .map(|hook| {
            let webhook = json!({"webhook": {"url": format!("http://hook.test/{hook}")}});
            ((*hook).to_owned(), webhook)
        })
        .collect();
    json!({
        "resources": [{"apiVersion": "v1", "resource": "services",
            "annotationSelector": {"matchAnnotations": {"story": world.controller("c")}}}],
        "attachments": [{"apiVersion": "v1", "resource": "configmaps",
            "updateStrategy": {"method": "InPlace"}}],
        "hooks": hooks})
}

fn service(world: &World) -> Value {
    json!({
        "metadata": {"name": "web", "annotations": {"story": world.controller("c")},
            "labels": {"b": "1", "theirs": "1"}},
        "spec": {"clusterIP": "None", "ports": [{"port": 80}]}})
}

fn attach_one(request: &Value) -> Value {
    let attachments = request["attachments"]["ConfigMap.v1"].as_object();
    let count = attachments.map_or(0, serde_json::Map::len).to_string();
    json!({
        "labels": {"a": "1", "b": null},
        "annotations": {"attachments": count},
        "attachments": [child("beside", &json!({"of": request["object"]["metadata"]["name"]}))]})
}

/// Breaks when `write` in the decorator's sync leaves out what changed of the target.
async fn acceptance_20_labels_are_set_and_removed(world: &World) {
    world.hook.answer(attach_one);
    world.decorate("c", &decorator(world, &["sync", "finalize"])).await;
    let before = world.create(&services(), service(world)).await;
    world.settle().await;
    let target = world.get(&services(), "web").await;
    assert_eq!(target["metadata"]["labels"], json!({"a": "1", "theirs": "1"}));
    assert_eq!(target["metadata"]["annotations"]["attachments"], "1");
    assert_eq!(target["status"], before["status"], "a hook that says no status leaves it alone");
    assert_eq!(target["spec"], before["spec"]);
    let attached = world.get(&configmaps(), "beside").await;
    let annotation = &attached["metadata"]["annotations"][api::names::DECORATOR_CONTROLLER];
    assert_eq!(annotation, &json!(world.controller("c")));
    let owner = &attached["metadata"]["ownerReferences"][0];
    assert_eq!((&owner["kind"], &owner["controller"]), (&json!("Service"), &json!(true)));

    world.hook.answer(|request| json!({"finalized": request["finalizing"]}));
    let opt_out = json!({"metadata": {"annotations": {"story": "no"}}});
    world.patch(&services(), "web", &opt_out).await;
    world.settle().await;
    assert!(world.hook.asked().iter().any(|asked| asked["finalizing"] == true), "it was let go");
    let target = world.get(&services(), "web").await;
    assert_eq!(target["metadata"]["finalizers"], Value::Null);
    assert!(world.get(&configmaps(), "beside").await.is_null(), "attachments went with it");
}
story!(acceptance_20_labels_are_set_and_removed);

story!(a_decorator_without_finalize_leaves_attachments_in_place);
async fn a_decorator_without_finalize_leaves_attachments_in_place(world: &World) {
    world.hook.answer(attach_one);
    world.decorate("c", &decorator(world, &["sync"])).await;
    world.create(&services(), service(world)).await;
    world.settle().await;
    let calls = world.hook.calls();
    let opt_out = json!({"metadata": {"annotations": {"story": "no"}}});
    world.patch(&services(), "web", &opt_out).await;
    world.settle().await;
    assert_eq!(world.hook.calls(), calls, "it is nobody's target any more");
    assert!(!world.get(&configmaps(), "beside").await.is_null());
}

story!(only_the_attachments_of_the_decorator_itself_are_seen);
async fn only_the_attachments_of_the_decorator_itself_are_seen(world: &World) {
    world.hook.answer(attach_one);
    world.decorate("c", &decorator(world, &["sync"])).await;
    let target = world.create(&services(), service(world)).await;
    world.settle().await;
    let owner = json!({"apiVersion": "v1", "kind": "Service", "name": "web",
        "uid": target["metadata"]["uid"], "controller": true});
    let other = json!({"metadata": {"name": "other", "ownerReferences": [owner]}});
    world.create(&configmaps(), other).await;
    world.patch(&services(), "web", &json!({"metadata": {"labels": {"look": "again"}}})).await;
    world.settle().await;
    let seen = world.hook.asked().last().cloned().unwrap_or_default();
    let seen: Vec<_> = seen["attachments"]["ConfigMap.v1"].as_object().unwrap().keys().collect();
    assert_eq!(seen, ["beside"]);
    assert!(!world.get(&configmaps(), "other").await.is_null(), "what it does not see it keeps");
}

story!(a_target_s_status_is_replaced_whole);
async fn a_target_s_status_is_replaced_whole(world: &World) {
    let things = world.things().await;
    let spec = json!({
        "resources": [{"apiVersion": things.gvk.api_version(), "resource": "things"}],
        "hooks": {"sync": {"webhook": {"url": "http://hook.test/sync"}}}});
    world.hook.answer(|_| json!({"status": {"seen": true}}));
    world.decorate("c", &spec).await;
    world.create(&things, crate::thing("a", "1")).await;
    world.settle().await;
    assert_eq!(world.get(&things, "a").await["status"], json!({"seen": true}));
    world.hook.answer(|_| json!({"status": {"other": 1}}));
    world.patch(&things, "a", &json!({"spec": {"value": "2"}})).await;
    world.settle().await;
    assert_eq!(world.get(&things, "a").await["status"], json!({"other": 1}));
    world.hook.answer(|_| json!({"status": null}));
    let calls = world.hook.calls();
    world.patch(&things, "a", &json!({"spec": {"value": "3"}})).await;
    world.settle().await;
    assert_eq!(world.get(&things, "a").await["status"], json!({"other": 1}));
    assert_eq!(world.hook.calls(), calls + 1, "nothing was written, nothing is looked at again");
}
