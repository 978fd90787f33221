//! Parents that are let go of, held by others, finalized alone, or whose status does not stay as it is written.

use std::time::Duration;

use api::definition::definitions;
use e2e::{World, story};
use k8s::Resource;
use serde_json::{Value, json};

use crate::{child, child_name, configmaps, controller, one_child, thing, value_of};

fn finalizing(things: &Resource) -> Value {
    let mut spec = controller(things, "InPlace");
    spec["hooks"]["finalize"] = spec["hooks"]["sync"].clone();
    spec
}

/// Lets go of a parent as soon as its children are gone.
fn play(request: &Value) -> Value {
    if request["finalizing"] != true {
        return one_child(request);
    }
    let children = request["children"]["ConfigMap.v1"].as_object().cloned().unwrap_or_default();
    json!({"children": [], "finalized": children.is_empty()})
}

/// Breaks when `chosen` finalizes only what is being deleted.
async fn a_parent_that_is_no_longer_selected_is_finalized(world: &World) {
    let things = world.things().await;
    world.hook.answer(play);
    let mut spec = finalizing(&things);
    spec["parentResource"]["labelSelector"] = json!({"matchLabels": {"run": "yes"}});
    world.control("c", &spec).await;
    let mut parent = thing("a", "1");
    parent["metadata"]["labels"] = json!({"run": "yes"});
    world.create(&things, parent).await;
    world.create(&things, thing("b", "1")).await;
    world.settle().await;
    assert_eq!(value_of(world, "a-child").await, "1");
    assert!(world.get(&configmaps(), "b-child").await.is_null(), "it was never selected");
    world.patch(&things, "a", &json!({"metadata": {"labels": {"run": "no"}}})).await;
    world.settle().await;
    let parent = world.get(&things, "a").await;
    assert_eq!(parent["metadata"]["finalizers"], Value::Null);
    assert!(parent["metadata"]["deletionTimestamp"].is_null(), "it lives on");
    assert!(world.get(&configmaps(), "a-child").await.is_null());
    let calls = world.hook.calls();
    world.patch(&things, "a", &json!({"spec": {"value": "2"}})).await;
    world.settle().await;
    assert_eq!(world.hook.calls(), calls, "it is nobody's any more");
}
story!(a_parent_that_is_no_longer_selected_is_finalized);

/// Breaks when `settle_finalizer` leaves a finalizer that no hook is for.
async fn a_controller_without_its_finalize_hook_holds_nobody(world: &World) {
    let things = world.things().await;
    world.hook.answer(play);
    world.control("c", &finalizing(&things)).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    assert!(world.get(&things, "a").await["metadata"]["finalizers"].is_array());
    let without = json!({"spec": {"hooks": {"finalize": null}}});
    world.patch(&api::composite::resource(), &world.controller("c"), &without).await;
    world.settle().await;
    assert_eq!(world.get(&things, "a").await["metadata"]["finalizers"], Value::Null);
    assert_eq!(value_of(world, "a-child").await, "1", "its children stay");
}
story!(a_controller_without_its_finalize_hook_holds_nobody);

/// Breaks when `managed` takes the children of every parent that is still there for manageable.
async fn the_children_of_a_parent_that_others_hold_are_left_alone(world: &World) {
    let things = world.things().await;
    world.hook.answer(|request| {
        let is_going = request["parent"]["metadata"]["deletionTimestamp"].is_string();
        let value = if is_going { "going" } else { "here" };
        let data = json!({"value": value});
        json!({"status": {"value": value}, "children": [child(&child_name(request), &data)]})
    });
    world.control("c", &controller(&things, "InPlace")).await;
    let mut parent = thing("a", "1");
    parent["metadata"]["finalizers"] = json!(["example.com/hold"]);
    world.create(&things, parent).await;
    world.settle().await;
    assert_eq!(value_of(world, "a-child").await, "here");
    world.delete(&things, "a").await;
    world.settle().await;
    assert_eq!(world.get(&things, "a").await["status"]["value"], "going", "the hook is asked");
    assert!(world.hook.asked().iter().all(|asked| asked["finalizing"] == false));
    assert_eq!(value_of(world, "a-child").await, "here");
    world.patch(&things, "a", &json!({"metadata": {"finalizers": null}})).await;
}
story!(the_children_of_a_parent_that_others_hold_are_left_alone);

