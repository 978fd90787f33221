//! A parent becomes children through a hook, and the children follow it.

use e2e::{World, story};
use k8s::Resource;
use serde_json::{Value, json};

use crate::{child, child_name, configmaps, controller, one_child, started, thing, value_of};

story!(a_parent_lives_with_its_child);
async fn a_parent_lives_with_its_child(world: &World) {
    let things = started(world, "InPlace").await;
    let thing = world.get(&things, "a").await;
    let child = world.get(&configmaps(), "a-child").await;
    assert_eq!(child["data"], json!({"value": "1"}));
    assert_eq!(child["metadata"]["labels"]["controller-uid"], thing["metadata"]["uid"]);
    let owner = &child["metadata"]["ownerReferences"][0];
    assert_eq!((&owner["uid"], &owner["controller"]), (&thing["metadata"]["uid"], &json!(true)));
    assert_eq!(thing["status"], json!({"children": 1, "observedGeneration": 1}));
    assert_eq!(world.hook.calls(), 3, "one creates, one counts, one sees its own status");

    world.patch(&things, "a", &json!({"spec": {"value": "2"}})).await;
    world.settle().await;
    assert_eq!(value_of(world, "a-child").await, "2");
    assert_eq!(world.hook.calls(), 5, "one changes the child, one sees it");

    world.delete(&things, "a").await;
    let is_gone = || async { world.get(&configmaps(), "a-child").await.is_null() };
    world.eventually("the child is collected", is_gone).await;
}

