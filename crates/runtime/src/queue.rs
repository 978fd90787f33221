//! A queue of keys: each handed to one worker at a time, coalesced while it waits, tried again with
//! growing gaps.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Display,
    sync::{Arc, Mutex, MutexGuard, OnceLock},
    time::Duration,
};

use k8s::{Activity, SharedClock, TimerKind, Timestamp, Token};
use tokio::{sync::Notify, task::AbortHandle};

use self::meter::Meter;
use crate::{Metrics, Sample, Source};

mod meter;

/// The gap after the first failure.
const FIRST_GAP: Duration = Duration::from_millis(5);
/// From this gap on, a key waits for the world to change rather than for its own work to go on: it no
/// longer keeps the process from being settled.
const STUCK_GAP: Duration = Duration::from_secs(1);
/// The longest gap.
const LONGEST_GAP: Duration = Duration::from_secs(1000);

/// A queue of keys. Clones share it.
#[derive(Debug)]
pub struct Queue<K>(Arc<Shared<K>>);

#[derive(Debug)]
struct Shared<K> {
    name: String,
    clock: SharedClock,
    activity: Activity,
    state: Mutex<State<K>>,
    ready: Notify,
    /// The gap after the first failure, and the longest one, if they are other than usual.
    gaps: OnceLock<(Duration, Duration)>,
    /// What counts, if somebody wants to know.
    meter: OnceLock<Meter>,
}

#[derive(Debug)]
struct State<K> {
    closed: bool,
    ready: VecDeque<K>,
    /// Waiting or wanted again, each with the token that keeps the process from being settled.
    wanted: BTreeMap<K, Wanted>,
    /// In the hands of workers, and since when.
    working: BTreeMap<K, Timestamp>,
    /// The earliest moment each key is wanted again for a cause, and what waits for it.
    due: BTreeMap<(K, Cause), (Timestamp, Timer)>,
    failures: BTreeMap<K, u32>,
}

/// Why a key is wanted at a moment to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    /// Somebody asked for it.
    Asked,
    /// It failed. Once it succeeds, because of an event say, it need not be tried again.
    Failed,
}

/// A key that waits, or is wanted again.
#[derive(Debug)]
struct Wanted {
    since: Timestamp,
    token: Token,
}

/// A task that waits, until it is dropped.
#[derive(Debug)]
struct Timer(AbortHandle);

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A key in the hands of a worker, until it is dropped.
#[derive(Debug)]
pub struct Item<K: Key> {
    queue: Queue<K>,
    key: K,
    token: Option<Token>,
    waited: Duration,
}

/// What can be queued.
pub trait Key: Ord + Clone + Display + Send + 'static {}

