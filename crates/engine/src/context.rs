//! What all syncs of one running controller share.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use api::{SharedHook, SharedReport};
use k8s::{Object, ObjectKey, Resource, SignedDuration, TimerKind, Timestamp};
use runtime::{
    Applier, Cache, Caches, Client, Discovery, Events, Expectations, Part, Shown, Write, Written,
};
use serde_json::Value;
use tokio::task::AbortHandle;

use crate::{
    adopters::Adopters,
    controller::{ChildRule, Controller, ParentRule},
    customize::Customized,
    exchange::Exchanges,
    meter::Meter,
    plan::{Known, ObservedType, SettledChildren, Trial, Trials},
    queue::ParentQueue,
    recorder::{Notes, Recorder},
    repeats::{Repeats, Verdict},
    strategy::ApplyStrategy,
};

/// How long a sync waits for the caches to show the controller's own last writes.
const OWN_WRITES: Duration = Duration::from_secs(1);

/// A running controller as one type of its parents sees it: its rules, its caches, its means and what it
/// remembers of them.
pub(crate) struct Context {
    pub(crate) controller: Arc<Controller>,
    /// Which objects of the type are parents.
    pub(crate) rule: ParentRule,
    /// Whether the status of parents is written apart from the rest.
    pub(crate) has_status: bool,
    /// The controller objects, this one among them.
    pub(crate) controllers: Arc<Cache>,
    pub(crate) parents: Arc<Cache>,
    pub(crate) children: Vec<ChildType>,
    /// The versions of parents, if any children roll.
    pub(crate) revisions: Option<Arc<Cache>>,
    pub(crate) queue: ParentQueue,
    /// What is noted of its syncs.
    pub(crate) notes: Notes,
    pub(crate) means: Means,
    pub(crate) memory: Mutex<Memory>,
    /// What customize hooks asked for.
    pub(crate) customized: Mutex<Customized>,
    /// Which parents may adopt which objects.
    pub(crate) adopters: Mutex<Adopters>,
    /// How hooks are called.
    pub(crate) exchanges: Arc<Exchanges>,
    /// What counts.
    pub(crate) meter: Arc<Meter>,
    /// For handlers of changes, which must not keep a stopped controller alive.
    pub(crate) myself: Weak<Context>,
}

/// A type of children and the copy of its objects.
#[derive(Clone)]
pub(crate) struct ChildType {
    pub(crate) rule: ChildRule,
    pub(crate) cache: Arc<Cache>,
}

/// What controllers act through; clones share it.
#[derive(Clone)]
pub(crate) struct Means {
    /// Where the engine keeps what belongs to no namespace.
    pub(crate) namespace: String,
    pub(crate) caches: Caches,
    pub(crate) client: Client,
    pub(crate) applier: Applier,
    pub(crate) discovery: Discovery,
    pub(crate) events: Events,
    pub(crate) hook: SharedHook,
    pub(crate) report: SharedReport,
    pub(crate) recorder: Recorder,
    /// How often all parents are synced again if their controller does not say so more often.
    pub(crate) flush: Duration,
    /// How children are made what the hooks want.
    pub(crate) strategy: ApplyStrategy,
}

/// What a controller remembers between syncs, all of it dropped with the parent or the child.
#[derive(Default)]
pub(crate) struct Memory {
    /// Own writes of each parent that the caches must show first, and until when to wait.
    expected: HashMap<ObjectKey, Pending>,
    /// When each of these waits ends, the first to end at the front.
    deadlines: VecDeque<(Timestamp, ObjectKey)>,
    /// The parents that were put off because of them.
    waiting: BTreeSet<ObjectKey>,
    /// Children that need no look as long as neither they nor the wish changes.
    pub(crate) settled: SettledChildren,
    /// What was written to the parents themselves.
    pub(crate) repeats: Repeats,
    /// Foreign objects with the names of children, and the parents that wait for them to go.
    conflicts: HashMap<(Resource, ObjectKey), BTreeSet<ObjectKey>>,
    /// What the server would make of children, by the hash of the wish. Plans share it: each sync needs one,
    /// and news are rare.
    pub(crate) trials: Arc<Trials>,
    /// Until when each of these answers counts.
    trials_until: HashMap<u64, Timestamp>,
    /// Children of undeclared types, which cannot be observed, by the parent's UID.
    undeclared: HashMap<String, BTreeSet<(Resource, ObjectKey)>>,
    /// The parents whose rollout waits for a child.
    rollouts: BTreeSet<ObjectKey>,
}

