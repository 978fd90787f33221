//! What is counted while controllers run, and its text for Prometheus.

mod collect;
mod text;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, Weak},
    time::Duration,
};

use prometheus_client::metrics::histogram::Histogram;

/// The bounds that most histograms of durations have, in seconds.
pub const USUAL_BOUNDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What tells one series of a metric from the others.
pub type Labels = Vec<(&'static str, String)>;

/// A metric and what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// The full name, with `_total` where it counts.
    pub name: std::borrow::Cow<'static, str>,
    /// What it tells, for people.
    pub help: &'static str,
    /// How it is told.
    pub kind: MetricKind,
}

/// How a metric is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Values are counted by these upper bounds.
    Histogram(&'static [f64]),
}

impl Metric {
    /// Returns a metric whose name is known beforehand.
    pub const fn new(name: &'static str, help: &'static str, kind: MetricKind) -> Self {
        Self { name: std::borrow::Cow::Borrowed(name), help, kind }
    }
}

/// A value that is looked up when metrics are read.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The metric, a gauge.
    pub metric: &'static Metric,
    /// Which of its series.
    pub labels: Labels,
    /// Its value now.
    pub value: f64,
}

/// Something that knows values which are only looked up when metrics are read.
pub trait Source: Send + Sync {
    /// Returns the values as they are now.
    fn samples(&self) -> Vec<Sample>;
}

/// The metrics of a process. Clones share them.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Shared>);

#[derive(Default)]
struct Shared {
    families: Mutex<Families>,
    sources: Mutex<Vec<Weak<dyn Source>>>,
}

/// All series, by the name of their metric.
type Families = BTreeMap<String, Family>;

#[derive(Clone, Debug)]
struct Family {
    metric: Metric,
    series: BTreeMap<Labels, Value>,
}

#[derive(Clone, Debug)]
enum Value {
    Number(f64),
    Histogram(Histogram),
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Counts one.
    pub fn count(&self, metric: &Metric, labels: Labels) {
        self.add(metric, labels, 1.0);
    }

    /// Adds to a counter or a gauge.
    pub fn add(&self, metric: &Metric, labels: Labels, value: f64) {
        self.with(metric, labels, |series| {
            if let Value::Number(number) = series {
                *number += value;
            }
        });
    }

    /// Sets a gauge.
    pub fn set(&self, metric: &Metric, labels: Labels, value: f64) {
        self.with(metric, labels, |series| *series = Value::Number(value));
    }

    /// Counts a duration in a histogram.
    pub fn observe(&self, metric: &Metric, labels: Labels, took: Duration) {
        self.with(metric, labels, |series| {
            if let Value::Histogram(histogram) = series {
                histogram.observe(took.as_secs_f64());
            }
        });
    }

    /// Drops all series that have these labels among theirs, because what they tell of is gone.
    pub fn forget(&self, labels: &[(&'static str, String)]) {
        let is_gone = |series: &Labels| labels.iter().all(|label| series.contains(label));
        let mut families = self.families();
        families.values_mut().for_each(|family| family.series.retain(|labels, _| !is_gone(labels)));
        families.retain(|_, family| !family.series.is_empty());
    }

    /// Asks a source for its values whenever metrics are read, as long as it lives.
    pub fn follow<S: Source + 'static>(&self, source: &Arc<S>) {
        let source = Arc::downgrade(source) as Weak<dyn Source>;
        self.sources().push(source);
    }

    /// Returns all metrics as Prometheus reads them.
    pub fn text(&self) -> String {
        let mut families = self.families().clone();
        for sample in self.samples() {
            let family = family(&mut families, sample.metric);
            family.series.insert(sample.labels, Value::Number(sample.value));
        }
        text::classic(&collect::open_metrics(families))
    }

    fn samples(&self) -> Vec<Sample> {
        let alive: Vec<_> = {
            let mut sources = self.sources();
            sources.retain(|source| source.strong_count() > 0);
            sources.iter().filter_map(Weak::upgrade).collect()
        };
        alive.iter().flat_map(|source| source.samples()).collect()
    }

    fn with(&self, metric: &Metric, labels: Labels, change: impl FnOnce(&mut Value)) {
        let mut families = self.families();
        let series = &mut family(&mut families, metric).series;
        change(series.entry(labels).or_insert_with(|| Value::new(metric.kind)));
    }

    fn families(&self) -> MutexGuard<'_, Families> {
        self.0.families.lock().expect("the lock of metrics is never poisoned")
    }