impl<K: Ord + Clone + Display + Send + 'static> Key for K {}

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Key> Queue<K> {
    /// Returns an empty queue; `name` is what views call its work.
    pub fn new(name: &str, clock: SharedClock, activity: Activity) -> Self {
        let state = State {
            closed: false,
            ready: VecDeque::new(),
            wanted: BTreeMap::new(),
            working: BTreeMap::new(),
            due: BTreeMap::new(),
            failures: BTreeMap::new(),
        };
        let (name, gaps, meter) = (name.to_owned(), OnceLock::new(), OnceLock::new());
        let (state, ready) = (Mutex::new(state), Notify::new());
        Self(Arc::new(Shared { name, clock, activity, state, ready, gaps, meter }))
    }

    /// Waits so long after the first failure of a key from now on, and at most so long after many.
    #[must_use]
    pub fn with_gaps(self, first: Duration, longest: Duration) -> Self {
        // Whoever said it first is heard.
        let _ = self.0.gaps.set((first, longest));
        self
    }

    /// Counts from now on what goes through the queue, under a name of its own.
    #[must_use]
    pub fn measured(self, metrics: &Metrics, name: &str) -> Self {
        if self.0.meter.set(Meter::new(metrics.clone(), name)).is_ok() {
            metrics.follow(&self.0);
        }
        self
    }

    /// Queues a key; one that waits already is not queued twice, one that is being worked on comes after.
    pub fn add(&self, key: K) {
        let mut state = self.state();
        if state.closed || state.wanted.contains_key(&key) {
            return;
        }
        let token = self.0.activity.hold(format!("{} {key}", self.0.name));
        state.wanted.insert(key.clone(), Wanted { since: self.0.clock.now(), token });
        self.meter().inspect(|meter| meter.added());
        if !state.working.contains_key(&key) {
            state.ready.push_back(key);
            self.0.ready.notify_one();
        }
    }

    /// Queues a key at a moment to come; of several moments the earliest counts.
    pub fn add_at(&self, key: K, at: Timestamp, kind: TimerKind) {
        self.add_for((key, Cause::Asked), at, kind);
    }

    fn add_for(&self, key: (K, Cause), at: Timestamp, kind: TimerKind) {
        let mut state = self.state();
        if state.closed || state.due.get(&key).is_some_and(|(due, _)| *due <= at) {
            return;
        }
        let Shared { activity, clock, name, .. } = self.0.as_ref();
        let due = activity.sleep_until(clock.as_ref(), at, kind, name.clone());
        self.meter().inspect(|meter| meter.put_off());
        let (queue, wanted) = (self.clone(), key.clone());
        let timer = tokio::spawn(async move {
            let token = due.await;
            let mut state = queue.state();
            // An earlier moment may have replaced this one.
            let is_due = state.due.get(&wanted).is_some_and(|(due, _)| *due == at);
            let timer = is_due.then(|| state.due.remove(&wanted));
            drop(state);
            if timer.is_some() {
                queue.add(wanted.0);
            }
            drop(token);
        });
        state.due.insert(key, (at, Timer(timer.abort_handle())));
    }

    /// Queues a key again after a gap that doubles with every failure in a row.
    pub fn add_failed(&self, key: K) {
        let mut state = self.state();
        let failures = state.failures.entry(key.clone()).or_default();
        let (first, longest) = *self.0.gaps.get().unwrap_or(&(FIRST_GAP, LONGEST_GAP));
        let gap = first.saturating_mul(2_u32.saturating_pow(*failures)).min(longest);
        *failures = failures.saturating_add(1);
        drop(state);
        let kind = if gap <= STUCK_GAP { TimerKind::Progress } else { TimerKind::Periodic };
        self.add_for((key, Cause::Failed), self.0.clock.after(gap), kind);
    }

    /// Forgets the failures of a key, and that it was to be tried again because of them.
    pub fn forget(&self, key: &K) {
        let mut state = self.state();
        state.failures.remove(key);
        state.due.remove(&(key.clone(), Cause::Failed));
    }

    /// Waits for a key to work on; returns nothing once the queue is closed.
    pub async fn next(&self) -> Option<Item<K>> {
        loop {
            let ready = self.0.ready.notified();
            {
                let mut state = self.state();
                if state.closed {
                    return None;
                }
                if let Some(key) = state.ready.pop_front() {
                    if !state.ready.is_empty() {
                        self.0.ready.notify_one();
                    }
                    let (now, wanted) = (self.0.clock.now(), state.wanted.remove(&key));
                    let since = wanted.as_ref().map_or(now, |wanted| wanted.since);
                    let (waited, token) = (between(since, now), wanted.map(|wanted| wanted.token));
                    self.meter().inspect(|meter| meter.taken(waited));
                    state.working.insert(key.clone(), now);
                    return Some(Item { queue: self.clone(), key, token, waited });
                }
            }
            ready.await;
        }
    }

    /// Drops what waits, and hands out nothing more.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.ready.clear();
        state.wanted.clear();
        state.due.clear();
        drop(state);
        self.0.ready.notify_waiters();
        self.0.ready.notify_one();
    }

    fn meter(&self) -> Option<&Meter> {
        self.0.meter.get()
    }

    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.0.state.lock().expect("the lock of a queue is never poisoned")
    }
}

impl<K: Key> Item<K> {
    /// Returns the key.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// Returns how long the key waited for a worker.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl<K: Key> Source for Shared<K> {
    fn samples(&self) -> Vec<Sample> {
        let state = self.state.lock().expect("the lock of a queue is never poisoned");
        // One that is closed may be kept for what it was, but is none any more.
        let meter = self.meter.get().filter(|_| !state.closed);
        let now = self.clock.now();
        let worked = state.working.values().map(|since| between(*since, now));
        meter.map(|meter| meter.samples(state.ready.len(), worked)).unwrap_or_default()
    }
}

impl<K: Key> Drop for Item<K> {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        if let Some(since) = state.working.remove(&self.key) {
            let took = between(since, self.queue.0.clock.now());
            self.queue.meter().inspect(|meter| meter.done(took));
        }
        if state.wanted.contains_key(&self.key) {
            state.ready.push_back(self.key.clone());
            self.queue.0.ready.notify_one();
        }
        drop(state);
        // Only now, so that there is no moment at which nobody holds the key.
        drop(self.token.take());
    }
}

