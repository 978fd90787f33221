//! What is counted of a queue, under the names that client-go gives it.

use std::time::Duration;

use crate::{Labels, Metric, MetricKind, Metrics, Sample};

/// Powers of ten from ten nanoseconds to a quarter of an hour.
const BOUNDS: &[f64] = &[1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1000.0];

const ADDS: Metric =
    Metric::new("workqueue_adds_total", "Keys that were queued", MetricKind::Counter);
const RETRIES: Metric =
    Metric::new("workqueue_retries_total", "Keys that were queued for later", MetricKind::Counter);
const WAITED: Metric = Metric::new(
    "workqueue_queue_duration_seconds",
    "How long keys wait for a worker",
    MetricKind::Histogram(BOUNDS),
);
const WORKED: Metric = Metric::new(
    "workqueue_work_duration_seconds",
    "How long keys are worked on",
    MetricKind::Histogram(BOUNDS),
);
static DEPTH: Metric = Metric::new("workqueue_depth", "Keys that wait", MetricKind::Gauge);
static UNFINISHED: Metric = Metric::new(
    "workqueue_unfinished_work_seconds",
    "How long all keys in the hands of workers have been there",
    MetricKind::Gauge,
);
static LONGEST: Metric = Metric::new(
    "workqueue_longest_running_processor_seconds",
    "How long the oldest key in the hands of a worker has been there",
    MetricKind::Gauge,
);

/// Counts what goes through one queue.
#[derive(Debug)]
pub(super) struct Meter {
    metrics: Metrics,
    name: String,
}

impl Meter {
    /// Returns a meter that counts under a name.
    pub(super) fn new(metrics: Metrics, name: &str) -> Self {
        Self { metrics, name: name.to_owned() }
    }

    pub(super) fn added(&self) {
        self.metrics.count(&ADDS, self.labels());
    }

    pub(super) fn put_off(&self) {
        self.metrics.count(&RETRIES, self.labels());
    }

    pub(super) fn taken(&self, waited: Duration) {
        self.metrics.observe(&WAITED, self.labels(), waited);
    }

    pub(super) fn done(&self, worked: Duration) {
        self.metrics.observe(&WORKED, self.labels(), worked);
    }

    /// Returns what is true of the queue now.
    pub(super) fn samples(
        &self,
        depth: usize,
        worked: impl Iterator<Item = Duration>,
    ) -> Vec<Sample> {
        let (mut longest, mut all) = (0.0_f64, 0.0);
        for worked in worked.map(|worked| worked.as_secs_f64()) {
            (longest, all) = (longest.max(worked), all + worked);
        }
        let depth = u32::try_from(depth).unwrap_or(u32::MAX).into();
        let gauge = |metric, value| Sample { metric, labels: self.labels(), value };
        let mut samples =
            vec![gauge(&DEPTH, depth), gauge(&UNFINISHED, all), gauge(&LONGEST, longest)];
        // Queues of client-go tell their depth by priority; this one has none.
        samples.iter_mut().take(1).for_each(|depth| depth.labels.push(("priority", String::new())));
        samples
    }

    fn labels(&self) -> Labels {
        vec![("controller", self.name.clone()), ("name", self.name.clone())]
    }
}