/// Breaks when `new_child` writes no annotation, or `wanted` no generation.
async fn acceptance_1_a_parent_gets_its_labelled_child(world: &World) {
    let things = world.things().await;
    world.hook.answer(|request| {
        let mut answer = one_child(request);
        answer["children"][0]["metadata"]["labels"] = json!({"app": "a"});
        answer
    });
    let mut spec = controller(&things, "InPlace");
    spec["generateSelector"] = json!(false);
    world.control("c", &spec).await;
    let mut parent = thing("a", "<1>");
    parent["spec"]["selector"] = json!({"matchLabels": {"app": "a"}});
    world.create(&things, parent).await;
    world.settle().await;
    let parent = world.get(&things, "a").await;
    let child = world.get(&configmaps(), "a-child").await;
    let owner = json!({"apiVersion": things.gvk.api_version(), "kind": "Thing", "name": "a",
        "uid": parent["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true});
    assert_eq!(child["metadata"]["ownerReferences"], json!([owner]));
    let applied = format!(
        r#"{{"apiVersion":"v1","data":{{"value":"\u003c1\u003e"}},"kind":"ConfigMap","metadata":{{"labels":{{"app":"a"}},"name":"a-child","namespace":"{}"}}}}"#,
        world.id
    );
    assert_eq!(child["metadata"]["annotations"][api::names::LAST_APPLIED], applied);
    assert_eq!(parent["status"]["observedGeneration"], parent["metadata"]["generation"]);
}
story!(acceptance_1_a_parent_gets_its_labelled_child);

/// Breaks when `mark` labels nothing.
async fn acceptance_2_children_are_labelled_with_their_parent(world: &World) {
    let things = started(world, "InPlace").await;
    let uid = world.get(&things, "a").await["metadata"]["uid"].clone();
    let child = world.get(&configmaps(), "a-child").await;
    assert_eq!(child["metadata"]["labels"], json!({"controller-uid": uid}));
}
story!(acceptance_2_children_are_labelled_with_their_parent);

/// Breaks when `put_types` leaves out types without objects.
async fn acceptance_4_the_request_names_every_declared_type(world: &World) {
    let things = world.things().await;
    world.hook.answer(|_| json!({}));
    world.control("c", &controller(&things, "InPlace")).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    let asked = world.hook.asked().first().cloned().unwrap_or_default();
    assert_eq!(asked["children"], json!({"ConfigMap.v1": {}}));
    assert_eq!((&asked["related"], &asked["finalizing"]), (&json!({}), &json!(false)));
    assert_eq!(asked["parent"]["kind"], "Thing");
    assert_eq!(asked["parent"]["metadata"]["managedFields"], Value::Null);
    assert_eq!(asked["controller"]["metadata"]["name"], json!(world.controller("c")));
}
story!(acceptance_4_the_request_names_every_declared_type);

/// Breaks when `claim` adopts nothing, or releases nothing.
async fn acceptance_6_what_matches_is_adopted_and_what_no_longer_does_is_released(world: &World) {
    let things = world.things().await;
    world.hook.answer(|request| {
        let children = request["children"]["ConfigMap.v1"].as_object().cloned().unwrap_or_default();
        let keep = |(name, object): (&String, &Value)| {
            let mut kept = child(name, &object["data"]);
            kept["metadata"]["labels"] = json!({"app": "a"});
            kept
        };
        json!({"children": children.iter().map(keep).collect::<Vec<_>>()})
    });
    let mut spec = controller(&things, "InPlace");
    spec["generateSelector"] = json!(false);
    world.control("c", &spec).await;
    let orphan =
        json!({"metadata": {"name": "orphan", "labels": {"app": "a"}}, "data": {"k": "v"}});
    world.create(&configmaps(), orphan).await;
    let mut parent = thing("a", "1");
    parent["spec"]["selector"] = json!({"matchLabels": {"app": "a"}});
    let parent = world.create(&things, parent).await;
    world.settle().await;
    let adopted = world.get(&configmaps(), "orphan").await;
    assert_eq!(adopted["metadata"]["ownerReferences"][0]["uid"], parent["metadata"]["uid"]);

    let labels = json!({"metadata": {"labels": {"app": "b"}}});
    world.patch(&configmaps(), "orphan", &labels).await;
    world.settle().await;
    let released = world.get(&configmaps(), "orphan").await;
    assert_eq!(released["metadata"]["ownerReferences"], Value::Null);
    assert_eq!(released["data"], json!({"k": "v"}));
}
story!(acceptance_6_what_matches_is_adopted_and_what_no_longer_does_is_released);

story!(in_place_keeps_what_others_wrote);
async fn in_place_keeps_what_others_wrote(world: &World) {
    let things = started(world, "InPlace").await;
    let foreign = json!({"metadata": {"labels": {"theirs": "1"}}, "data": {"theirs": "1"}});
    world.patch(&configmaps(), "a-child", &foreign).await;
    world.patch(&things, "a", &json!({"spec": {"value": "2"}})).await;
    world.settle().await;
    let child = world.get(&configmaps(), "a-child").await;
    assert_eq!(child["data"], json!({"value": "2", "theirs": "1"}));
    assert_eq!(child["metadata"]["labels"]["theirs"], "1");

    world.hook.answer(|request| json!({"children": [child_of(request, &json!({"other": "x"}))]}));
    world.patch(&things, "a", &json!({"spec": {"value": "3"}})).await;
    world.settle().await;
    let child = world.get(&configmaps(), "a-child").await;
    assert_eq!(child["data"], json!({"other": "x", "theirs": "1"}), "only our own item goes");
}

fn child_of(request: &Value, data: &Value) -> Value {
    child(&child_name(request), data)
}

story!(recreate_gives_a_new_object);
async fn recreate_gives_a_new_object(world: &World) {
    let things = started(world, "Recreate").await;
    let uid = world.get(&configmaps(), "a-child").await["metadata"]["uid"].clone();
    world.patch(&things, "a", &json!({"metadata": {"labels": {"x": "y"}}})).await;
    world.settle().await;
    assert_eq!(
        world.get(&configmaps(), "a-child").await["metadata"]["uid"],
        uid,
        "nothing differs"
    );
    world.patch(&things, "a", &json!({"spec": {"value": "2"}})).await;
    world.settle().await;
    let child = world.get(&configmaps(), "a-child").await;
    assert_eq!(child["data"]["value"], "2");
    assert_ne!(child["metadata"]["uid"], uid);
}

/// Breaks when `plan` updates children of any method.
async fn acceptance_18_on_delete_waits_for_somebody_to_delete(world: &World) {
    let things = started(world, "OnDelete").await;
    world.patch(&things, "a", &json!({"spec": {"value": "2"}})).await;
    world.settle().await;
    assert_eq!(value_of(world, "a-child").await, "1");
    world.delete(&configmaps(), "a-child").await;
    world.settle().await;
    assert_eq!(value_of(world, "a-child").await, "2");
}
story!(acceptance_18_on_delete_waits_for_somebody_to_delete);

story!(a_child_that_is_no_longer_desired_goes);
async fn a_child_that_is_no_longer_desired_goes(world: &World) {
    let things = started(world, "InPlace").await;
    world.hook.answer(|_| json!({"children": []}));
    world.patch(&things, "a", &json!({"spec": {"value": "2"}})).await;
    world.settle().await;
    assert!(world.get(&configmaps(), "a-child").await.is_null());
}

/// Breaks when `heed` does not queue the parent once more.
async fn acceptance_13_a_resync_that_the_hook_asked_for_comes_once(world: &World) {
    let things = world.things().await;
    world.hook.answer(|request| {
        let seconds = if request["parent"]["status"]["asked"] == true { 0.0 } else { 0.1 };
        json!({"status": {"asked": true}, "resyncAfterSeconds": seconds})
    });
    world.control("c", &controller(&things, "InPlace")).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    // One call that sets the status, one that sees it, and the one that was asked for.
    world.pass(std::time::Duration::from_secs(1)).await;
    assert_eq!(world.hook.calls(), 3);
}
story!(acceptance_13_a_resync_that_the_hook_asked_for_comes_once);

story!(a_cluster_scoped_child_of_a_namespaced_parent_is_refused);
async fn a_cluster_scoped_child_of_a_namespaced_parent_is_refused(world: &World) {
    let things = world.things().await;
    let namespace = format!("{}-child", world.id);
    world.hook.answer(move |request| {
        let mut answer = one_child(request);
        let bad = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        answer["children"].as_array_mut().unwrap().push(bad);
        answer
    });
    world.control("c", &controller(&things, "InPlace")).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    assert_eq!(value_of(world, "a-child").await, "1", "the other child proceeds");
    let told = world.events("InvalidChild").await;
    assert!(told.iter().any(|message| message.contains("cluster-scoped child")), "{told:?}");
    let namespaces = Resource::cluster("v1", "Namespace", "namespaces");
    assert!(world.get(&namespaces, &format!("{}-child", world.id)).await.is_null());
}
