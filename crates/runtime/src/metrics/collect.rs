//! Hands the series to the encoder of OpenMetrics.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, text::encode},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use super::{Families, Family, MetricKind, Value};

/// The series of one moment.
#[derive(Debug)]
struct Snapshot(Families);

/// Returns the text of OpenMetrics.
pub(super) fn open_metrics(families: Families) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Snapshot(families)));
    let mut text = String::new();
    encode(&mut text, &registry).expect("writing to a string never fails");
    text
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.0.values().try_for_each(|family| one(family, &mut encoder))
    }
}

fn one(family: &Family, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
    let metric = &family.metric;
    // The encoder puts the suffix of counters on again.
    let name = match metric.kind {
        MetricKind::Counter => metric.name.strip_suffix("_total").unwrap_or(&metric.name),
        MetricKind::Gauge | MetricKind::Histogram(_) => metric.name.as_ref(),
    };
    let kind = metric_type(metric.kind);
    let mut encoder = encoder.encode_descriptor(name, metric.help, None, kind)?;
    for (labels, value) in &family.series {
        value_of(metric.kind, value, encoder.encode_family(labels)?)?;
    }
    Ok(())
}

fn value_of(
    kind: MetricKind,
    value: &Value,
    encoder: MetricEncoder<'_>,
) -> Result<(), std::fmt::Error> {
    match value {
        Value::Histogram(histogram) => histogram.encode(encoder),
        Value::Number(number) if kind == MetricKind::Counter => {
            ConstCounter::new(*number).encode(encoder)
        }
        Value::Number(number) => ConstGauge::new(*number).encode(encoder),
    }
}

fn metric_type(kind: MetricKind) -> MetricType {
    match kind {
        MetricKind::Counter => MetricType::Counter,
        MetricKind::Gauge => MetricType::Gauge,
        MetricKind::Histogram(_) => MetricType::Histogram,
    }
}
