//! What happens at the seams: hooks that give back what they saw, writes that meet others', values that the
//! server writes its own way, types that go and come.

use e2e::{World, story};
use k8s::Resource;
use serde_json::{Value, json};

use crate::{child, configmaps, controller, one_child, started, thing, value_of};

fn pods() -> Resource {
    Resource::namespaced("v1", "Pod", "pods")
}

/// Answers with the children as they were seen, or with one if there are none.
fn echo(request: &Value) -> Value {
    let seen = request["children"]["ConfigMap.v1"].as_object();
    let seen: Vec<_> = seen.into_iter().flatten().map(|(_, child)| child.clone()).collect();
    json!({"children": if seen.is_empty() { vec![child("a-child", &json!({"value": "1"}))] } else { seen }})
}

/// Says what makes a child be recreated, though nothing has to be: values that the server writes its own way.
fn one_pod(request: &Value) -> Value {
    let image = &request["parent"]["spec"]["value"];
    json!({"children": [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a-pod"}, "spec": {
        "tolerations": [{"key": "example.com/t", "operator": "Exists", "effect": "NoSchedule"}],
        "containers": [{"name": "c", "image": image,
            "resources": {"requests": {"cpu": "1000m"}}}]}}]})
}

fn pod_controller(things: &Resource) -> Value {
    let mut spec = controller(things, "Recreate");
    spec["childResources"][0]["resource"] = json!("pods");
    spec
}

story!(a_hook_that_gives_back_what_it_saw_settles);
async fn a_hook_that_gives_back_what_it_saw_settles(world: &World) {
    let things = world.things().await;
    world.hook.answer(echo);
    world.control("c", &controller(&things, "InPlace")).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    let before = world.get(&configmaps(), "a-child").await;
    assert_eq!(before["data"]["value"], "1");
    for value in ["2", "3"] {
        world.patch(&things, "a", &json!({"spec": {"value": value}})).await;
        world.settle().await;
    }
    let after = world.get(&configmaps(), "a-child").await;
    let owners = |child: &Value| child["metadata"]["ownerReferences"].clone();
    assert_eq!(owners(&after), owners(&before));
    let annotation = |child: &Value| child["metadata"]["annotations"].to_string().len();
    assert!(annotation(&after) <= annotation(&before) + 100, "{after}");
    assert!(world.hook.calls() <= 10, "{}", world.hook.calls());
}

/// Breaks when `compare` passes over what the server would make of the desired child: nothing ever rests then.
async fn acceptance_16_an_equal_child_that_reads_otherwise_is_kept(world: &World) {
    let things = world.things().await;
    world.hook.answer(one_pod);
    world.control("c", &pod_controller(&things)).await;
    world.create(&things, thing("a", "example.com/image:1")).await;
    world.settle().await;
    let first = world.get(&pods(), "a-pod").await["metadata"]["uid"].clone();
    assert!(first.is_string());
    for label in ["1", "2", "3"] {
        // The pod changes, so that it is compared again.
        world.patch(&pods(), "a-pod", &json!({"metadata": {"labels": {"t": label}}})).await;
        world.settle().await;
    }
    assert_eq!(world.get(&pods(), "a-pod").await["metadata"]["uid"], first);

    world.patch(&things, "a", &json!({"spec": {"value": "example.com/image:2"}})).await;
    let is_new = || async {
        let pod = world.get(&pods(), "a-pod").await;
        pod["spec"]["containers"][0]["image"] == "example.com/image:2"
    };
    world.eventually("the pod has the new image", is_new).await;
    let second = world.get(&pods(), "a-pod").await["metadata"]["uid"].clone();
    assert_ne!(second, first);
    world.settle().await;
    assert_eq!(world.get(&pods(), "a-pod").await["metadata"]["uid"], second, "it was deleted once");
}
story!(acceptance_16_an_equal_child_that_reads_otherwise_is_kept);

/// Breaks when `decide` deletes a child though its replacement was refused.
async fn acceptance_17_a_child_is_kept_if_the_server_refuses_the_new_one(world: &World) {
    let things = world.things().await;
    world.hook.answer(one_pod);
    world.control("c", &pod_controller(&things)).await;
    world.create(&things, thing("a", "example.com/image:1")).await;
    world.settle().await;
    let first = world.get(&pods(), "a-pod").await["metadata"]["uid"].clone();
    world.hook.answer(|request| {
        let mut answer = one_pod(request);
        answer["children"][0]["spec"]["restartPolicy"] = json!("Sometimes");
        answer
    });
    world.patch(&things, "a", &json!({"spec": {"value": "example.com/image:2"}})).await;
    world.settle().await;
    let told = world.events("SyncError").await;
    assert!(told.iter().any(|text| text.contains("keep the old Pod")), "{told:?}");
    assert!(told.iter().any(|text| text.contains("a-pod")), "{told:?}");
    assert_eq!(world.get(&pods(), "a-pod").await["metadata"]["uid"], first);
}
story!(acceptance_17_a_child_is_kept_if_the_server_refuses_the_new_one);

