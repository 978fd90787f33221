//! Requests that a busy server refuses are sent again, when it asks for it.

use std::num::NonZeroU64;

use apiserver::{FaultMatch, FaultRule};
use k8s::{Clock, ObjectKey};

use crate::world::{World, configmap, configmaps, refusal};

#[tokio::test]
async fn a_busy_server_is_asked_again_after_the_time_it_names() {
    let world = World::start().await;
    let every_second = FaultMatch {
        verb: Some("create".to_owned()),
        nth: NonZeroU64::new(2),
        ..FaultMatch::default()
    };
    world.create("first").await;
    for code in [429, 503] {
        world.server.faults().clear();
        let rule = FaultRule { on: every_second.clone(), action: refusal(code, Some(7)) };
        world.server.faults().add(rule);
        let before = world.clock.now();
        world.create(&format!("passed-{code}")).await;
        let client = world.client.clone();
        let create = tokio::spawn(async move {
            let body = configmap(&format!("refused-{code}")).to_string();
            client.create(&configmaps(), "default", body).await
        });
        tokio::task::yield_now().await;
        world.settle().await;
        create.await.unwrap().unwrap();
        assert_eq!(world.seconds_since(before), 7, "{code}");
    }
}

#[tokio::test]
async fn a_server_that_asks_for_too_long_a_wait_is_left_alone() {
    let world = World::start().await;
    world.harm("create", refusal(429, Some(3600)));
    let body = configmap("a").to_string();
    let error = world.client.create(&configmaps(), "default", body).await.unwrap_err();
    assert_eq!(error.code(), Some(429));
    assert_eq!(error.retry_after().map(|wait| wait.as_secs()), Some(3600));
}

#[tokio::test]
async fn what_is_only_tried_is_not_stored() {
    let world = World::start().await;
    let tried = world.client.try_create(&configmaps(), "default", configmap("a").to_string()).await;
    assert_eq!(tried.unwrap().meta().name, "a");
    let error = world.client.get(&configmaps(), &ObjectKey::new("default", "a")).await.unwrap_err();
    assert!(error.is_not_found());
}
