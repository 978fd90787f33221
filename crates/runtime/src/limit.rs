//! How many writes may be under way at once: the one limit of the whole process.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const START: usize = 16;
const MOST: usize = 64;
/// How many successes in a row let one more write in.
const PATIENCE: usize = 8;

/// A limit that halves when the server is busy and grows while it is not.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    permits: Arc<Semaphore>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    size: usize,
    successes: usize,
    /// How many places that are taken are given up when they come back.
    surplus: usize,
    /// How often the limit was halved.
    round: u64,
}

/// A place among those that write, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    limit: Limit,
    permit: Option<OwnedSemaphorePermit>,
}

impl Default for Limit {
    fn default() -> Self {
        let state = State { size: START, successes: 0, surplus: 0, round: 0 };
        Self { permits: Arc::new(Semaphore::new(START)), state: Arc::new(Mutex::new(state)) }
    }
}

impl Limit {
    /// Waits for a place.
    pub(crate) async fn enter(&self) -> Place {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = Some(permit.expect("the semaphore is never closed"));
        Place { limit: self.clone(), permit }
    }

    /// Returns the round that a request begins in, for [`Self::refused`].
    pub(crate) fn round(&self) -> u64 {
        self.state().round
    }

    /// Takes note that the server did what it was asked.
    pub(crate) fn succeeded(&self) {
        let mut state = self.state();
        state.successes += 1;
        if !state.successes.is_multiple_of(PATIENCE) || state.size == MOST {
            return;
        }
        state.size += 1;
        if 0 < state.surplus {
            state.surplus -= 1;
        } else {
            self.permits.add_permits(1);
        }
    }

    /// Takes note that the server was too busy for a request that began in `round`. All that were under way
    /// together tell it once: each of them alone would halve the limit to nothing.
    pub(crate) fn refused(&self, round: u64) {
        let mut state = self.state();
        state.successes = 0;
        if state.round != round {
            return;
        }
        state.round += 1;
        let less = state.size / 2;
        state.size -= less;
        state.surplus += less - self.permits.forget_permits(less);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the lock of the limit is never poisoned")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.limit.state();
        let surplus = state.surplus;
        state.surplus = surplus.saturating_sub(1);
        drop(state);
        if let Some(permit) = self.permit.take().filter(|_| 0 < surplus) {
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_limit_halves_and_grows_again() {
        let limit = Limit::default();
        limit.refused(limit.round());
        assert_eq!(limit.permits.available_permits(), START / 2);
        for _ in 0..PATIENCE {
            limit.succeeded();
        }
        assert_eq!(limit.permits.available_permits(), START / 2 + 1);
    }

    #[tokio::test]
    async fn writes_that_are_refused_together_halve_it_once() {
        let limit = Limit::default();
        let round = limit.round();
        for _ in 0..START {
            limit.refused(round);
        }
        assert_eq!(limit.permits.available_permits(), START / 2);
    }

    #[tokio::test]
    async fn places_that_are_taken_are_given_up_when_they_come_back() {
        let limit = Limit::default();
        let mut places = Vec::new();
        for _ in 0..START {
            places.push(limit.enter().await);
        }
        limit.refused(limit.round());
        assert_eq!(limit.permits.available_permits(), 0);
        drop(places);
        assert_eq!(limit.permits.available_permits(), START / 2);
        for _ in 0..6 {
            limit.refused(limit.round());
        }
        assert_eq!(limit.permits.available_permits(), 1);
    }
}
