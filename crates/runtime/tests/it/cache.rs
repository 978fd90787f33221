//! Caches follow what happens, also what happened while they could not look.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use apiserver::FaultAction;
use k8s::{ObjectKey, Resource, SignedDuration};
use runtime::{Cache, Caches, Change};
use serde_json::json;

use crate::world::{World, configmaps, refusal};

/// Takes down what a cache tells, as `+name`, `~name` and `-name`.
fn listen(cache: &Cache) -> (Arc<Mutex<Vec<String>>>, runtime::Subscription) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let page = Arc::clone(&told);
    let subscription = cache.subscribe(move |change: &Change| {
        let sign = match (&change.old, &change.new) {
            (None, _) => '+',
            (Some(_), Some(_)) => '~',
            (Some(_), None) => '-',
        };
        page.lock().unwrap().push(format!("{sign}{}", change.latest().meta().name));
    });
    (told, subscription)
}

/// Returns the names in `default`, but for the object that every namespace has.
fn names(cache: &Cache) -> Vec<String> {
    let all = cache.in_namespace("default");
    let names = all.iter().map(|object| object.meta().name.clone());
    names.filter(|name| name != "kube-root-ca.crt").collect()
}

/// Returns a cache that saw `a` and `b` and cannot watch any more.
async fn cut_off(world: &World) -> Arc<Cache> {
    for name in ["a", "b"] {
        world.create(name).await;
    }
    let close = world.harm("watch", FaultAction::CloseWatch { after: 1 });
    let cache = Caches::new(world.client.clone()).get(&configmaps());
    cache.filled().await.unwrap();
    world.settle().await;
    world.harm("watch", refusal(500, None));
    world.server.faults().remove(close);
    world.create("c").await;
    cache
}

#[tokio::test]
async fn what_changes_is_told_before_it_counts_as_seen() {
    let world = World::start().await;
    let cache = Caches::new(world.client.clone()).get(&configmaps());
    cache.filled().await.unwrap();
    let (told, _changes) = listen(&cache);
    let (page, weak) = (Arc::clone(&told), Arc::downgrade(&cache));
    let _seen = cache.on_seen(move || {
        let seen = weak.upgrade().map_or(0, |cache| cache.seen());
        page.lock().unwrap().push(format!("seen {}", 0 < seen));
    });
    world.create("x").await;
    world.settle().await;
    assert_eq!(told.lock().unwrap().last_chunk(), Some(&["+x".to_owned(), "seen true".to_owned()]));
    assert_eq!(names(&cache).last().map(String::as_str), Some("x"));
}

#[tokio::test]
async fn a_watch_that_broke_is_resumed_where_it_was() {
    let world = World::start().await;
    let cache = cut_off(&world).await;
    let (told, _changes) = listen(&cache);
    world.delete("a").await;
    world.delete("b").await;
    world.create("b").await;
    world.server.faults().clear();
    world.settle().await;
    let told = told.lock().unwrap().clone();
    let rest: Vec<_> = told.iter().filter(|each| *each != "+c").collect();
    assert_eq!(rest, ["-a", "-b", "+b"]);
    let lists = world.server.requests().iter().filter(|each| each.verb == "list").count();
    assert_eq!(lists, 1);
}

#[tokio::test]
async fn what_went_while_the_history_was_lost_is_told_as_gone() {
    let world = World::start().await;
    let cache = cut_off(&world).await;
    let (told, _changes) = listen(&cache);
    world.delete("a").await;
    world.delete("b").await;
    world.create("b").await;
    world.server.faults().clear();
    world.harm("watch", FaultAction::ExpireHistory);
    world.settle().await;
    let mut told = told.lock().unwrap().clone();
    told.retain(|each| each != "+c");
    assert_eq!(told, ["-a", "-b", "+b"]);
    assert_eq!(names(&cache), ["b", "c"]);
}

#[tokio::test]
async fn a_list_that_is_forbidden_is_told_and_tried_again() {
    let world = World::start().await;
    let rule = world.harm("list", refusal(403, None));
    let caches = Caches::new(world.client.clone());
    let cache = caches.get(&configmaps());
    let error = cache.filled().await.unwrap_err();
    assert_eq!(error.resource, configmaps());
    world.server.faults().remove(rule);
    world.create("a").await;
    // Nobody waits for the next try of what was forbidden.
    caches.retry();
    world.settle().await;
    // Nobody waits for what is forbidden, until its next try.
    world.clock.advance(SignedDuration::from_secs(1));
    world.settle().await;
    cache.filled().await.unwrap();
    assert!(names(&cache).contains(&"a".to_owned()));
}

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let world = World::start().await;
    for number in 0..501 {
        world.create(&format!("n{number}")).await;
    }
    let cache = Caches::new(world.client.clone()).get(&configmaps());
    cache.filled().await.unwrap();
    assert_eq!(names(&cache).len(), 501);
}

#[tokio::test]
async fn a_type_that_comes_back_is_listed_when_somebody_says_so() {
    let world = World::start().await;
    let definitions = Resource::cluster(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
    );
    let things = Resource::namespaced("example.com/v1", "Thing", "things");
    let define = || async {
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "things.example.com"},
            "spec": {"group": "example.com", "scope": "Namespaced",
                "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
                "versions": [{"name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
        world.client.create(&definitions, "", definition.to_string()).await.unwrap();
        world.settle().await;
        let thing =
            json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a"}});
        world.client.create(&things, "default", thing.to_string()).await.unwrap();
        world.settle().await;
    };
    define().await;
    let caches = Caches::new(world.client.clone());
    let cache = caches.get(&things);
    cache.filled().await.unwrap();
    assert_eq!(names(&cache), ["a"]);

    let key = ObjectKey::new("", "things.example.com");
    world.client.delete(&definitions, &key, "").await.unwrap();
    world.settle().await;
    world.clock.advance(SignedDuration::from_secs(2));
    world.settle().await;
    assert_eq!(names(&cache), Vec::<String>::new());
    define().await;
    let before = k8s::Clock::now(&world.clock);
    caches.retry();
    tokio::time::timeout(Duration::from_secs(10), async {
        while names(&cache).is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert_eq!(world.seconds_since(before), 0);
}
