//! A child is found by its labels: what happens when these, or what the parent selects, change.

use e2e::{World, story};
use serde_json::{Value, json};

use crate::{child, configmaps, controller, started, thing, value_of};

async fn owners(world: &World, name: &str) -> Value {
    world.get(&configmaps(), name).await["metadata"]["ownerReferences"].clone()
}

async fn a_child_that_loses_its_label_is_let_go_and_comes_back_with_it(world: &World) {
    let things = started(world, "InPlace").await;
    let uid = world.get(&things, "a").await["metadata"]["uid"].clone();
    let label = |value: &Value| json!({"metadata": {"labels": {"controller-uid": value}}});
    world.patch(&configmaps(), "a-child", &label(&Value::Null)).await;
    world.settle().await;
    assert_eq!(owners(world, "a-child").await, Value::Null);
    assert_eq!(value_of(world, "a-child").await, "1", "what was let go is nobody's to delete");
    let told = world.events("ChildConflict").await;
    assert!(told.iter().any(|message| message.contains("has no controller")), "{told:?}");
    assert_eq!(world.events("SyncError").await, Vec::<String>::new());

    world.patch(&configmaps(), "a-child", &label(&uid)).await;
    world.settle().await;
    assert_eq!(owners(world, "a-child").await[0]["uid"], uid);
    world.patch(&things, "a", &json!({"spec": {"value": "2"}})).await;
    world.settle().await;
    assert_eq!(value_of(world, "a-child").await, "2");
}
story!(a_child_that_loses_its_label_is_let_go_and_comes_back_with_it);

async fn a_parent_may_select_other_children(world: &World) {
    let things = world.things().await;
    // It keeps what it sees, so that only the claims are at work.
    world.hook.answer(|request| {
        let seen = request["children"]["ConfigMap.v1"].as_object().cloned().unwrap_or_default();
        let keep = |(name, object): (&String, &Value)| {
            let mut kept = child(name, &object["data"]);
            kept["metadata"]["labels"] = object["metadata"]["labels"].clone();
            kept
        };
        json!({"children": seen.iter().map(keep).collect::<Vec<_>>()})
    });
    let mut spec = controller(&things, "InPlace");
    spec["generateSelector"] = json!(false);
    world.control("c", &spec).await;
    let select = |app: &str| json!({"spec": {"selector": {"matchLabels": {"app": app}}}});
    let orphan = |name: &str, app: &str| json!({"metadata": {"name": name, "labels": {"app": app}}, "data": {"k": "v"}});
    let mut parent = thing("p", "1");
    parent["spec"]["selector"] = select("a")["spec"]["selector"].clone();
    let parent = world.create(&things, parent).await;
    let uid = &parent["metadata"]["uid"];
    world.create(&configmaps(), orphan("a", "a")).await;
    world.create(&configmaps(), orphan("b", "b")).await;
    world.settle().await;
    assert_eq!(owners(world, "a").await[0]["uid"], *uid);
    assert_eq!(owners(world, "b").await, Value::Null);

    world.patch(&things, "p", &select("b")).await;
    world.settle().await;
    assert_eq!(owners(world, "a").await, Value::Null);
    assert_eq!(owners(world, "b").await[0]["uid"], *uid);
    world.create(&configmaps(), orphan("late", "b")).await;
    world.create(&configmaps(), orphan("never", "a")).await;
    world.settle().await;
    assert_eq!(owners(world, "late").await[0]["uid"], *uid);
    assert_eq!(owners(world, "never").await, Value::Null);
}
story!(a_parent_may_select_other_children);

async fn a_parent_that_is_no_longer_selected_is_left_alone(world: &World) {
    let things = world.things().await;
    world.hook.answer(crate::one_child);
    let mut spec = controller(&things, "InPlace");
    spec["parentResource"]["labelSelector"] = json!({"matchLabels": {"is": "parent"}});
    world.control("c", &spec).await;
    let mut parent = thing("a", "1");
    parent["metadata"]["labels"] = json!({"is": "parent"});
    world.create(&things, parent).await;
    world.settle().await;
    assert_eq!(value_of(world, "a-child").await, "1");
    world.patch(&things, "a", &json!({"metadata": {"labels": {"is": null}}})).await;
    world.settle().await;
    let calls = world.hook.calls();
    world.patch(&things, "a", &json!({"spec": {"value": "2"}})).await;
    world.patch(&configmaps(), "a-child", &json!({"data": {"value": "theirs"}})).await;
    world.settle().await;
    assert_eq!((world.hook.calls(), value_of(world, "a-child").await), (calls, json!("theirs")));
}
story!(a_parent_that_is_no_longer_selected_is_left_alone);
