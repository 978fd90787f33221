//! A decorator adds to objects that are somebody else's.

use std::time::Duration;

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

/// Breaks when `sync` fails, or calls a hook, where the hook that would be called is not set.
async fn acceptance_20_a_decorator_may_only_finalize(world: &World) {
    world.hook.answer(|request| {
        let left =
            request["attachments"]["ConfigMap.v1"].as_object().is_some_and(|it| !it.is_empty());
        json!({"finalized": !left})
    });
    world.decorate("c", &decorator(world, &["finalize"])).await;
    world.create(&services(), service(world)).await;
    world.settle().await;
    assert_eq!((world.hook.calls(), world.events("SyncError").await), (0, Vec::new()));
    let finalizers = world.get(&services(), "web").await["metadata"]["finalizers"].clone();
    let expected = format!("metacontroller.io/decoratorcontroller-{}", world.controller("c"));
    assert_eq!(finalizers, json!([expected]));
    world.delete(&services(), "web").await;
    world.settle().await;
    assert_eq!(world.hook.asked()[0]["finalizing"], true);
    let is_gone = || async { world.get(&services(), "web").await.is_null() };
    world.eventually("nothing holds it any more", is_gone).await;
}
story!(acceptance_20_a_decorator_may_only_finalize);

/// Breaks when `sync` keeps the finalizer though the hook has finalized.
async fn acceptance_20_a_target_that_goes_takes_its_attachments_along(world: &World) {
    world.hook.answer(attach_one);
    world.decorate("c", &decorator(world, &["sync", "finalize"])).await;
    world.create(&services(), service(world)).await;
    world.settle().await;
    assert!(!world.get(&configmaps(), "beside").await.is_null());
    // The attachment goes by the answer that lets go of the target, not by garbage collection.
    let orphaned = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    world.patch(&configmaps(), "beside", &orphaned).await;
    world.hook.answer(|request| json!({"finalized": request["finalizing"]}));
    world.delete(&services(), "web").await;
    world.settle().await;
    assert!(world.get(&services(), "web").await.is_null());
    let attached = world.get(&configmaps(), "beside").await;
    assert!(attached["metadata"]["deletionTimestamp"].is_string(), "{attached}");
    world.patch(&configmaps(), "beside", &json!({"metadata": {"finalizers": null}})).await;
}
story!(acceptance_20_a_target_that_goes_takes_its_attachments_along);

/// Breaks when `stop` passes over the hooks of decorators.
async fn acceptance_21_a_deleted_decorator_lets_go_of_its_targets(world: &World) {
    world.hook.answer(|_| json!({}));
    let spec = decorator(world, &["sync", "finalize"]);
    let controllers = api::decorator::resource();
    let is_held =
        || async { !world.get(&services(), "web").await["metadata"]["finalizers"].is_null() };
    world.decorate("c", &spec).await;
    world.create(&services(), service(world)).await;
    world.settle().await;
    world.delete(&controllers, &world.controller("c")).await;
    world.decorate("c", &spec).await;
    world.pass(Duration::from_secs(35)).await;
    assert!(is_held().await, "it is back");
    world.delete(&controllers, &world.controller("c")).await;
    world.pass(Duration::from_secs(35)).await;
    assert!(!is_held().await);
    assert_eq!(world.events("FinalizerRemoved").await.len(), 1);
}
story!(acceptance_21_a_deleted_decorator_lets_go_of_its_targets);

/// Breaks when `manage` tells of problems with the children of composites alone.
async fn what_is_wrong_with_attachments_is_told(world: &World) {
    world.hook.answer(|_| {
        let good = child("beside", &json!({}));
        let mut bad = child("bad", &json!({}));
        bad["metadata"]["namespace"] = json!("elsewhere");
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "other"}});
        json!({"attachments": [good, good, bad, secret]})
    });
    world.decorate("c", &decorator(world, &["sync"])).await;
    world.create(&services(), service(world)).await;
    world.settle().await;
    assert!(!world.get(&configmaps(), "beside").await.is_null(), "the others proceed");
    for (reason, about) in
        [("InvalidChild", "`bad`"), ("DuplicateChild", "beside"), ("UndeclaredChild", "other")]
    {
        let told = world.events(reason).await;
        assert!(told.iter().any(|message| message.contains(about)), "{reason}: {told:?}");
    }
    assert!(!world.events("SyncError").await.is_empty(), "a refused child counts as a failure");
}
story!(what_is_wrong_with_attachments_is_told);

/// Breaks when attachments are looked for in the target's namespace alone.
async fn a_cluster_scoped_target_has_attachments_anywhere(world: &World) {
    let namespaces = Resource::cluster("v1", "Namespace", "namespaces");
    let home = world.id.clone();
    world.hook.answer(move |request| {
        let seen = request["attachments"]["ConfigMap.v1"].as_object().cloned().unwrap_or_default();
        let seen: Vec<_> = seen.keys().cloned().collect();
        let mut inside = child("beside", &json!({}));
        inside["metadata"]["namespace"] = json!(home);
        json!({"annotations": {"seen": seen.join(" ")}, "attachments": [inside]})
    });
    let mut spec = decorator(world, &["sync"]);
    spec["resources"] = json!([{"apiVersion": "v1", "resource": "namespaces",
        "labelSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.id}}}]);
    world.decorate("c", &spec).await;
    world.settle().await;
    let owner = world.get(&configmaps(), "beside").await["metadata"]["ownerReferences"][0].clone();
    assert_eq!((&owner["kind"], &owner["name"]), (&json!("Namespace"), &json!(world.id)));
    let target = world.get(&namespaces, &world.id).await;
    assert_eq!(target["metadata"]["annotations"]["seen"], format!("{}/beside", world.id));
}
story!(a_cluster_scoped_target_has_attachments_anywhere);

/// Breaks when a status is always written through the subresource.
async fn a_status_without_a_subresource_is_written_with_the_rest(world: &World) {
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let things = world.define(&any, false).await;
    let spec = json!({
        "resources": [{"apiVersion": things.gvk.api_version(), "resource": "things"}],
        "hooks": {"sync": {"webhook": {"url": "http://hook.test/sync"}}}});
    world.hook.answer(|_| json!({"status": {"seen": true}, "labels": {"a": "b"}}));
    world.decorate("c", &spec).await;
    world.create(&things, crate::thing("a", "1")).await;
    world.settle().await;
    let target = world.get(&things, "a").await;
    assert_eq!(target["status"], json!({"seen": true}));
    assert_eq!(target["metadata"]["labels"], json!({"a": "b"}));
    assert_eq!(target["spec"], json!({"value": "1"}));
    assert!(world.hook.calls() <= 3, "{}", world.hook.calls());
}
story!(a_status_without_a_subresource_is_written_with_the_rest);
