//! Quiet: who is at work, which timers are pending, and when nothing moves any more.
//!
//! Queue items, hook calls, writes and reloads hold a [`Token`]. Timers are *progress* (back-off, grace,
//! simulated stages) or *periodic* (resync, relist, leases). The process is settled when no token is
//! held, no progress timer is due before the limit, and nothing that follows a store lags behind it.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, Weak},
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use thiserror::Error;

use crate::{Clock, Resource};

/// Whether a timer moves work forward or only comes round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerKind {
    /// Work continues when it fires: back-off, grace, simulated stages.
    Progress,
    /// Somebody who holds a token, or whom others wait for, waits for it: the next try of a request.
    Blocking,
    /// It comes round for ever: resync, relist, leases.
    Periodic,
}

/// Something that follows a store and may be behind it.
pub trait Lag: Send + Sync {
    /// Describes what is still to come, or returns nothing if all has been seen.
    fn lag(&self) -> Option<String>;
}

/// Tells how far a store has come, so that what follows it knows whether it is behind.
pub trait Revisions: Send + Sync {
    /// Returns the revision of the last write to `resource`, 0 if there was none.
    fn latest_revision(&self, resource: &Resource) -> u64;
}

/// The register of everything that keeps the process from being settled. Clones share it.
#[derive(Clone, Default)]
pub struct Activity(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    next: u64,
    /// Grows with every change, so that two looks can tell whether anything happened between them.
    changes: u64,
    /// Grows with those changes that somebody's work is behind.
    moves: u64,
    held: BTreeMap<u64, Cow<'static, str>>,
    timers: BTreeMap<u64, (Timestamp, TimerKind)>,
    followers: Vec<Weak<dyn Lag>>,
}

/// Keeps the process from being settled until it is dropped.
#[must_use = "dropping the token ends the activity"]
pub struct Token {
    activity: Activity,
    id: u64,
}

/// How long to wait for quiet, and how long quiet must last.
#[derive(Clone, Copy, Debug)]
pub struct Settle {
    /// The longest wait, by the clock.
    pub limit: Duration,
    /// How long nothing may happen: zero in process, a second where events arrive over a network.
    pub quiet_for: Duration,
}

impl Settle {
    /// Waits at most `limit`, for a process whose every event is accounted for.
    pub fn within(limit: Duration) -> Self {
        Self { limit, quiet_for: Duration::ZERO }
    }
}

/// What still moved when the limit was reached.
#[derive(Debug, Error)]
#[error("still busy after {limit:?}: {}", busy.join(", "))]
pub struct Unsettled {
    /// The limit that was reached.
    pub limit: Duration,
    /// What was held, due or behind.
    pub busy: Vec<String>,
}

/// What a look at the register found.
enum Look {
    /// Somebody is at work, who may himself wait for a blocking timer.
    Busy(Vec<String>, Option<Timestamp>),
    /// Quiet but for a progress timer due at this moment.
    Waiting(Timestamp),
    Quiet,
}

impl Activity {
    /// Notes that `what` is at work until the token is dropped.
    pub fn hold(&self, what: impl Into<Cow<'static, str>>) -> Token {
        let id = self.change(|state| {
            state.next += 1;
            state.held.insert(state.next, what.into());
            state.next
        });
        Token { activity: self.clone(), id }
    }

