//! Pure: the rules of ingresses and their classes.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::{
    dns,
    field::{FieldError, FieldPath},
    fields::{list, number, text},
    lifecycle::metadata,
    rules::{Errors, container, given},
};

const MAX_CONTROLLER: usize = 250;

pub(super) fn ingress(new: &Value, old: Option<&Value>, errors: &mut Errors) {
    let path = FieldPath::new("spec");
    let spec = &new["spec"];
    let rules = list(spec, "/rules");
    if rules.is_empty() && given(spec, "defaultBackend").is_none() {
        let detail = "either `defaultBackend` or `rules` must be specified";
        errors.invalid(&path, spec.get("rules").cloned().unwrap_or_default(), detail);
    }
    if let Some(default) = given(spec, "defaultBackend") {
        backend(&path.child("defaultBackend"), default, errors);
    }
    for (index, each) in rules.iter().enumerate() {
        rule(&path.child("rules").index(index), each, errors);
    }
    for (index, each) in list(spec, "/tls").iter().enumerate() {
        tls(&path.child("tls").index(index), each, errors);
    }
    let class = text(spec, "/ingressClassName");
    if !class.is_empty() {
        errors.name(&path.child("ingressClassName"), class, dns::subdomain);
    }
    let annotation = "kubernetes.io/ingress.class";
    let annotated = new["metadata"]["annotations"][annotation].as_str().unwrap_or_default();
    if old.is_none() && !class.is_empty() && !annotated.is_empty() && annotated != class {
        let path = FieldPath::new("annotations").child(annotation);
        let detail = "must match `ingressClassName` when both are specified";
        errors.invalid(&path, annotated, detail);
    }
}

fn tls(path: &FieldPath, tls: &Value, errors: &mut Errors) {
    for (index, each) in list(tls, "/hosts").iter().filter_map(Value::as_str).enumerate() {
        host(&path.child("hosts").index(index), each, errors);
    }
    let secret = text(tls, "/secretName");
    if !secret.is_empty() {
        errors.name(&path.child("secretName"), secret, dns::subdomain);
    }
}

fn host(path: &FieldPath, host: &str, errors: &mut Errors) {
    let rule = if host.contains('*') { dns::wildcard } else { dns::subdomain };
    for why in rule(host) {
        errors.invalid(path, host, why);
    }
}

fn rule(path: &FieldPath, rule: &Value, errors: &mut Errors) {
    let name = text(rule, "/host");
    if !name.is_empty() {
        let path = path.child("host");
        if name.parse::<IpAddr>().is_ok() {
            errors.invalid(&path, name, "must be a DNS name, not an IP address");
        }
        host(&path, name, errors);
    }
    let Some(http) = given(rule, "http") else { return };
    let path = path.child("http").child("paths");
    if list(http, "/paths").is_empty() {
        errors.required(&path);
    }
    for (index, each) in list(http, "/paths").iter().enumerate() {
        http_path(&path.index(index), each, errors);
    }
}

fn http_path(at: &FieldPath, http: &Value, errors: &mut Errors) {
    let path = text(http, "/path");
    match text(http, "/pathType") {
        "" => {
            let detail = "pathType must be specified";
            errors.push(FieldError::required(at.child("pathType"), detail));
            return;
        }
        "Exact" | "Prefix" => plain_path(&at.child("path"), path, errors),
        "ImplementationSpecific" => {
            if !path.is_empty() && !path.starts_with('/') {
                errors.invalid(&at.child("path"), path, "must be an absolute path");
            }
        }
        other => {
            let supported = ["Exact", "ImplementationSpecific", "Prefix"];
            errors.one_of(&at.child("pathType"), other, &supported);
        }
    }
    backend(&at.child("backend"), &http["backend"], errors);
}

fn plain_path(at: &FieldPath, path: &str, errors: &mut Errors) {
    if !path.starts_with('/') {
        errors.invalid(at, path, "must be an absolute path");
    }
    for part in ["//", "/./", "/../", "%2f", "%2F"] {
        if path.contains(part) {
            errors.invalid(at, path, format!("must not contain '{part}'"));
        }
    }
    for end in ["/..", "/."] {
        if path.ends_with(end) {
            errors.invalid(at, path, format!("cannot end with '{end}'"));
        }
    }
}

fn backend(path: &FieldPath, backend: &Value, errors: &mut Errors) {
    match (given(backend, "resource"), given(backend, "service")) {
        (Some(_), Some(_)) => {
            errors.invalid(path, "", "cannot set both resource and service backends");
        }
        (Some(resource), None) => reference(&path.child("resource"), resource, errors),
        (None, Some(service)) => service_backend(path, service, errors),
        (None, None) => errors.invalid(path, "", "resource or service backend is required"),
    }
}

