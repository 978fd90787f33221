//! The server merges children, by the fields that each manager owns.

use api::names;
use e2e::{Server, World, story};
use k8s::Resource;
use serde_json::{Value, json};

use crate::{child, configmaps, controller, one_child, thing, value_of};

/// As whom the engine applies, and as whom it wrote what dynamic apply made.
const MANAGER: &str = "metacontroller";

fn pods() -> Resource {
    Resource::namespaced("v1", "Pod", "pods")
}

/// Answers with one ConfigMap that has a label and, of `spec`, the fields `value` and `extra`.
fn labelled(request: &Value) -> Value {
    let mut data = request["parent"]["spec"].clone();
    data.as_object_mut().unwrap().retain(|field, _| ["value", "extra"].contains(&field.as_str()));
    let mut wish = child("a-child", &data);
    wish["metadata"]["labels"] = json!({"ours": "1"});
    json!({"children": [wish]})
}

/// Starts a controller with the child of a parent `a` that has an extra field.
async fn started(world: &World, method: &str) -> Resource {
    let things = world.things().await;
    world.hook.answer(labelled);
    world.control("c", &controller(&things, method)).await;
    let mut parent = thing("a", "1");
    parent["spec"]["extra"] = json!("x");
    world.create(&things, parent).await;
    world.settle().await;
    things
}

async fn data(world: &World) -> Value {
    world.get(&configmaps(), "a-child").await["data"].clone()
}

/// Returns how the entries of an object's managedFields were made that are the engine's.
fn operations(object: &Value) -> Vec<&str> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let own = entries.filter(|entry| entry["manager"] == MANAGER);
    own.filter_map(|entry| entry["operation"].as_str()).collect()
}

async fn children_applied_in_place(world: &World) {
    world.apply_as(MANAGER).await;
    let things = started(world, "InPlace").await;
    let made = world.get(&configmaps(), "a-child").await;
    assert_eq!(made["data"], json!({"value": "1", "extra": "x"}));
    assert_eq!(made["metadata"]["annotations"], Value::Null);
    assert_eq!(operations(&made), ["Apply"]);

    let foreign = json!({"metadata": {"labels": {"theirs": "1", "ours": "drifted"}},
        "data": {"theirs": "1", "value": "drifted"}});
    world.patch(&configmaps(), "a-child", &foreign).await;
    world.settle().await;
    let repaired = world.get(&configmaps(), "a-child").await;
    assert_eq!(repaired["data"], json!({"value": "1", "extra": "x", "theirs": "1"}));
    let labels = &repaired["metadata"]["labels"];
    assert_eq!((&labels["ours"], &labels["theirs"]), (&json!("1"), &json!("1")));

    world.patch(&things, "a", &json!({"spec": {"value": "2", "extra": null}})).await;
    world.settle().await;
    assert_eq!(data(world).await, json!({"value": "2", "theirs": "1"}), "only our own item goes");
}
story!(children_applied_in_place);

story!(a_sync_that_changes_nothing_applies_nothing);
async fn a_sync_that_changes_nothing_applies_nothing(world: &World) {
    world.apply_as(MANAGER).await;
    let things = world.things().await;
    world.hook.answer(one_pod);
    world.control("c", &pod_controller(&things, "InPlace")).await;
    world.create(&things, thing("a", "example.com/image:1")).await;
    world.settle().await;
    let (calls, before) = (world.hook.calls(), requests(world));
    world.patch(&things, "a", &json!({"metadata": {"labels": {"l": "1"}}})).await;
    world.settle().await;
    let status = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    world.patch_status(&pods(), "a-pod", &status).await;
    world.settle().await;
    assert!(calls + 2 <= world.hook.calls());
    assert_eq!(requests(world), before);
}

/// Returns how often the engine of an embedded world asked to change something, or tried to.
fn requests(world: &World) -> usize {
    match world.server {
        Server::Embedded => {
            let tries = world.api().requests().into_iter().filter(|request| request.dry_run);
            world.engine_writes().len() + tries.count()
        }
        Server::Real => 0,
    }
}

