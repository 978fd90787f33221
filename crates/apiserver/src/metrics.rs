//! What is counted of requests, watches and controllers, and its text for Prometheus.

mod series;

use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use self::series::Counted;
pub(crate) use self::series::{Gathered, Labels, text};

/// What is counted while the server runs.
#[derive(Debug, Default)]
pub(crate) struct Metrics(Mutex<Counted>);

impl Metrics {
    /// Counts a request that was answered.
    pub(crate) fn answered(&self, labels: Labels, code: u16, took: Duration) {
        self.counted().answered(labels, code, took);
    }

    /// Counts a watch that begins, or ends.
    pub(crate) fn watching(&self, labels: &Labels, begins: bool) {
        self.counted().watching(labels, begins);
    }

    /// Counts events that were sent.
    pub(crate) fn sent(&self, labels: &Labels, events: u64) {
        self.counted().sent(labels, events);
    }

    /// Counts a piece of work of the controllers, with how much more there was then.
    pub(crate) fn worked(&self, took: Duration, left: usize) {
        self.counted().worked(took, left);
    }

    /// Returns everything as Prometheus reads it.
    pub(crate) fn text(&self, gathered: &Gathered) -> String {
        text(&self.counted(), gathered)
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().expect("the lock of metrics is never poisoned")
    }
}