/// Breaks when `chosen` falls back on the finalize hook.
async fn a_controller_may_only_finalize(world: &World) {
    let things = world.things().await;
    world.hook.answer(play);
    let mut spec = finalizing(&things);
    spec["hooks"]["sync"] = Value::Null;
    let parent = world.create(&things, thing("a", "1")).await;
    let uid = &parent["metadata"]["uid"];
    let owner = json!({"apiVersion": things.gvk.api_version(), "kind": "Thing", "name": "a",
        "uid": uid, "controller": true});
    let mut owned = child("a-child", &json!({"value": "1"}));
    owned["metadata"]["ownerReferences"] = json!([owner]);
    owned["metadata"]["labels"] = json!({"controller-uid": uid});
    world.create(&configmaps(), owned).await;
    world.control("c", &spec).await;
    world.settle().await;
    let parent = world.get(&things, "a").await;
    assert!(parent["metadata"]["finalizers"].is_array());
    assert_eq!((world.hook.calls(), &parent["status"]), (0, &Value::Null));
    assert_eq!(value_of(world, "a-child").await, "1");
    assert!(world.events("SyncError").await.is_empty());
    world.delete(&things, "a").await;
    world.settle().await;
    assert_eq!(world.hook.asked()[0]["children"]["ConfigMap.v1"]["a-child"]["data"]["value"], "1");
    let is_gone = || async {
        world.get(&things, "a").await.is_null()
            && world.get(&configmaps(), "a-child").await.is_null()
    };
    world.eventually("it went with its child", is_gone).await;
}
story!(a_controller_may_only_finalize);

/// Breaks when `may_send` asks nobody what came of the same status before.
async fn a_status_that_the_server_prunes_is_written_once(world: &World) {
    let things = world.things().await;
    let known = json!({"type": "object", "properties": {
        "kept": {"type": "string"}, "observedGeneration": {"type": "integer"}}});
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/status";
    let narrower = json!([{"op": "replace", "path": path, "value": known}]);
    world.patch_json(&definitions(), &format!("things.{}", things.gvk.group), &narrower).await;
    world.create(&things, thing("a", "1")).await;
    let prunes = || async {
        world.patch_status(&things, "a", &json!({"status": {"lost": 1, "kept": "by hand"}})).await;
        world.get(&things, "a").await["status"] == json!({"kept": "by hand"})
    };
    world.eventually("what the schema does not know is pruned", prunes).await;
    world.hook.answer(|_| json!({"status": {"kept": "yes", "lost": "yes"}}));
    let mut spec = controller(&things, "InPlace");
    // Less often than a real server must be quiet for.
    spec["resyncPeriodSeconds"] = json!(3);
    world.control("c", &spec).await;
    world.settle().await;
    assert_eq!(world.get(&things, "a").await["status"]["kept"], "yes");
    let (calls, requests) = (world.hook.calls(), world.engine_requests());
    for _ in 0..3 {
        world.pass(Duration::from_secs(3)).await;
    }
    assert!(calls + 2 <= world.hook.calls(), "it was resynced");
    assert_eq!(world.engine_requests(), requests, "nothing was written again");
}
story!(a_status_that_the_server_prunes_is_written_once);

/// Breaks when `forgive` takes a namespace that is going away for a failure.
async fn nothing_is_created_where_everything_goes(world: &World) {
    let namespaces = Resource::cluster("v1", "Namespace", "namespaces");
    let things = world.cluster_things().await;
    let going = format!("{}-going", world.id);
    world.create(&namespaces, json!({"metadata": {"name": going}})).await;
    // A finalizer holds it up.
    let held = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "held", "namespace": going, "finalizers": ["example.com/hold"]}});
    world.client.create(&configmaps(), &going, held.to_string()).await.unwrap();
    world.delete(&namespaces, &going).await;
    let (inside, home) = (going.clone(), world.id.clone());
    world.hook.answer(move |_| {
        let mut children = [child("a-child", &json!({})), child("b-child", &json!({}))];
        children[0]["metadata"]["namespace"] = json!(inside);
        children[1]["metadata"]["namespace"] = json!(home);
        json!({"status": {"seen": true}, "children": children})
    });
    world.control("c", &controller(&things, "InPlace")).await;
    let name = format!("a-{}", world.id);
    world.create(&things, thing(&name, "1")).await;
    world.settle().await;
    assert_eq!(world.get(&things, &name).await["status"]["seen"], true);
    assert!(!world.get(&configmaps(), "b-child").await.is_null());
    assert_eq!(world.events("SyncError").await, Vec::<String>::new());
    world.delete(&things, &name).await;
    let key = k8s::ObjectKey::new(&going, "held");
    let how = (runtime::Part::Main, runtime::PatchType::Merge);
    let free = json!({"metadata": {"finalizers": null}}).to_string();
    world.client.patch(&configmaps(), &key, how, free).await.unwrap();
}
story!(nothing_is_created_where_everything_goes);
