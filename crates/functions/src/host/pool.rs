//! Pure: which worker of a function serves which of its calls, and when workers start and stop.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use k8s::{SignedDuration, Timestamp};

/// How long a worker may have nothing to do before it is stopped, unless the function says otherwise.
pub(crate) const IDLE: Duration = Duration::from_mins(1);
/// How long a call may wait for a worker that is up before another is started.
///
/// To start one costs more than many short calls do, and under such calls it would come too late.
const PATIENCE: SignedDuration = SignedDuration::from_millis(20);
/// The longest wait before a worker is started again.
const LONGEST_GAP: SignedDuration = SignedDuration::from_mins(1);
/// How long a worker must have lived for its end to be no sign of trouble.
const HEALTHY: SignedDuration = SignedDuration::from_mins(1);
/// After so many failures in a row the function is said to crash in a loop.
const CRASH_LOOP: u32 = 5;

/// A call that wants a worker.
pub(crate) type CallId = u64;
/// A worker.
pub(crate) type WorkerId = u64;

/// How many workers and calls there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most workers.
    pub workers: usize,
    /// The most calls that one worker serves at once.
    pub calls: usize,
    /// The most calls that wait.
    pub queue: usize,
    /// How many workers stay although they have nothing to do: one, or none to start again with the next call.
    pub keep: usize,
    /// How long others may have nothing to do.
    pub idle: Duration,
}

/// The workers of a function and the calls that wait for them.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    limits: Limits,
    workers: BTreeMap<WorkerId, Worker>,
    /// The calls that wait, and since when.
    waiting: VecDeque<(CallId, Timestamp)>,
    next: WorkerId,
    /// How many workers ended badly, one after another.
    failures: u32,
    /// When a worker may be started again after one ended badly.
    retry_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Worker {
    stage: Stage,
    calls: usize,
    /// When it was started, or had loaded the program.
    born: Timestamp,
    /// When it last began to have nothing to do.
    idle: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Starting,
    Up,
    /// It serves the calls it has, and no others.
    Draining,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start a worker.
    Start(WorkerId),
    /// Give the call to the worker.
    Serve(CallId, WorkerId),
    /// Tell the caller that it cannot be served.
    Refuse(CallId, Refusal),
    /// Stop a worker.
    Stop(WorkerId),
}

/// Why a call is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Too many wait.
    Full,
    /// No worker runs, and none is to be started now.
    Down,
}

impl Pool {
    pub(crate) fn new(limits: Limits) -> Self {
        let (workers, waiting) = (BTreeMap::new(), VecDeque::new());
        Self { limits, workers, waiting, next: 0, failures: 0, retry_at: None }
    }

    /// Starts what must run before the first call.
    pub(crate) fn open(&mut self, now: Timestamp) -> Vec<Action> {
        let mut actions = Vec::new();
        self.start(now, &mut actions);
        actions
    }

    /// A call wants to be served.
    pub(crate) fn call(&mut self, call: CallId, now: Timestamp) -> Vec<Action> {
        // A call whose worker may still be started does not wait for others to end.
        let coming = self.limits.workers.saturating_sub(self.count(Stage::Up));
        let coming = coming.saturating_mul(self.limits.calls);
        let room = self.limits.queue.saturating_add(coming);
        if room <= self.waiting.len() && self.free().is_none() {
            return vec![Action::Refuse(call, Refusal::Full)];
        }
        self.waiting.push_back((call, now));
        self.go_on(now)
    }

