//! The engine under an account that may do less than everything.

use std::time::Duration;

use e2e::{Role, World, story};
use k8s::Resource;
use serde_json::{Value, json};

use crate::{child, configmaps, controller, one_child, thing, value_of};

const READ: &str = "get list watch";

/// Returns the role of an engine whose controllers make ConfigMaps of Things, and `more`.
fn role(things: &Resource, more: &[(&str, &str, &str)]) -> Role {
    let group = &things.gvk.group;
    let rules = [
        ("metacontroller.k8s.io", "compositecontrollers decoratorcontrollers", READ),
        (group, "things", "get list watch update"),
        (group, "things/status", "update"),
        ("", "configmaps", "get list watch create update patch delete"),
        ("", "events", "create patch"),
    ];
    Role::new(&[&rules[..], more].concat())
}

/// Returns the spec of a controller with children of another type, or of two.
fn with_children(things: &Resource, children: &[&str]) -> Value {
    let mut spec = controller(things, "InPlace");
    let rule = |plural: &&str| {
        json!({"apiVersion": "v1", "resource": plural,
        "updateStrategy": {"method": "InPlace"}})
    };
    spec["childResources"] = children.iter().map(rule).collect();
    spec
}

/// Breaks when `write` does not update a target that it may not patch.
async fn an_engine_needs_no_more_than_metacontroller_does(world: &World) {
    let things = world.things().await;
    world.narrow(role(&things, &[])).await;
    world.hook.answer(|request| match request["object"] {
        Value::Null => one_child(request),
        _ => json!({"labels": {"decorated": "yes"}, "annotations": {"a": "b"}}),
    });
    let mut spec = controller(&things, "InPlace");
    spec["hooks"]["finalize"] = spec["hooks"]["sync"].clone();
    world.control("c", &spec).await;
    let decorator = json!({
        "resources": [{"apiVersion": things.gvk.api_version(), "resource": "things"}],
        "hooks": {"sync": {"webhook": {"url": "http://hook.test/sync"}}}});
    world.decorate("d", &decorator).await;
    world.create(&things, thing("a", "1")).await;
    let is_made = || async {
        let parent = world.get(&things, "a").await;
        value_of(world, "a-child").await == "1"
            && parent["metadata"]["labels"]["decorated"] == "yes"
            && parent["status"]["children"] == 1
            && parent["metadata"]["finalizers"].is_array()
    };
    world.eventually("both controllers have done their work", is_made).await;
    world.settle().await;
    let parent = world.get(&things, "a").await;
    assert_eq!(
        parent["spec"],
        json!({"value": "1"}),
        "an update keeps what is not the decorator's"
    );
    assert_eq!(parent["metadata"]["annotations"], json!({"a": "b"}));
    assert!(world.events("SyncError").await.is_empty());
    assert!(world.events("CreateError").await.is_empty());
}
story!(an_engine_needs_no_more_than_metacontroller_does);

/// Breaks when `sync` leaves the status alone after a child could not be written.
async fn what_is_forbidden_is_told_and_stops_nothing_else(world: &World) {
    let things = world.things().await;
    let visible = ("", "services", READ);
    let conditions = ("metacontroller.k8s.io", "compositecontrollers/status", "update");
    world.narrow(role(&things, &[visible, conditions])).await;
    world.hook.answer(|request| {
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a-service"},
            "spec": {"ports": [{"port": 80}]}});
        let seen = request["children"].clone();
        json!({"status": {"seen": seen["Service.v1"].as_object().map(serde_json::Map::len)},
            "children": [service, child("a-child", &json!({"value": "1"}))]})
    });
    world.control("hidden", &with_children(&things, &["secrets"])).await;
    world.control("c", &with_children(&things, &["services", "configmaps"])).await;
    world.create(&things, thing("a", "1")).await;
    let is_told = || async {
        let told = |texts: Vec<String>, of: &str| {
            texts.iter().any(|text| text.contains(of) && text.contains("forbidden"))
        };
        told(world.events("SyncError").await, "create Service")
            && told(world.events("CreateError").await, "failed to list")
    };
    world.eventually("what is forbidden is told", is_told).await;
    assert_eq!(value_of(world, "a-child").await, "1", "the other child is there");
    assert_eq!(world.get(&things, "a").await["status"]["seen"], 0, "so is the status");
    let hidden = world.get(&api::composite::resource(), &world.controller("hidden")).await;
    let condition = &hidden["status"]["conditions"][0];
    assert_eq!((&condition["type"], &condition["status"]), (&json!("Ready"), &json!("False")));
    assert_eq!(condition["reason"], "ResourceUnreadable", "{condition}");
    assert!(condition["message"].as_str().unwrap().contains("forbidden"), "{condition}");

    let all = "get list watch create update patch delete";
    let services = ("", "services secrets", all);
    world.grant(role(&things, &[services, conditions])).await;
    let is_healed = || async {
        world.pass(Duration::from_secs(10)).await;
        let hidden = world.get(&api::composite::resource(), &world.controller("hidden")).await;
        let services = Resource::namespaced("v1", "Service", "services");
        hidden["status"]["conditions"][0]["status"] == "True"
            && !world.get(&services, "a-service").await.is_null()
    };
    world.eventually("what was allowed since is done", is_healed).await;
    assert!(!world.get(&configmaps(), "a-child").await.is_null());
}
story!(what_is_forbidden_is_told_and_stops_nothing_else);
