//! The `kube` client over the in-process service.

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
};
use serde_json::json;

use crate::world::World;

fn client(world: &World) -> Client {
    Client::new(world.server.service(), "default")
}

#[tokio::test]
async fn a_kube_client_reads_and_writes() {
    let world = World::new().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client(&world));
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "a"}})).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    let patch = Patch::Merge(json!({"data": {"x": "1"}}));
    let patched = maps.patch("a", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(patched.data.unwrap()["x"], "1");
    let taken = maps.create(&PostParams::default(), &map).await.unwrap_err();
    let kube::Error::Api(status) = taken else { panic!("{taken}") };
    assert_eq!((status.code, status.reason.as_str()), (409, "AlreadyExists"));
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    let namespaces: Api<Namespace> = Api::all(client(&world));
    assert_eq!(namespaces.list(&ListParams::default()).await.unwrap().items.len(), 4);
}

#[tokio::test]
async fn a_kube_client_watches() {
    let world = World::new().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client(&world));
    let revision = world.server.revision().to_string();
    let mut events = maps.watch(&WatchParams::default(), &revision).await.unwrap().boxed();
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "a"}})).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    let event = events.try_next().await.unwrap().unwrap();
    assert!(matches!(event, WatchEvent::Added(map) if map.metadata.name.as_deref() == Some("a")));
}

#[tokio::test]
async fn requests_are_remembered() {
    let world = World::new().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client(&world));
    let patch = Patch::Merge(json!({}));
    maps.patch("a", &PatchParams::default(), &patch).await.unwrap_err();
    let requests = world.server.requests();
    let last = requests.last().unwrap();
    assert_eq!((last.verb.as_str(), last.name.as_str(), last.code), ("patch", "a", 404));
    assert_eq!(last.patch_type, "application/merge-patch+json");
    let served = world.get("/windlass/v1/requests").await.body;
    assert_eq!(served["requests"][0]["verb"], "patch");
}
