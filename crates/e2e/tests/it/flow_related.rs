//! A customize hook asks for objects that are nobody's children.

use e2e::{World, story};
use k8s::Resource;
use serde_json::{Value, json};

use crate::{configmaps, controller, thing};

fn secrets() -> Resource {
    Resource::namespaced("v1", "Secret", "secrets")
}

fn namespaces() -> Resource {
    Resource::cluster("v1", "Namespace", "namespaces")
}

/// Returns the spec of a controller whose hooks are of this version and ask for what a customize hook says.
fn customized(things: &Resource, version: &str) -> Value {
    let mut spec = controller(things, "InPlace");
    for hook in ["sync", "customize"] {
        let url = format!("http://hook.test/{hook}");
        spec["hooks"][hook] = json!({"version": version, "webhook": {"url": url}});
    }
    spec
}

/// Answers a customize hook with these rules, and a sync hook with nothing.
fn ask_for(world: &World, rules: Value) {
    world.hook.answer(move |request| match request.get("children") {
        None => json!({"relatedResources": rules}),
        Some(_) => json!({}),
    });
}

/// Returns the keys of what the last sync was shown of a type.
fn shown(world: &World, of: &str) -> Vec<String> {
    let asked = world.hook.asked();
    let last = asked.iter().rfind(|asked| asked.get("children").is_some());
    let related = last.and_then(|last| last["related"][of].as_object().cloned());
    related.into_iter().flatten().map(|(key, _)| key).collect()
}

fn syncs(world: &World) -> usize {
    world.hook.asked().iter().filter(|asked| asked.get("children").is_some()).count()
}

/// Breaks when `Rule::new` lets the first version of a customize hook reach other namespaces.
async fn acceptance_24_another_namespace_needs_the_second_version(world: &World) {
    let things = world.things().await;
    let rule = json!([{"apiVersion": "v1", "resource": "configmaps", "namespace": "kube-system"}]);
    ask_for(world, rule);
    world.control("c", &customized(&things, "v1")).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    let events = world.events("SyncError").await;
    let names_both = |event: &String| event.contains("`kube-system`") && event.contains(&world.id);
    assert!(events.iter().any(names_both), "{events:?}");
    assert_eq!(syncs(world), 0);
}
story!(acceptance_24_another_namespace_needs_the_second_version);

/// Breaks when `related_changed` queues nobody.
async fn acceptance_24_a_change_of_a_related_object_is_seen(world: &World) {
    let things = world.things().await;
    let rule = json!([{"apiVersion": "v1", "resource": "secrets", "names": ["settings"]},
        {"apiVersion": "v1", "resource": "configmaps",
            "labelSelector": {"matchLabels": {"of": world.id}}}]);
    ask_for(world, rule);
    world.control("c", &customized(&things, "v2")).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    assert_eq!(shown(world, "ConfigMap.v1"), [""; 0]);
    let map = json!({"metadata": {"name": "other", "labels": {"of": world.id}}});
    world.create(&configmaps(), map).await;
    world.settle().await;
    assert_eq!(shown(world, "ConfigMap.v1"), [format!("{}/other", world.id)]);
    let calls = syncs(world);
    world.create(&secrets(), json!({"metadata": {"name": "unrelated"}})).await;
    world.patch(&configmaps(), "other", &json!({"data": {"k": "v"}})).await;
    world.settle().await;
    assert_eq!(syncs(world), calls + 1, "one change concerned it");
    let asked = world.hook.asked().iter().filter(|it| it.get("children").is_none()).count();
    assert_eq!(asked, 1, "the parent is what it was, and so is the answer");
}
story!(acceptance_24_a_change_of_a_related_object_is_seen);

/// Breaks when `concerned` passes over rules that select by the labels of namespaces.
async fn acceptance_24_a_namespace_joins_by_its_label(world: &World) {
    let things = world.things().await;
    let team = json!({"team": world.id});
    let rule = json!([{"apiVersion": "v1", "resource": "secrets",
        "namespaceSelector": {"matchLabels": team}}]);
    ask_for(world, rule);
    world.control("c", &customized(&things, "v2")).await;
    world.create(&things, thing("a", "1")).await;
    world.create(&secrets(), json!({"metadata": {"name": "settings"}})).await;
    world.settle().await;
    assert_eq!(shown(world, "Secret.v1"), [""; 0]);
    world.patch(&namespaces(), &world.id, &json!({"metadata": {"labels": team}})).await;
    world.settle().await;
    assert_eq!(shown(world, "Secret.v1"), [format!("{}/settings", world.id)]);
}
story!(acceptance_24_a_namespace_joins_by_its_label);

async fn rules_of_one_type_are_united(world: &World) {
    let things = world.things().await;
    let named = |name: &str| json!({"apiVersion": "v1", "resource": "secrets", "names": [name]});
    let none = json!({"apiVersion": "v1", "resource": "services", "names": ["none"]});
    ask_for(world, json!([named("one"), named("two"), named("one"), none]));
    world.control("c", &customized(&things, "v1")).await;
    for name in ["one", "two", "three"] {
        world.create(&secrets(), json!({"metadata": {"name": name}})).await;
    }
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    assert_eq!(shown(world, "Secret.v1"), ["one", "two"]);
    let asked = world.hook.asked().last().cloned().unwrap_or_default();
    assert_eq!(asked["related"]["Service.v1"], json!({}));
}
story!(rules_of_one_type_are_united);

async fn a_label_of_the_parent_may_decide_what_is_related(world: &World) {
    let things = world.things().await;
    world.hook.answer(|request| match request.get("children") {
        None => json!({"relatedResources": [{"apiVersion": "v1", "resource": "secrets",
            "names": [request["parent"]["metadata"]["labels"]["uses"]]}]}),
        Some(_) => json!({}),
    });
    world.control("c", &customized(&things, "v1")).await;
    for name in ["one", "two"] {
        world.create(&secrets(), json!({"metadata": {"name": name}})).await;
    }
    let mut parent = thing("a", "1");
    parent["metadata"]["labels"] = json!({"uses": "one"});
    world.create(&things, parent).await;
    world.settle().await;
    assert_eq!(shown(world, "Secret.v1"), ["one"]);
    world.patch(&things, "a", &json!({"metadata": {"labels": {"uses": "two"}}})).await;
    world.settle().await;
    assert_eq!(shown(world, "Secret.v1"), ["two"]);
}
story!(a_label_of_the_parent_may_decide_what_is_related);

async fn a_related_type_that_is_not_served_fails_the_sync(world: &World) {
    let things = world.things().await;
    ask_for(world, json!([{"apiVersion": "v1", "resource": "unicorns"}]));
    world.control("c", &customized(&things, "v2")).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    let told = world.events("SyncError").await;
    let wanted = "can't find resource unicorns in apiVersion v1";
    assert!(told.iter().any(|message| message.contains(wanted)), "{told:?}");
    assert_eq!(syncs(world), 0);
}
story!(a_related_type_that_is_not_served_fails_the_sync);
