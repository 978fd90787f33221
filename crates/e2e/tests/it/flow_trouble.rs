//! What the engine needs goes away and comes back, or the engine itself does, and all ends as it should.
//!
//! Where time stands still, or the server is taken apart, only the embedded one will do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use api::{HookReply, definition};
use e2e::{Server, World, story};
use futures::{StreamExt as _, stream};
use http::HeaderMap;
use k8s::{ObjectKey, Resource};
use serde_json::{Value, json};

use crate::{
    configmaps, controller, flow_rolling, judge::assert_spared, one_child, thing, value_of,
};

pub(crate) const PARENTS: usize = 8;

pub(crate) fn name(number: usize) -> String {
    format!("p{number}")
}

/// Starts a controller of so many parents, all settled with value 1.
async fn parents(world: &World, method: &str) -> Resource {
    let things = world.things().await;
    world.hook.answer(one_child);
    world.control("c", &controller(&things, method)).await;
    for number in 0..PARENTS {
        world.create(&things, thing(&name(number), "1")).await;
    }
    world.settle().await;
    things
}

pub(crate) async fn change(world: &World, things: &Resource, value: &str) {
    for number in 0..PARENTS {
        world.patch(things, &name(number), &json!({"spec": {"value": value}})).await;
    }
}

pub(crate) async fn assert_all(world: &World, things: &Resource, value: &str) {
    for number in 0..PARENTS {
        let name = name(number);
        assert_eq!(value_of(world, &format!("{name}-child")).await, value, "{name}");
        assert_eq!(world.get(things, &name).await["status"]["children"], 1, "{name}");
    }
}

/// What [`parents`] and one [`change`] take: a child, two statuses, a change of the child, another status
/// for the generation.
pub(crate) const LEAST: usize = 5 * PARENTS;

