//! Creating, reading, changing and deleting objects.

use serde_json::{Value, json};

use crate::world::World;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"a": "1"}})
}

#[tokio::test]
async fn a_created_object_is_read_back() {
    let world = World::new().await;
    let created = world.post(MAPS, map("a")).await;
    assert_eq!(created.code, 201);
    assert_eq!(created.body["kind"], "ConfigMap");
    assert_eq!(created.body["metadata"]["creationTimestamp"], "2026-01-01T00:00:00Z");
    let read = world.get(&format!("{MAPS}/a")).await;
    assert_eq!((read.code, read.body), (200, created.body));
    assert_eq!(world.get(MAPS).await.names(), ["a", "kube-root-ca.crt"]);
}
