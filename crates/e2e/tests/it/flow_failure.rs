//! What goes wrong is told, harms nothing, and is tried again.

use api::HookReply;
use e2e::{World, story};
use http::HeaderMap;
use serde_json::json;

use crate::{child, configmaps, controller, one_child, started, thing, value_of};

fn reply(status: u16, body: &'static str) -> HookReply {
    HookReply { status, headers: HeaderMap::new(), body: body.into() }
}

story!(a_parent_without_a_selector_is_told_and_the_hook_is_not_asked);
async fn a_parent_without_a_selector_is_told_and_the_hook_is_not_asked(world: &World) {
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

story!(a_hook_that_fails_leaves_the_children_alone);
async fn a_hook_that_fails_leaves_the_children_alone(world: &World) {
    let things = started(world, "InPlace").await;
    for body in ["boom", r#"{"children":[{"apiVersion":"v1"}]}"#] {
        let status = if body == "boom" { 500 } else { 200 };
        world.hook.play(move |_| reply(status, body));
        world.patch(&things, "a", &json!({"spec": {"value": body}})).await;
        world.settle().await;
        assert_eq!(value_of(world, "a-child").await, "1");
    }
    let told = world.events("SyncError").await;
    assert!(told.iter().any(|message| message.ends_with("body: boom")), "{told:?}");
    assert!(told.iter().any(|message| message.contains("can't unmarshal")), "{told:?}");

    world.hook.answer(one_child);
    world.patch(&things, "a", &json!({"spec": {"value": "2"}})).await;
    world.settle().await;
    assert_eq!(value_of(world, "a-child").await, "2");
}

story!(a_label_against_the_selector_stops_the_sync);
async fn a_label_against_the_selector_stops_the_sync(world: &World) {
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

story!(a_foreign_object_is_left_alone_until_it_goes);
async fn a_foreign_object_is_left_alone_until_it_goes(world: &World) {
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

story!(a_type_without_status_subresource_is_told_and_mended);
async fn a_type_without_status_subresource_is_told_and_mended(world: &World) {
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

story!(what_is_not_supported_yet_is_said);
async fn what_is_not_supported_yet_is_said(world: &World) {
    let things = world.things().await;
    let mut spec = controller(&things, "InPlace");
    spec["childResources"][0]["controllerRef"] = json!(false);
    world.control("c", &spec).await;
    world.settle().await;
    let status =
        world.get(&api::composite::resource(), &world.controller("c")).await["status"].clone();
    let condition = &status["conditions"][0];
    assert_eq!(condition["reason"], "NotSupportedYet");
    assert_eq!(condition["message"], "`controllerRef: false` is not supported yet");
}
