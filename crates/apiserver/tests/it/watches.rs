//! Watches.

use serde_json::{Value, json};

use crate::world::World;

const MAPS: &str = "/api/v1/namespaces/watched/configmaps";

async fn world() -> World {
    let world = World::new().await;
    world.post("/api/v1/namespaces", json!({"metadata": {"name": "watched"}})).await;
    world.delete(&format!("{MAPS}/kube-root-ca.crt")).await;
    world
}

fn map(name: &str, app: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": app}}})
}

/// Breaks when a watch starts with the one after the next event.
#[tokio::test]
async fn acceptance_10_a_watch_resumes_without_gaps() {
    let world = world().await;
    world.post(MAPS, map("before", "x")).await;
    let revision = world.server.revision();
    for index in 0..50 {
        world.post(MAPS, map(&format!("m{index}"), "x")).await;
    }
    let mut watch = world.watch(&format!("{MAPS}?watch=1&resourceVersion={revision}")).await;
    let mut last = revision;
    for index in 0..50 {
        let event = watch.next().await.unwrap();
        let metadata = &event["object"]["metadata"];
        let now: u64 = metadata["resourceVersion"].as_str().unwrap().parse().unwrap();
        assert!(last < now);
        last = now;
        assert_eq!(
            (&event["type"], &metadata["name"]),
            (&json!("ADDED"), &json!(format!("m{index}")))
        );
    }
}

#[tokio::test]
async fn a_watch_without_revision_starts_with_what_is_there() {
    let world = world().await;
    world.post(MAPS, map("a", "x")).await;
    let mut watch = world.watch(&format!("{MAPS}?watch=true")).await;
    assert_eq!(watch.texts(1).await, ["ADDED a"]);
    world.patch(&format!("{MAPS}/a"), "merge", json!({"data": {"b": "c"}})).await;
    world.delete(&format!("{MAPS}/a")).await;
    assert_eq!(watch.texts(2).await, ["MODIFIED a", "DELETED a"]);
}

/// Breaks when `watch::change` does not look at what an object was before the change.
#[tokio::test]
async fn acceptance_10_selectors_turn_changes_into_births_and_deaths() {
    let world = world().await;
    let mut watch = world.watch(&format!("{MAPS}?watch=true&labelSelector=app%3Dx")).await;
    world.post(MAPS, map("a", "x")).await;
    world.post(MAPS, map("b", "y")).await;
    for app in ["y", "x"] {
        let labels = json!({"metadata": {"labels": {"app": app}}});
        world.patch(&format!("{MAPS}/a"), "merge", labels).await;
    }
    let born = watch.next().await.unwrap();
    assert_eq!(born["type"], "ADDED");
    let gone = watch.next().await.unwrap();
    assert_eq!(
        (&gone["type"], &gone["object"]["metadata"]["labels"]["app"]),
        (&json!("DELETED"), &json!("x"))
    );
    let [born, gone] = [&born, &gone].map(|it| &it["object"]["metadata"]["resourceVersion"]);
    assert_ne!(born, gone, "it goes at the revision of the change");
    assert_eq!(watch.texts(1).await, ["ADDED a"]);
}

/// Breaks when lost history is another reason than `Expired`.
#[tokio::test]
async fn acceptance_10_an_expired_revision_is_told_in_the_stream() {
    let world = world().await;
    world.post(MAPS, map("a", "x")).await;
    world.server.backend().expire_history();
    let mut watch = world.watch(&format!("{MAPS}?watch=true&resourceVersion=3")).await;
    let event = watch.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert_eq!(event["object"]["reason"], "Expired");
    assert_eq!(watch.next().await, None);
}

/// Breaks when `Collection::after` does not look at how much a follower has left unread.
#[tokio::test]
async fn a_watcher_that_leaves_too_much_unread_is_closed() {
    let world = world().await;
    let revision = world.server.revision();
    let path = format!("{MAPS}?watch=true&resourceVersion={revision}");
    let mut slow = world.watch(&path).await;
    let mut reading = world.watch(&path).await;
    let text = "x".repeat(18 * 1024);
    for index in 0..1001 {
        let object = json!({"metadata": {"name": format!("m{index}")}, "data": {"text": text}});
        assert_eq!(world.post(MAPS, object).await.code, 201);
        assert_eq!(reading.texts(1).await, [format!("ADDED m{index}")]);
    }
    assert_eq!(slow.next().await, None);
    let mut again = world.watch(&path).await;
    assert_eq!(again.texts(2).await, ["ADDED m0", "ADDED m1"]);
}

