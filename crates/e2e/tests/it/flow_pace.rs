//! When a parent is synced, and when it is left alone.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use api::HookReply;
use e2e::{Server, World, embedded_story, story};
use engine::Workers;
use http::HeaderMap;
use k8s::ObjectKey;
use serde_json::{Value, json};

use crate::{configmaps, controller, one_child, started, thing, value_of};

fn reply(status: u16, body: &'static str) -> HookReply {
    HookReply { status, headers: HeaderMap::new(), body: body.into() }
}

/// Returns the seconds between the calls of the hook, from the one of this number on.
fn gaps(world: &World, from: usize) -> Vec<f64> {
    let times = world.hook.times();
    let times = times.get(from..).unwrap_or_default();
    times.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs_f64()).collect()
}

/// Tells whether gaps grow from milliseconds to half a second and more, which is when stories stop waiting.
fn grow(gaps: &[f64]) -> bool {
    let (Some(first), Some(last)) = (gaps.first(), gaps.last()) else { return false };
    // A real server is quiet only a second after the last call, in which others may come.
    (6..=13).contains(&gaps.len()) && *first < 0.4 && (0.6..12.0).contains(last)
}

/// Breaks when `add_failed` does not count failures.
async fn acceptance_9_failures_are_tried_again_after_growing_gaps(world: &World) {
    let things = started(world, "InPlace").await;
    for body in ["boom", r#"{"children":[{"apiVersion":"v1"}]}"#] {
        let status = if body == "boom" { 500 } else { 200 };
        let before = world.hook.calls();
        world.hook.play(move |_| reply(status, body));
        world.patch(&things, "a", &json!({"spec": {"value": body}})).await;
        world.settle().await;
        assert_eq!(value_of(world, "a-child").await, "1");
        assert!(grow(&gaps(world, before)), "{:?}", gaps(world, before));
        // A success in between lets them start small again.
        world.hook.answer(one_child);
        world.patch(&things, "a", &json!({"spec": {"value": "1"}})).await;
        world.settle().await;
    }
    let told = world.events("SyncError").await;
    assert!(told.iter().any(|message| message.ends_with("body: boom")), "{told:?}");
    assert!(told.iter().any(|message| message.contains("can't unmarshal")), "{told:?}");
}
story!(acceptance_9_failures_are_tried_again_after_growing_gaps);