story!(hooks_never_see_managed_fields);
async fn hooks_never_see_managed_fields(world: &World) {
    let things = world.things().await;
    world.hook.answer(one_child);
    let mut spec = controller(&things, "InPlace");
    spec["hooks"]["finalize"] = spec["hooks"]["sync"].clone();
    world.control("c", &spec).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    let parents = world.hook.asked();
    assert!(!parents.is_empty());
    for asked in parents {
        assert!(asked["parent"]["metadata"]["managedFields"].is_null(), "{asked}");
        assert!(asked["parent"]["metadata"]["finalizers"].is_array());
    }
}

story!(a_finalizer_of_the_former_name_goes);
async fn a_finalizer_of_the_former_name_goes(world: &World) {
    let things = world.things().await;
    world.hook.answer(one_child);
    world.control("c", &controller(&things, "InPlace")).await;
    let mut old = thing("a", "1");
    let finalizer = format!("metacontroller.app/compositecontroller-{}", world.controller("c"));
    old["metadata"]["finalizers"] = json!([finalizer]);
    world.create(&things, old).await;
    world.settle().await;
    assert!(world.get(&things, "a").await["metadata"]["finalizers"].is_null());
}

story!(a_type_that_is_deleted_and_defined_again_is_served_again);
async fn a_type_that_is_deleted_and_defined_again_is_served_again(world: &World) {
    let things = started(world, "InPlace").await;
    let name = format!("things.{}", things.gvk.group);
    world.delete(&api::definition::definitions(), &name).await;
    let is_gone = || async { world.get(&api::definition::definitions(), &name).await.is_null() };
    world.eventually("the definition is gone", is_gone).await;
    assert_eq!(world.things().await, things);
    world.create(&things, thing("b", "2")).await;
    let has_child = || async { value_of(world, "b-child").await == "2" };
    world.eventually("a parent of the new type has its child", has_child).await;
}

story!(a_controller_that_is_no_longer_selected_stops);
async fn a_controller_that_is_no_longer_selected_stops(world: &World) {
    let things = started(world, "InPlace").await;
    let controllers = api::composite::resource();
    let label = |value: Value| json!({"metadata": {"labels": {"story": value}}});
    world.patch(&controllers, &world.controller("c"), &label(json!("another"))).await;
    world.settle().await;
    let calls = world.hook.calls();
    world.patch(&things, "a", &json!({"spec": {"value": "2"}})).await;
    world.settle().await;
    assert_eq!(world.hook.calls(), calls);
    world.patch(&controllers, &world.controller("c"), &label(json!(world.id))).await;
    world.settle().await;
    assert_eq!(value_of(world, "a-child").await, "2");
}

story!(a_controller_whose_children_cannot_be_had_holds_up_no_other);
async fn a_controller_whose_children_cannot_be_had_holds_up_no_other(world: &World) {
    let things = world.things().await;
    world.hook.answer(one_child);
    let mut bad = controller(&things, "InPlace");
    // It is served, but never listed.
    bad["childResources"][0] = json!({
        "apiVersion": "authorization.k8s.io/v1", "resource": "selfsubjectaccessreviews"});
    world.control("bad", &bad).await;
    world.control("good", &controller(&things, "InPlace")).await;
    world.create(&things, thing("a", "1")).await;
    let has_child = || async { value_of(world, "a-child").await == "1" };
    world.eventually("the other controller works", has_child).await;
    let told = world.events("CreateError").await;
    assert!(told.iter().any(|text| text.contains("failed to list")), "{told:?}");
}

story!(children_of_parents_without_a_namespace);
async fn children_of_parents_without_a_namespace(world: &World) {
    let namespace = world.id.clone();
    let namespaces = Resource::cluster("v1", "Namespace", "namespaces");
    let mut spec = controller(&namespaces, "InPlace");
    spec["parentResource"] = json!({"apiVersion": "v1", "resource": "namespaces",
        "labelSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}});
    world.hook.answer(|request| {
        let mut wish = child("of-namespace", &json!({"value": "1"}));
        wish["metadata"]["namespace"] = request["parent"]["metadata"]["name"].clone();
        json!({"status": request["parent"]["status"], "children": [wish]})
    });
    world.control("c", &spec).await;
    world.settle().await;
    assert_eq!(value_of(world, "of-namespace").await, "1");
    world.delete(&configmaps(), "of-namespace").await;
    world.settle().await;
    assert_eq!(value_of(world, "of-namespace").await, "1");
}

story!(two_controllers_share_a_type_of_parents);
async fn two_controllers_share_a_type_of_parents(world: &World) {
    let things = world.things().await;
    let secrets = Resource::namespaced("v1", "Secret", "secrets");
    world.hook.answer(|request| {
        let is_first =
            request["controller"]["spec"]["childResources"][0]["resource"] == "configmaps";
        let kind = if is_first { "ConfigMap" } else { "Secret" };
        json!({"children": [{"apiVersion": "v1", "kind": kind, "metadata": {"name": "a-child"}}]})
    });
    world.control("one", &controller(&things, "InPlace")).await;
    let mut two = controller(&things, "InPlace");
    two["childResources"][0]["resource"] = json!("secrets");
    world.control("two", &two).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    for resource in [configmaps(), secrets] {
        assert!(world.get(&resource, "a-child").await.is_object(), "{resource}");
    }
    assert!(world.hook.calls() <= 6, "{}", world.hook.calls());
}
