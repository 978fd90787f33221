//! Parents come and go, and so does the engine.

use std::time::Duration;

use e2e::{World, story};
use k8s::Resource;
use serde_json::{Value, json};

use crate::{configmaps, controller, one_child, started, thing, value_of};

/// Breaks when `is_managed` leaves the children of a parent alone that waits for its finalizer.
async fn acceptance_19_finalizing_takes_the_children_down_one_by_one(world: &World) {
    let things = world.things().await;
    world.hook.answer(|request| {
        if request["finalizing"] == true {
            let left =
                request["children"]["ConfigMap.v1"].as_object().is_some_and(|map| !map.is_empty());
            return json!({"children": [], "finalized": !left});
        }
        one_child(request)
    });
    let mut spec = controller(&things, "InPlace");
    spec["hooks"]["finalize"] = spec["hooks"]["sync"].clone();
    world.control("c", &spec).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    let finalizers = world.get(&things, "a").await["metadata"]["finalizers"].clone();
    let expected = format!("metacontroller.io/compositecontroller-{}", world.controller("c"));
    assert_eq!(finalizers, json!([expected]));

    world.delete(&things, "a").await;
    world.settle().await;
    assert!(world.get(&configmaps(), "a-child").await.is_null());
    assert!(world.get(&things, "a").await.is_null());
    let finalizing = |request: &&Value| request["finalizing"] == true;
    assert!(2 <= world.hook.asked().iter().filter(finalizing).count());
}
story!(acceptance_19_finalizing_takes_the_children_down_one_by_one);

/// Breaks when `read` heeds `finalized` from any hook.
async fn acceptance_19_a_sync_that_says_finalized_keeps_the_finalizer(world: &World) {
    let things = world.things().await;
    world.hook.answer(|_| json!({"finalized": true}));
    let mut spec = controller(&things, "InPlace");
    spec["hooks"]["finalize"] = spec["hooks"]["sync"].clone();
    world.control("c", &spec).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    assert!(world.get(&things, "a").await["metadata"]["finalizers"].is_array());
    world.delete(&things, "a").await;
    world.settle().await;
    assert!(world.get(&things, "a").await.is_null());
}
story!(acceptance_19_a_sync_that_says_finalized_keeps_the_finalizer);

story!(an_engine_that_starts_again_changes_nothing);
async fn an_engine_that_starts_again_changes_nothing(world: &World) {
    let things = started(world, "InPlace").await;
    let before = (world.get(&things, "a").await, world.get(&configmaps(), "a-child").await);
    world.restart_engine().await;
    world.settle().await;
    let after = (world.get(&things, "a").await, world.get(&configmaps(), "a-child").await);
    assert_eq!(before, after);
    world.patch(&things, "a", &json!({"spec": {"value": "2"}})).await;
    world.settle().await;
    assert_eq!(value_of(world, "a-child").await, "2");
}

story!(a_controller_that_is_deleted_no_longer_acts);
async fn a_controller_that_is_deleted_no_longer_acts(world: &World) {
    let things = started(world, "InPlace").await;
    world.delete(&api::composite::resource(), &world.controller("c")).await;
    world.settle().await;
    let calls = world.hook.calls();
    world.patch(&things, "a", &json!({"spec": {"value": "2"}})).await;
    world.settle().await;
    assert_eq!((world.hook.calls(), value_of(world, "a-child").await), (calls, json!("1")));
    for reason in ["Starting", "Started", "Stopping", "Stopped"] {
        assert_eq!(world.events(reason).await.len(), 1, "{reason}");
    }
}

/// Starts a controller with a finalize hook that never lets go, and a parent held by it.
async fn held(world: &World) -> Resource {
    let things = world.things().await;
    world.hook.answer(|_| json!({}));
    world.control("c", &finalizing(&things)).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    assert!(is_held(world, &things).await);
    things
}

fn finalizing(things: &Resource) -> Value {
    let mut spec = controller(things, "InPlace");
    spec["hooks"]["finalize"] = json!({"webhook": {"url": "http://hook.test/finalize"}});
    spec
}

async fn is_held(world: &World, things: &Resource) -> bool {
    !world.get(things, "a").await["metadata"]["finalizers"].is_null()
}

/// Breaks when `release` ends without taking finalizers off.
async fn acceptance_21_a_deleted_controller_lets_go_of_its_parents(world: &World) {
    let things = held(world).await;
    world.delete(&api::composite::resource(), &world.controller("c")).await;
    world.pass(Duration::from_secs(35)).await;
    assert!(!is_held(world, &things).await);
    assert_eq!(world.events("FinalizerRemoved").await.len(), 1);
}
story!(acceptance_21_a_deleted_controller_lets_go_of_its_parents);

/// Breaks when `release` does not ask whether the controller is back.
async fn acceptance_21_a_controller_that_is_back_keeps_its_finalizer(world: &World) {
    let things = held(world).await;
    world.delete(&api::composite::resource(), &world.controller("c")).await;
    world.control("c", &finalizing(&things)).await;
    // A clock that jumps must not be ahead of the news that the controller is back.
    world.settle().await;
    world.pass(Duration::from_secs(35)).await;
    assert!(is_held(world, &things).await);
    assert!(world.events("FinalizerRemoved").await.is_empty(), "it was never off");
    world.hook.answer(|request| json!({"finalized": request["finalizing"]}));
    world.delete(&things, "a").await;
    let is_gone = || async { world.get(&things, "a").await.is_null() };
    world.eventually("the new controller finalizes it", is_gone).await;
}
story!(acceptance_21_a_controller_that_is_back_keeps_its_finalizer);