/// Own writes that the caches do not show yet, and how long to wait for them.
#[derive(Default)]
struct Pending {
    writes: Expectations,
    deadline: Timestamp,
    /// Queues the parent at the deadline, unless the events that show the writes come first.
    alarm: Option<Alarm>,
}

/// A task that ends with its owner.
struct Alarm(AbortHandle);

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Memory {
    /// Drops the own writes that nobody would wait for any more: most parents are not synced again after the
    /// last one, and nothing else would drop it.
    fn drop_expired(&mut self, now: Timestamp) {
        while let Some((_, parent)) = self.deadlines.pop_front_if(|(until, _)| *until <= now) {
            let is_over = |pending: &Pending| pending.deadline <= now && pending.alarm.is_none();
            if self.expected.get(&parent).is_some_and(is_over) {
                self.expected.remove(&parent);
            }
        }
    }

    /// Notes that a child that cannot be observed is there.
    pub(crate) fn know(&mut self, parent: &Object, resource: &Resource, key: &ObjectKey) {
        let places = self.undeclared.entry(parent.meta().uid.clone()).or_default();
        places.insert((resource.clone(), key.clone()));
    }

    /// Tells whether a child that cannot be observed is there already.
    pub(crate) fn is_known(&self, parent: &Object, write: &Write) -> bool {
        let place = (write.resource.clone(), write.key.clone());
        self.undeclared.get(&parent.meta().uid).is_some_and(|places| places.contains(&place))
    }
}

impl Context {
    /// Returns the cache of a type, if it is the parents' or among the children's.
    fn cache(&self, resource: &Resource) -> Option<&Arc<Cache>> {
        self.caches().find(|cache| cache.resource() == resource)
    }

    /// Returns the caches of all types that the controller writes to and sees again.
    pub(crate) fn caches(&self) -> impl Iterator<Item = &Arc<Cache>> {
        let children = self.children.iter().map(|child| &child.cache);
        children.chain([&self.parents]).chain(&self.revisions)
    }

    /// Returns what is known of some children, so that planning does not hold up others.
    pub(crate) fn known(&self, children: &[ObservedType]) -> Known {
        let memory = self.memory();
        let uids = children.iter().flat_map(|each| &each.objects).map(|object| &object.meta().uid);
        let settled = uids.filter_map(|uid| Some((uid.clone(), memory.settled.get(uid)?.clone())));
        let (settled, trials) = (settled.collect(), Arc::clone(&memory.trials));
        Known { strategy: self.means.strategy.clone(), settled, trials }
    }

    /// Expects the caches to show a write before the parent is synced again.
    pub(crate) fn expect(&self, parent: &ObjectKey, written: Written) {
        if self.cache(written.resource()).is_none() {
            return;
        }
        let now = self.means.client.clock().now();
        let wait = SignedDuration::try_from(OWN_WRITES).unwrap_or(SignedDuration::ZERO);
        let until = now.checked_add(wait).unwrap_or(Timestamp::MAX);
        let mut memory = self.memory();
        memory.drop_expired(now);
        memory.deadlines.push_back((until, parent.clone()));
        let pending = memory.expected.entry(parent.clone()).or_default();
        pending.writes.expect(written);
        pending.deadline = until;
    }

    /// Tells whether a parent must wait for the caches to show own writes. It is queued again when they
    /// do, or when it has waited long enough.
    pub(crate) fn must_wait(&self, parent: &ObjectKey) -> bool {
        let mut memory = self.memory();
        let Some(pending) = memory.expected.get_mut(parent) else { return false };
        let reached = pending.writes.reached(|resource, key| self.look(resource, key));
        if reached || pending.deadline <= self.means.client.clock().now() {
            memory.expected.remove(parent);
            memory.waiting.remove(parent);
            return false;
        }
        if pending.alarm.is_none() {
            pending.alarm = Some(self.alarm(parent.clone(), pending.deadline));
        }
        memory.waiting.insert(parent.clone());
        true
    }

    /// Queues the parents whose own writes a cache shows now.
    ///
    /// The event alone does not do that: it may have queued a parent a moment before its cache counted the
    /// event as seen, and it queues none if it is no news.
    pub(crate) fn shown(&self) {
        let mut memory = self.memory();
        let Memory { expected, waiting, .. } = &mut *memory;
        waiting.retain(|parent| {
            let Some(pending) = expected.get_mut(parent) else { return false };
            if !pending.writes.reached(|resource, key| self.look(resource, key)) {
                return true;
            }
            expected.remove(parent);
            self.queue.add(parent.clone());
            false
        });
    }

