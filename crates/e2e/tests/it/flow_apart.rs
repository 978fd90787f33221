//! The engine is a process of its own, and is killed, frozen or cut off in the middle of its work.

use std::{sync::Mutex, time::Duration};

use e2e::{World, real_time_story};
use k8s::Resource;
use serde_json::json;

use crate::{
    apart::Apart,
    configmaps, controller, flow_rolling,
    flow_trouble::{self, LEAST, PARENTS, asked, assert_all, change, name, reply},
    judge::assert_others_spared,
    one_child, thing,
};

/// So long that whoever is killed once the hook was asked is in the middle of a sync.
const SLOW: Duration = Duration::from_millis(100);

/// Makes parents of value 1 that the next engine finds.
async fn parents(world: &World) -> Resource {
    let things = world.things().await;
    world.hook.answer(one_child);
    world.control("c", &controller(&things, "InPlace")).await;
    for number in 0..PARENTS {
        world.create(&things, thing(&name(number), "1")).await;
    }
    things
}

/// Waits until every parent has its child of a value and says so for the generation, and nothing more comes.
async fn settled(world: &World, things: &Resource, value: &str) {
    let is_settled = || async {
        let calls = world.hook.calls();
        world.pass(Duration::from_secs(1)).await;
        let parents = world.list(things).await;
        let is_told = parents.iter().all(|it| {
            let status = &it["status"];
            status["children"] == 1 && status["observedGeneration"] == it["metadata"]["generation"]
        });
        let children = world.list(&configmaps()).await;
        let count = children.iter().filter(|it| it["data"]["value"] == value).count();
        is_told && count == PARENTS && world.hook.calls() == calls
    };
    world.eventually(&format!("all parents have value {value}"), is_settled).await;
    assert_all(world, things, value).await;
}

async fn the_process_is_killed_in_mid_sync(world: &World) {
    let apart = Apart::of(world).await;
    world.slow_hook(SLOW);
    let engine = apart.engine(&[]);
    let things = parents(world).await;
    asked(world, 3).await;
    engine.kill();
    let mut engine = apart.engine(&[]);
    settled(world, &things, "1").await;
    for value in ["2", "3"] {
        let calls = world.hook.calls();
        change(world, &things, value).await;
        for more in [3, 6] {
            asked(world, calls + more).await;
            engine.kill();
            engine = apart.engine(&[]);
        }
        settled(world, &things, value).await;
    }
    assert_others_spared(world, LEAST + 2 * PARENTS).await;
}
real_time_story!(the_process_is_killed_in_mid_sync);

async fn the_process_is_killed_in_mid_rollout(world: &World) {
    let apart = Apart::of(world).await;
    let mut engine = apart.engine(&[]);
    let things = world.things().await;
    world.hook.answer(flow_rolling::three_pods);
    world.control("c", &flow_rolling::rolling(&things, "RollingRecreate")).await;
    world.create(&things, thing("p", "1")).await;
    let are_there = || async { flow_rolling::images(world).await == "111" };
    world.eventually("the pods are there", are_there).await;
    for name in ["a", "b", "c"] {
        flow_rolling::ready(world, name).await;
    }
    updated(world, &things, "OnLatestRevision").await;
    world.slow_hook(SLOW);
    let calls = world.hook.calls();
    world.patch(&things, "p", &json!({"spec": {"value": "2"}})).await;
    asked(world, calls + 1).await;
    for (moving, images, then) in [
        ("c", "112", "RolloutWaiting"),
        ("b", "122", "RolloutWaiting"),
        ("a", "222", "OnLatestRevision"),
    ] {
        engine.kill();
        engine = apart.engine(&[]);
        let is_moved = || async { flow_rolling::images(world).await == images };
        world.eventually(&format!("pod {moving} is made anew"), is_moved).await;
        updated(world, &things, then).await;
        let calls = world.hook.calls();
        flow_rolling::ready(world, moving).await;
        asked(world, calls + 1).await;
    }
    engine.kill();
    let _engine = apart.engine(&[]);
    updated(world, &things, "OnLatestRevision").await;
    assert_others_spared(world, flow_trouble::least_of_rollout().await).await;
}
real_time_story!(the_process_is_killed_in_mid_rollout);

