//! Pure: the HorizontalPodAutoscaler of a Function in the form of `autoscaling/v2`, whatever form it was written in,
//! and the ServiceMonitor that counts its calls.

use serde_json::{Map, Value, json};

use super::{annotations, labels, merge::without_nulls, metadata, selector};
use crate::function::Function;

/// The versions of workloads that are served no more.
const GONE: &[&str] = &["apps/v1beta1", "apps/v1beta2", "extensions/v1beta1"];

/// Returns the HorizontalPodAutoscaler of a Function, if it wants one.
pub(super) fn autoscaler(function: &Function) -> Option<Value> {
    let given = without_nulls(&function.autoscaler);
    let is_named = |pointer: &str| {
        given.pointer(pointer).and_then(Value::as_str).is_some_and(|name| !name.is_empty())
    };
    if !is_named("/metadata/name") || !is_named("/spec/scaleTargetRef/name") {
        return None;
    }
    let mut spec = given["spec"].clone();
    let fields = spec.as_object_mut()?;
    let usage = fields.remove("targetCPUUtilizationPercentage");
    let metrics = fields.remove("metrics").and_then(|metrics| metrics.as_array().cloned());
    let metrics = metrics.unwrap_or_default();
    let of_usage = usage.map(|usage| {
        json!({"type": "Resource", "resource": {"name": "cpu",
            "target": {"type": "Utilization", "averageUtilization": usage}}})
    });
    let metrics: Vec<_> = of_usage.into_iter().chain(metrics.iter().map(metric)).collect();
    if !metrics.is_empty() {
        spec["metrics"] = metrics.into();
    }
    modernise(&mut spec["scaleTargetRef"]);
    let mut metadata = metadata(function);
    metadata["labels"] = labels(function);
    metadata["annotations"] = annotations(function, &given["metadata"]["annotations"]);
    Some(json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": metadata, "spec": spec}))
}

/// Returns what has the calls of a Function counted, if it is scaled by them.
pub(super) fn monitor(function: &Function) -> Option<Value> {
    let autoscaler = autoscaler(function)?;
    if !is_by_calls(&autoscaler) {
        return None;
    }
    let selector = json!({"matchLabels": {"function": selector(function)["function"]}});
    Some(json!({"apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor",
        "metadata": metadata(function),
        "spec": {"selector": selector, "endpoints": [{"port": "http-function-port"}]}}))
}

/// Returns whether a HorizontalPodAutoscaler looks at an object, as those that scale by calls do.
pub(crate) fn is_by_calls(autoscaler: &Value) -> bool {
    autoscaler.pointer("/spec/metrics/0/type").is_some_and(|kind| kind == "Object")
}

fn metric(given: &Value) -> Value {
    let kind = given["type"].as_str().unwrap_or_default();
    let field = match kind {
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        "Pods" => "pods",
        "Object" => "object",
        "External" => "external",
        _ => return given.clone(),
    };
    let mut source = given[field].clone();
    if let Some(fields) = source.as_object_mut() {
        match kind {
            "Resource" | "ContainerResource" => of_resource(fields),
            _ => of_metric(fields),
        }
    }
    json!({"type": kind, field: source})
}

fn of_resource(fields: &mut Map<String, Value>) {
    if let Some(target) = target(fields, None) {
        fields.insert("target".to_owned(), target);
    }
}

fn of_metric(fields: &mut Map<String, Value>) {
    let Some(name) = fields.remove("metricName") else {
        fields.get_mut("describedObject").map(modernise);
        return;
    };
    let mut metric = json!({"name": name});
    let selector = fields.remove("metricSelector").or_else(|| fields.remove("selector"));
    if let Some(selector) = selector {
        metric["selector"] = selector;
    }
    // In the old form of an object it says what is looked at, in the new one how much is wanted.
    let described = fields.remove("target");
    let average = fields.remove("averageValue");
    if let Some(target) = target(fields, average) {
        fields.insert("target".to_owned(), target);
    }
    fields.insert("metric".to_owned(), metric);
    if let Some(mut described) = described {
        modernise(&mut described);
        fields.insert("describedObject".to_owned(), described);
    }
}

/// Takes what is wanted out of the fields of the old form.
fn target(fields: &mut Map<String, Value>, average: Option<Value>) -> Option<Value> {
    let usage = fields.remove("targetAverageUtilization");
    let average = fields.remove("targetAverageValue").or(average);
    let value = fields.remove("targetValue");
    let usage = usage.map(|it| json!({"type": "Utilization", "averageUtilization": it}));
    // A value of nothing stands beside an average because the old form could not leave it out.
    let is_nothing = |value: &Value| *value == json!("0") || *value == json!(0);
    let average = average.filter(|it| !is_nothing(it));
    let average = average.map(|it| json!({"type": "AverageValue", "averageValue": it}));
    let value = value.map(|it| json!({"type": "Value", "value": it}));
    usage.or(average).or(value)
}

fn modernise(reference: &mut Value) {
    let is_gone = reference["apiVersion"].as_str().is_some_and(|version| GONE.contains(&version));
    if is_gone {
        reference["apiVersion"] = json!("apps/v1");
    }
}