    /// Returns what the caches show of an object.
    fn look(&self, resource: &Resource, key: &ObjectKey) -> Shown {
        let shown = |cache: &Arc<Cache>| Shown { seen: cache.seen(), object: cache.get(key) };
        self.cache(resource).map(shown).unwrap_or_default()
    }

    /// Queues a parent at a moment to come.
    fn alarm(&self, parent: ObjectKey, at: Timestamp) -> Alarm {
        let (client, queue) = (&self.means.client, self.queue.clone());
        let (clock, activity) = (client.clock().as_ref(), client.activity());
        let due = activity.sleep_until(clock, at, TimerKind::Progress, "own writes");
        let task = tokio::spawn(async move {
            let _token = due.await;
            queue.add(parent);
        });
        Alarm(task.abort_handle())
    }

    /// Notes that a foreign object stands where a child should be.
    pub(crate) fn conflict(&self, resource: &Resource, key: &ObjectKey, parent: &ObjectKey) {
        let place = (resource.clone(), key.clone());
        self.memory().conflicts.entry(place).or_default().insert(parent.clone());
    }

    /// Takes the parents that waited for this place to be free.
    pub(crate) fn freed(&self, resource: &Resource, key: &ObjectKey) -> BTreeSet<ObjectKey> {
        let place = (resource.clone(), key.clone());
        self.memory().conflicts.remove(&place).unwrap_or_default()
    }

    /// Keeps what a trial told until some moment.
    pub(crate) fn keep_trial(&self, wish: u64, trial: Trial, until: Timestamp) {
        let mut memory = self.memory();
        Arc::make_mut(&mut memory.trials).insert(wish, trial);
        memory.trials_until.insert(wish, until);
    }

    /// Drops the answers of trials that no longer count.
    pub(crate) fn drop_old_trials(&self) {
        let now = self.means.client.clock().now();
        let mut memory = self.memory();
        let Memory { trials, trials_until, .. } = &mut *memory;
        trials_until.retain(|wish, until| {
            let counts = now < *until;
            if !counts {
                Arc::make_mut(trials).remove(wish);
            }
            counts
        });
    }

    /// Tells whether a write to a parent is worth sending now. One that is worth it later queues the parent.
    pub(crate) fn may_send(
        &self,
        parent: &Object,
        place: &(String, Part),
        (wish, now_there): (&Value, &Value),
    ) -> bool {
        let now = self.means.client.clock().now();
        let verdict = self.memory().repeats.judge(place, (wish, now_there), now);
        if let Verdict::SendAt(due) = verdict {
            self.queue.add_at(parent.key(), due, TimerKind::Periodic);
        }
        verdict == Verdict::Send
    }

    /// Notes whether the rollout of a parent waits for a child.
    pub(crate) fn note_rollout(&self, parent: &ObjectKey, waits: bool) {
        let mut memory = self.memory();
        let is_news = if waits {
            memory.rollouts.insert(parent.clone())
        } else {
            memory.rollouts.remove(parent)
        };
        if is_news {
            self.meter.waiting(memory.rollouts.len());
        }
    }

    /// Drops what was remembered of a parent that is gone.
    pub(crate) fn forget(&self, parent: &Object) {
        let key = parent.key();
        self.note_rollout(&key, false);
        let mut memory = self.memory();
        memory.expected.remove(&key);
        memory.waiting.remove(&key);
        memory.conflicts.retain(|_, parents| {
            parents.remove(&key);
            !parents.is_empty()
        });
        memory.repeats.forget(&parent.meta().uid);
        memory.undeclared.remove(&parent.meta().uid);
        drop(memory);
        self.notes.forget(&key);
        self.customized().forget(&key);
    }

    pub(crate) fn adopters(&self) -> std::sync::MutexGuard<'_, Adopters> {
        self.adopters.lock().expect("the lock of adopters is never poisoned")
    }

    /// Queues a parent, and notes why.
    pub(crate) fn queue_for(&self, parent: ObjectKey, why: impl FnOnce() -> String) {
        self.notes.trigger(&parent, why);
        self.queue.add(parent);
    }

    pub(crate) fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().expect("the lock of a controller's memory is never poisoned")
    }
}
