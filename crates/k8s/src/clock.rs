//! Time as an argument: the trait all waiting goes through, the system's clock and a virtual one.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::oneshot;

/// A clock that many tasks share.
pub type SharedClock = Arc<dyn Clock>;

/// Tells the time and waits for it. Nothing else in the product may do either.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Returns the present moment.
    fn now(&self) -> Timestamp;

    /// Resolves once the present moment has reached `at`.
    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()>;

    /// Returns the moment after a wait that begins now, the last moment there is if that is later.
    fn after(&self, wait: Duration) -> Timestamp {
        self.now().checked_add(wait).unwrap_or(Timestamp::MAX)
    }

    /// Moves a virtual clock to `at` and returns true; a real clock cannot, and returns false.
    fn skip_to(&self, at: Timestamp) -> bool {
        let _ = at;
        false
    }
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that sleeps")]
    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        let wait = Duration::try_from(at.duration_since(self.now())).unwrap_or_default();
        tokio::time::sleep(wait).boxed()
    }
}

/// A clock that stands still until it is moved, for tests.
#[derive(Clone, Debug)]
pub struct VirtualClock(Arc<Mutex<Virtual>>);

#[derive(Debug)]
struct Virtual {
    now: Timestamp,
    sleepers: BTreeMap<Timestamp, Vec<oneshot::Sender<()>>>,
}

impl VirtualClock {
    /// Returns a clock that stands at `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(Virtual { now, sleepers: BTreeMap::new() })))
    }

    /// Moves the clock forward and wakes who waited for a moment up to then.
    pub fn advance(&self, by: SignedDuration) {
        let to = self.now().checked_add(by).unwrap_or(Timestamp::MAX);
        self.skip_to(to);
    }
}

impl Default for VirtualClock {
    /// Returns a clock that stands at 2026-01-01T00:00:00Z.
    fn default() -> Self {
        Self::at(Timestamp::from_second(1_767_225_600).expect("a moment in range"))
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        self.0.lock().expect("the clock lock is never poisoned").now
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        let mut clock = self.0.lock().expect("the clock lock is never poisoned");
        if at <= clock.now {
            return futures::future::ready(()).boxed();
        }
        let (wake, woken) = oneshot::channel();
        clock.sleepers.entry(at).or_default().push(wake);
        woken.map(|_| ()).boxed()
    }

    fn skip_to(&self, at: Timestamp) -> bool {
        let mut clock = self.0.lock().expect("the clock lock is never poisoned");
        clock.now = clock.now.max(at);
        while let Some(due) = clock.sleepers.first_entry().filter(|due| *due.key() <= at) {
            for wake in due.remove() {
                let _ = wake.send(());
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_virtual_sleeper_wakes_when_the_clock_is_moved() {
        let clock = VirtualClock::default();
        let sleeper = clock.sleep_until(clock.now() + SignedDuration::from_secs(5));
        clock.advance(SignedDuration::from_secs(4));
        let sleeper = match futures::future::select(sleeper, futures::future::ready(())).await {
            futures::future::Either::Left(_) => panic!("woke a second early"),
            futures::future::Either::Right(((), sleeper)) => sleeper,
        };
        clock.advance(SignedDuration::from_secs(1));
        sleeper.await;
    }
}