/// Waits until the engine has begun so many syncs; time stands still meanwhile.
pub(crate) async fn asked(world: &World, calls: usize) {
    while world.hook.calls() < calls {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engine_is_killed_in_mid_sync() {
    let world = World::embedded("killed").await;
    for verb in ["create", "update"] {
        let rule = json!({"match": {"verb": verb, "user": "windlass-engine", "nth": 2},
            "action": {"delay": {"milliseconds": 300}}});
        world.api().faults().add(serde_json::from_value(rule).unwrap());
    }
    let things = parents(&world, "InPlace").await;
    for value in ["2", "3"] {
        let calls = world.hook.calls();
        change(&world, &things, value).await;
        asked(&world, calls + 3).await;
        world.restart_engine().await;
        asked(&world, calls + 6).await;
        world.restart_engine().await;
        world.settle().await;
        assert_all(&world, &things, value).await;
    }
    assert_spared(&world, LEAST + 2 * PARENTS).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engine_is_killed_in_mid_rollout() {
    let least = least_of_rollout().await;
    let world = World::embedded("rollout").await;
    let rule = json!({"match": {"user": "windlass-engine", "verb": "update", "nth": 3},
        "action": {"status": {"code": 409, "reason": "Conflict"}}});
    world.api().faults().add(serde_json::from_value(rule).unwrap());
    roll(&world, true).await;
    assert_spared(&world, least).await;
    world.end().await;
}

/// Returns how many writes it takes to start three pods and to roll them.
pub(crate) async fn least_of_rollout() -> usize {
    let calm = World::embedded("rollout-calm").await;
    roll(&calm, false).await;
    let least = calm.engine_writes().len();
    calm.end().await;
    least
}

/// Rolls three pods, and kills the engine while it does if that is wanted.
async fn roll(world: &World, kill: bool) {
    let things = flow_rolling::started(world, "RollingRecreate").await;
    let calls = world.hook.calls();
    world.patch(&things, "p", &json!({"spec": {"value": "2"}})).await;
    if kill {
        asked(world, calls + 1).await;
        world.restart_engine().await;
    }
    for name in ["c", "b", "a"] {
        world.settle().await;
        if kill {
            world.restart_engine().await;
        }
        flow_rolling::ready(world, name).await;
    }
    world.settle().await;
    assert_eq!(flow_rolling::images(world).await, "222");
    assert_eq!(flow_rolling::updated(world, &things).await["status"], "True");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_server_comes_back_as_it_was() {
    let world = World::embedded("restart").await;
    let things = parents(&world, "InPlace").await;
    for value in ["2", "3"] {
        let calls = world.hook.calls();
        change(&world, &things, value).await;
        asked(&world, calls + 2).await;
        let now = world.api().snapshot();
        world.api().restore(&now);
        world.settle().await;
        assert_all(&world, &things, value).await;
    }
    assert_spared(&world, LEAST + 2 * PARENTS).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_server_comes_back_as_it_was_long_ago() {
    let world = World::embedded("backup").await;
    let things = parents(&world, "InPlace").await;
    let backup = world.api().snapshot();
    change(&world, &things, "2").await;
    world.settle().await;
    world.create(&things, thing("late", "1")).await;
    world.settle().await;
    world.api().restore(&backup);
    world.settle().await;
    assert_all(&world, &things, "1").await;
    assert!(world.get(&configmaps(), "late-child").await.is_null());
    change(&world, &things, "3").await;
    world.settle().await;
    assert_all(&world, &things, "3").await;
    assert_spared(&world, LEAST + 2 * PARENTS).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hook_is_slower_than_it_may_be() {
    let world = World::embedded("slow").await;
    let things = parents(&world, "InPlace").await;
    world.slow_hook(Duration::from_secs(25));
    let calls = world.hook.calls();
    change(&world, &things, "2").await;
    asked(&world, calls + 5).await;
    world.slow_hook(Duration::from_millis(300));
    world.settle().await;
    let told = world.events("SyncError").await;
    assert!(told.iter().any(|it| it.contains("timed out after 10s")), "{told:?}");
    assert_all(&world, &things, "2").await;
    assert_spared(&world, LEAST).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hook_is_down_for_a_minute() {
    let world = World::embedded("down").await;
    let things = parents(&world, "InPlace").await;
    let calls = world.hook.calls();
    world.hook.play(|_| reply(503, "upstream connect error"));
    change(&world, &things, "2").await;
    world.pass(Duration::from_mins(1)).await;
    // 5 ms doubled again and again: 14 tries in the first minute.
    assert!(world.hook.calls() - calls <= 15 * PARENTS, "{}", world.hook.calls() - calls);
    world.hook.answer(one_child);
    world.pass(Duration::from_mins(2)).await;
    assert_all(&world, &things, "2").await;
    assert_spared(&world, LEAST).await;
    world.end().await;
}

/// What the engine saw is old by the time it writes.
async fn others_write_in_mid_sync(world: &World) {
    let things = parents(world, "InPlace").await;
    world.slow_hook(Duration::from_millis(500));
    for value in ["2", "3"] {
        let calls = world.hook.calls();
        change(world, &things, value).await;
        asked(world, calls + 5).await;
        let touched = json!({"metadata": {"labels": {"touched": value}}});
        for number in 0..PARENTS {
            let name = name(number);
            world.patch(&configmaps(), &format!("{name}-child"), &touched).await;
            world.patch(&things, &name, &touched).await;
        }
        world.settle().await;
        assert_all(world, &things, value).await;
        let children = world.list(&configmaps()).await;
        let is_touched = |it: &&Value| it["metadata"]["labels"]["touched"] == value;
        assert_eq!(children.iter().filter(is_touched).count(), PARENTS);
    }
    if world.server == Server::Embedded {
        let refused = world.engine_writes().iter().filter(|it| it.code == 409).count();
        assert!(PARENTS <= refused, "{refused} conflicts");
    }
    assert_spared(world, LEAST + 2 * PARENTS).await;
}
story!(others_write_in_mid_sync);

async fn the_hook_answers_garbage(world: &World) {
    let garbage = [
        (200, ""),
        (200, "<html><body>Welcome</body></html>"),
        (200, "[]"),
        (200, "null"),
        (200, "\"children\""),
        (200, r#"{"children":{"a":1}}"#),
        (200, r#"{"children":["#),
        (200, r#"{"children":[1,"two"]}"#),
        (200, r#"{"children":[{"apiVersion":"v1","kind":""}]}"#),
        (200, r#"{"status":"fine","children":[]}"#),
        (200, r#"{"children":[],"resyncAfterSeconds":"soon"}"#),
        (204, ""),
        (201, r#"{"children":[]}"#),
        (301, ""),
        (304, ""),
        (200, "\u{0}\u{1}\u{2}"),
    ];
    let things = parents(world, "InPlace").await;
    let children = uids(world).await;
    let answered = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&answered);
    world.hook.play(move |request| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let answer = garbage.get(number).map(|(status, body)| reply(*status, body));
        answer.unwrap_or_else(|| reply(200, &one_child(request).to_string()))
    });
    change(world, &things, "2").await;
    world.settle().await;
    assert!(garbage.len() < answered.load(Ordering::Relaxed));
    assert_all(world, &things, "2").await;
    for number in 0..PARENTS {
        let child = world.get(&configmaps(), &format!("{}-child", name(number))).await;
        assert!(children.contains(&child["metadata"]["uid"]), "{child} was made again");
    }
    assert_spared(world, LEAST).await;
}
story!(the_hook_answers_garbage);

async fn the_parents_definition_goes_and_comes_back(world: &World) {
    let things = parents(world, "InPlace").await;
    let type_name = format!("things.{}.example.com", world.id);
    world.delete(&definition::definitions(), &type_name).await;
    let is_gone = || async { world.get(&definition::definitions(), &type_name).await.is_null() };
    world.eventually("the definition is gone", is_gone).await;
    world.settle().await;
    // A real collector that has forgotten the type of an owner before it saw its end leaves what it owned.
    for child in world.list(&configmaps()).await.iter().filter(|it| is_child(it)) {
        let key = ObjectKey::new(&world.id, child["metadata"]["name"].as_str().unwrap());
        let _ = world.client.delete(&configmaps(), &key, "").await;
    }
    let again = world.things().await;
    assert_eq!(again, things);
    for number in 0..PARENTS {
        world.create(&things, thing(&name(number), "2")).await;
    }
    let is_settled = || async {
        let parents = world.list(&things).await;
        parents.iter().all(|it| it["status"]["children"] == 1)
    };
    world.eventually("the parents have their children again", is_settled).await;
    assert_all(world, &things, "2").await;
    // Every parent came twice.
    assert_spared(world, 2 * 3 * PARENTS).await;
}
story!(the_parents_definition_goes_and_comes_back);

async fn uids(world: &World) -> Vec<Value> {
    let children = world.list(&configmaps()).await.into_iter().filter(is_child);
    children.map(|mut child| child["metadata"]["uid"].take()).collect()
}

fn is_child(object: &Value) -> bool {
    object["metadata"]["ownerReferences"].is_array()
}

/// The embedded server remembers fewer requests than this takes, but its revisions count the writes.
async fn thousands_of_parents_come_at_once(world: &World) {
    // A shared server is not kept busy for minutes.
    let count: usize = if world.server == Server::Embedded { 10_000 } else { 500 };
    let things = world.things().await;
    world.hook.answer(|request| json!({"children": one_child(request)["children"]}));
    world.control("c", &controller(&things, "InPlace")).await;
    world.settle().await;
    let revision = || match world.server {
        Server::Embedded => usize::try_from(world.api().revision()).unwrap(),
        Server::Real => 0,
    };
    let before = revision();
    let all = (0..count).map(|number| world.create(&things, thing(&name(number), "1")));
    stream::iter(all).buffer_unordered(64).for_each(|_| async {}).await;
    world.settle().await;
    let children = world.list(&configmaps()).await;
    assert_eq!(children.iter().filter(|it| is_child(it)).count(), count);
    let settled = world.list(&things).await;
    assert!(settled.iter().all(|it| it["status"]["observedGeneration"] == 1));
    let (after, calls) = (revision(), world.hook.calls());
    assert!(calls * 100 <= count * 205, "{calls} calls");
    if world.server == Server::Embedded {
        // A parent, a child and a status each.
        assert_eq!(after - before, 3 * count, "writes in all");
    }
    assert_spared(world, 2 * count).await;
    assert_eq!(revision(), after, "written without need");
}
story!(thousands_of_parents_come_at_once);

pub(crate) fn reply(status: u16, body: &str) -> HookReply {
    HookReply { status, headers: HeaderMap::new(), body: body.to_owned().into() }
}
