//! How many writes may be under way at once: the one limit of the whole process.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const START: usize = 16;
const MOST: usize = 64;
/// How many successes in a row let one more write in.
const PATIENCE: usize = 8;

/// A limit that halves when the server is busy and grows while it is not.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    permits: Arc<Semaphore>,
    size: Arc<AtomicUsize>,
    successes: Arc<AtomicUsize>,
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(START)),
            size: Arc::new(AtomicUsize::new(START)),
            successes: Arc::default(),
        }
    }
}

impl Limit {
    /// Waits for a place.
    pub(crate) async fn enter(&self) -> OwnedSemaphorePermit {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        permit.expect("the semaphore is never closed")
    }

    /// Takes note that the server did what it was asked.
    pub(crate) fn succeeded(&self) {
        if self.successes.fetch_add(1, Ordering::Relaxed) % PATIENCE != PATIENCE - 1 {
            return;
        }
        let grow = |size: usize| (size < MOST).then_some(size + 1);
        if self.size.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow).is_ok() {
            self.permits.add_permits(1);
        }
    }

    /// Takes note that the server was too busy.
    pub(crate) fn refused(&self) {
        let halve = |size: usize| (1 < size).then_some(size / 2);
        if let Ok(size) = self.size.fetch_update(Ordering::Relaxed, Ordering::Relaxed, halve) {
            let mut surplus = size - size / 2;
            surplus -= self.permits.forget_permits(surplus);
            // Places that are taken now are given up when they come back.
            for _ in 0..surplus {
                let permits = Arc::clone(&self.permits);
                tokio::spawn(async move {
                    permits.acquire_owned().await.map(OwnedSemaphorePermit::forget)
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_limit_halves_and_grows_again() {
        let limit = Limit::default();
        limit.refused();
        assert_eq!(limit.permits.available_permits(), START / 2);
        for _ in 0..PATIENCE {
            limit.succeeded();
        }
        assert_eq!(limit.permits.available_permits(), START / 2 + 1);
    }
}
