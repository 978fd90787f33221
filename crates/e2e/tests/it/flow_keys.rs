//! What hooks of either version are shown, and how strictly their answers are read.

use api::HookReply;
use e2e::{World, story};
use http::HeaderMap;
use k8s::Resource;
use runtime::ManagedFields;
use serde_json::{Value, json};

use crate::{child, configmaps, controller, thing};

fn namespaces() -> Resource {
    Resource::cluster("v1", "Namespace", "namespaces")
}

/// Returns the keys of the ConfigMaps that the last request showed.
fn shown(world: &World) -> Vec<String> {
    let asked = world.hook.asked().last().cloned().unwrap_or_default();
    let children = asked["children"]["ConfigMap.v1"].as_object().cloned().unwrap_or_default();
    children.into_iter().map(|(key, _)| key).collect()
}

/// Breaks when `object_key` gives all versions the names of one.
async fn acceptance_5_each_version_names_children_its_way(world: &World) {
    let things = world.things().await;
    world.hook.answer(|_| json!({"children": [child("web-0", &json!({}))]}));
    let mut spec = controller(&things, "InPlace");
    world.control("first", &spec).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    assert_eq!(shown(world), ["web-0"]);
    let first = world.controller("first");
    world.delete(&api::composite::resource(), &first).await;
    world.settle().await;
    spec["hooks"]["sync"]["version"] = json!("v2");
    world.control("second", &spec).await;
    world.settle().await;
    assert_eq!(shown(world), [format!("{}/web-0", world.id)]);
}
story!(acceptance_5_each_version_names_children_its_way);

async fn each_hook_is_shown_the_keys_of_its_own_version(world: &World) {
    let things = world.things().await;
    world.hook.answer(|request| {
        if request["finalizing"] == true {
            return json!({"finalized": true});
        }
        json!({"children": [child("web-0", &json!({}))]})
    });
    let mut spec = controller(&things, "InPlace");
    spec["hooks"]["finalize"] = json!({"version": "v2", "webhook": {"url": "http://hook.test/f"}});
    // They are read, and never called.
    for name in ["preUpdateChild", "postUpdateChild"] {
        spec["hooks"][name] = json!({"webhook": {"url": format!("http://hook.test/{name}")}});
    }
    world.control("c", &spec).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    assert_eq!(shown(world), ["web-0"]);
    world.delete(&things, "a").await;
    world.settle().await;
    let asked = world.hook.asked();
    let keys = |asked: &Value| {
        let children = asked["children"]["ConfigMap.v1"].as_object().cloned().unwrap_or_default();
        children.keys().cloned().collect::<Vec<_>>()
    };
    let finalize = asked.iter().find(|asked| asked["finalizing"] == true).unwrap();
    assert_eq!(keys(finalize), [format!("{}/web-0", world.id)]);
    assert!(asked.iter().all(|asked| asked["parent"].is_object()));
    assert!(world.get(&things, "a").await.is_null());
}
story!(each_hook_is_shown_the_keys_of_its_own_version);

/// Returns the spec of a controller whose parent is the world's own namespace.
fn of_namespace(world: &World) -> Value {
    let mut spec = controller(&namespaces(), "InPlace");
    let labels = json!({"kubernetes.io/metadata.name": world.id});
    spec["parentResource"] = json!({"apiVersion": "v1", "resource": "namespaces",
        "labelSelector": {"matchLabels": labels}});
    spec
}

/// Breaks when `object_key` leaves the namespace out for parents of the whole cluster.
async fn acceptance_5_a_cluster_scoped_parent_sees_namespaces(world: &World) {
    let namespace = world.id.clone();
    world.hook.answer(move |_| {
        let mut child = child("web-0", &json!({}));
        child["metadata"]["namespace"] = json!(namespace);
        json!({"children": [child]})
    });
    world.control("c", &of_namespace(world)).await;
    world.settle().await;
    assert_eq!(shown(world), [format!("{}/web-0", world.id)]);
}
story!(acceptance_5_a_cluster_scoped_parent_sees_namespaces);

