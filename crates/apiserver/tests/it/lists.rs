//! Lists, pages and snapshots.

use serde_json::{Value, json};

use crate::world::World;

const MAPS: &str = "/api/v1/namespaces/paged/configmaps";

/// A server with a namespace that holds `count` numbered ConfigMaps.
async fn world(count: usize) -> World {
    let world = World::new().await;
    world.post("/api/v1/namespaces", json!({"metadata": {"name": "paged"}})).await;
    world.delete(&format!("{MAPS}/kube-root-ca.crt")).await;
    for index in 0..count {
        let labels = json!({"parity": if index % 2 == 0 { "even" } else { "odd" }});
        let map = json!({"metadata": {"name": format!("m{index:04}"), "labels": labels}});
        world.post(MAPS, map).await;
    }
    world
}

fn token(list: &Value) -> &str {
    list["metadata"]["continue"].as_str().unwrap_or_default()
}

/// Breaks when the pages after the first are read at the newest revision.
#[tokio::test]
async fn acceptance_9_pages_show_one_snapshot() {
    let world = world(1200).await;
    let mut sizes = vec![];
    let mut path = format!("{MAPS}?limit=500");
    let revision = world.server.revision().to_string();
    loop {
        let page = world.get(&path).await;
        assert_eq!(page.revision(), revision);
        let remaining = page.body["metadata"].get("remainingItemCount").cloned();
        sizes.push((page.names().len(), remaining));
        world.post(MAPS, json!({"metadata": {"name": format!("a{}", sizes.len())}})).await;
        world.delete(&format!("{MAPS}/m1199")).await;
        if token(&page.body).is_empty() {
            break;
        }
        path = format!("{MAPS}?limit=500&continue={}", token(&page.body));
    }
    assert_eq!(sizes, [(500, Some(json!(700))), (500, Some(json!(200))), (200, None)]);
}

/// Breaks when `ApiError::expired` comes without a token.
#[tokio::test]
async fn acceptance_9_a_token_whose_history_is_gone_is_replaced() {
    let world = world(3).await;
    let first = world.get(&format!("{MAPS}?limit=2")).await.body;
    world.post(MAPS, json!({"metadata": {"name": "new"}})).await;
    world.server.backend().expire_history();
    let gone = world.get(&format!("{MAPS}?limit=2&continue={}", token(&first))).await;
    assert_eq!((gone.code, gone.error().1), (410, "Expired"));
    let rest = world.get(&format!("{MAPS}?continue={}", token(&gone.body))).await;
    assert_eq!((rest.code, rest.names()), (200, vec!["m0002", "new"]));
    let exact = world.get(&format!("{MAPS}?resourceVersion=5&resourceVersionMatch=Exact")).await;
    let text = "The resourceVersion for the provided list is too old.";
    assert_eq!(exact.error(), (410, "Expired", text));
}

#[tokio::test]
async fn selectors_choose_among_all_namespaces() {
    let world = world(4).await;
    let list = world.get("/api/v1/configmaps?labelSelector=parity%3Deven&limit=1").await;
    assert_eq!(
        (list.names(), list.body["metadata"].get("remainingItemCount")),
        (vec!["m0000"], None)
    );
    let list = world.get(&format!("{MAPS}?fieldSelector=metadata.name%3Dm0003")).await;
    assert_eq!(list.names(), ["m0003"]);
    for query in
        ["labelSelector=a%3D%3D%3Db", "fieldSelector=spec.x%3D1", "continue=%25", "limit=x"]
    {
        assert_eq!(world.get(&format!("{MAPS}?{query}")).await.code, 400, "{query}");
    }
}

#[tokio::test]
async fn an_exact_revision_shows_the_past() {
    let world = world(2).await;
    let before = world.server.revision();
    world.delete(&format!("{MAPS}/m0000")).await;
    let query = format!("resourceVersion={before}&resourceVersionMatch=Exact");
    assert_eq!(world.get(&format!("{MAPS}?{query}")).await.names(), ["m0000", "m0001"]);
    let query = format!("resourceVersion={before}&resourceVersionMatch=NotOlderThan");
    assert_eq!(world.get(&format!("{MAPS}?{query}")).await.names(), ["m0001"]);
}

#[tokio::test]
async fn a_revision_from_the_future_is_waited_for() {
    let world = world(0).await;
    let future = world.server.revision() + 1;
    let path = format!("{MAPS}?resourceVersion={future}");
    let (list, _) =
        tokio::join!(world.get(&path), world.post(MAPS, json!({"metadata": {"name": "a"}})));
    assert_eq!(list.names(), ["a"]);
    let path = format!("{MAPS}?resourceVersion=900");
    let settle = k8s::Settle::within(std::time::Duration::from_secs(10));
    let (list, settled) =
        tokio::join!(world.get(&path), world.activity.settle(&world.clock, settle));
    settled.unwrap();
    let text =
        format!("Timeout: Too large resource version: 900, current: {}", world.server.revision());
    assert_eq!(list.error(), (504, "Timeout", text.as_str()));
    assert_eq!(list.body["details"]["retryAfterSeconds"], 1);
}

#[tokio::test]
async fn long_lists_come_in_pieces() {
    let world = world(300).await;
    let list = world.get(MAPS).await;
    assert_eq!(list.names().len(), 300);
    assert_eq!(list.body["kind"], "ConfigMapList");
    assert_eq!(list.body["items"][0].get("kind"), None);
}

#[tokio::test]
async fn metadata_alone_can_be_asked_for() {
    let world = world(1).await;
    let accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let list = world.get_as(MAPS, accept).await.body;
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    let item = &list["items"][0];
    assert_eq!(
        (&item["kind"], &item["metadata"]["name"]),
        (&json!("PartialObjectMetadata"), &json!("m0000"))
    );
    assert_eq!(world.get_as(MAPS, "text/html").await.code, 406);
}
