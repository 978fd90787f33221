//! Children move to a new version of their parent one at a time.

use e2e::{World, story};
use k8s::Resource;
use serde_json::{Value, json};

use crate::{controller, thing};

/// Pods whose readiness the story itself says; no node runs them.
pub(crate) fn pods() -> Resource {
    Resource::namespaced("v1", "Pod", "pods")
}

fn revisions() -> Resource {
    api::revision::resource()
}

pub(crate) fn rolling(things: &Resource, method: &str) -> Value {
    let mut spec = controller(things, "InPlace");
    spec["childResources"] = json!([{"apiVersion": "v1", "resource": "pods",
        "updateStrategy": {"method": method,
            "statusChecks": {"conditions": [{"type": "Ready", "status": "True"}]}}}]);
    spec
}

/// Answers with three pods, the last of the alphabet first, whose image is what the parent says.
pub(crate) fn three_pods(request: &Value) -> Value {
    let spec = &request["parent"]["spec"];
    let (image, namespace) = (&spec["value"], &spec["namespace"]);
    let pod = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
            "spec": {"schedulerName": "nobody", "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "c", "image": image}]}})
    };
    json!({"status": {}, "children": [pod("c"), pod("b"), pod("a")]})
}

/// Starts three pods of version `1` that are all ready.
pub(crate) async fn started(world: &World, method: &str) -> Resource {
    let things = world.things().await;
    started_as(world, &things, method).await;
    things
}

/// Does so for a parent of this type.
async fn started_as(world: &World, things: &Resource, method: &str) {
    world.hook.answer(three_pods);
    world.control("c", &rolling(things, method)).await;
    let mut parent = thing("p", "1");
    parent["spec"]["namespace"] = json!(world.id);
    world.create(things, parent).await;
    world.settle().await;
    for name in ["a", "b", "c"] {
        ready(world, name).await;
    }
    world.settle().await;
}

pub(crate) async fn ready(world: &World, name: &str) {
    let status = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    world.patch_status(&pods(), name, &status).await;
}

/// Returns the images of the pods `a`, `b` and `c`, in this order.
pub(crate) async fn images(world: &World) -> String {
    let mut images = String::new();
    for name in ["a", "b", "c"] {
        let pod = world.get(&pods(), name).await;
        images += pod["spec"]["containers"][0]["image"].as_str().unwrap_or("-");
    }
    images
}