/// Breaks when `types::find` asks a CompositeController's parent to be of a CustomResourceDefinition.
async fn acceptance_8_a_built_in_type_can_be_a_parent(world: &World) {
    let secrets = Resource::namespaced("v1", "Secret", "secrets");
    let namespace = world.id.clone();
    world.hook.answer(move |request| {
        let count = request["children"]["Secret.v1"].as_object().map_or(0, serde_json::Map::len);
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"a": "b"},
            "metadata": {"name": "made", "namespace": namespace}});
        // The server keeps of a namespace's status only what it knows.
        json!({"status": {"phase": "Active", "secrets": count}, "children": [secret]})
    });
    let mut spec = of_namespace(world);
    spec["childResources"][0]["resource"] = json!("secrets");
    world.control("c", &spec).await;
    world.settle().await;
    let secret = world.get(&secrets, "made").await;
    assert_eq!(secret["metadata"]["ownerReferences"][0]["kind"], "Namespace");
    let calls = world.hook.calls();
    assert!(calls <= 6, "a status that the server cuts is written once for each value: {calls}");
}
story!(acceptance_8_a_built_in_type_can_be_a_parent);

/// Breaks when the mode that a hook's version has by default is the other's.
async fn acceptance_10_strictness_follows_the_version_or_its_own_field(world: &World) {
    let things = world.things().await;
    let text = r#"{"status": {"read": true}, "more": 1}"#;
    let reply = HookReply { status: 200, headers: HeaderMap::new(), body: text.into() };
    world.hook.play(move |_| reply.clone());
    world.create(&things, thing("a", "1")).await;
    let mut failures = 0;
    for (name, version, mode, is_read) in [
        ("a", "v2", None, false),
        ("b", "v2", Some("loose"), true),
        ("c", "v1", None, true),
        ("d", "v1", Some("strict"), false),
    ] {
        world.patch_status(&things, "a", &json!({"status": null})).await;
        let mut spec = controller(&things, "InPlace");
        spec["hooks"]["sync"]["version"] = json!(version);
        if let Some(mode) = mode {
            spec["hooks"]["sync"]["webhook"]["responseUnMarshallMode"] = json!(mode);
        }
        let calls = world.hook.calls();
        world.control(name, &spec).await;
        if is_read {
            world.settle().await;
        } else {
            // What failed is tried again for ever: the second try shows what became of the first.
            let is_tried = || async { calls + 2 <= world.hook.calls() };
            world.eventually("the hook is asked again", is_tried).await;
        }
        let status = world.get(&things, "a").await["status"]["read"].clone();
        assert_eq!(status == true, is_read, "{version} {mode:?}");
        world.delete(&api::composite::resource(), &world.controller(name)).await;
        world.settle().await;
        failures += usize::from(!is_read);
        let told = world.events("SyncError").await;
        assert_eq!(told.is_empty(), failures == 0, "{told:?}");
        assert!(told.iter().all(|told| told.contains("strict validation failed")), "{told:?}");
    }
}
story!(acceptance_10_strictness_follows_the_version_or_its_own_field);

/// Breaks when the engine's caches drop managedFields whatever the option says.
async fn managed_fields_are_shown_on_request(world: &World) {
    let things = world.things().await;
    world.hook.answer(|_| json!({"children": [child("a-child", &json!({}))]}));
    world.control("c", &controller(&things, "InPlace")).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    let managed = |asked: &Value| {
        let child =
            asked["children"]["ConfigMap.v1"]["a-child"]["metadata"]["managedFields"].is_array();
        (asked["parent"]["metadata"]["managedFields"].is_array(), child)
    };
    assert_eq!(managed(world.hook.asked().last().unwrap()), (false, false));
    let before = world.get(&configmaps(), "a-child").await;
    world.restart_engine_with(ManagedFields::Kept).await;
    world.settle().await;
    assert_eq!(managed(world.hook.asked().last().unwrap()), (true, true));
    assert_eq!(world.get(&configmaps(), "a-child").await, before, "they are no reason to write");
}
story!(managed_fields_are_shown_on_request);