fn service_backend(path: &FieldPath, service: &Value, errors: &mut Errors) {
    let below = path.child("service");
    errors.name(&below.child("name"), text(service, "/name"), dns::label);
    let (name, port) = (text(service, "/port/name"), number(service, "/port/number"));
    match (name.is_empty(), port == 0) {
        (false, false) => errors.invalid(path, "", "cannot set both port name & port number"),
        (false, true) => container::port_name(&below.child("port").child("name"), name, errors),
        (true, false) => errors.port(&below.child("port").child("number"), port),
        (true, true) => {
            errors.push(FieldError::required(path, "port name or number is required"));
        }
    }
}

/// Checks what names an object of any kind.
fn reference(path: &FieldPath, reference: &Value, errors: &mut Errors) {
    if let Some(group) = given(reference, "apiGroup").and_then(Value::as_str) {
        for why in dns::subdomain(group) {
            errors.invalid(&path.child("apiGroup"), group, why);
        }
    }
    for field in ["kind", "name"] {
        let value = text(reference, &format!("/{field}"));
        errors.name(&path.child(field), value, metadata::path_segment);
    }
}

pub(super) fn class(new: &Value, old: Option<&Value>, errors: &mut Errors) {
    let path = FieldPath::new("spec");
    let spec = &new["spec"];
    let at = path.child("controller");
    if let Some(old) = old {
        let before = json!(text(old, "/spec/controller"));
        errors.immutable(&at, Some(&json!(text(spec, "/controller"))), Some(&before));
    }
    controller(&at, text(spec, "/controller"), errors);
    if let Some(parameters) = given(spec, "parameters") {
        class_parameters(&path.child("parameters"), parameters, errors);
    }
}

fn controller(path: &FieldPath, name: &str, errors: &mut Errors) {
    if MAX_CONTROLLER < name.len() {
        errors.push(FieldError::too_long(path, MAX_CONTROLLER as u64));
    }
    if name.is_empty() {
        errors.required(path);
        return;
    }
    let Some((host, rest)) =
        name.split_once('/').filter(|(host, rest)| !host.is_empty() && !rest.is_empty())
    else {
        errors.invalid(path, name, "must be a domain-prefixed path (such as \"acme.io/foo\")");
        return;
    };
    for why in dns::subdomain(host) {
        errors.invalid(path, name, why);
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "/-._~%!$&'()*+,;=:".contains(c);
    if !rest.chars().all(allowed) {
        let detail =
            r"Invalid path (regex used for validation is '[A-Za-z0-9/\-._~%!$&'()*+,;=:]+')";
        errors.invalid(path, name, detail);
    }
}

fn class_parameters(path: &FieldPath, parameters: &Value, errors: &mut Errors) {
    reference(path, parameters, errors);
    let at = path.child("namespace");
    let namespace = given(parameters, "namespace").and_then(Value::as_str);
    let scope = text(parameters, "/scope");
    match (scope, namespace) {
        ("Namespace", None) => {
            errors.push(FieldError::required(at, "`parameters.scope` is set to 'Namespace'"));
        }
        ("Namespace", Some(namespace)) => errors.name(&at, namespace, dns::label),
        ("Cluster", Some(_)) => {
            errors.push(FieldError::forbidden(at, "`parameters.scope` is set to 'Cluster'"));
        }
        ("Cluster", None) => {}
        _ => errors.one_of(&path.child("scope"), scope, &["Cluster", "Namespace"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_error(check: impl Fn(&mut Errors)) -> String {
        let mut errors = Errors::default();
        check(&mut errors);
        errors.0.first().map(ToString::to_string).unwrap_or_default()
    }

    #[test]
    fn paths_and_backends_are_checked() {
        let service = json!({"service": {"name": "s", "port": {"number": 1}}});
        for (path, error) in [
            (json!({"path": "/a", "pathType": "Prefix", "backend": service}), ""),
            (json!({"path": "", "pathType": "ImplementationSpecific", "backend": service}), ""),
            (
                json!({"path": "/a/..", "pathType": "Exact", "backend": service}),
                r#"p.path: Invalid value: "/a/..": cannot end with '/..'"#,
            ),
            (
                json!({"path": "/", "pathType": "Prefix", "backend": {}}),
                r#"p.backend: Invalid value: "": resource or service backend is required"#,
            ),
        ] {
            let found = first_error(|errors| http_path(&FieldPath::new("p"), &path, errors));
            assert_eq!(found, error);
        }
    }

    #[test]
    fn controllers_are_paths_below_a_domain() {
        for (name, is_fine) in
            [("example.com/a", true), ("example.com/", false), ("a", false), ("A_b/c", false)]
        {
            let found = first_error(|errors| controller(&FieldPath::root(), name, errors));
            assert_eq!(found.is_empty(), is_fine, "{found}");
        }
    }
}
