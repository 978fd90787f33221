//! Stories that run on both servers, and what they have in common.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must fail")]

use e2e::World;
use k8s::Resource;
use serde_json::{Value, json};

mod apart;
mod bench;
mod differential;
mod discovery;
mod flow_apart;
mod flow_apply;
mod flow_children;
mod flow_composite;
mod flow_decorator;
mod flow_exchange;
mod flow_failure;
mod flow_faults;
mod flow_functions;
mod flow_keys;
mod flow_labels;
mod flow_lifecycle;
mod flow_owners;
mod flow_pace;
mod flow_parents;
mod flow_program;
mod flow_related;
mod flow_roles;
mod flow_rolling;
mod flow_seams;
mod flow_services;
mod flow_takeover;
mod flow_told;
mod flow_triggers;
mod flow_trouble;
mod functions_cluster;
mod functions_objects;
mod judge;
mod kubectl;
mod kubelet;
mod servers;

/// Returns the type of the children in most stories.
fn configmaps() -> Resource {
    Resource::namespaced("v1", "ConfigMap", "configmaps")
}

/// Returns the spec of a controller of `things` with ConfigMap children and a sync hook.
fn controller(things: &Resource, method: &str) -> Value {
    json!({
        "generateSelector": true,
        "parentResource": {"apiVersion": things.gvk.api_version(), "resource": "things"},
        "childResources": [{"apiVersion": "v1", "resource": "configmaps",
            "updateStrategy": {"method": method}}],
        "hooks": {"sync": {"webhook": {"url": "http://hook.test/sync"}}}})
}

/// Answers with one ConfigMap that holds `spec.value`, and counts the children in the status.
fn one_child(request: &Value) -> Value {
    let parent = &request["parent"];
    let children = request["children"]["ConfigMap.v1"].as_object().map_or(0, serde_json::Map::len);
    json!({
        "status": {"children": children},
        "children": [child(&child_name(request), &json!({"value": parent["spec"]["value"]}))]})
}

fn child_name(request: &Value) -> String {
    format!("{}-child", request["parent"]["metadata"]["name"].as_str().unwrap_or_default())
}

fn child(name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

fn thing(name: &str, value: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"value": value}})
}

/// Starts a controller with one child per parent and a parent `a` with value 1, and waits for both.
async fn started(world: &World, method: &str) -> Resource {
    let things = world.things().await;
    world.hook.answer(one_child);
    world.control("c", &controller(&things, method)).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    things
}

async fn value_of(world: &World, name: &str) -> Value {
    world.get(&configmaps(), name).await["data"]["value"].clone()
}
