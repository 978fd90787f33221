//! What goes between the engine and a hook beside objects: credentials, ETags, requests to wait.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use api::HookReply;
use e2e::{World, story};
use http::{HeaderMap, HeaderName};
use k8s::Resource;
use serde_json::json;

use crate::{controller, thing};

fn secrets() -> Resource {
    Resource::namespaced("v1", "Secret", "secrets")
}

fn reply(status: u16, header: Option<(HeaderName, &str)>, body: &str) -> HookReply {
    let mut headers = HeaderMap::new();
    headers.extend(header.map(|(name, value)| (name, value.parse().unwrap())));
    HookReply { status, headers, body: body.to_owned().into() }
}

/// Changes the parent so that its hook is called.
async fn touch(world: &World, things: &Resource, value: &str) {
    world.patch(things, "a", &json!({"spec": {"value": value}})).await;
    world.settle().await;
}

/// Breaks when `refresh` keeps the credentials that were read first.
async fn acceptance_26_a_token_is_renewed(world: &World) {
    let things = world.things().await;
    world.hook.answer(|_| json!({}));
    let secret =
        |token: &str| json!({"metadata": {"name": "token"}, "stringData": {"token": token}});
    world.create(&secrets(), secret("first")).await;
    let mut spec = controller(&things, "InPlace");
    spec["hooks"]["sync"]["webhook"]["authorization"] =
        json!({"secretRef": {"namespace": world.id, "name": "token", "key": "token"}});
    world.control("c", &spec).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    assert_eq!(world.hook.sent("authorization").last().unwrap(), "Bearer first");
    world.patch(&secrets(), "token", &json!({"stringData": {"token": "second"}})).await;
    world.pass(Duration::from_secs(35)).await;
    touch(world, &things, "2").await;
    assert_eq!(world.hook.sent("authorization").last().unwrap(), "Bearer second");
}
story!(acceptance_26_a_token_is_renewed);

story!(a_controller_waits_for_its_credentials);
async fn a_controller_waits_for_its_credentials(world: &World) {
    let things = world.things().await;
    world.hook.answer(|_| json!({}));
    let mut spec = controller(&things, "InPlace");
    spec["endpointConfigs"] = json!([{"host": "hook.test",
        "basicAuth": {"secretRef": {"namespace": world.id, "name": "login"}}}]);
    world.control("c", &spec).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    let controller = world.get(&api::composite::resource(), &world.controller("c")).await;
    let condition = &controller["status"]["conditions"][0];
    assert_eq!(
        (&condition["status"], &condition["reason"]),
        (&json!("False"), &json!("CredentialsUnresolved"))
    );
    let missing = format!("hook `sync`: Secret {}/login is not there", world.id);
    assert_eq!(condition["message"], missing);
    let login =
        json!({"metadata": {"name": "login"}, "stringData": {"username": "u", "password": "p"}});
    world.create(&secrets(), login).await;
    world.pass(Duration::from_secs(5)).await;
    assert_eq!(world.hook.sent("authorization")[0], "Basic dTpw");
}

/// Breaks when `settle` keeps no answer.
async fn acceptance_12_an_answer_is_kept_by_its_etag(world: &World) {
    let things = world.things().await;
    let calls = AtomicUsize::new(0);
    world.hook.play(move |_| {
        let status = |name: &str| json!({"status": {"by": name}}).to_string();
        let etag = |value| Some((http::header::ETAG, value));
        // The second call sees the status that came of the first, the sixth that of the fifth.
        match calls.fetch_add(1, Ordering::SeqCst) {
            0 => reply(200, etag("A"), &status("a")),
            3 => reply(412, None, ""),
            4 => reply(200, etag("B"), &status("b")),
            _ => reply(304, None, ""),
        }
    });
    let mut spec = controller(&things, "InPlace");
    spec["hooks"]["sync"]["webhook"]["etag"] = json!({"enabled": true});
    world.control("c", &spec).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    for (value, by) in [("2", "a"), ("3", "a"), ("4", "b"), ("5", "b")] {
        touch(world, &things, value).await;
        assert_eq!(world.get(&things, "a").await["status"]["by"], by, "{value}");
    }
    let sent = world.hook.sent("if-none-match");
    assert_eq!(sent[..6], ["", "A", "A", "A", "A", "B"], "{sent:?}");
}
story!(acceptance_12_an_answer_is_kept_by_its_etag);

/// Breaks when a busy hook's `Retry-After` is not read.
async fn acceptance_11_a_busy_hook_is_left_alone_for_its_time(world: &World) {
    let things = world.things().await;
    let calls = AtomicUsize::new(0);
    world.hook.play(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => reply(429, Some((http::header::RETRY_AFTER, "2")), ""),
        _ => reply(200, None, "{}"),
    });
    world.control("c", &controller(&things, "InPlace")).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    let times = world.hook.times();
    let gap = times[1].duration_since(times[0]).as_secs_f64();
    assert!((2.0..3.0).contains(&gap), "{gap} s");
    assert_eq!(world.events("SyncError").await, Vec::<String>::new());
}
story!(acceptance_11_a_busy_hook_is_left_alone_for_its_time);