fn between(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use k8s::{Clock, Settle, SignedDuration, VirtualClock};

    use super::*;

    fn queue() -> (Queue<String>, VirtualClock, Activity) {
        let (clock, activity) = (VirtualClock::default(), Activity::default());
        (Queue::new("test", Arc::new(clock.clone()), activity.clone()), clock, activity)
    }

    #[tokio::test]
    async fn a_key_in_hand_comes_again_only_after_it_is_put_back() {
        let (queue, ..) = queue();
        queue.add("a".into());
        queue.add("a".into());
        let item = queue.next().await.unwrap();
        queue.add("a".into());
        queue.add("b".into());
        assert_eq!(queue.next().await.unwrap().key(), "b");
        drop(item);
        assert_eq!(queue.next().await.unwrap().key(), "a");
    }

    #[tokio::test]
    async fn gaps_double_and_settling_waits_for_them() {
        let (queue, clock, activity) = queue();
        let start = clock.now();
        let mut gaps = Vec::new();
        for _ in 0..4 {
            queue.add_failed("a".into());
            let before = clock.now();
            let worker = tokio::spawn({
                let queue = queue.clone();
                async move { queue.next().await.map(|item| item.key().clone()) }
            });
            activity.settle(&clock, Settle::within(Duration::from_mins(1))).await.unwrap();
            assert_eq!(worker.await.unwrap().as_deref(), Some("a"));
            gaps.push(clock.now().duration_since(before).as_millis());
        }
        assert_eq!(gaps, [5, 10, 20, 40]);
        assert_eq!(clock.now().duration_since(start).as_millis(), 75);
    }

    #[tokio::test]
    async fn what_succeeded_is_not_tried_again_but_comes_when_it_was_asked_for() {
        let (queue, clock, activity) = queue();
        let start = clock.now();
        queue.add_failed("a".into());
        queue.add_at("a".into(), start + SignedDuration::from_secs(2), TimerKind::Progress);
        queue.forget(&"a".into());
        let worker = tokio::spawn({
            let queue = queue.clone();
            async move { queue.next().await.map(|item| item.key().clone()) }
        });
        activity.settle(&clock, Settle::within(Duration::from_mins(1))).await.unwrap();
        assert_eq!(worker.await.unwrap().as_deref(), Some("a"));
        assert_eq!(clock.now().duration_since(start).as_secs(), 2);
    }

    #[tokio::test]
    async fn gaps_end_at_a_quarter_of_an_hour_and_start_anew_after_a_success() {
        let (queue, clock, _) = queue();
        let due = |queue: &Queue<String>| {
            let key = ("a".to_owned(), Cause::Failed);
            let due = queue.state().due.remove(&key).map(|(due, _)| due).unwrap();
            due.duration_since(clock.now()).as_millis()
        };
        let gap = || {
            queue.add_failed("a".into());
            due(&queue)
        };
        let gaps: Vec<_> = (0..40).map(|_| gap()).collect();
        assert_eq!(gaps[16..19], [327_680, 655_360, 1_000_000]);
        assert_eq!(gaps.last(), Some(&1_000_000));
        queue.forget(&"a".into());
        assert_eq!(gap(), 5);
    }

    #[tokio::test]
    async fn a_closed_queue_waits_for_nothing() {
        let (queue, clock, activity) = queue();
        let at = clock.now() + SignedDuration::from_secs(30);
        queue.add_at("a".into(), at, TimerKind::Progress);
        tokio::task::yield_now().await;
        queue.close();
        let before = clock.now();
        activity.settle(&clock, Settle::within(Duration::from_mins(1))).await.unwrap();
        assert_eq!(clock.now(), before);
        assert_eq!(Arc::strong_count(&queue.0), 1);
    }

    #[tokio::test]
    async fn a_queue_tells_what_went_through_it_until_it_is_closed() {
        let (queue, clock, _) = queue();
        let metrics = Metrics::default();
        let queue = queue.measured(&metrics, "q");
        queue.add("a".into());
        queue.add("a".into());
        queue.add("b".into());
        clock.advance(SignedDuration::from_millis(500));
        let item = queue.next().await.unwrap();
        assert_eq!(item.waited().as_millis(), 500);
        clock.advance(SignedDuration::from_secs(2));
        let of = |name: &str| {
            let text = metrics.text();
            let line = text.lines().find(|line| line.starts_with(&format!("workqueue_{name}{{")));
            line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        };
        let told = ["adds_total", "depth", "unfinished_work_seconds", "queue_duration_seconds_sum"];
        assert_eq!(told.map(of), [Some(2.0), Some(1.0), Some(2.0), Some(0.5)]);
        drop(item);
        assert_eq!(of("longest_running_processor_seconds"), Some(0.0));
        assert_eq!(of("work_duration_seconds_sum"), Some(2.0));
        queue.close();
        assert_eq!(of("depth"), None);
    }

    #[tokio::test]
    async fn of_several_moments_the_earliest_counts() {
        let (queue, clock, _) = queue();
        let at = |seconds| clock.now() + SignedDuration::from_secs(seconds);
        queue.add_at("a".into(), at(9), TimerKind::Periodic);
        queue.add_at("a".into(), at(3), TimerKind::Periodic);
        tokio::task::yield_now().await;
        clock.advance(SignedDuration::from_secs(3));
        assert_eq!(queue.next().await.unwrap().key(), "a");
        clock.advance(SignedDuration::from_secs(9));
        tokio::task::yield_now().await;
        assert!(queue.state().wanted.is_empty());
    }
}
