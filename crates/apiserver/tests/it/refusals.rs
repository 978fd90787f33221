//! What requests are told that came at the wrong time, took too long, or want what is left out.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body_util::BodyExt as _;
use k8s::{Settle, SignedDuration};
use serde_json::{Value, json};

use crate::world::World;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";

/// Sends a request and returns the headers and the body of the answer.
async fn exchange(
    world: &World,
    (method, path): (Method, &str),
    headers: &[(&str, &str)],
    body: String,
) -> (HeaderMap, Value) {
    let answer = world.open(method, path, headers, Bytes::from(body)).await;
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["code"], parts.status.as_u16(), "{body}");
    (parts.headers, body)
}

/// Returns a whole Status with code, reason and message; `details` are left out if they are null.
fn status(code: u16, reason: &str, message: &str, details: Value) -> Value {
    let mut status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {},
        "status": "Failure", "message": message, "reason": reason, "code": code});
    if !details.is_null() {
        status["details"] = details;
    }
    status
}

/// Breaks when `NAME_TRIES` is another number than the reference's, or nobody says when to try again.
#[tokio::test]
async fn names_that_are_all_taken_are_told() {
    let mut taken = vec![];
    let maps =
        |count: usize| (0..count).map(|index| json!({"metadata": {"name": format!("m{index}")}}));
    // Each object takes its UID from the seed, and each try a name: so a name shows what comes after so many.
    for before in 8..16 {
        let world = World::seeded(1).await;
        for map in maps(before) {
            world.post(MAPS, map).await;
        }
        let named = world.post(MAPS, json!({"metadata": {"generateName": "g-"}})).await;
        taken.push(named.body["metadata"]["name"].as_str().unwrap().to_owned());
    }
    for (free, code) in [(1, 201), (0, 409)] {
        let world = World::seeded(1).await;
        let names = taken.iter().skip(free).map(|name| json!({"metadata": {"name": name}}));
        for map in names.chain(maps(free)) {
            assert_eq!(world.post(MAPS, map).await.code, 201);
        }
        let reply = world.post(MAPS, json!({"metadata": {"generateName": "g-"}})).await;
        assert_eq!(reply.code, code, "{}", reply.body);
        if free == 0 {
            let last = &taken[7];
            let message = format!(
                "configmaps \"{last}\" already exists, the server was not able to generate a unique \
                 name for the object"
            );
            let details = json!({"kind": "configmaps", "name": last, "retryAfterSeconds": 1});
            assert_eq!(reply.body, status(409, "AlreadyExists", &message, details));
        }
    }
}

/// Breaks when the causes of `ApiError::apply_conflict` have other words, or details name the object.
#[tokio::test]
async fn fields_of_others_are_told_one_by_one() {
    let world = World::new().await;
    let headers = [("content-type", "application/apply-patch+yaml")];
    let apply = async |path: String, body: Value| {
        exchange(&world, (Method::PATCH, &path), &headers, body.to_string()).await.1
    };
    let map = |x: &str, y: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"},
            "data": {"x": x, "y": y}})
    };
    let path = |manager: &str| format!("{MAPS}/a?fieldManager={manager}");
    let first = world
        .send(Method::PATCH, &path("one"), &headers, Bytes::from(map("1", "2").to_string()))
        .await;
    assert_eq!(first.code, 201);
    let cause = |field: &str| json!({"reason": "FieldManagerConflict", "message": "conflict with \"one\"", "field": field});
    let message = "Apply failed with 1 conflict: conflict with \"one\": .data.x";
    let details = json!({"causes": [cause(".data.x")]});
    let told = apply(path("two"), map("3", "2")).await;
    assert_eq!(told, status(409, "Conflict", message, details));
    let message = "Apply failed with 2 conflicts: conflicts with \"one\":\n- .data.x\n- .data.y";
    let details = json!({"causes": [cause(".data.x"), cause(".data.y")]});
    let told = apply(path("two"), map("3", "4")).await;
    assert_eq!(told, status(409, "Conflict", message, details));
}

