//! Who leads, and who does when the leader is gone.

use apiserver::{FaultAction, FaultMatch, FaultRule};
use k8s::{ObjectKey, Resource, SignedDuration};
use runtime::{Election, Leadership, Part, PatchType};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::world::World;

fn candidate(world: &World, name: &str) -> Election {
    Election::new(&world.client, "default", "lead", name.to_owned())
}

/// Lets a leader hold what it has, and returns when it has lost it.
fn hold(mut leadership: Leadership) -> JoinHandle<Leadership> {
    tokio::spawn(async move {
        leadership.hold().await;
        leadership
    })
}

/// Lets time pass until a task has ended, at most so many seconds, and returns how many it took.
async fn ends<T>(world: &World, task: &JoinHandle<T>, at_most: u32) -> Option<u32> {
    for seconds in 0..=at_most {
        world.settle().await;
        tokio::task::yield_now().await;
        if task.is_finished() {
            return Some(seconds);
        }
        world.clock.advance(SignedDuration::from_secs(1));
    }
    None
}

#[tokio::test]
async fn another_leads_after_the_leader_died() {
    let world = World::start().await;
    let a = hold(candidate(&world, "a").acquire().await);
    let b = tokio::spawn(candidate(&world, "b").acquire());
    assert_eq!(ends(&world, &b, 60).await, None);
    assert!(world.client.metrics().text().contains("leader_election_master_status{name=\"lead\"}"));
    a.abort();
    let took = ends(&world, &b, 60).await.unwrap();
    assert!((10..=18).contains(&took), "{took} s");
}

#[tokio::test]
async fn another_leads_at_once_after_the_leader_went() {
    let world = World::start().await;
    let a = candidate(&world, "a").acquire().await;
    let b = tokio::spawn(candidate(&world, "b").acquire());
    assert_eq!(ends(&world, &b, 5).await, None);
    a.release().await;
    assert!(ends(&world, &b, 60).await.unwrap() <= 2);
}

#[tokio::test]
async fn a_leader_that_cannot_renew_has_lost_before_others_take_over() {
    let world = World::start().await;
    let a = hold(candidate(&world, "a").acquire().await);
    assert_eq!(ends(&world, &a, 30).await, None);
    let on = FaultMatch { resource: Some("leases".to_owned()), ..FaultMatch::default() };
    world.server.faults().add(FaultRule { on, action: FaultAction::DropConnection });
    let took = ends(&world, &a, 60).await.unwrap();
    assert!((8..=11).contains(&took), "{took} s");
}

#[tokio::test]
async fn a_leader_whose_lease_another_has_leads_no_longer() {
    let world = World::start().await;
    let a = hold(candidate(&world, "a").acquire().await);
    world.settle().await;
    let leases = Resource::namespaced("coordination.k8s.io/v1", "Lease", "leases");
    let (key, how) = (ObjectKey::new("default", "lead"), (Part::Main, PatchType::Merge));
    let taken = json!({"spec": {"holderIdentity": "b"}}).to_string();
    world.client.patch(&leases, &key, how, taken).await.unwrap();
    assert!(ends(&world, &a, 60).await.unwrap() <= 4);
}