pub(crate) async fn updated(world: &World, things: &Resource) -> Value {
    let parent = world.get(things, "p").await;
    let conditions = parent["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|each| each["type"] == "Updated").unwrap_or_default()
}

/// Returns the versions of the parents of a type, wherever they are kept.
async fn versions_of(world: &World, things: &Resource) -> Vec<Value> {
    let list = world.client.get_raw(&revisions().collection_path("")).await.unwrap();
    let list: Value = serde_json::from_slice(&list).unwrap();
    let is_of = |version: &&Value| {
        version["metadata"]["labels"][api::names::REVISION_API_GROUP] == things.gvk.group.as_str()
    };
    list["items"].as_array().into_iter().flatten().filter(is_of).cloned().collect()
}

/// Breaks when `advance` passes over children that are not as they should be.
async fn acceptance_22_one_child_is_recreated_at_a_time(world: &World) {
    let things = world.things().await;
    one_at_a_time(world, &things).await;
}
story!(acceptance_22_one_child_is_recreated_at_a_time);

/// Breaks when `is_updated` of `server_side` counts a child as updated that the server was not asked about.
async fn acceptance_22_one_at_a_time_under_server_side_apply(world: &World) {
    world.apply_as("metacontroller").await;
    let things = world.things().await;
    one_at_a_time(world, &things).await;
}
story!(acceptance_22_one_at_a_time_under_server_side_apply);

/// Breaks when `relative` leaves out the namespace of a child, or the versions go where the parent is.
async fn acceptance_22_one_at_a_time_of_a_cluster_scoped_parent(world: &World) {
    let things = world.cluster_things().await;
    one_at_a_time(world, &things).await;
    let version = versions_of(world, &things).await.remove(0);
    assert_eq!(version["metadata"]["namespace"], "default");
    assert_eq!(version["children"][0]["names"][0], format!("{}/c", world.id));
}
story!(acceptance_22_one_at_a_time_of_a_cluster_scoped_parent);

/// Breaks when `update` of `server_side` applies in place what is to be recreated.
async fn acceptance_22_one_at_a_time_of_a_cluster_scoped_parent_under_server_side_apply(
    world: &World,
) {
    world.apply_as("metacontroller").await;
    let things = world.cluster_things().await;
    one_at_a_time(world, &things).await;
}
story!(acceptance_22_one_at_a_time_of_a_cluster_scoped_parent_under_server_side_apply);

async fn one_at_a_time(world: &World, things: &Resource) {
    started_as(world, things, "RollingRecreate").await;
    let prefix = if things.is_namespaced() { String::new() } else { format!("{}/", world.id) };
    let versions = || async { versions_of(world, things).await.len() };
    assert_eq!(updated(world, things).await["reason"], "OnLatestRevision");
    assert_eq!(versions().await, 1);
    world.patch(things, "p", &json!({"spec": {"value": "2"}})).await;
    world.settle().await;
    for (images_then, waiting, next) in [("112", "c", "b"), ("122", "b", "a")] {
        assert_eq!(images(world).await, images_then);
        let condition = updated(world, things).await;
        assert_eq!(condition["reason"], "RolloutWaiting");
        let why = format!("child Pod {prefix}{waiting} failed status check");
        assert!(condition["message"].as_str().unwrap().starts_with(&why), "{condition}");
        assert_eq!(versions().await, 2, "{next} follows the older one");
        ready(world, waiting).await;
        world.settle().await;
    }
    assert_eq!(images(world).await, "222");
    ready(world, "a").await;
    world.settle().await;
    let condition = updated(world, things).await;
    assert_eq!(
        (&condition["status"], &condition["reason"]),
        (&json!("True"), &json!("OnLatestRevision"))
    );
    assert_eq!(versions().await, 1);
    let calls = world.hook.calls();
    world.settle().await;
    assert_eq!(world.hook.calls(), calls);
}

/// Breaks when `merged` gives all children the latest version's form.
async fn acceptance_23_a_rollout_goes_on_where_it_was(world: &World) {
    let things = started(world, "RollingRecreate").await;
    world.patch(&things, "p", &json!({"spec": {"value": "2"}})).await;
    world.settle().await;
    assert_eq!(images(world).await, "112");
    world.restart_engine().await;
    world.settle().await;
    assert_eq!(images(world).await, "112");
    world.delete(&pods(), "a").await;
    let is_back = || async { images(world).await == "112" };
    world.eventually("a pod that was not rolled comes back in its old form", is_back).await;
    world.settle().await;
    for name in ["a", "c", "b", "a"] {
        ready(world, name).await;
        world.settle().await;
    }
    assert_eq!(images(world).await, "222");
    assert_eq!(updated(world, &things).await["status"], "True");
}
story!(acceptance_23_a_rollout_goes_on_where_it_was);

story!(fields_outside_the_revision_change_at_once);
async fn fields_outside_the_revision_change_at_once(world: &World) {
    let things = world.things().await;
    world.hook.answer(|request| {
        let spec = &request["parent"]["spec"];
        let pod = |name: &str| {
            json!({"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": name, "labels": {"color": spec["color"]}},
                "spec": {"schedulerName": "nobody", "containers": [{"name": "c", "image": spec["value"]}]}})
        };
        json!({"children": [pod("a"), pod("b"), pod("c")]})
    });
    let mut spec = rolling(&things, "RollingInPlace");
    spec["parentResource"]["revisionHistory"] = json!({"fieldPaths": ["spec.value"]});
    world.control("c", &spec).await;
    let mut parent = thing("p", "1");
    parent["spec"]["color"] = json!("red");
    world.create(&things, parent).await;
    world.settle().await;
    world.patch(&things, "p", &json!({"spec": {"color": "blue"}})).await;
    world.settle().await;
    for name in ["a", "b", "c"] {
        let pod = world.get(&pods(), name).await;
        assert_eq!(pod["metadata"]["labels"]["color"], "blue", "{name}");
    }
    let versions = world.list(&revisions()).await;
    assert_eq!(versions.len(), 1);
    let patch = versions[0]["parentPatch"].clone();
    assert_eq!(patch, json!({"spec": {"value": "1"}}));
}

/// Breaks when `write` fails on a name that is taken.
async fn a_version_that_lost_its_owner_is_taken_back(world: &World) {
    let things = started(world, "RollingRecreate").await;
    let version = world.list(&revisions()).await.remove(0);
    let name = version["metadata"]["name"].as_str().unwrap();
    let orphan = json!({"metadata": {"ownerReferences": null}});
    let stranger = json!({"metadata": {"ownerReferences": null, "labels": null}});
    for lost in [orphan, stranger] {
        world.patch(&revisions(), name, &lost).await;
        world.patch(&things, "p", &json!({"metadata": {"labels": {"lost": "1"}}})).await;
        world.patch(&things, "p", &json!({"metadata": {"labels": null}})).await;
        world.settle().await;
        let versions = world.list(&revisions()).await;
        assert_eq!(versions.len(), 1);
        for field in ["name", "uid", "labels", "ownerReferences"] {
            assert_eq!(versions[0]["metadata"][field], version["metadata"][field], "{field}");
        }
    }
    assert_eq!(images(world).await, "111");
    assert!(world.events("SyncError").await.is_empty());
}
story!(a_version_that_lost_its_owner_is_taken_back);