/// Breaks when `within` does not watch the clock, or `time_limit` reads no parameter.
#[tokio::test]
async fn requests_that_take_too_long_are_given_up() {
    let world = World::new().await;
    let late = status(
        504,
        "Timeout",
        "Timeout: request did not complete within the allotted timeout",
        json!({}),
    );
    let slow = |seconds: u64| json!({"match": {"verb": "create"}, "action": {"delay": {"milliseconds": seconds * 1000}}});
    let create = async |query: &str, name: &str, seconds: i64| {
        let body = json!({"metadata": {"name": name}}).to_string();
        let path = format!("{MAPS}{query}");
        let sent = world.send(Method::POST, &path, &[], Bytes::from(body));
        let pass = async {
            tokio::task::yield_now().await;
            world.clock.advance(SignedDuration::from_secs(seconds));
            // What is not given up by now is done in the end, so that the test fails instead of hanging.
            let settle = Settle::within(Duration::from_mins(5));
            world.activity.settle(&world.clock, settle).await.unwrap();
        };
        tokio::join!(sent, pass).0
    };
    world.post("/windlass/v1/faults", slow(70)).await;
    assert_eq!(create("", "a", 60).await.body, late);
    assert_eq!(create("?timeout=90s", "a", 60).await.body, late, "more than a minute is not given");
    assert_eq!(create("?timeout=10s", "a", 10).await.body, late);
    assert_eq!(world.get(&format!("{MAPS}/a")).await.code, 404);
    world.delete("/windlass/v1/faults").await;
    world.post("/windlass/v1/faults", slow(59)).await;
    assert_eq!(create("", "a", 59).await.code, 201);
    assert_eq!(create("?timeout=0s", "b", 59).await.code, 201);
    world.delete("/windlass/v1/faults").await;
    let odd = world.get(&format!("{MAPS}?timeout=abc")).await.body;
    let message = "invalid timeout specified in the request URL - time: invalid duration \"abc\"";
    assert_eq!(odd, status(400, "BadRequest", message, Value::Null));
}

/// Breaks when `time_limit` looks at watches too.
#[tokio::test]
async fn watches_go_on_for_more_than_a_minute() {
    let world = World::new().await;
    let mut watch = world.watch(&format!("{MAPS}?watch=1&resourceVersion=0&timeout=abc")).await;
    assert_eq!(watch.texts(1).await, ["ADDED kube-root-ca.crt"]);
    world.clock.advance(SignedDuration::from_secs(120));
    world.post(MAPS, json!({"metadata": {"name": "a"}})).await;
    assert_eq!(watch.texts(1).await, ["ADDED a"]);
}

