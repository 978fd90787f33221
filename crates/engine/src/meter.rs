//! What is counted of controllers, their hooks and what they do.

use std::{borrow::Cow, sync::Arc, time::Duration};

use api::{Connecting, HookError, HookReply, HookTrace};
use k8s::{SharedClock, Timestamp};
use runtime::{Labels, Metric, MetricKind, Metrics, USUAL_BOUNDS, WriteKind};

use crate::controller::Controller;

const SYNCS: Metric = Metric::new("windlass_sync_total", "Syncs of parents", MetricKind::Counter);
const SYNC_TOOK: Metric = Metric::new(
    "windlass_sync_duration_seconds",
    "How long syncs take",
    MetricKind::Histogram(USUAL_BOUNDS),
);
const OPERATIONS: Metric =
    Metric::new("windlass_child_operations_total", "Writes of children", MetricKind::Counter);
const SKIPS: Metric = Metric::new(
    "windlass_child_skips_total",
    "Children that were wanted but not written",
    MetricKind::Counter,
);
const WAITING: Metric = Metric::new(
    "windlass_rollout_waiting",
    "Parents whose rollout waits for a child",
    MetricKind::Gauge,
);
/// Told by the engine as a whole.
pub(crate) static STALE: Metric = Metric::new(
    "windlass_stale_finalizers",
    "Finalizers on watched parents whose controller does not exist",
    MetricKind::Gauge,
);

/// The bounds for looking up hosts.
const DNS_BOUNDS: &[f64] = &[0.005, 0.01, 0.025, 0.05];
/// The bounds for TLS handshakes.
const TLS_BOUNDS: &[f64] = &[0.05, 0.1, 0.25, 0.5];

/// Why a child that was wanted was not written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Skip {
    /// It was refused before it was sent.
    Invalid,
    /// The server would refuse what is to replace it.
    Inadmissible,
    /// A foreign object has its name.
    Conflict,
    /// Its namespace is going away.
    NamespaceTerminating,
}

/// Counts what one controller does.
#[derive(Debug)]
pub(crate) struct Meter {
    metrics: Metrics,
    clock: SharedClock,
    kind: String,
    name: String,
    hooks: [(&'static str, Arc<HookMetrics>); 3],
}

/// The metrics of calls of one hook, named as Metacontroller does.
#[derive(Debug)]
struct HookMetrics {
    requests: Metric,
    took: Metric,
    dns: Metric,
    tls: Metric,
    in_flight: Metric,
}

/// A call of a hook, counted as being under way until it is dropped.
pub(crate) struct Call {
    metrics: Metrics,
    of: Arc<HookMetrics>,
    labels: Labels,
    clock: SharedClock,
    began: Timestamp,
}

/// Counts how long it took until a step on the way to a hook, from the beginning of the call.
#[derive(Debug)]
struct Trace {
    metrics: Metrics,
    of: Arc<HookMetrics>,
    labels: Labels,
    clock: SharedClock,
    began: Timestamp,
}

impl Skip {
    fn reason(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Inadmissible => "inadmissible",
            Self::Conflict => "conflict",
            Self::NamespaceTerminating => "namespace_terminating",
        }
    }
}

impl HookMetrics {
    fn of(hook: &str) -> Self {
        let metric = |name: &str, help: &'static str, kind: MetricKind| Metric {
            name: Cow::Owned(format!("metacontroller_{hook}_{name}")),
            help,
            kind,
        };
        Self {
            requests: metric("requests_total", "Calls that were answered", MetricKind::Counter),
            took: metric(
                "request_duration_histogram_seconds",
                "How long calls take",
                MetricKind::Histogram(USUAL_BOUNDS),
            ),
            dns: metric(
                "dns_duration_histogram_seconds",
                "When hosts were looked up, from the beginning of calls",
                MetricKind::Histogram(DNS_BOUNDS),
            ),
            tls: metric(
                "tls_duration_histogram_seconds",
                "When TLS was agreed on, from the beginning of calls",
                MetricKind::Histogram(TLS_BOUNDS),
            ),
            in_flight: metric("in_flight_requests", "Calls under way", MetricKind::Gauge),
        }
    }
}

impl Meter {
    /// Returns what counts for a controller.
    pub(crate) fn new(controller: &Controller, metrics: &Metrics, clock: &SharedClock) -> Self {
        let hook = |hook: &'static str| (hook, Arc::new(HookMetrics::of(hook)));
        Self {
            metrics: metrics.clone(),
            clock: Arc::clone(clock),
            kind: controller.object.gvk().kind.clone(),
            name: controller.name().to_owned(),
            hooks: ["sync", "finalize", "customize"].map(hook),
        }
    }

