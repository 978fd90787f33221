//! Pure: how often a Function was called, read from the metrics of its host.

use std::collections::BTreeMap;

use k8s::ObjectKey;
use serde_json::{Number, Value, json};

use crate::views::table::aligned;

/// What is shown of a Function that cannot be asked.
const SILENT: &str = "Function does not expose metrics";

/// The calls of one Function by one method.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calls {
    function: ObjectKey,
    method: String,
    total: f64,
    failures: f64,
    /// How long all of them took, in seconds.
    duration: f64,
    message: &'static str,
}

impl Calls {
    /// Reads the metrics of a Function; nothing means that they could not be asked for.
    pub fn read(function: &ObjectKey, metrics: Option<&str>) -> Vec<Self> {
        let nothing = Self { function: function.clone(), ..Self::default() };
        let Some(metrics) = metrics else { return vec![Self { message: SILENT, ..nothing }] };
        let mut methods: BTreeMap<&str, Self> = BTreeMap::new();
        for (name, method, value) in metrics.lines().filter_map(sample) {
            let calls = methods.entry(method).or_insert_with(|| nothing.clone());
            method.clone_into(&mut calls.method);
            match name {
                "function_calls_total" => calls.total += value,
                "function_failures_total" => calls.failures += value,
                _ => calls.duration += value,
            }
        }
        if methods.is_empty() {
            return vec![nothing];
        }
        methods.into_values().collect()
    }

    fn average(&self) -> f64 {
        if self.total == 0.0 { 0.0 } else { self.duration / self.total }
    }

    fn to_value(&self) -> Value {
        json!({
            "function": self.function.name, "namespace": self.function.namespace, "method": self.method,
            "total_calls": number(self.total), "total_failures": number(self.failures),
            "total_duration_seconds": number(self.duration), "avg_duration_seconds": number(self.average()),
            "message": self.message})
    }

    fn row(&self) -> Vec<String> {
        let ObjectKey { namespace, name } = &self.function;
        let mut row = vec![name.clone(), namespace.clone(), self.method.clone()];
        let numbers = [self.total, self.failures, self.duration, self.average()];
        if self.message.is_empty() {
            row.extend(numbers.map(|number| number.to_string()));
        } else {
            row.extend(numbers.map(|_| String::new()));
        }
        row.push(self.message.to_owned());
        row
    }
}

/// Returns calls as a table.
pub fn table(calls: &[Calls]) -> String {
    let head = [
        "NAME",
        "NAMESPACE",
        "METHOD",
        "TOTAL_CALLS",
        "TOTAL_FAILURES",
        "TOTAL_DURATION_SECONDS",
        "AVG_DURATION_SECONDS",
        "MESSAGE",
    ];
    let head = head.map(str::to_owned).to_vec();
    aligned(&std::iter::once(head).chain(calls.iter().map(Calls::row)).collect::<Vec<_>>())
}

/// Returns calls for machines.
pub fn value(calls: &[Calls]) -> Value {
    calls.iter().map(Calls::to_value).collect()
}

/// Reads a line of Prometheus's text format, if it is one of those that count calls: name, method and value.
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    const COUNTED: [&str; 3] =
        ["function_calls_total", "function_failures_total", "function_duration_seconds_sum"];
    let (name, rest) = line.split_once('{')?;
    let (labels, value) = rest.rsplit_once('}')?;
    let method = labels.split("method=\"").nth(1)?.split('"').next()?;
    let value = value.split_whitespace().next()?.parse().ok()?;
    COUNTED.contains(&name.trim()).then_some((name.trim(), method, value))
}

/// Returns a number as JSON, a whole one without a fraction.
fn number(value: f64) -> Value {
    value.to_string().parse::<Number>().map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    const METRICS: &str = "# TYPE function_calls_total counter
function_calls_total{method=\"GET\"} 4
function_calls_total{method=\"POST\"} 1
function_failures_total{method=\"GET\"} 1
function_duration_seconds_bucket{method=\"GET\",le=\"0.1\"} 4
function_duration_seconds_sum{method=\"GET\"} 0.5
function_duration_seconds_count{method=\"GET\"} 4
python_info{version=\"3\"} 1
";

    fn read(name: &str, metrics: Option<&str>) -> Vec<Calls> {
        Calls::read(&ObjectKey::new("ops", name), metrics)
    }

    #[test]
    fn calls_are_counted_by_their_methods() {
        let calls = [read("f", Some(METRICS)), read("new", Some("")), read("old", None)].concat();
        assert_snapshot!(table(&calls), @r"
        NAME  NAMESPACE  METHOD  TOTAL_CALLS  TOTAL_FAILURES  TOTAL_DURATION_SECONDS  AVG_DURATION_SECONDS  MESSAGE
        f     ops        GET     4            1               0.5                     0.125
        f     ops        POST    1            0               0                       0
        new   ops                0            0               0                       0
        old   ops                                                                                           Function does not expose metrics
        ");
    }

    #[test]
    fn machines_get_numbers() {
        assert_eq!(
            value(&read("f", Some(METRICS)))[0],
            json!({"function": "f", "namespace": "ops", "method": "GET", "total_calls": 4, "total_failures": 1,
                "total_duration_seconds": 0.5, "avg_duration_seconds": 0.125, "message": ""})
        );
    }
}
