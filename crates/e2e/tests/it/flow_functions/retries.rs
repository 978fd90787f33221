//! What is tried again, and when.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use api::{Fetch, FetchError, FetchRequest, function};
use apiserver::ExecutorRegistration;
use bytes::Bytes;
use e2e::World;
use functions::{
    ExecutorOptions, Fleet, FunctionExecutor, Functions, Interpreters, Offer, Options, Surroundings,
};
use futures::{FutureExt, future::BoxFuture};
use k8s::{SharedClock, SignedDuration, Timestamp, VirtualClock};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::launcher;
use crate::functions_objects::define;

/// The gaps between one try and the next, in seconds.
const GAPS: [i64; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300];

/// A place of programs that has none until it is told one.
#[derive(Debug)]
struct Source {
    clock: SharedClock,
    asked: Mutex<Vec<Timestamp>>,
    text: Mutex<Option<&'static str>>,
}

impl Fetch for Source {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<Bytes, FetchError>> {
        self.asked.lock().unwrap().push(self.clock.now());
        let text = self.text.lock().unwrap().map(Bytes::from);
        let answer = text.ok_or(FetchError::Refused { url: request.url, status: 404 });
        async { answer }.boxed()
    }
}

/// What runs the Functions of a world, until it is dropped.
struct Parts {
    /// The clock of the executor alone: that of the server moves whenever something is waited for.
    clock: VirtualClock,
    source: Arc<Source>,
    _dir: TempDir,
    _functions: Functions,
    _executor: ExecutorRegistration,
}

impl Parts {
    async fn start(world: &World) -> Self {
        define(world).await;
        let (client, own) = (world.client.clone(), VirtualClock::default());
        let clock: SharedClock = Arc::new(own.clone());
        let dir = tempfile::tempdir().unwrap();
        let interpreters = Arc::new(Interpreters::new(Arc::clone(&clock), e2e::worker_program()));
        let (asked, text) = (Mutex::default(), Mutex::default());
        let source = Arc::new(Source { clock: Arc::clone(&clock), asked, text });
        let executor = ExecutorOptions {
            data: dir.path().to_owned(),
            launcher: launcher(),
            interpreters: Arc::clone(&interpreters),
            clock,
            fetch: Arc::clone(&source) as Arc<dyn Fetch>,
            gateway: None,
        };
        let fleet = Fleet::new(Arc::new(world.api().clone()));
        let executor = FunctionExecutor::new(client.clone(), fleet, executor);
        let executor = world.api().register_executor("functions", Arc::new(executor)).unwrap();
        let surroundings =
            Surroundings { image: "windlass".to_owned(), executor: Some("functions") };
        let offer = Offer::Machine(interpreters);
        let options =
            Options { surroundings, offer, environment: BTreeMap::new(), served: Arc::new(|_| {}) };
        let functions = Functions::start(&client, options);
        Self { clock: own, source, _dir: dir, _functions: functions, _executor: executor }
    }
}

async fn create(world: &World, spec: &Value) {
    let object = json!({"metadata": {"name": "f"}, "spec": spec});
    world.create(&function::resource(), object).await;
}

async fn until(world: &World, kind: &str, expected: &str) {
    let is_told = || async {
        let function = world.get(&function::resource(), "f").await;
        super::condition(&function, kind)["reason"] == expected
    };
    world.eventually(&format!("{kind} is {expected}"), is_told).await;
}

/// Breaks when the gap does not grow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_cannot_be_had_is_fetched_again_after_growing_gaps() {
    let world = World::embedded("fetched-again").await;
    let parts = Parts::start(&world).await;
    create(
        &world,
        &json!({"runtime": "jsonnet", "handler": "a.b", "function": "http://h/x",
            "function-content-type": "url"}),
    )
    .await;
    until(&world, "Built", "FetchFailed").await;
    let asked = || parts.source.asked.lock().unwrap().clone();
    let half = SignedDuration::from_millis(500);
    for (tries, gap) in GAPS.into_iter().enumerate() {
        world.settle().await;
        parts.clock.advance(SignedDuration::from_secs(gap) - half);
        // Whoever comes too early is noticed.
        world.settle().await;
        parts.clock.advance(half);
        world.eventually("it is tried again", || async { tries + 2 <= asked().len() }).await;
    }
    let asked = asked();
    let gaps: Vec<_> =
        asked.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_millis()).collect();
    assert_eq!(gaps, GAPS.map(|gap| i128::from(gap) * 1000));
    // It is one trouble, however often it is met.
    assert_eq!(world.events("FetchFailed").await.len(), 1);
    *parts.source.text.lock().unwrap() = Some("function() 'here'");
    world.settle().await;
    parts.clock.advance(SignedDuration::from_mins(5));
    until(&world, "Built", "Built").await;
    drop(parts);
    world.end().await;
}

/// Breaks when the queue has its usual gaps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_that_cannot_be_written_are_written_again_after_growing_gaps() {
    let world = World::embedded("written-again").await;
    let parts = Parts::start(&world).await;
    let rule = json!({"match": {"verb": "patch", "resource": "configmaps"},
        "action": {"status": {"code": 403, "reason": "Forbidden"}}});
    world.api().faults().add(serde_json::from_value(rule).unwrap());
    create(&world, &json!({"runtime": "jsonnet", "handler": "a.b", "function": "function() 1"}))
        .await;
    let tried = || {
        let requests = world.api().requests().into_iter();
        let tried = requests.filter(|it| it.resource == "configmaps" && it.verb == "patch");
        tried.map(|it| it.time).collect::<Vec<_>>()
    };
    // The first gap is waited for as work under way; longer ones are not.
    world.settle().await;
    for gap in &GAPS[1..5] {
        let before = tried().len();
        world.pass(Duration::from_secs(u64::try_from(*gap).unwrap())).await;
        world.eventually("it is tried again", || async { before < tried().len() }).await;
    }
    let tried = tried();
    let gaps: Vec<_> =
        tried.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs()).collect();
    assert_eq!(gaps, GAPS[..5]);
    world.api().faults().clear();
    world.pass(Duration::from_secs(32)).await;
    until(&world, "Available", "Available").await;
    drop(parts);
    world.end().await;
}

/// Breaks when a spec that cannot run counts as a failure to be tried again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spec_that_cannot_run_waits_for_a_change() {
    let world = World::embedded("not-again").await;
    let parts = Parts::start(&world).await;
    let spec = json!({"runtime": "jsonnet", "handler": "a", "function": "function() 1"});
    create(&world, &spec).await;
    until(&world, "Accepted", "InvalidHandler").await;
    let is_told = || async { world.events("InvalidHandler").await.len() == 1 };
    world.eventually("an event tells it", is_told).await;
    world.settle().await;
    let revision = world.api().revision();
    let requests = || {
        let all = world.api().requests().into_iter();
        all.filter(|it| it.resource == "functions" && it.verb != "watch").count()
    };
    let before = requests();
    world.pass(Duration::from_mins(9)).await;
    assert_eq!((requests(), world.api().revision()), (before, revision));
    world.patch(&function::resource(), "f", &json!({"spec": {"handler": "a.b"}})).await;
    until(&world, "Accepted", "Accepted").await;
    drop(parts);
    world.end().await;
}
