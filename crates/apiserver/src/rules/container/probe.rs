//! Pure: the rules of what asks containers how they are and tells them of their end.

use serde_json::Value;

use super::port_name;
use crate::{
    field::{FieldError, FieldPath},
    fields::{list, number, text},
    rules::{Errors, given},
};

/// Checks the probes and hooks of a container, which come in this order.
pub(super) fn all(path: &FieldPath, container: &Value, errors: &mut Errors) {
    let lifecycle = path.child("lifecycle");
    for name in ["postStart", "preStop"] {
        let hook = given(&container["lifecycle"], name);
        if let Some(hook) = hook {
            handler(
                &lifecycle.child(name),
                hook,
                &["exec", "httpGet", "tcpSocket", "sleep"],
                errors,
            );
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(each) = given(container, name) {
            probe(&path.child(name), each, name == "readinessProbe", errors);
        }
    }
}

/// Refuses what asks after containers that end before the others start.
pub(super) fn none(path: &FieldPath, container: &Value, errors: &mut Errors) {
    for name in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
        if given(container, name).is_some() {
            let detail = "may not be set for init containers without restartPolicy=Always";
            errors.push(FieldError::forbidden(path.child(name), detail));
        }
    }
}

fn probe(path: &FieldPath, probe: &Value, is_of_readiness: bool, errors: &mut Errors) {
    handler(path, probe, &["exec", "httpGet", "tcpSocket", "grpc"], errors);
    for name in [
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ] {
        errors.not_negative(path, probe, name);
    }
    let grace = given(probe, "terminationGracePeriodSeconds").and_then(Value::as_i64);
    if let Some(grace) = grace {
        let path = path.child("terminationGracePeriodSeconds");
        if grace <= 0 {
            errors.invalid(&path, grace, "must be greater than 0");
        }
        if is_of_readiness {
            errors.invalid(&path, grace, "must not be set for readinessProbes");
        }
    }
    let successes = number(probe, "/successThreshold");
    if !is_of_readiness && successes != 1 {
        errors.invalid(&path.child("successThreshold"), successes, "must be 1");
    }
}

/// Checks that there is one handler, of these kinds, and what it says.
fn handler(path: &FieldPath, handlers: &Value, kinds: &[&str], errors: &mut Errors) {
    let given = kinds.iter().filter_map(|kind| Some((*kind, given(handlers, kind)?)));
    let mut count = 0;
    for (kind, handler) in given {
        let path = path.child(kind);
        count += 1;
        if 1 < count {
            let detail = "may not specify more than 1 handler type";
            errors.push(FieldError::forbidden(path, detail));
            continue;
        }
        match kind {
            "exec" if list(handler, "/command").is_empty() => {
                errors.required(&path.child("command"));
            }
            "httpGet" => http(&path, handler, errors),
            "tcpSocket" | "grpc" => port(&path.child("port"), &handler["port"], errors),
            _ => {}
        }
    }
    if count == 0 {
        errors.push(FieldError::required(path, "must specify a handler type"));
    }
}

fn http(path: &FieldPath, get: &Value, errors: &mut Errors) {
    if text(get, "/path").is_empty() {
        errors.required(&path.child("path"));
    }
    port(&path.child("port"), &get["port"], errors);
    errors.one_of(&path.child("scheme"), text(get, "/scheme"), &["HTTP", "HTTPS"]);
    for header in list(get, "/httpHeaders") {
        let name = text(header, "/name");
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if name.is_empty() || !name.chars().all(allowed) {
            let detail = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. \
                          'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
            errors.invalid(&path.child("httpHeaders"), name, detail);
        }
    }
}

/// Checks a port that is given by its number or its name.
fn port(path: &FieldPath, port: &Value, errors: &mut Errors) {
    match port {
        Value::String(name) => port_name(path, name, errors),
        number => errors.port(path, number.as_i64().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wrong(rule: fn(&FieldPath, &Value, &mut Errors), container: &Value) -> Vec<String> {
        let mut errors = Errors::default();
        rule(&FieldPath::new("c"), container, &mut errors);
        errors.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_probe_has_one_handler_that_can_be_called() {
        for (probe, expected) in [
            (json!({"exec": {"command": ["a"]}, "successThreshold": 1}), vec![]),
            (
                json!({"httpGet": {"path": "/", "port": 0, "scheme": "HTTP"}, "successThreshold": 1}),
                vec![
                    "c.livenessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive",
                ],
            ),
            (
                json!({"successThreshold": 2}),
                vec![
                    "c.livenessProbe: Required value: must specify a handler type",
                    "c.livenessProbe.successThreshold: Invalid value: 2: must be 1",
                ],
            ),
        ] {
            assert_eq!(wrong(all, &json!({"livenessProbe": probe})), expected);
        }
    }

    #[test]
    fn only_readiness_may_take_several_successes_and_no_grace() {
        let probe = json!({"readinessProbe": {"tcpSocket": {"port": "web"}, "successThreshold": 3,
            "terminationGracePeriodSeconds": 1}});
        let path = "c.readinessProbe.terminationGracePeriodSeconds";
        assert_eq!(
            wrong(all, &probe),
            [format!("{path}: Invalid value: 1: must not be set for readinessProbes")]
        );
        assert_eq!(wrong(none, &probe).len(), 1);
    }

    #[test]
    fn a_hook_runs_a_command() {
        let hooks = json!({"lifecycle": {"preStop": {}, "postStart": {"exec": {}}}});
        let expected = [
            "c.lifecycle.postStart.exec.command: Required value",
            "c.lifecycle.preStop: Required value: must specify a handler type",
        ];
        assert_eq!(wrong(all, &hooks), expected);
    }
}