story!(what_dynamic_apply_made_is_taken_over);
async fn what_dynamic_apply_made_is_taken_over(world: &World) {
    let things = started(world, "InPlace").await;
    let before = world.get(&configmaps(), "a-child").await;
    assert!(before["metadata"]["annotations"][names::LAST_APPLIED].is_string());
    world.apply_as(MANAGER).await;
    world.settle().await;
    let after = world.get(&configmaps(), "a-child").await;
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(after["metadata"]["annotations"], Value::Null);
    assert_eq!(operations(&after), ["Apply"]);
    assert_eq!(after["data"], before["data"]);
    world.patch(&things, "a", &json!({"spec": {"extra": null}})).await;
    world.settle().await;
    assert_eq!(data(world).await, json!({"value": "1"}), "what dynamic apply set is pruned");
}

story!(what_waits_for_its_deletion_is_not_taken_over);
async fn what_waits_for_its_deletion_is_not_taken_over(world: &World) {
    let things = started(world, "OnDelete").await;
    let before = world.get(&configmaps(), "a-child").await["metadata"].clone();
    world.apply_as(MANAGER).await;
    world.patch(&things, "a", &json!({"spec": {"value": "2"}})).await;
    world.settle().await;
    assert_eq!(world.get(&configmaps(), "a-child").await["metadata"], before);
    world.delete(&configmaps(), "a-child").await;
    world.settle().await;
    assert_eq!(value_of(world, "a-child").await, "2");
}

/// Says what the server writes its own way, with a scheduler that nobody is.
fn one_pod(request: &Value) -> Value {
    let spec = &request["parent"]["spec"];
    let mut pod = json!({"schedulerName": "nobody", "terminationGracePeriodSeconds": 0,
        "tolerations": [{"key": "example.com/t", "operator": "Exists", "effect": "NoSchedule"}],
        "containers": [{"name": "c", "image": spec["value"],
            "resources": {"requests": {"cpu": "1000m"}}}]});
    for field in ["hostname", "restartPolicy"] {
        if spec[field].is_string() {
            pod[field] = spec[field].clone();
        }
    }
    json!({"children": [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a-pod"},
        "spec": pod}]})
}

fn pod_controller(things: &Resource, method: &str) -> Value {
    let mut spec = controller(things, method);
    spec["childResources"][0]["resource"] = json!("pods");
    spec
}

async fn children_applied_by_recreation(world: &World) {
    world.apply_as(MANAGER).await;
    let things = world.things().await;
    world.hook.answer(one_pod);
    world.control("c", &pod_controller(&things, "Recreate")).await;
    world.create(&things, thing("a", "example.com/image:1")).await;
    world.settle().await;
    let uid = || async { world.get(&pods(), "a-pod").await["metadata"]["uid"].clone() };
    let mut last = uid().await;
    assert!(last.is_string());
    for label in ["1", "2", "3"] {
        world.patch(&pods(), "a-pod", &json!({"metadata": {"labels": {"t": label}}})).await;
        world.settle().await;
    }
    assert_eq!(uid().await, last, "an equal child is kept, however the server writes it");

    // The first can be changed in place and is recreated all the same, the second cannot.
    for spec in [json!({"value": "example.com/image:2"}), json!({"hostname": "other"})] {
        world.patch(&things, "a", &json!({"spec": spec})).await;
        world.settle().await;
        let next = uid().await;
        assert!(next.is_string() && next != last, "{spec}");
        last = next;
    }
    let pod = world.get(&pods(), "a-pod").await;
    assert_eq!(pod["spec"]["hostname"], "other");
    assert_eq!(pod["spec"]["containers"][0]["image"], "example.com/image:2");

    world.patch(&things, "a", &json!({"spec": {"restartPolicy": "Sometimes"}})).await;
    world.settle().await;
    let told = world.events("SyncError").await;
    assert!(told.iter().any(|text| text.contains("keep the old Pod")), "{told:?}");
    assert_eq!(uid().await, last, "what the server would not take replaces nothing");
}
story!(children_applied_by_recreation);

async fn a_foreign_object_is_never_applied_to(world: &World) {
    world.apply_as(MANAGER).await;
    let things = world.things().await;
    let theirs = json!({"metadata": {"name": "a-child"}, "data": {"other": "theirs"}});
    let theirs = world.create(&configmaps(), theirs).await;
    world.hook.answer(one_child);
    world.control("c", &controller(&things, "InPlace")).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    assert_eq!(world.get(&configmaps(), "a-child").await, theirs);
    let told = world.events("ChildConflict").await;
    assert!(told.iter().any(|message| message.contains("has no controller")), "{told:?}");
    world.delete(&configmaps(), "a-child").await;
    world.settle().await;
    assert_eq!(value_of(world, "a-child").await, "1");
}
story!(a_foreign_object_is_never_applied_to);