    /// Notes that a hook is being called; returns nothing if it is none of the three.
    pub(crate) fn call(&self, hook: &str, url: &str) -> Option<Call> {
        let (_, of) = self.hooks.iter().find(|(name, _)| *name == hook)?;
        let labels = vec![
            ("controller_name", self.name.clone()),
            ("controller_type", self.kind.clone()),
            ("url", url.to_owned()),
        ];
        self.metrics.add(&of.in_flight, labels.clone(), 1.0);
        let (metrics, clock) = (self.metrics.clone(), Arc::clone(&self.clock));
        Some(Call { metrics, of: Arc::clone(of), labels, began: clock.now(), clock })
    }

    /// Counts a sync that ended.
    pub(crate) fn synced(&self, result: &str, took: Duration) {
        let mut labels = self.labels();
        self.metrics.observe(&SYNC_TOOK, labels.clone(), took);
        labels.push(("result", result.to_owned()));
        self.metrics.count(&SYNCS, labels);
    }

    /// Counts a write of a child.
    pub(crate) fn wrote(&self, kind: &WriteKind, is_done: bool) {
        let result = if is_done { "success" } else { "error" };
        let labels = vec![("operation", kind.verb().to_owned()), ("result", result.to_owned())];
        self.metrics.count(&OPERATIONS, labels);
    }

    /// Counts a child that was not written.
    pub(crate) fn skipped(&self, skip: Skip) {
        self.metrics.count(&SKIPS, vec![("reason", skip.reason().to_owned())]);
    }

    /// Notes of how many parents the rollout waits.
    pub(crate) fn waiting(&self, parents: usize) {
        let parents = u32::try_from(parents).unwrap_or(u32::MAX);
        self.metrics.set(&WAITING, self.labels(), parents.into());
    }

    fn labels(&self) -> Labels {
        vec![("controller", self.name.clone()), ("controller_type", self.kind.clone())]
    }
}

/// Drops all that was counted of a controller that is gone.
pub(crate) fn forget(metrics: &Metrics, kind: &str, name: &str) {
    let (kind_of, name_of) = (kind.to_owned(), name.to_owned());
    metrics.forget(&[("controller", name_of.clone()), ("controller_type", kind_of.clone())]);
    metrics.forget(&[("controller_name", name_of), ("controller_type", kind_of)]);
    metrics.forget(&[("name", queue_name(kind, name))]);
}

/// Returns what metrics call the queue of a controller.
pub(crate) fn queue_name(kind: &str, name: &str) -> String {
    format!("{kind}-{name}")
}

impl Call {
    /// Returns what counts the steps on the way to the hook.
    pub(crate) fn trace(&self) -> Arc<dyn HookTrace> {
        Arc::new(Trace {
            metrics: self.metrics.clone(),
            of: Arc::clone(&self.of),
            labels: self.labels.clone(),
            clock: Arc::clone(&self.clock),
            began: self.began,
        })
    }

    /// Counts the answer. A call that was not answered is not counted, as in Metacontroller.
    pub(crate) fn ended(self, result: &Result<HookReply, HookError>) {
        let Ok(reply) = result else { return };
        let labels = with(&self.labels, "method", "post");
        let took = since(self.began, &self.clock);
        self.metrics.observe(&self.of.took, labels.clone(), took);
        let labels = with(&labels, "code", &reply.status.to_string());
        self.metrics.count(&self.of.requests, labels);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.metrics.add(&self.of.in_flight, std::mem::take(&mut self.labels), -1.0);
    }
}

impl HookTrace for Trace {
    fn note(&self, step: Connecting) {
        let (metric, event) = match step {
            Connecting::DnsStart => (&self.of.dns, "dns_start"),
            Connecting::DnsDone => (&self.of.dns, "dns_done"),
            Connecting::TlsHandshakeStart => (&self.of.tls, "tls_handshake_start"),
            Connecting::TlsHandshakeDone => (&self.of.tls, "tls_handshake_done"),
        };
        let labels = with(&self.labels, "event", event);
        self.metrics.observe(metric, labels, since(self.began, &self.clock));
    }
}

fn since(began: Timestamp, clock: &SharedClock) -> Duration {
    Duration::try_from(clock.now().duration_since(began)).unwrap_or_default()
}

fn with(labels: &Labels, name: &'static str, value: &str) -> Labels {
    labels.iter().cloned().chain([(name, value.to_owned())]).collect()
}
