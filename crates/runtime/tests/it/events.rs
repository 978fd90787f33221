//! Events are written, but not without measure.

use k8s::{ObjectKey, Resource, SignedDuration};
use runtime::{EventKind, EventLimits, Events};
use serde_json::Value;

use crate::world::{World, configmaps};

/// Returns the messages of the events in `default`, with their counts.
async fn told(world: &World) -> Vec<(String, u64)> {
    world.settle().await;
    let events = Resource::namespaced("v1", "Event", "events");
    let list = world.client.get_raw(&events.collection_path("default")).await.unwrap();
    let list: Value = serde_json::from_slice(&list).unwrap();
    let mut told: Vec<_> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            (event["message"].as_str().unwrap().to_owned(), event["count"].as_u64().unwrap())
        })
        .collect();
    told.sort();
    told
}

#[tokio::test]
async fn an_object_has_so_many_events_and_no_more() {
    let world = World::start().await;
    world.create("a").await;
    world.create("b").await;
    let limits = EventLimits { burst: 2, per_second: 0.1 };
    let events = Events::start(&world.client, "test", limits);
    let object = |name: &str| {
        let client = world.client.clone();
        let key = ObjectKey::new("default", name);
        async move { client.get(&configmaps(), &key).await.unwrap() }
    };
    let (a, b) = (object("a").await, object("b").await);
    for message in ["one", "one", "two"] {
        events.tell(&a, EventKind::Normal, "Told", message);
    }
    events.tell(&b, EventKind::Normal, "Told", "of b");
    let of = |text: &str, count| (text.to_owned(), count);
    assert_eq!(told(&world).await, [of("of b", 1), of("one", 2)]);
    world.clock.advance(SignedDuration::from_secs(10));
    events.tell(&a, EventKind::Normal, "Told", "two");
    events.tell(&a, EventKind::Normal, "Told", "three");
    assert_eq!(told(&world).await, [of("of b", 1), of("one", 2), of("two", 1)]);
}
