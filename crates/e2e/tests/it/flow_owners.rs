//! Children that a parent owns beside a controller that is somebody else.

use e2e::{World, story};
use k8s::Resource;
use serde_json::{Value, json};

use crate::{configmaps, controller, one_child, thing, value_of};

fn shared(things: &Resource) -> Value {
    let mut spec = controller(things, "InPlace");
    spec["childResources"][0]["controllerRef"] = json!(false);
    spec
}

async fn started(world: &World) -> (Resource, Value) {
    let things = world.things().await;
    world.hook.answer(one_child);
    world.control("c", &shared(&things)).await;
    let parent = world.create(&things, thing("a", "1")).await;
    world.settle().await;
    (things, parent)
}

/// Breaks when `owners_of` or `observe` looks at controllers alone.
async fn a_child_may_have_another_controller(world: &World) {
    let (things, parent) = started(world).await;
    let child = world.get(&configmaps(), "a-child").await;
    let owners = child["metadata"]["ownerReferences"].clone();
    assert_eq!(owners.as_array().unwrap().len(), 1);
    assert_eq!(
        (&owners[0]["uid"], &owners[0]["controller"]),
        (&parent["metadata"]["uid"], &json!(false))
    );
    assert_eq!(world.get(&things, "a").await["status"]["children"], 1, "it is seen");

    // Somebody else becomes its controller.
    let other = world.create(&configmaps(), json!({"metadata": {"name": "other"}})).await;
    let controller = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "other",
        "uid": other["metadata"]["uid"], "controller": true});
    let owners = json!({"metadata": {"ownerReferences": [owners[0], controller]}});
    world.patch(&configmaps(), "a-child", &owners).await;
    world.settle().await;
    world.patch(&configmaps(), "a-child", &json!({"data": {"value": "theirs"}})).await;
    world.settle().await;
    let child = world.get(&configmaps(), "a-child").await;
    assert_eq!(child["data"]["value"], "1", "the change was seen and mended");
    assert_eq!(child["metadata"]["ownerReferences"].as_array().unwrap().len(), 2);

    world.hook.answer(|_| json!({"children": []}));
    world.patch(&things, "a", &json!({"spec": {"value": "2"}})).await;
    world.settle().await;
    assert!(world.get(&configmaps(), "a-child").await.is_null());
}
story!(a_child_may_have_another_controller);

/// Breaks when `observe` claims children of any ownership.
async fn what_is_only_owned_is_neither_adopted_nor_released(world: &World) {
    let (things, parent) = started(world).await;
    let uid = &parent["metadata"]["uid"];
    let orphan = json!({"metadata": {"name": "orphan", "labels": {"controller-uid": uid}}});
    world.create(&configmaps(), orphan).await;
    let relabel = json!({"metadata": {"labels": {"controller-uid": "other"}}});
    world.patch(&configmaps(), "a-child", &relabel).await;
    world.patch(&things, "a", &json!({"spec": {"value": "2"}})).await;
    world.settle().await;
    let orphan = world.get(&configmaps(), "orphan").await;
    assert_eq!(orphan["metadata"]["ownerReferences"], Value::Null);
    let child = world.get(&configmaps(), "a-child").await;
    assert_eq!(&child["metadata"]["ownerReferences"][0]["uid"], uid);
    assert_eq!(value_of(world, "a-child").await, "2");
}
story!(what_is_only_owned_is_neither_adopted_nor_released);