    /// A call ended, whose worker can serve the next.
    pub(crate) fn ended(&mut self, worker: WorkerId, now: Timestamp) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some(known) = self.workers.get_mut(&worker) {
            known.calls = known.calls.saturating_sub(1);
            if known.calls == 0 {
                known.idle = now;
                if known.stage == Stage::Draining {
                    self.workers.remove(&worker);
                    actions.push(Action::Stop(worker));
                }
            }
        }
        actions.extend(self.go_on(now));
        actions
    }

    /// A worker has loaded the program.
    pub(crate) fn loaded(&mut self, worker: WorkerId, now: Timestamp) -> Vec<Action> {
        if let Some(known) = self.workers.get_mut(&worker) {
            *known = Worker { stage: Stage::Up, born: now, idle: now, ..*known };
        }
        self.retry_at = None;
        self.go_on(now)
    }

    /// A worker is to serve no more calls than it has.
    pub(crate) fn drain(&mut self, worker: WorkerId, now: Timestamp) -> Vec<Action> {
        if let Some(known) = self.workers.get_mut(&worker) {
            known.stage = Stage::Draining;
        }
        self.replaced(now)
    }

    /// A worker was killed for taking too long, which is the program's way and no reason to wait.
    pub(crate) fn killed(&mut self, worker: WorkerId, now: Timestamp) -> Vec<Action> {
        self.workers.remove(&worker);
        self.replaced(now)
    }

    /// A worker ended by itself, or did not load the program.
    pub(crate) fn died(&mut self, worker: WorkerId, now: Timestamp) -> Vec<Action> {
        let Some(dead) = self.workers.remove(&worker) else { return vec![] };
        if dead.stage != Stage::Starting && HEALTHY <= now.duration_since(dead.born) {
            self.failures = 0;
        }
        // The first is followed by another at once, then come 1, 2, 4 .. 60 seconds.
        let gap = self.failures.checked_sub(1).map(|power| {
            SignedDuration::from_secs(1i64.checked_shl(power).unwrap_or(i64::MAX)).min(LONGEST_GAP)
        });
        self.failures = self.failures.saturating_add(1);
        self.retry_at = gap.and_then(|gap| now.checked_add(gap).ok());
        self.replaced(now)
    }

    /// Some time has passed: workers without work are stopped, one that is missing is started.
    pub(crate) fn tick(&mut self, now: Timestamp) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            if self.workers.len() < self.limits.keep.max(usize::from(!self.waiting.is_empty())) {
                self.start(now, &mut actions);
            }
        }
        let idle = SignedDuration::try_from(self.limits.idle).unwrap_or(SignedDuration::MAX);
        let mut stale: Vec<_> = self
            .workers
            .iter()
            .filter(|(_, it)| it.stage == Stage::Up && it.calls == 0)
            .filter(|(_, it)| idle <= now.duration_since(it.idle))
            .map(|(id, _)| *id)
            .collect();
        let spare = self.workers.len().saturating_sub(self.limits.keep);
        stale.truncate(spare);
        for id in stale {
            self.workers.remove(&id);
            actions.push(Action::Stop(id));
        }
        if self.healthy_at().is_some_and(|at| at <= now) {
            self.failures = 0;
        }
        actions.extend(self.go_on(now));
        actions
    }

    /// Returns when time changes something.
    pub(crate) fn next_tick(&self) -> Option<Timestamp> {
        let idle = SignedDuration::try_from(self.limits.idle).unwrap_or(SignedDuration::MAX);
        let can_go = self.limits.keep < self.workers.len();
        let stale =
            self.workers.values().filter(|it| can_go && it.stage == Stage::Up && it.calls == 0);
        let stale = stale.filter_map(|it| it.idle.checked_add(idle).ok()).min();
        let healthy = self.healthy_at().filter(|_| 0 < self.failures);
        self.retry_at.into_iter().chain(stale).chain(healthy).chain(self.grows_at()).min()
    }

    /// Returns when a worker has lived so long that what befell others counts no more.
    fn healthy_at(&self) -> Option<Timestamp> {
        let up = self.workers.values().filter(|worker| worker.stage == Stage::Up);
        up.filter_map(|worker| worker.born.checked_add(HEALTHY).ok()).min()
    }

    /// Returns whether workers have ended badly so often that somebody should look.
    pub(crate) fn is_crashing(&self) -> bool {
        CRASH_LOOP <= self.failures
    }

    /// Returns whether a worker is up.
    pub(crate) fn is_up(&self) -> bool {
        self.workers.values().any(|worker| worker.stage == Stage::Up)
    }

    /// Returns how many calls wait or are served.
    pub(crate) fn calls(&self) -> usize {
        self.waiting.len() + self.workers.values().map(|worker| worker.calls).sum::<usize>()
    }

    /// Returns how many calls wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Returns how many calls a worker serves.
    pub(crate) fn calls_of(&self, worker: WorkerId) -> usize {
        self.workers.get(&worker).map_or(0, |worker| worker.calls)
    }

    /// Starts a worker in the place of one that is gone, if it is to be kept, and goes on.
    fn replaced(&mut self, now: Timestamp) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.retry_at.is_none() && self.running() < self.limits.keep {
            self.start(now, &mut actions);
        }
        actions.extend(self.go_on(now));
        actions
    }

    /// Gives calls to workers and starts workers for those that are left.
    fn go_on(&mut self, now: Timestamp) -> Vec<Action> {
        let mut actions = Vec::new();
        while let (Some(worker), false) = (self.free(), self.waiting.is_empty()) {
            if let (Some(known), Some((call, _))) =
                (self.workers.get_mut(&worker), self.waiting.pop_front())
            {
                known.calls += 1;
                actions.push(Action::Serve(call, worker));
            }
        }
        if self.grows_at().is_some_and(|at| at <= now) {
            let room = self.limits.workers.saturating_sub(self.running());
            for _ in 0..self.missing().min(room) {
                self.start(now, &mut actions);
            }
        }
        if self.workers.is_empty() && self.retry_at.is_some() {
            let refuse = |(call, _)| Action::Refuse(call, Refusal::Down);
            actions.extend(self.waiting.drain(..).map(refuse));
        }
        actions
    }

    /// Returns the worker with the fewest calls, among those that can take one more; of equals the one that
    /// came first, so that the others may become idle.
    fn free(&self) -> Option<WorkerId> {
        let up = self.workers.iter().filter(|(_, worker)| worker.stage == Stage::Up);
        let free = up.filter(|(_, worker)| worker.calls < self.limits.calls);
        free.min_by_key(|(id, worker)| (worker.calls, **id)).map(|(id, _)| *id)
    }

    /// Returns when calls have waited long enough for another worker, if there may be one and none is on its way.
    fn grows_at(&self) -> Option<Timestamp> {
        let (_, since) = self.waiting.front()?;
        let may_start = self.retry_at.is_none() && self.running() < self.limits.workers;
        if !may_start || self.missing() == 0 {
            return None;
        }
        // Without any there is nothing to wait for.
        let patience = if self.is_up() { PATIENCE } else { SignedDuration::ZERO };
        since.checked_add(patience).ok()
    }

    /// Returns how many more workers should be on their way: at most as many as are up, which is soon enough, and
    /// no herd for a short crowd.
    fn missing(&self) -> usize {
        let wanted = self.waiting.len().div_ceil(self.limits.calls.max(1));
        wanted.min(self.count(Stage::Up).max(1)).saturating_sub(self.count(Stage::Starting))
    }

    fn count(&self, stage: Stage) -> usize {
        self.workers.values().filter(|worker| worker.stage == stage).count()
    }

    /// Returns how many workers count against the limit: those that drain are on their way out.
    fn running(&self) -> usize {
        self.workers.values().filter(|worker| worker.stage != Stage::Draining).count()
    }

    fn start(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        self.next += 1;
        let worker = Worker { stage: Stage::Starting, calls: 0, born: now, idle: now };
        self.workers.insert(self.next, worker);
        actions.push(Action::Start(self.next));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Action::*, *};

    const USUAL: Limits = Limits { workers: 2, calls: 1, queue: 2, keep: 1, idle: IDLE };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000 + second).unwrap()
    }

    fn opened(limits: Limits) -> Pool {
        let mut pool = Pool::new(limits);
        assert_eq!(pool.open(at(0)), [Start(1)]);
        assert_eq!(pool.loaded(1, at(0)), []);
        pool
    }

    #[test]
    fn a_call_that_finds_all_busy_gets_a_worker_of_its_own() {
        let mut pool = opened(USUAL);
        assert_eq!(pool.call(10, at(0)), [Serve(10, 1)]);
        assert_eq!(pool.call(11, at(0)), []);
        assert_eq!(pool.next_tick(), Some(at(0) + PATIENCE));
        assert_eq!(pool.tick(at(0) + PATIENCE), [Start(2)]);
        assert_eq!(pool.loaded(2, at(1)), [Serve(11, 2)]);
        assert_eq!(pool.call(12, at(1)), []);
        assert_eq!(pool.ended(2, at(1)), [Serve(12, 2)]);
    }

    /// Breaks when each call that waits has a worker started at once.
    #[test]
    fn workers_grow_in_number_no_faster_than_they_load() {
        let mut pool = opened(Limits { workers: 10, queue: 256, ..USUAL });
        (0..16).for_each(|call| drop(pool.call(call, at(0))));
        assert_eq!(pool.tick(at(1)), [Start(2)]);
        assert_eq!(pool.next_tick(), None);
        assert_eq!(pool.loaded(2, at(1)), [Serve(1, 2), Start(3), Start(4)]);
        assert_eq!(pool.loaded(3, at(1)), [Serve(2, 3), Start(5), Start(6)]);
        // Short calls do not wait for so long, however many come.
        let mut pool = opened(Limits { workers: 10, queue: 256, ..USUAL });
        (0..16).for_each(|call| drop(pool.call(call, at(0))));
        for call in 1..100 {
            let now = at(0) + SignedDuration::from_millis(i64::try_from(call).unwrap());
            assert_eq!(pool.call(call + 15, now), []);
            assert_eq!(pool.ended(1, now), [Serve(call, 1)]);
        }
    }

    #[test]
    fn a_full_queue_refuses() {
        let mut pool = opened(Limits { workers: 1, queue: 1, ..USUAL });
        assert_eq!(pool.call(10, at(0)), [Serve(10, 1)]);
        assert_eq!(pool.call(11, at(0)), []);
        assert_eq!(pool.call(12, at(0)), [Refuse(12, Refusal::Full)]);
    }

    #[test]
    fn a_call_that_may_have_a_worker_of_its_own_needs_no_queue() {
        let mut pool = opened(Limits { workers: 2, queue: 0, ..USUAL });
        assert_eq!(pool.call(10, at(0)), [Serve(10, 1)]);
        assert_eq!(pool.call(11, at(0)), []);
        assert_eq!(pool.call(12, at(0)), [Refuse(12, Refusal::Full)]);
        assert_eq!(pool.tick(at(1)), [Start(2)]);
    }

    #[test]
    fn idle_workers_go_but_for_those_that_are_kept() {
        let mut pool = opened(USUAL);
        pool.call(10, at(0));
        pool.call(11, at(0));
        pool.tick(at(1));
        pool.loaded(2, at(1));
        pool.ended(1, at(1));
        pool.ended(2, at(1));
        assert_eq!(pool.next_tick(), Some(at(61)));
        assert_eq!(pool.tick(at(60)), []);
        assert_eq!(pool.tick(at(61)), [Stop(1)]);
        assert_eq!(pool.next_tick(), None);
        let mut pool = opened(Limits { keep: 0, idle: Duration::from_secs(10), ..USUAL });
        assert_eq!(pool.tick(at(10)), [Stop(1)]);
        assert_eq!(pool.call(10, at(11)), [Start(2)]);
        assert_eq!(pool.loaded(2, at(11)), [Serve(10, 2)]);
    }

    #[test]
    fn deaths_are_followed_by_longer_and_longer_waits() {
        let mut pool = opened(USUAL);
        assert_eq!(pool.died(1, at(0)), [Start(2)]);
        let mut now = at(0);
        let mut gaps = Vec::new();
        for worker in 2..10 {
            assert_eq!(pool.died(worker, now), []);
            assert_eq!(pool.is_crashing(), 5 <= worker, "{worker}");
            let due = pool.next_tick().unwrap();
            gaps.push(due.duration_since(now).as_secs());
            now = due;
            assert_eq!(pool.tick(now), [Start(worker + 1)]);
        }
        assert_eq!(gaps, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    /// Breaks when a worker's last call counts instead of its birth.
    #[test]
    fn a_minute_of_health_ends_a_row_of_deaths() {
        let mut pool = opened(USUAL);
        let mut now = at(0);
        pool.died(1, now);
        for worker in 2..=5 {
            pool.died(worker, now);
            now = pool.next_tick().unwrap();
            pool.tick(now);
        }
        pool.loaded(6, now);
        assert!(pool.is_crashing());
        pool.call(10, now);
        let well = now + HEALTHY;
        pool.ended(6, well);
        assert_eq!(pool.next_tick(), Some(well));
        assert_eq!(pool.tick(well), []);
        assert!(!pool.is_crashing());
        assert_eq!(pool.next_tick(), None);
        // Without a look at the clock meanwhile it is the same.
        pool.failures = 4;
        assert_eq!(pool.died(6, well), [Start(7)]);
    }

    #[test]
    fn calls_are_refused_while_nothing_may_start() {
        let mut pool = opened(USUAL);
        pool.died(1, at(0));
        pool.died(2, at(0));
        assert_eq!(pool.call(10, at(0)), [Refuse(10, Refusal::Down)]);
    }

    #[test]
    fn a_worker_that_drains_ends_with_its_last_call() {
        let mut pool = opened(Limits { workers: 1, calls: 2, ..USUAL });
        pool.call(10, at(0));
        pool.call(11, at(0));
        assert_eq!(pool.drain(1, at(0)), [Start(2)]);
        assert_eq!(pool.call(12, at(0)), []);
        assert_eq!(pool.loaded(2, at(0)), [Serve(12, 2)]);
        assert_eq!(pool.ended(1, at(0)), []);
        assert_eq!(pool.ended(1, at(0)), [Stop(1)]);
    }

    proptest! {
        /// Whatever happens in whatever order, each call is answered for once and no worker has too many.
        #[test]
        fn no_call_is_lost_or_served_twice(events in proptest::collection::vec((0u8..6, 0u64..6), 0..200)) {
            let limits = Limits { workers: 2, calls: 2, queue: 3, keep: 1, idle: IDLE };
            let mut pool = Pool::new(limits);
            let mut actions = pool.open(at(0));
            let (mut asked, mut told) = (0u64, 0u64);
            let mut serving = BTreeMap::<WorkerId, usize>::new();
            for (second, (event, which)) in (0i64..).zip(events) {
                let now = at(second * 7);
                actions.extend(match event {
                    0 | 1 => { asked += 1; pool.call(asked, now) }
                    2 => pool.loaded(which, now),
                    3 if serving.get(&which).is_some_and(|calls| 0 < *calls) => {
                        *serving.entry(which).or_default() -= 1;
                        pool.ended(which, now)
                    }
                    4 => { serving.remove(&which); pool.died(which, now) }
                    _ => pool.tick(now),
                });
                for action in actions.drain(..) {
                    match action {
                        Serve(_, worker) => {
                            told += 1;
                            let calls = serving.entry(worker).or_default();
                            *calls += 1;
                            prop_assert!(*calls <= limits.calls);
                        }
                        Refuse(..) => told += 1,
                        Start(_) | Stop(_) => {}
                    }
                }
                prop_assert_eq!(asked, told + pool.waiting.len() as u64);
                prop_assert!(pool.waiting.len() <= limits.queue + limits.workers * limits.calls);
                prop_assert!(pool.running() <= limits.workers);
            }
        }
    }
}