    /// Waits for `at` and returns a token for the work that follows, without a gap between the two.
    ///
    /// The timer counts from the call on, not only once the future is polled: a task that is spawned to
    /// wait may come late.
    pub fn sleep_until(
        &self,
        clock: &dyn Clock,
        at: Timestamp,
        kind: TimerKind,
        what: impl Into<Cow<'static, str>>,
    ) -> BoxFuture<'static, Token> {
        let (activity, what) = (self.clone(), what.into());
        let (timer, sleep) = (self.timer(at, kind), clock.sleep_until(at));
        async move {
            sleep.await;
            let token = activity.hold(what);
            drop(timer);
            token
        }
        .boxed()
    }

    /// Asks `follower` whenever quiet is looked for, as long as it lives.
    pub fn follow(&self, follower: &Arc<impl Lag + 'static>) {
        let follower: Weak<dyn Lag> = Arc::downgrade(follower) as Weak<dyn Lag>;
        self.change(|state| state.followers.push(follower));
    }

    /// Notes that something happened that holds no token, such as an event that was seen.
    ///
    /// Quiet goes on all the same: on a server that others use as well there is always something to see.
    pub fn touch(&self) {
        self.state().changes += 1;
    }

    /// Waits until nothing moves. A virtual clock is moved to the progress timers due within the limit.
    ///
    /// # Errors
    ///
    /// [`Unsettled`] if something still moved when the limit was reached.
    pub async fn settle(&self, clock: &dyn Clock, settle: Settle) -> Result<(), Unsettled> {
        let limit = clock.now().checked_add(settle.limit).unwrap_or(Timestamp::MAX);
        let mut real = Duration::ZERO;
        let mut since = clock.now();
        let mut stalled = Duration::ZERO;
        let (mut seen, mut moved) = (None, None);
        loop {
            let now = clock.now();
            let ((changes, moves), look) = self.look(now, limit);
            if moved != Some(moves) {
                since = now;
            }
            stalled = if seen == Some(changes) { stalled + PAUSE } else { Duration::ZERO };
            let busy = match look {
                Look::Quiet if seen == Some(changes) => {
                    if settle.quiet_for <= now.duration_since(since).unsigned_abs() {
                        return Ok(());
                    }
                    vec!["quiet not long enough".to_owned()]
                }
                Look::Quiet => vec!["only just quiet".to_owned()],
                Look::Waiting(due) => {
                    if seen == Some(changes) {
                        clock.skip_to(due);
                    }
                    vec![format!("a timer due at {due}")]
                }
                Look::Busy(busy, due) => {
                    if let Some(due) = due.filter(|_| STALLED <= stalled) {
                        clock.skip_to(due);
                        stalled = Duration::ZERO;
                    }
                    busy
                }
            };
            // A virtual clock stands still while work hangs: real time bounds the wait as well.
            if limit <= clock.now() || settle.limit.max(STUCK) <= real {
                return Err(Unsettled { limit: settle.limit, busy });
            }
            (seen, moved) = (Some(changes), Some(moves));
            real += self.pause().await;
        }
    }

    fn timer(&self, due: Timestamp, kind: TimerKind) -> TimerGuard {
        let id = self.change(|state| {
            state.next += 1;
            state.timers.insert(state.next, (due, kind));
            state.next
        });
        TimerGuard { activity: self.clone(), id }
    }

    /// Waits a moment, so that woken tasks run, and returns how long.
    #[expect(clippy::disallowed_methods, reason = "quiet is looked for in real time")]
    async fn pause(&self) -> Duration {
        tokio::time::sleep(PAUSE).await;
        PAUSE
    }

    fn look(&self, now: Timestamp, limit: Timestamp) -> ((u64, u64), Look) {
        let (changes, mut busy, due, followers) = {
            let mut state = self.state();
            state.followers.retain(|follower| follower.strong_count() > 0);
            let mut busy: Vec<_> = state.held.values().map(ToString::to_string).collect();
            // A timer that has fired is work that is about to begin, whatever its kind.
            let fired = state.timers.values().filter(|(due, _)| *due <= now);
            busy.extend(fired.map(|(due, _)| format!("a timer that was due at {due}")));
            let first = |kind: TimerKind| {
                let timers = state.timers.values().filter(|timer| timer.1 == kind);
                timers.map(|(due, _)| *due).min().filter(|due| *due <= limit)
            };
            let due = (first(TimerKind::Progress), first(TimerKind::Blocking));
            ((state.changes, state.moves), busy, due, state.followers.clone())
        };
        busy.extend(followers.iter().filter_map(|follower| follower.upgrade()?.lag()));
        let (progress, blocking) = due;
        let look = match progress.into_iter().chain(blocking).min() {
            _ if !busy.is_empty() => Look::Busy(busy, blocking),
            Some(due) => Look::Waiting(due),
            None => Look::Quiet,
        };
        (changes, look)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        state.changes += 1;
        state.moves += 1;
        change(&mut state)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("the activity lock is never poisoned")
    }
}

/// How often quiet is looked for.
const PAUSE: Duration = Duration::from_millis(1);

/// How long nothing may change, in real time, until those at work are taken to wait for a timer.
const STALLED: Duration = Duration::from_millis(20);

/// How long work may hang in real time before a virtual clock's limit counts as reached.
const STUCK: Duration = Duration::from_secs(30);

impl fmt::Debug for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.state().held.values()).finish()
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.activity.change(|state| state.held.remove(&self.id));
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.id)
    }
}

struct TimerGuard {
    activity: Activity,
    id: u64,
}

impl Drop for TimerGuard {
    fn drop(&mut self) {
        self.activity.change(|state| state.timers.remove(&self.id));
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::VirtualClock;

    #[tokio::test]
    async fn settling_moves_a_virtual_clock_to_progress_timers_only() {
        let (activity, clock) = (Activity::default(), VirtualClock::default());
        let start = clock.now();
        for (seconds, kind) in [(5, TimerKind::Progress), (9, TimerKind::Periodic)] {
            let (activity, clock) = (activity.clone(), clock.clone());
            let at = start + SignedDuration::from_secs(seconds);
            tokio::spawn(async move { activity.sleep_until(&clock, at, kind, "work").await });
        }
        tokio::task::yield_now().await;
        activity.settle(&clock, Settle::within(Duration::from_mins(1))).await.unwrap();
        assert_eq!(clock.now(), start + SignedDuration::from_secs(5));
    }

    #[tokio::test]
    async fn work_that_waits_for_a_timer_does_not_hang_a_virtual_clock() {
        let (activity, clock) = (Activity::default(), VirtualClock::default());
        let task = {
            let (activity, clock) = (activity.clone(), clock.clone());
            async move {
                let _request = activity.hold("a request");
                let at = clock.now() + SignedDuration::from_secs(1);
                drop(activity.sleep_until(&clock, at, TimerKind::Blocking, "next try").await);
            }
        };
        let task = tokio::spawn(task);
        tokio::task::yield_now().await;
        activity.settle(&clock, Settle::within(Duration::from_mins(1))).await.unwrap();
        task.await.unwrap();
    }

    #[tokio::test]
    async fn what_still_moves_is_named() {
        let (activity, clock) = (Activity::default(), crate::SystemClock);
        let token = activity.hold("sync of default/test1");
        let settle = Settle { limit: Duration::ZERO, quiet_for: Duration::ZERO };
        let error = activity.settle(&clock, settle).await.unwrap_err();
        assert_eq!(error.busy, ["sync of default/test1"]);
        drop(token);
    }

    #[tokio::test]
    async fn what_others_do_does_not_end_the_quiet() {
        let (activity, clock) = (Activity::default(), crate::SystemClock);
        let others = async {
            for _ in 0..1000 {
                activity.touch();
                for _ in 0..5 {
                    activity.pause().await;
                }
            }
        };
        let settle = Settle { limit: Duration::from_secs(9), quiet_for: Duration::from_millis(20) };
        tokio::select! {
            settled = activity.settle(&clock, settle) => settled.unwrap(),
            () = others => panic!("quiet did not come in spite of what others do"),
        }
    }
}
