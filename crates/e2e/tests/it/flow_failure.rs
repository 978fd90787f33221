//! What goes wrong is told, harms nothing, and is tried again.

use e2e::{World, story};
use serde_json::json;

use crate::{child, configmaps, controller, one_child, thing, value_of};

/// Breaks when an empty selector of a parent is one.
async fn acceptance_3_a_parent_without_a_selector_is_told_and_the_hook_is_not_asked(world: &World) {
    let things = world.things().await;
    let mut spec = controller(&things, "InPlace");
    spec["generateSelector"] = json!(false);
    world.control("c", &spec).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    let told = world.events("SyncError").await;
    assert!(told.iter().any(|message| message.contains(".spec.selector")), "{told:?}");
    assert_eq!(world.hook.calls(), 0);
}
story!(acceptance_3_a_parent_without_a_selector_is_told_and_the_hook_is_not_asked);

/// Breaks when `check` passes over labels that the selector would not find.
async fn acceptance_2_a_label_against_the_selector_stops_the_sync(world: &World) {
    let things = world.things().await;
    world.hook.answer(|_| {
        let mut bad = child("bad", &json!({}));
        bad["metadata"]["labels"] = json!({"controller-uid": "other"});
        json!({"status": {"written": true}, "children": [child("good", &json!({})), bad]})
    });
    world.control("c", &controller(&things, "InPlace")).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    let told = world.events("SyncError").await;
    assert!(told.iter().any(|message| message.contains("don't match parent selector")), "{told:?}");
    assert!(world.get(&configmaps(), "good").await.is_null());
    assert!(world.get(&things, "a").await["status"].is_null());
}
story!(acceptance_2_a_label_against_the_selector_stops_the_sync);

/// Breaks when `conflict` takes whatever has the name of a child for one.
async fn acceptance_25_a_foreign_object_is_left_alone_until_it_goes(world: &World) {
    let things = world.things().await;
    world
        .create(
            &configmaps(),
            json!({"metadata": {"name": "a-child"}, "data": {"value": "theirs"}}),
        )
        .await;
    world.hook.answer(one_child);
    world.control("c", &controller(&things, "InPlace")).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    assert_eq!(value_of(world, "a-child").await, "theirs");
    let told = world.events("ChildConflict").await;
    assert!(told.iter().any(|message| message.contains("has no controller")), "{told:?}");

    world.delete(&configmaps(), "a-child").await;
    world.settle().await;
    assert_eq!(value_of(world, "a-child").await, "1");
}
story!(acceptance_25_a_foreign_object_is_left_alone_until_it_goes);

/// Breaks when `find` does not ask for the subresource.
async fn acceptance_8_a_type_without_status_subresource_is_told_and_mended(world: &World) {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let things = world.define(&schema, false).await;
    world.hook.answer(one_child);
    world.control("c", &controller(&things, "InPlace")).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    let told = world.events("SyncError").await;
    let wanted = "does not have subresource 'Status' enabled";
    assert!(told.iter().any(|message| message.contains(wanted)), "{told:?}");

    let definitions = api::definition::definitions();
    let name = format!("things.{}", things.gvk.group);
    let status =
        json!([{"op": "add", "path": "/spec/versions/0/subresources", "value": {"status": {}}}]);
    world.patch_json(&definitions, &name, &status).await;
    let has_child = || async { value_of(world, "a-child").await == "1" };
    world.eventually("the controller starts with no further edit", has_child).await;
}
story!(acceptance_8_a_type_without_status_subresource_is_told_and_mended);

story!(what_is_not_supported_yet_is_said);
async fn what_is_not_supported_yet_is_said(world: &World) {
    let things = world.things().await;
    let mut spec = controller(&things, "InPlace");
    spec["hooks"]["sync"] = json!({"function": {"name": "f", "namespace": "n"}});
    world.control("c", &spec).await;
    world.settle().await;
    let status =
        world.get(&api::composite::resource(), &world.controller("c")).await["status"].clone();
    let condition = &status["conditions"][0];
    assert_eq!(condition["reason"], "NotSupportedYet");
    assert_eq!(condition["message"], "the `function` form of hook `sync` is not supported yet");
}
