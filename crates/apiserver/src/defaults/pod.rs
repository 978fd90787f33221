//! Pure: the defaults of pods and pod templates.

use serde_json::{Map, Value, json};

use crate::{
    defaults::{each, is_true, map, set, text, within},
    quantity,
};

const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

pub(super) fn pod(object: &mut Map<String, Value>) {
    within(object, "spec", |spec| {
        set(spec, "enableServiceLinks", true);
        let host_network = is_true(spec, "hostNetwork");
        for list in &CONTAINERS[..2] {
            each(spec, list, |container| {
                if host_network {
                    each(container, "ports", |port| {
                        let number = port.get("containerPort").cloned().unwrap_or_default();
                        set(port, "hostPort", number);
                    });
                }
                within(container, "resources", requests_from_limits);
            });
        }
        pod_spec(spec);
        // Templates keep what they say, pods do not: nothing takes less than no time to end.
        let grace = spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64);
        if grace.is_some_and(|seconds| seconds < 0) {
            spec.insert("terminationGracePeriodSeconds".to_owned(), json!(1));
        }
    });
}

/// Fills in a pod template.
pub(super) fn template(template: &mut Map<String, Value>) {
    within(template, "spec", pod_spec);
}

/// Returns how gently a pod is treated when its node runs short.
pub(super) fn quality_of_service(object: &Map<String, Value>) -> &'static str {
    let spec = object.get("spec");
    let containers = ["initContainers", "containers"]
        .iter()
        .filter_map(|list| spec?.get(list)?.as_array())
        .flatten();
    let (mut any, mut guaranteed) = (false, true);
    for container in containers {
        for resource in ["cpu", "memory"] {
            let amount = |kind: &str| {
                let text = container.get("resources")?.get(kind)?.get(resource)?.as_str()?;
                quantity::nanos(text).filter(|nanos| *nanos != 0)
            };
            let (request, limit) = (amount("requests"), amount("limits"));
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && request.is_none_or(|request| Some(request) == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

fn requests_from_limits(resources: &mut Map<String, Value>) {
    if let Some(Value::Object(limits)) = resources.get("limits").cloned() {
        let requests = map(resources, "requests");
        for (name, amount) in limits {
            set(requests, &name, amount);
        }
    }
}

fn pod_spec(spec: &mut Map<String, Value>) {
    set(spec, "dnsPolicy", "ClusterFirst");
    set(spec, "restartPolicy", "Always");
    set(spec, "securityContext", json!({}));
    set(spec, "terminationGracePeriodSeconds", 30);
    set(spec, "schedulerName", "default-scheduler");
    // The old name of the field is written beside the new one.
    let old_name = text(spec, "serviceAccount").to_owned();
    if !old_name.is_empty() {
        set(spec, "serviceAccountName", old_name);
    }
    if let Some(name) = spec.get("serviceAccountName").cloned() {
        spec.insert("serviceAccount".to_owned(), name);
    }
    for list in CONTAINERS {
        each(spec, list, container);
    }
    each(spec, "volumes", volume);
}

fn container(container: &mut Map<String, Value>) {
    let policy = if is_latest(text(container, "image")) { "Always" } else { "IfNotPresent" };
    set(container, "imagePullPolicy", policy);
    set(container, "terminationMessagePath", "/dev/termination-log");
    set(container, "terminationMessagePolicy", "File");
    each(container, "ports", |port| set(port, "protocol", "TCP"));
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        within(container, name, probe);
    }
    within(container, "lifecycle", |lifecycle| {
        for name in ["postStart", "preStop"] {
            within(lifecycle, name, |handler| within(handler, "httpGet", http_get));
        }
    });
    each(container, "env", |variable| within(variable, "valueFrom", field_reference));
}

fn probe(probe: &mut Map<String, Value>) {
    for (name, value) in [
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ] {
        set(probe, name, value);
    }
    within(probe, "httpGet", http_get);
    within(probe, "grpc", |grpc| {
        grpc.entry("service").or_insert_with(|| json!(""));
    });
}

fn http_get(get: &mut Map<String, Value>) {
    set(get, "path", "/");
    set(get, "scheme", "HTTP");
}

fn field_reference(source: &mut Map<String, Value>) {
    within(source, "fieldRef", |field| set(field, "apiVersion", "v1"));
}

fn volume(volume: &mut Map<String, Value>) {
    if volume.keys().all(|key| key == "name") {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        within(volume, source, |source| {
            set(source, "defaultMode", 420);
            each(source, "items", field_reference);
            each(source, "sources", |source| {
                within(source, "serviceAccountToken", |token| {
                    set(token, "expirationSeconds", 3600);
                });
                within(source, "downwardAPI", |source| each(source, "items", field_reference));
            });
        });
    }
    within(volume, "hostPath", |path| {
        path.entry("type").or_insert_with(|| json!(""));
    });
    within(volume, "ephemeral", |source| {
        within(source, "volumeClaimTemplate", |claim| {
            within(claim, "spec", |spec| set(spec, "volumeMode", "Filesystem"));
        });
    });
}

/// Returns whether an image is named by the tag `latest`, said or implied.
fn is_latest(image: &str) -> bool {
    let (name, has_digest) = match image.split_once('@') {
        Some((name, _)) => (name, true),
        None => (image, false),
    };
    let last = name.rsplit('/').next().unwrap_or_default();
    match last.split_once(':') {
        Some((_, tag)) => tag == "latest",
        None => !has_digest,
    }
}