    fn sources(&self) -> MutexGuard<'_, Vec<Weak<dyn Source>>> {
        self.0.sources.lock().expect("the lock of sources is never poisoned")
    }
}

impl Value {
    fn new(kind: MetricKind) -> Self {
        match kind {
            MetricKind::Counter | MetricKind::Gauge => Self::Number(0.0),
            MetricKind::Histogram(bounds) => {
                Self::Histogram(Histogram::new(bounds.iter().copied()))
            }
        }
    }
}

fn family<'a>(families: &'a mut Families, metric: &Metric) -> &'a mut Family {
    // Looked up first, because most names are there already and need no copy.
    if !families.contains_key(metric.name.as_ref()) {
        let family = Family { metric: metric.clone(), series: BTreeMap::new() };
        families.insert(metric.name.clone().into_owned(), family);
    }
    families.get_mut(metric.name.as_ref()).expect("the family was just put there")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLS: Metric = Metric::new("calls_total", "Calls", MetricKind::Counter);
    const TOOK: Metric = Metric::new("took_seconds", "Took", MetricKind::Histogram(&[0.5, 1.0]));
    static DEPTH: Metric = Metric::new("depth", "Depth", MetricKind::Gauge);

    struct Deep;

    impl Source for Deep {
        fn samples(&self) -> Vec<Sample> {
            vec![Sample { metric: &DEPTH, labels: vec![("name", "q".into())], value: 3.0 }]
        }
    }

    #[test]
    fn prometheus_reads_what_was_counted() {
        let metrics = Metrics::default();
        let of = |name: &str| vec![("name", name.to_owned())];
        metrics.count(&CALLS, of("a\"b"));
        metrics.observe(&TOOK, of("c"), Duration::from_secs(1));
        let deep = Arc::new(Deep);
        metrics.follow(&deep);
        let text = "# HELP calls_total Calls\n# TYPE calls_total counter\ncalls_total{name=\"a\\\"b\"} 1.0\n\
            # HELP depth Depth\n# TYPE depth gauge\ndepth{name=\"q\"} 3.0\n\
            # HELP took_seconds Took\n# TYPE took_seconds histogram\n\
            took_seconds_sum{name=\"c\"} 1.0\ntook_seconds_count{name=\"c\"} 1\n\
            took_seconds_bucket{le=\"0.5\",name=\"c\"} 0\ntook_seconds_bucket{le=\"1\",name=\"c\"} 1\n\
            took_seconds_bucket{le=\"+Inf\",name=\"c\"} 1\n";
        assert_eq!(metrics.text(), text);
    }

    #[test]
    fn what_is_gone_is_told_no_longer() {
        let metrics = Metrics::default();
        metrics.count(&CALLS, vec![("kind", "x".into()), ("name", "a".into())]);
        metrics.count(&CALLS, vec![("kind", "y".into()), ("name", "a".into())]);
        metrics.follow(&Arc::new(Deep));
        metrics.forget(&[("name", "a".into()), ("kind", "x".into())]);
        let text = metrics.text();
        assert!(text.contains("kind=\"y\"") && !text.contains("kind=\"x\""), "{text}");
        assert!(!text.contains("depth"), "its source is gone");
        metrics.forget(&[("name", "a".into())]);
        assert_eq!(metrics.text(), "");
    }
}
