//! Requests that go wrong on purpose.

use serde_json::{Value, json};

use crate::world::World;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const FAULTS: &str = "/windlass/v1/faults";

fn map(name: &str) -> Value {
    json!({"metadata": {"name": name}})
}

async fn add(world: &World, rule: Value) {
    assert_eq!(world.post(FAULTS, rule).await.code, 200);
}

/// Seen to fail with `nth` counted over all requests, and to hang with the watch cut one event late.
#[tokio::test]
async fn acceptance_29_faults_hit_as_told_and_are_counted() {
    let world = World::new().await;
    let conflict = json!({"status": {"code": 409, "reason": "Conflict"}});
    add(&world, json!({"match": {"verb": "update", "nth": 3}, "action": conflict})).await;
    add(&world, json!({"match": {"verb": "watch"}, "action": {"closeWatch": {"after": 10}}})).await;
    let revision = world.server.revision();
    world.post(MAPS, map("a")).await;
    let mut codes = vec![];
    for turn in 0..12 {
        let mut value = world.get(&format!("{MAPS}/a")).await.body;
        value["data"] = json!({"turn": turn.to_string()});
        codes.push(world.put(&format!("{MAPS}/a"), value).await.code);
    }
    assert_eq!(codes, [200, 200, 409].repeat(4));

    world.post(MAPS, map("b")).await;
    world.post(MAPS, map("c")).await;
    let (mut seen, mut from, mut watches) = (0, revision.to_string(), 0);
    while seen < 11 {
        let mut watch = world.watch(&format!("{MAPS}?watch=1&resourceVersion={from}")).await;
        watches += 1;
        let left = 11.min(seen + 10) - seen;
        for _ in 0..left {
            let event = watch.next().await.unwrap();
            from = event["object"]["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
            seen += 1;
        }
        if seen == 10 {
            assert_eq!(watch.next().await, None, "nothing more happens, and yet it ends");
        }
    }
    let faults = world.get(FAULTS).await.body;
    let hits: Vec<_> = faults["faults"].as_array().unwrap().iter().map(|it| &it["hits"]).collect();
    assert_eq!(json!(hits), json!([4, watches]));
    assert_eq!(faults["faults"][0]["matched"], 12);
    assert_eq!(world.delete(&format!("{FAULTS}/1")).await.body["faults"][0]["id"], 2);
    assert_eq!(world.delete(FAULTS).await.body["faults"], json!([]));
}

#[tokio::test]
async fn expired_history_ends_continued_lists_and_resumed_watches() {
    let world = World::new().await;
    for name in ["a", "b", "c"] {
        world.post(MAPS, map(name)).await;
    }
    let page = world.get(&format!("{MAPS}?limit=1")).await;
    let next = page.body["metadata"]["continue"].as_str().unwrap().to_owned();
    let revision = page.revision().to_owned();
    world.post(MAPS, map("d")).await;
    add(&world, json!({"match": {"verb": "list", "nth": 1}, "action": "expireHistory"})).await;
    let gone = world.get(&format!("{MAPS}?limit=1&continue={next}")).await;
    assert_eq!((gone.code, gone.error().1), (410, "Expired"));
    let mut watch = world.watch(&format!("{MAPS}?watch=1&resourceVersion={revision}")).await;
    assert_eq!(watch.next().await.unwrap()["object"]["code"], 410);
}

#[tokio::test]
async fn a_lost_answer_leaves_the_write_and_a_dropped_request_does_not() {
    use http_body_util::BodyExt as _;
    let world = World::new().await;
    for (action, name, is_there) in
        [("dropConnection", "dropped", false), ("loseAnswer", "lost", true)]
    {
        add(&world, json!({"match": {"verb": "create"}, "action": action})).await;
        let body = map(name).to_string().into();
        let answer = world.open(http::Method::POST, MAPS, &[], body).await;
        assert!(answer.into_body().collect().await.is_err());
        world.delete(FAULTS).await;
        assert_eq!(world.get(&format!("{MAPS}/{name}")).await.code == 200, is_there);
    }
}

#[tokio::test]
async fn a_delay_passes_with_the_clock_and_a_refusal_says_when_to_come_back() {
    let world = World::new().await;
    add(&world, json!({"match": {"verb": "get"}, "action": {"delay": {"milliseconds": 2500}}}))
        .await;
    let before = world.get("/windlass/v1/clock").await.body;
    assert_eq!(before, json!({"now": "2026-01-01T00:00:00Z", "virtual": true}));
    let path = format!("{MAPS}/a");
    let (answer, settled) =
        tokio::join!(world.get(&path), world.post("/windlass/v1/settle?timeout=60s", json!({})));
    assert_eq!((answer.code, settled.code), (404, 200));
    assert_eq!(settled.body["now"], "2026-01-01T00:00:02.5Z");

    let busy = json!({"status": {"code": 429, "reason": "TooManyRequests", "retryAfter": 7}});
    add(&world, json!({"match": {"verb": "create", "user": "windlass-admin"}, "action": busy}))
        .await;
    let refused = world.post(MAPS, map("a")).await;
    assert_eq!((refused.code, &refused.body["details"]["retryAfterSeconds"]), (429, &json!(7)));
    let advanced = world.post("/windlass/v1/clock", json!({"advance": 1.5})).await;
    assert_eq!(advanced.body["now"], "2026-01-01T00:00:04Z");
}

#[tokio::test]
async fn only_administrators_may_do_harm() {
    let world = World::new().await;
    let headers = [("impersonate-user", "somebody")];
    let refused = world.send(http::Method::GET, FAULTS, &headers, <_>::default()).await;
    let message = r#"forbidden: User "somebody" cannot get path "/windlass/v1/faults""#;
    assert_eq!(refused.error(), (403, "Forbidden", message));
    assert_eq!(world.post(FAULTS, json!({"action": "reorder"})).await.code, 400);
}
