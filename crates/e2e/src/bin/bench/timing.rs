//! Real time: what a measurement is about.
#![expect(clippy::disallowed_methods, reason = "a measurement takes the time of the machine")]

use std::{
    future::Future,
    time::{Duration, Instant},
};

use anyhow::Context as _;

/// How long anything may take that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_mins(10);

/// Measures how long something took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts to measure.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Returns the time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// Returns the milliseconds since the start.
    pub(crate) fn millis(&self) -> f64 {
        self.elapsed().as_secs_f64() * 1e3
    }
}

/// Waits.
pub(crate) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Waits for something, but not for ever.
pub(crate) async fn patiently<T>(
    what: &str,
    outcome: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let waited = tokio::time::timeout(PATIENCE, outcome).await;
    waited.with_context(|| format!("waited too long for {what}"))?
}