/// Breaks when a read of one object does not wait for its revision, or the cause is left out.
#[tokio::test]
async fn revisions_from_the_future_are_not_waited_for_for_ever() {
    let world = World::new().await;
    let current = world.server.revision();
    let message = format!("Timeout: Too large resource version: 999999, current: {current}");
    let details = json!({"retryAfterSeconds": 1, "causes": [
        {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]});
    let expected = status(504, "Timeout", &message, details);
    for path in [
        format!("{MAPS}?resourceVersion=999999"),
        format!("{MAPS}?resourceVersion=999999&resourceVersionMatch=Exact"),
        "/api/v1/namespaces/default?resourceVersion=999999".to_owned(),
    ] {
        let read = exchange(&world, (Method::GET, &path), &[], String::new());
        let settle = Settle::within(Duration::from_secs(4));
        let ((headers, body), settled) =
            tokio::join!(read, world.activity.settle(&world.clock, settle));
        settled.unwrap();
        assert_eq!(body, expected, "{path}");
        assert_eq!(headers["retry-after"], "1");
    }
}

/// Breaks when `handle` in `http/service.rs` does not ask whether the server is stopping.
#[tokio::test]
async fn a_server_that_stops_says_when_to_come_back() {
    let world = World::new().await;
    world.server.shutdown().await;
    for (method, path) in [(Method::GET, MAPS), (Method::POST, MAPS), (Method::GET, "/readyz")] {
        let (headers, body) = exchange(&world, (method, path), &[], "{}".to_owned()).await;
        let expected = status(503, "ServiceUnavailable", "the server is stopping", Value::Null);
        assert_eq!(body, expected);
        assert_eq!(headers["retry-after"], "1");
    }
}

/// Breaks when `ApiError::administrators_only` names another verb than the method.
#[tokio::test]
async fn what_is_for_administrators_is_forbidden_to_others() {
    let world = World::new().await;
    for (method, verb) in [(Method::GET, "get"), (Method::POST, "post"), (Method::DELETE, "delete")]
    {
        let headers = [("impersonate-user", "u")];
        let path = "/windlass/v1/faults";
        let (_, body) = exchange(&world, (method, path), &headers, String::new()).await;
        let message = format!("forbidden: User \"u\" cannot {verb} path \"{path}\"");
        assert_eq!(body, status(403, "Forbidden", &message, json!({})));
    }
}

/// Breaks when `subresource::handle` looks for a pod only after it has said what is left out.
#[tokio::test]
async fn what_is_left_out_is_named() {
    let world = World::new().await;
    world.post(PODS, json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "x"}]}})).await;
    for name in ["exec", "attach", "portforward"] {
        for method in [Method::GET, Method::POST] {
            let path = format!("{PODS}/a/{name}?container=c&command=true");
            let (_, body) = exchange(&world, (method.clone(), &path), &[], String::new()).await;
            let message = format!(
                "pods/{name} is not available: pod \"a\" is simulated; start with --runtime=podman"
            );
            assert_eq!(body, status(501, "NotImplemented", &message, Value::Null));
            let path = format!("{PODS}/none/{name}");
            let (_, body) = exchange(&world, (method, &path), &[], String::new()).await;
            let details = json!({"kind": "pods", "name": "none"});
            assert_eq!(body, status(404, "NotFound", "pods \"none\" not found", details));
        }
    }
    let headers = [("connection", "Upgrade"), ("upgrade", "websocket")];
    let path = format!("{MAPS}?watch=1");
    let (_, body) = exchange(&world, (Method::GET, &path), &headers, String::new()).await;
    let message = "watching over a WebSocket is not available: leave the `Upgrade` header out";
    assert_eq!(body, status(501, "NotImplemented", message, Value::Null));
    for path in ["/apis/metrics.k8s.io/v1beta1/nodes", "/apis/resource.k8s.io/v1/deviceclasses"] {
        assert_eq!(world.get(path).await.body, json!("404 page not found\n"), "{path}");
    }
}

/// Breaks when the names of a pod's containers are left out of the refusal.
#[tokio::test]
async fn the_log_of_one_container_must_be_asked_for_by_name() {
    let world = World::new().await;
    let containers = json!([{"name": "c", "image": "x"}, {"name": "d", "image": "x"}]);
    let init = json!([{"name": "i", "image": "x"}]);
    let spec = json!({"containers": containers, "initContainers": init});
    world.post(PODS, json!({"metadata": {"name": "a"}, "spec": spec})).await;
    let reply = world.get(&format!("{PODS}/a/log")).await.body;
    let message = "a container name must be specified for pod a, choose one of: [i c d]";
    assert_eq!(reply, status(400, "BadRequest", message, Value::Null));
    assert_eq!(world.get(&format!("{PODS}/a/log?container=d")).await.body, json!(""));
    let reply = world.get(&format!("{PODS}/a/log?container=x")).await.body;
    let message = "container x is not valid for pod a";
    assert_eq!(reply, status(400, "BadRequest", message, Value::Null));
}
