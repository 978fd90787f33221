//! What is served is asked for seldom, and what is missing not too often.

use k8s::SignedDuration;
use runtime::Discovery;

use crate::world::World;

/// Returns how often somebody asked what a group and version has.
fn asked(world: &World) -> usize {
    let requests = world.server.requests();
    requests.iter().filter(|request| request.resource.ends_with("/apps/v1")).count()
}

#[tokio::test]
async fn a_miss_is_asked_for_once_a_second_and_what_is_there_once_in_a_while() {
    let world = World::start().await;
    let discovery = Discovery::new(world.client.clone());
    let before = asked(&world);
    let count = || asked(&world) - before;
    for _ in 0..5 {
        discovery.by_plural("apps/v1", "deployments").await.unwrap();
        discovery.by_plural("apps/v1", "unicorns").await.unwrap_err();
    }
    assert_eq!(count(), 1);
    world.clock.advance(SignedDuration::from_secs(1));
    discovery.by_plural("apps/v1", "deployments").await.unwrap();
    assert_eq!(count(), 1, "what is there counts for longer");
    discovery.by_plural("apps/v1", "unicorns").await.unwrap_err();
    discovery.by_plural("apps/v1", "unicorns").await.unwrap_err();
    assert_eq!(count(), 2);
    world.clock.advance(SignedDuration::from_secs(30));
    discovery.by_plural("apps/v1", "deployments").await.unwrap();
    assert_eq!(count(), 3);
    discovery.forget();
    discovery.by_plural("apps/v1", "deployments").await.unwrap();
    assert_eq!(count(), 4);
}