/// Breaks when `watch::plan` forgets that the initial events shall end with a bookmark.
#[tokio::test]
async fn acceptance_11_initial_events_end_with_a_bookmark() {
    let world = world().await;
    let query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&\
                 allowWatchBookmarks=true";
    let mut watch = world.watch(&format!("{MAPS}?{query}")).await;
    let bookmark = watch.next().await.unwrap();
    assert_eq!(
        (&bookmark["type"], &bookmark["object"]["kind"]),
        (&json!("BOOKMARK"), &json!("ConfigMap"))
    );
    let metadata = &bookmark["object"]["metadata"];
    assert_eq!(metadata["annotations"], json!({"k8s.io/initial-events-end": "true"}));
    assert_eq!(metadata["resourceVersion"], world.server.revision().to_string());
    let refused = world.get(&format!("{MAPS}?watch=true&sendInitialEvents=true")).await;
    let text = "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: \
                sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
    assert_eq!(refused.error(), (422, "Invalid", text));
}

#[tokio::test]
async fn bookmarks_come_round_and_the_watch_ends_in_time() {
    let world = world().await;
    let query = "watch=true&resourceVersion=0&allowWatchBookmarks=true&timeoutSeconds=90";
    let mut watch = world.watch(&format!("{MAPS}?{query}")).await;
    watch.next().await.unwrap();
    let other = "/api/v1/namespaces/default/configmaps";
    let created = world.post(other, map("elsewhere", "x")).await;
    let mut bookmarks = vec![];
    for seconds in [60, 28] {
        let next = watch.next();
        let move_clock = async {
            tokio::task::yield_now().await;
            world.clock.advance(k8s::SignedDuration::from_secs(seconds));
        };
        let (event, ()) = tokio::join!(next, move_clock);
        let event = event.unwrap();
        bookmarks.push(event["object"]["metadata"]["resourceVersion"].as_str().unwrap().to_owned());
    }
    assert_eq!(bookmarks, [created.revision(), created.revision()]);
    let move_clock = async { world.clock.advance(k8s::SignedDuration::from_secs(2)) };
    let (end, ()) = tokio::join!(watch.next(), move_clock);
    assert_eq!(end, None);
}

#[tokio::test]
async fn watches_end_when_the_server_stops() {
    let world = world().await;
    let mut watch = world.watch(&format!("{MAPS}?watch=true")).await;
    world.server.shutdown().await;
    assert_eq!(watch.next().await, None);
    assert_eq!(world.get(MAPS).await.code, 503);
}

#[tokio::test]
async fn one_object_can_be_watched_by_the_old_path_or_a_selector() {
    let world = world().await;
    for path in [
        "/api/v1/watch/namespaces/watched/configmaps/a",
        "/api/v1/configmaps?watch=1&fieldSelector=metadata.name%3Da",
    ] {
        let mut watch = world.watch(path).await;
        world.post(MAPS, map("b", "x")).await;
        world.post(MAPS, map("a", "x")).await;
        assert_eq!(watch.texts(1).await, ["ADDED a"]);
        world.delete(&format!("{MAPS}/a")).await;
        world.delete(&format!("{MAPS}/b")).await;
        assert_eq!(watch.texts(1).await, ["DELETED a"]);
    }
}

#[tokio::test]
async fn followers_inside_see_every_write() {
    let world = world().await;
    let backend = world.server.backend();
    let mut events = backend.subscribe(backend.revision());
    world.post(MAPS, map("a", "x")).await;
    let settle = k8s::Settle::within(std::time::Duration::ZERO);
    let busy = world.activity.settle(&world.clock, settle).await.unwrap_err().busy;
    assert!(busy[0].starts_with("a follower at revision"), "{busy:?}");
    let event = events.next().await.unwrap();
    assert_eq!((event.object.meta().name.as_str(), event.revision), ("a", backend.revision()));
    assert!(events.try_next().is_none());
    let settle = k8s::Settle::within(std::time::Duration::from_secs(1));
    world.activity.settle(&world.clock, settle).await.unwrap();
}
