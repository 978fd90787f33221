//! Aids for tests, metrics and compression.

use bytes::Bytes;
use http::Method;
use serde_json::json;

use crate::world::World;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// Breaks when objects made since are left, or ones deleted since do not come back.
#[tokio::test]
async fn a_snapshot_is_come_back_to() {
    let world = World::new().await;
    world.post(MAPS, json!({"metadata": {"name": "a"}, "data": {"k": "1"}})).await;
    let made = world.post("/windlass/v1/snapshot", json!(null)).await.body;
    assert_eq!(made["snapshot"], 1);
    let mut watch =
        world.watch(&format!("{MAPS}?watch=true&resourceVersion={}", made["revision"])).await;
    world.patch(&format!("{MAPS}/a"), "merge", json!({"data": {"k": "2"}})).await;
    world.post(MAPS, json!({"metadata": {"name": "b"}})).await;
    world.delete(&format!("{MAPS}/kube-root-ca.crt")).await;
    let before = world.server.revision();
    let restored = world.post("/windlass/v1/restore", json!({"snapshot": 1})).await;
    assert_eq!(restored.code, 200, "{}", restored.message());
    let list = world.get(MAPS).await;
    assert_eq!(list.names(), ["a", "kube-root-ca.crt"]);
    assert_eq!(list.body["items"][0]["data"]["k"], "1");
    assert!(before < world.server.revision(), "the revision never goes back");
    while watch.next().await.is_some() {}
    let mut again = world.watch(&format!("{MAPS}?watch=true&resourceVersion={before}")).await;
    assert_eq!(again.next().await.unwrap()["object"]["code"], 410);
    let kept = world.get("/windlass/v1/snapshot").await.body;
    assert_eq!(kept["snapshots"].as_array().unwrap().len(), 1);
    assert_eq!(world.delete("/windlass/v1/snapshot/1").await.code, 200);
    assert_eq!(world.post("/windlass/v1/restore", json!({"snapshot": 1})).await.code, 404);
}

#[tokio::test]
async fn definitions_come_back_with_a_snapshot() {
    let world = World::new().await;
    let empty = world.server.snapshot();
    let schema = json!({"openAPIV3Schema": {"type": "object"}});
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": schema});
    let names = json!({"kind": "Thing", "plural": "things"});
    let crd = json!({"metadata": {"name": "things.a.io"}, "spec": {"group": "a.io",
        "scope": "Namespaced", "names": names, "versions": [version]}});
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    assert_eq!(world.post(definitions, crd).await.code, 201);
    let things = "/apis/a.io/v1/namespaces/default/things";
    let thing = json!({"apiVersion": "a.io/v1", "kind": "Thing", "metadata": {"name": "t"}});
    assert_eq!(world.post(things, thing).await.code, 201);
    let full = world.server.snapshot();
    world.server.restore(&empty);
    assert_eq!(world.get(things).await.code, 404);
    world.server.restore(&full);
    assert_eq!(world.get(things).await.names(), ["t"]);
}

#[tokio::test]
async fn requests_are_counted() {
    let world = World::new().await;
    world.post(MAPS, json!({"metadata": {"name": "a"}})).await;
    world.get(MAPS).await;
    let mut watch = world.watch(&format!("{MAPS}?watch=true")).await;
    watch.next().await.unwrap();
    let text = world.get("/metrics").await.body;
    let text = text.as_str().unwrap();
    for line in [
        r#"apiserver_request_total{code="201",component="apiserver",dry_run="",group="",resource="configmaps",scope="resource",subresource="",verb="POST",version="v1"} 1"#,
        r#"apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="configmaps",scope="namespace",subresource="",verb="LIST",version="v1"} 1"#,
        r#"apiserver_longrunning_requests{component="apiserver",group="",resource="configmaps",scope="namespace",subresource="",verb="WATCH",version="v1"} 1"#,
        r#"apiserver_storage_objects{resource="configmaps"} 5"#,
        "# TYPE apiserver_request_duration_seconds histogram",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    drop(watch);
    let text = world.get("/metrics").await.body;
    let gauge = r#"scope="namespace",subresource="",verb="WATCH",version="v1"} 0"#;
    assert!(text.as_str().unwrap().contains(gauge), "{text}");
}

/// Breaks when small bodies or watches are compressed, or large ones are not.
#[tokio::test]
async fn large_bodies_are_compressed_for_those_who_can_read_that() {
    let world = World::new().await;
    let data = json!({"a": "x".repeat(200_000)});
    world.post(MAPS, json!({"metadata": {"name": "large"}, "data": data})).await;
    let encoding = async |path: &str, accepted: &str| {
        let headers = [("accept-encoding", accepted)];
        let answer = world.open(Method::GET, path, &headers, Bytes::new()).await;
        answer.headers().get("content-encoding").map(|it| it.to_str().unwrap().to_owned())
    };
    let large = format!("{MAPS}/large");
    assert_eq!(encoding(&large, "gzip").await.as_deref(), Some("gzip"));
    assert_eq!(encoding(&large, "identity").await, None);
    assert_eq!(encoding(&format!("{MAPS}/kube-root-ca.crt"), "gzip").await, None);
    assert_eq!(encoding(&format!("{MAPS}?watch=true"), "gzip").await, None);
}

#[tokio::test]
async fn coverage_tells_what_is_missing() {
    let world = World::new().await;
    let report = world.get("/windlass/v1/coverage").await.body;
    let resources = report["resources"].as_array().unwrap();
    let pods = resources.iter().find(|it| it["resource"] == "pods").unwrap();
    assert_eq!(pods["tier"], 1);
    assert!(!pods["missing"].as_array().unwrap().is_empty());
}