/// Over HTTP: what the stories of a virtual clock tell of a hook in the engine's own process.
async fn the_hook_is_too_slow_and_then_down(world: &World) {
    let apart = Apart::of(world).await;
    let _engine = apart.engine(&[]);
    let things = world.things().await;
    world.hook.answer(one_child);
    let mut spec = controller(&things, "InPlace");
    spec["hooks"]["sync"]["webhook"]["timeout"] = json!("1s");
    world.control("c", &spec).await;
    for number in 0..PARENTS {
        world.create(&things, thing(&name(number), "1")).await;
    }
    settled(world, &things, "1").await;

    world.slow_hook(Duration::from_secs(2));
    change(world, &things, "2").await;
    let is_told = || async {
        let told = world.events("SyncError").await;
        told.iter().any(|it| it.contains("timed out after 1s"))
    };
    world.eventually("the hook takes too long", is_told).await;
    world.slow_hook(Duration::ZERO);
    settled(world, &things, "2").await;

    world.hook.play(|_| reply(503, "upstream connect error"));
    change(world, &things, "3").await;
    world.pass(Duration::from_secs(10)).await;
    world.hook.answer(one_child);
    settled(world, &things, "3").await;
    assert_others_spared(world, LEAST + 2 * PARENTS).await;
}
real_time_story!(the_hook_is_too_slow_and_then_down);

async fn updated(world: &World, things: &Resource, reason: &str) {
    let is_reason = || async { flow_rolling::updated(world, things).await["reason"] == reason };
    world.eventually(reason, is_reason).await;
}

/// Who was frozen does not know that another one leads until it looks, and may go on with what it had begun.
async fn the_leader_is_frozen_in_mid_write(world: &World) {
    let apart = Apart::of(world).await;
    let namespace = format!("--leader-election-namespace={}", world.id);
    let flags = ["--leader-election", &namespace];
    let (a, things) = (apart.engine(&flags), parents(world).await);
    settled(world, &things, "1").await;
    let a = Mutex::new(a);
    let _b = apart.engine(&flags);
    world.slow_hook(SLOW);
    let calls = world.hook.calls();
    change(world, &things, "2").await;
    asked(world, calls + 3).await;
    a.lock().unwrap().freeze();
    settled(world, &things, "2").await;
    assert!(a.lock().unwrap().ended().is_none());
    change(world, &things, "3").await;
    a.lock().unwrap().thaw();
    let is_over = || async { a.lock().unwrap().ended() == Some(1) };
    world.eventually("who lost the lead ends", is_over).await;
    settled(world, &things, "3").await;
    assert_others_spared(world, LEAST + 2 * PARENTS).await;
}
real_time_story!(the_leader_is_frozen_in_mid_write);

async fn the_api_server_cannot_be_reached_for_a_while(world: &World) {
    let mut apart = Apart::of(world).await;
    let mut gate = apart.gate().await;
    let mut engine = apart.engine(&[]);
    let things = parents(world).await;
    settled(world, &things, "1").await;
    world.slow_hook(SLOW);
    for value in ["2", "3"] {
        let calls = world.hook.calls();
        change(world, &things, value).await;
        asked(world, calls + 3).await;
        gate.close().await;
        world.pass(Duration::from_secs(3)).await;
        // Changes of which no watch tells.
        world.delete(&configmaps(), "p0-child").await;
        gate.open().await;
        settled(world, &things, value).await;
    }
    assert!(engine.ended().is_none());
    // Two children came again, with two statuses each.
    assert_others_spared(world, LEAST + 2 * PARENTS + 2 * 3).await;
}
real_time_story!(the_api_server_cannot_be_reached_for_a_while);
