//! What is counted of the work on Functions.

use std::time::Duration;

use k8s::SignedDuration;
use runtime::{Metric, MetricKind, Metrics, USUAL_BOUNDS};

const SYNCS: Metric =
    Metric::new("windlass_functions_sync_total", "Syncs of Functions", MetricKind::Counter);
const TOOK: Metric = Metric::new(
    "windlass_functions_sync_duration_seconds",
    "How long syncs of Functions took",
    MetricKind::Histogram(USUAL_BOUNDS),
);
const FAILURES: Metric = Metric::new(
    "windlass_functions_failures_total",
    "How often Functions came to fail, by reason",
    MetricKind::Counter,
);

/// Counts the work on Functions.
#[derive(Debug)]
pub(super) struct Meter(Metrics);

impl Meter {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self(metrics)
    }

    /// Counts a sync.
    pub(super) fn synced(&self, is_ok: bool, took: SignedDuration) {
        let result = if is_ok { "success" } else { "error" };
        self.0.count(&SYNCS, vec![("result", result.to_owned())]);
        self.0.observe(&TOOK, Vec::new(), Duration::try_from(took).unwrap_or_default());
    }

    /// Counts that a Function came to fail.
    pub(super) fn failed(&self, reason: &str) {
        self.0.count(&FAILURES, vec![("reason", reason.to_owned())]);
    }
}
