//! What people are told in events and conditions, and what works where nothing can be told.

use e2e::{World, embedded_story, story};
use k8s::Resource;
use serde_json::{Value, json};

use crate::{controller, one_child, started, thing, value_of};

/// Returns the events of a reason in the world's namespace.
async fn events(world: &World, reason: &str) -> Vec<Value> {
    let mut events = world.list(&Resource::namespaced("v1", "Event", "events")).await;
    events.retain(|event| event["reason"] == reason);
    events
}

async fn a_hook_tells_of_its_parent(world: &World) {
    let things = world.things().await;
    world.hook.answer(|_| {
        json!({"events": [{"type": "Warning", "reason": "Full", "message": "no room"},
            {"reason": "Moved", "message": "to another shelf"}, {"message": "without a reason"}]})
    });
    world.control("c", &controller(&things, "InPlace")).await;
    let parent = world.create(&things, thing("a", "1")).await;
    world.settle().await;
    world.patch(&things, "a", &json!({"spec": {"value": "2"}})).await;
    world.settle().await;
    for (reason, kind, message) in
        [("Full", "Warning", "no room"), ("Moved", "Normal", "to another shelf")]
    {
        let told = events(world, reason).await;
        assert_eq!(told.len(), 1, "{told:?}");
        let event = &told[0];
        assert_eq!(event["involvedObject"]["uid"], parent["metadata"]["uid"]);
        assert_eq!((&event["type"], &event["message"]), (&json!(kind), &json!(message)));
        assert_eq!(event["source"]["component"], "metacontroller");
        assert_eq!(event["count"], world.hook.calls());
    }
    assert_eq!(events(world, "").await, Vec::<Value>::new());
}
story!(a_hook_tells_of_its_parent);

async fn a_child_of_a_type_without_a_rule_is_made_once_and_told(world: &World) {
    let things = world.things().await;
    let secrets = Resource::namespaced("v1", "Secret", "secrets");
    world.hook.answer(|request| {
        let value = &request["parent"]["spec"]["value"];
        json!({"children": [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
            "stringData": {"value": value}}]})
    });
    world.control("c", &controller(&things, "InPlace")).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    let made = world.get(&secrets, "s").await;
    assert_eq!(made["metadata"]["ownerReferences"][0]["kind"], "Thing");
    world.patch(&things, "a", &json!({"spec": {"value": "2"}})).await;
    world.settle().await;
    assert_eq!(world.get(&secrets, "s").await, made);
    let told = world.events("UndeclaredChild").await;
    assert!(told.iter().all(|message| message.contains("not among childResources")), "{told:?}");
    assert_eq!((told.len(), world.events("SyncError").await.len()), (1, 0));
}
story!(a_child_of_a_type_without_a_rule_is_made_once_and_told);

async fn controllers_without_a_status_run_as_well(world: &World) {
    let definitions = api::definition::definitions();
    for plural in ["compositecontrollers", "decoratorcontrollers"] {
        let name = format!("{plural}.{}", api::names::GROUP);
        let without = json!([{"op": "remove", "path": "/spec/versions/0/subresources"},
            {"op": "remove",
                "path": "/spec/versions/0/schema/openAPIV3Schema/properties/status"}]);
        world.patch_json(&definitions, &name, &without).await;
    }
    let things = started(world, "InPlace").await;
    assert_eq!(value_of(world, "a-child").await, "1");
    let controllers = api::composite::resource();
    let live = world.get(&controllers, &world.controller("c")).await;
    assert_eq!(live["status"], Value::Null);
    world.patch(&things, "a", &json!({"spec": {"value": "2"}})).await;
    world.settle().await;
    assert_eq!(value_of(world, "a-child").await, "2");
    let mut broken = controller(&things, "InPlace");
    broken["hooks"]["sync"]["webhook"]["url"] = Value::Null;
    world.control("broken", &broken).await;
    world.settle().await;
    let told = world.events("CreateError").await;
    let wanted = "invalid webhook config";
    assert!(told.iter().any(|message| message.starts_with(wanted)), "{told:?}");
}
embedded_story!(controllers_without_a_status_run_as_well);

async fn what_keeps_a_controller_from_starting_is_told(world: &World) {
    let things = world.things().await;
    world.hook.answer(one_child);
    let good = controller(&things, "InPlace");
    let with = |path: &str, value: Value| {
        let mut spec = good.clone();
        *spec.pointer_mut(path).unwrap() = value;
        spec
    };
    let operator = json!({"matchExpressions": [{"key": "a", "operator": "Almost"}]});
    let mut selected = good.clone();
    selected["parentResource"]["labelSelector"] = operator;
    let long = format!("n{}", "n".repeat(43));
    let mut finalized = good.clone();
    finalized["hooks"]["finalize"] = good["hooks"]["sync"].clone();
    for (name, spec, reason, message) in [
        ("a", with("/hooks", json!({})), "HooksMissing", "no hooks defined"),
        (
            "b",
            with("/hooks/sync/webhook", json!({})),
            "HookConfigInvalid",
            "invalid webhook config",
        ),
        (
            "c",
            with("/childResources/0/resource", json!("unicorns")),
            "ResourceNotFound",
            "can't find resource unicorns in apiVersion v1",
        ),
        ("d", selected, "SelectorInvalid", "invalid selector of the resource things"),
        (&long, finalized, "NameTooLong", "name is longer than 43 characters"),
    ] {
        world.control(name, &spec).await;
        world.settle().await;
        let name = world.controller(name);
        let live = world.get(&api::composite::resource(), &name).await;
        let ready = &live["status"]["conditions"][0];
        assert_eq!(
            (&ready["type"], &ready["status"]),
            (&json!("Ready"), &json!("False")),
            "{name}"
        );
        assert_eq!(ready["reason"], reason);
        let told = world.events("CreateError").await;
        assert!(told.iter().any(|told| told.starts_with(message)), "{message}: {told:?}");
    }
}
story!(what_keeps_a_controller_from_starting_is_told);