/// Breaks when an answer with `null` among its children is refused.
async fn acceptance_9_a_null_child_is_none(world: &World) {
    let things = started(world, "InPlace").await;
    world.hook.play(|_| reply(200, r#"{"children":[null]}"#));
    world.patch(&things, "a", &json!({"spec": {"value": "2"}})).await;
    world.settle().await;
    assert!(world.get(&configmaps(), "a-child").await.is_null());
    assert_eq!(world.events("SyncError").await, Vec::<String>::new());
}
story!(acceptance_9_a_null_child_is_none);

/// Breaks when a busy hook that names no time is asked again at once.
async fn acceptance_11_a_busy_hook_without_a_time_is_asked_less_and_less(world: &World) {
    let things = world.things().await;
    world.hook.play(|_| reply(429, ""));
    world.control("c", &controller(&things, "InPlace")).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    assert!(grow(&gaps(world, 0)), "{:?}", gaps(world, 0));
    assert_eq!(world.events("SyncError").await, Vec::<String>::new());
}
story!(acceptance_11_a_busy_hook_without_a_time_is_asked_less_and_less);

/// Breaks when `is_paused` looks at one of the two objects alone.
async fn what_is_paused_is_left_alone(world: &World) {
    let things = started(world, "InPlace").await;
    let controllers = api::composite::resource();
    let paused =
        |value: &Value| json!({"metadata": {"annotations": {"windlass.dev/paused": value}}});
    for (resource, name, before) in
        [(&things, "a".to_owned(), "1"), (&controllers, world.controller("c"), "2")]
    {
        world.patch(resource, &name, &paused(&json!("true"))).await;
        world.settle().await;
        let calls = world.hook.calls();
        let after = if before == "1" { "2" } else { "3" };
        world.patch(&things, "a", &json!({"spec": {"value": after}})).await;
        world.settle().await;
        assert_eq!((world.hook.calls(), value_of(world, "a-child").await), (calls, json!(before)));
        world.patch(resource, &name, &paused(&Value::Null)).await;
        world.settle().await;
        assert_eq!(value_of(world, "a-child").await, after, "it goes on by itself");
    }
    assert_eq!(world.events("Starting").await.len(), 1, "the controller runs on meanwhile");
}
story!(what_is_paused_is_left_alone);

/// Breaks when `judge` sends a write that was undone at once, however often that happened.
async fn two_controllers_of_one_status_do_not_chase_each_other(world: &World) {
    let things = world.things().await;
    world
        .hook
        .answer(|request| json!({"status": {"by": request["controller"]["metadata"]["name"]}}));
    world.create(&things, thing("a", "1")).await;
    for name in ["c", "d"] {
        world.control(name, &controller(&things, "InPlace")).await;
    }
    for _ in 0..10 {
        world.spend(Duration::from_secs(1)).await;
    }
    let calls = world.hook.calls();
    assert!((6..150).contains(&calls), "{calls} calls in 10 s");
    world.spend(Duration::from_mins(1)).await;
    let later = world.hook.calls() - calls;
    assert!(later < 30, "{later} calls in the minute after");
}
story!(two_controllers_of_one_status_do_not_chase_each_other);

/// Breaks when `reconcile` starts a controller again though its spec is what it was.
async fn an_edit_that_changes_no_spec_restarts_nothing(world: &World) {
    started(world, "InPlace").await;
    let (controllers, name) = (api::composite::resource(), world.controller("c"));
    let calls = world.hook.calls();
    world.patch(&controllers, &name, &json!({"metadata": {"labels": {"a": "b"}}})).await;
    world.patch(&controllers, &name, &json!({"metadata": {"annotations": {"a": "b"}}})).await;
    world.settle().await;
    assert_eq!((world.events("Stopping").await.len(), world.hook.calls()), (0, calls));
    world.patch(&controllers, &name, &json!({"spec": {"resyncPeriodSeconds": 1000}})).await;
    world.settle().await;
    assert_eq!(world.events("Stopping").await.len(), 1);
    assert!(calls < world.hook.calls(), "it runs again");
}
story!(an_edit_that_changes_no_spec_restarts_nothing);

/// Breaks when `selects` passes over the namespaces of the controller.
async fn parents_of_other_namespaces_are_left_alone(world: &World) {
    let things = world.things().await;
    world.hook.answer(one_child);
    let mut spec = controller(&things, "InPlace");
    spec["namespaces"] = json!(["elsewhere", "somewhere"]);
    world.control("c", &spec).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    assert_eq!(world.hook.calls(), 0);
    let here = json!({"spec": {"namespaces": ["elsewhere", world.id]}});
    world.patch(&api::composite::resource(), &world.controller("c"), &here).await;
    world.settle().await;
    assert_eq!(value_of(world, "a-child").await, "1");
}
story!(parents_of_other_namespaces_are_left_alone);

/// Breaks when `is_news` passes over `ignoreStatusChanges`.
async fn a_status_may_be_ignored(world: &World) {
    let things = world.things().await;
    world.hook.answer(|request| json!({"status": request["parent"]["status"]}));
    let mut spec = controller(&things, "InPlace");
    spec["parentResource"]["ignoreStatusChanges"] = json!(true);
    world.control("c", &spec).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    let calls = world.hook.calls();
    world.patch_status(&things, "a", &json!({"status": {"theirs": 1}})).await;
    world.settle().await;
    assert_eq!(world.hook.calls(), calls);
    world.patch(&things, "a", &json!({"metadata": {"annotations": {"a": "b"}}})).await;
    world.settle().await;
    assert_eq!(world.hook.calls(), calls + 1);
}
story!(a_status_may_be_ignored);

/// Numbers of one value, however a hook writes them, are no reason to write.
async fn one_is_equal_to_one_point_zero(world: &World) {
    let things = world.things().await;
    let calls = AtomicUsize::new(0);
    let made = crate::thing("made", "1");
    let (api_version, spec) = (things.gvk.api_version(), made["spec"].clone());
    world.hook.play(move |_| {
        let number = if calls.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) { "1" } else { "1.0" };
        let (value, name) = (&spec["value"], &made["metadata"]["name"]);
        let child = format!(
            r#"{{"apiVersion":"{api_version}","kind":"Thing","metadata":{{"name":{name}}},"spec":{{"value":{value},"n":{number}}}}}"#
        );
        let body = format!(r#"{{"status":{{"n":{number}}},"children":[{child}]}}"#);
        HookReply { status: 200, headers: HeaderMap::new(), body: body.into() }
    });
    let mut spec = controller(&things, "InPlace");
    spec["parentResource"]["labelSelector"] = json!({"matchLabels": {"is": "parent"}});
    spec["childResources"][0]["apiVersion"] = json!(things.gvk.api_version());
    spec["childResources"][0]["resource"] = json!("things");
    // Less often than a real server must be quiet for.
    spec["resyncPeriodSeconds"] = json!(3);
    world.control("c", &spec).await;
    let mut parent = thing("a", "1");
    parent["metadata"]["labels"] = json!({"is": "parent"});
    world.create(&things, parent).await;
    world.settle().await;
    let there = (world.get(&things, "a").await, world.get(&things, "made").await);
    let requests = world.engine_requests();
    for _ in 0..3 {
        world.pass(Duration::from_secs(3)).await;
    }
    assert!(4 <= world.hook.calls());
    assert_eq!(world.engine_requests(), requests, "nothing was asked for");
    assert_eq!((world.get(&things, "a").await, world.get(&things, "made").await), there);
}
story!(one_is_equal_to_one_point_zero);

/// Breaks when `observe` reads the parent on every sync.
async fn acceptance_28_idle_parents_cost_no_requests(world: &World) {
    let things = world.things().await;
    world.hook.answer(one_child);
    let count = if world.server == Server::Embedded { 1000 } else { 100 };
    for number in 0..count {
        world.create(&things, thing(&format!("p{number}"), "1")).await;
    }
    let mut spec = controller(&things, "InPlace");
    spec["resyncPeriodSeconds"] = json!(10);
    world.control("c", &spec).await;
    world.settle().await;
    assert_eq!(world.list(&configmaps()).await.len(), count + 1, "and one of the server's own");
    let (calls, requests) = (world.hook.calls(), world.engine_requests());
    for _ in 0..3 {
        world.pass(Duration::from_secs(10)).await;
    }
    assert!(calls + 2 * count <= world.hook.calls(), "{} calls", world.hook.calls() - calls);
    assert_eq!(world.engine_requests(), requests);
}
story!(acceptance_28_idle_parents_cost_no_requests);

async fn parents_are_synced_again_now_and_then(world: &World) {
    let things = world.things().await;
    world.hook.answer(|_| json!({}));
    let mut spec = controller(&things, "InPlace");
    // It counts only where it is the shorter time.
    spec["resyncPeriodSeconds"] = json!(10_000);
    world.control("c", &spec).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    let calls = world.hook.calls();
    world.pass(Duration::from_mins(29)).await;
    assert_eq!(world.hook.calls(), calls);
    world.pass(Duration::from_mins(2)).await;
    assert_eq!(world.hook.calls(), calls + 1);
}
embedded_story!(parents_are_synced_again_now_and_then);

async fn workers_grow_while_parents_wait(world: &World) {
    let things = world.things().await;
    world.hook.answer(|_| json!({}));
    world.slow_hook(Duration::from_millis(300));
    world.work_with(Workers::Growing).await;
    for number in 0..80 {
        world.create(&things, thing(&format!("p{number}"), "1")).await;
    }
    let mut spec = controller(&things, "InPlace");
    spec["workers"] = json!(3);
    world.control("few", &spec).await;
    world.settle().await;
    assert_eq!(world.hook.most_at_once(), 3);
    world.delete(&api::composite::resource(), &world.controller("few")).await;
    world.settle().await;
    spec["workers"] = Value::Null;
    world.control("many", &spec).await;
    world.settle().await;
    let most = world.hook.most_at_once();
    assert!((20..=32).contains(&most), "{most}");
}
story!(workers_grow_while_parents_wait);

/// Breaks when `freed` is not asked: growing gaps would then let seconds pass.
async fn acceptance_30_a_parent_made_again_gets_its_children(world: &World) {
    let things = started(world, "InPlace").await;
    let hold = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    world.patch(&configmaps(), "a-child", &hold).await;
    world.delete(&things, "a").await;
    let second = world.create(&things, thing("a", "2")).await;
    let is_going = || async {
        world.get(&configmaps(), "a-child").await["metadata"]["deletionTimestamp"].is_string()
    };
    world.eventually("the old child is held by its finalizer", is_going).await;
    world.pass(Duration::from_secs(5)).await;
    let clock = world.client.clock();
    let before = clock.now();
    world.patch(&configmaps(), "a-child", &json!({"metadata": {"finalizers": null}})).await;
    let key = ObjectKey::new(&world.id, "a-child");
    let child = loop {
        match world.client.get(&configmaps(), &key).await {
            Ok(child) if !child.meta().is_deleting() => break child.to_value(),
            _ if world.server == Server::Embedded => {
                world.settle().await;
                assert!(value_of(world, "a-child").await == "2", "it waits for a gap to end");
            }
            _ => tokio::task::yield_now().await,
        }
        let waited = clock.now().duration_since(before).as_secs_f64();
        assert!(waited < 1.0, "{waited} s");
    };
    assert_eq!(child["data"]["value"], "2");
    assert_eq!(child["metadata"]["ownerReferences"][0]["uid"], second["metadata"]["uid"]);
    assert_eq!(world.events("SyncError").await, Vec::<String>::new());
}
story!(acceptance_30_a_parent_made_again_gets_its_children);
