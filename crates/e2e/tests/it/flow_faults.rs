//! The API server and the hook misbehave, and the engine gets there all the same, without doing much more.
//!
//! Only the embedded server can be made to misbehave, so these stories do not run on a real one.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use api::HookReply;
use e2e::World;
use http::HeaderMap;
use k8s::Resource;
use serde_json::{Value, json};

use crate::{configmaps, controller, judge::assert_spared, one_child, thing, value_of};

/// The parents of the story, each with one child.
const PARENTS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// Lives through a whole story: parents come, change, change again, and one goes.
async fn live(world: &World, method: &str) -> Resource {
    let things = world.things().await;
    let mut spec = controller(&things, method);
    spec["hooks"]["finalize"] = spec["hooks"]["sync"].clone();
    world.control("c", &spec).await;
    for name in PARENTS {
        world.create(&things, thing(name, "1")).await;
    }
    world.settle().await;
    for value in ["2", "3"] {
        for name in PARENTS {
            world.patch(&things, name, &json!({"spec": {"value": value}})).await;
        }
        world.settle().await;
    }
    world.delete(&things, "f").await;
    world.settle().await;
    things
}

/// Answers like [`one_child`], and lets go of parents whose children are gone.
fn play(request: &Value) -> Value {
    if request["finalizing"] != true {
        return one_child(request);
    }
    let children = request["children"]["ConfigMap.v1"].as_object().map_or(0, serde_json::Map::len);
    json!({"children": [], "finalized": children == 0})
}

async fn assert_converged(world: &World, things: &Resource) {
    for name in &PARENTS[..5] {
        assert_eq!(value_of(world, &format!("{name}-child")).await, "3", "{name}");
        let status = world.get(things, name).await["status"].clone();
        assert_eq!(status, json!({"children": 1, "observedGeneration": 3}), "{name}");
    }
    assert!(world.get(things, "f").await.is_null());
    assert!(world.get(&configmaps(), "f-child").await.is_null());
}

/// Lives through the story with and without trouble, and compares what the engine wrote.
async fn withstand(story: &str, method: &str, rules: &[Value], trouble: impl Fn(&World)) {
    let calm = World::embedded(&format!("{story}-calm")).await;
    calm.hook.answer(play);
    let things = live(&calm, method).await;
    assert_converged(&calm, &things).await;
    let least = calm.engine_writes().len();
    calm.end().await;

    let world = World::embedded(story).await;
    world.hook.answer(play);
    trouble(&world);
    for rule in rules {
        world.api().faults().add(serde_json::from_value(rule.clone()).unwrap());
    }
    let things = live(&world, method).await;
    assert_converged(&world, &things).await;
    for fault in world.api().faults().list() {
        assert!(0 < fault.hits, "never hit: {fault:?}");
    }
    assert_spared(&world, least).await;
    world.end().await;
}

fn engine(verb: &str, nth: u64, action: &Value) -> Value {
    json!({"match": {"verb": verb, "user": "windlass-engine", "nth": nth}, "action": action})
}

fn status(code: u16, reason: &str) -> Value {
    json!({"status": {"code": code, "reason": reason}})
}

/// Seen to fail with a sync that was not tried again after it failed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_third_update_conflicts() {
    for method in ["InPlace", "Recreate"] {
        let rules = [engine("update", 3, &status(409, "Conflict"))];
        withstand("conflicts", method, &rules, |_| ()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_close_after_some_events() {
    let rules = [engine("watch", 1, &json!({"closeWatch": {"after": 10}}))];
    withstand("watches", "InPlace", &rules, |_| ()).await;
    let rules = [engine("watch", 1, &json!({"closeWatch": {"after": 1}}))];
    withstand("short-watches", "Recreate", &rules, |_| ()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_expires_now_and_then() {
    let rules = [
        engine("watch", 1, &json!({"closeWatch": {"after": 3}})),
        engine("watch", 2, &json!("expireHistory")),
    ];
    withstand("history", "InPlace", &rules, |_| ()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_busy_slow_and_fails() {
    let busy = json!({"status": {"code": 429, "reason": "TooManyRequests", "retryAfter": 2}});
    let rules = [
        engine("create", 3, &busy),
        engine("update", 4, &status(500, "InternalError")),
        engine("delete", 2, &busy),
        engine("watch", 2, &status(503, "ServiceUnavailable")),
        engine("list", 2, &json!({"delay": {"milliseconds": 700}})),
        engine("update", 5, &json!({"delay": {"milliseconds": 700}})),
    ];
    withstand("busy", "Recreate", &rules, |_| ()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_break_before_and_after_the_work() {
    let rules = [
        engine("create", 4, &json!("loseAnswer")),
        engine("update", 3, &json!("loseAnswer")),
        engine("update", 5, &json!("dropConnection")),
        engine("delete", 2, &json!("loseAnswer")),
        engine("watch", 2, &json!("dropConnection")),
    ];
    withstand("connections", "Recreate", &rules, |_| ()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hook_is_slow_and_fails() {
    let calls = AtomicUsize::new(0);
    let fail = move |request: &Value| {
        let call = calls.fetch_add(1, Ordering::Relaxed);
        let (status, body) = match call % 5 {
            1 => (500, "boom".to_owned()),
            3 => (200, "{".to_owned()),
            _ => (200, play(request).to_string()),
        };
        HookReply { status, headers: HeaderMap::new(), body: body.into() }
    };
    let fail = std::sync::Arc::new(fail);
    withstand("hook", "InPlace", &[], |world| {
        let fail = std::sync::Arc::clone(&fail);
        world.hook.play(move |request| fail(request));
        world.slow_hook(Duration::from_millis(300));
    })
    .await;
}
