//! Pure: the rules of containers.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    dns,
    field::{FieldError, FieldPath},
    quantity,
    rules::{Errors, entries, given, list, number, text},
};

/// Checks a container of a pod that has these volumes.
pub(super) fn container(
    path: &FieldPath,
    container: &Value,
    volumes: &BTreeSet<&str>,
    errors: &mut Errors,
) {
    errors.name(&path.child("name"), text(container, "/name"), dns::label);
    let image = text(container, "/image");
    if image.is_empty() {
        errors.required(&path.child("image"));
    } else if image.trim() != image {
        let detail = "must not have leading or trailing whitespace";
        errors.invalid(&path.child("image"), image, detail);
    }
    let policies = ["Always", "IfNotPresent", "Never"];
    errors.one_of(&path.child("imagePullPolicy"), text(container, "/imagePullPolicy"), &policies);
    ports(&path.child("ports"), container, errors);
    environment(&path.child("env"), container, errors);
    mounts(&path.child("volumeMounts"), container, volumes, errors);
    resources(&path.child("resources"), &container["resources"], errors);
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(each) = given(container, name) {
            probe(&path.child(name), each, errors);
        }
    }
}

fn ports(path: &FieldPath, container: &Value, errors: &mut Errors) {
    let mut names = BTreeSet::new();
    for (index, port) in list(container, "/ports").iter().enumerate() {
        let path = path.index(index);
        let name = text(port, "/name");
        if !name.is_empty() {
            port_name(&path.child("name"), name, errors);
            if !names.insert(name) {
                errors.push(FieldError::duplicate(path.child("name"), name));
            }
        }
        match number(port, "/containerPort") {
            0 => errors.required(&path.child("containerPort")),
            number => errors.port(&path.child("containerPort"), number),
        }
        if number(port, "/hostPort") != 0 {
            errors.port(&path.child("hostPort"), number(port, "/hostPort"));
        }
        let protocols = ["SCTP", "TCP", "UDP"];
        errors.one_of(&path.child("protocol"), text(port, "/protocol"), &protocols);
    }
}

pub(super) fn port_name(path: &FieldPath, name: &str, errors: &mut Errors) {
    if name.len() > 15 {
        errors.invalid(path, name, "must be no more than 15 characters");
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.chars().all(allowed) {
        let detail = "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)";
        errors.invalid(path, name, detail);
    } else if !name.chars().any(|c| c.is_ascii_lowercase()) {
        errors.invalid(path, name, "must contain at least one letter (a-z)");
    } else if name.contains("--") {
        errors.invalid(path, name, "must not contain consecutive hyphens");
    } else if name.starts_with('-') || name.ends_with('-') {
        errors.invalid(path, name, "must not begin or end with a hyphen");
    }
}

fn environment(path: &FieldPath, container: &Value, errors: &mut Errors) {
    for (index, variable) in list(container, "/env").iter().enumerate() {
        let path = path.index(index);
        let name = text(variable, "/name");
        if name.is_empty() {
            errors.required(&path.child("name"));
        } else if !name.chars().all(|c| matches!(c, ' '..='~') && c != '=') {
            let detail = "a valid environment variable name must consist only of printable ASCII \
                          characters other than '='";
            errors.invalid(&path.child("name"), name, detail);
        }
        let Some(source) = given(variable, "valueFrom") else { continue };
        let path = path.child("valueFrom");
        if !text(variable, "/value").is_empty() {
            errors.invalid(&path, "", "may not be specified when `value` is not empty");
        }
        let sources = source.as_object().map_or(0, serde_json::Map::len);
        if sources != 1 {
            let detail = if sources == 0 {
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, \
                 `secretKeyRef` or `fileKeyRef`"
            } else {
                "may not have more than one field specified at a time"
            };
            errors.invalid(&path, "", detail);
        }
    }
}

fn mounts(path: &FieldPath, container: &Value, volumes: &BTreeSet<&str>, errors: &mut Errors) {
    let mut paths = BTreeSet::new();
    for (index, mount) in list(container, "/volumeMounts").iter().enumerate() {
        let path = path.index(index);
        let name = text(mount, "/name");
        if name.is_empty() {
            errors.required(&path.child("name"));
        } else if !volumes.contains(name) {
            errors.push(FieldError::not_found(path.child("name"), name));
        }
        let target = text(mount, "/mountPath");
        if target.is_empty() {
            errors.required(&path.child("mountPath"));
        } else if !paths.insert(target) {
            errors.invalid(&path.child("mountPath"), target, "must be unique");
        }
    }
}

fn resources(path: &FieldPath, resources: &Value, errors: &mut Errors) {
    let limits = &resources["limits"];
    for (name, amount) in entries(resources, "requests") {
        let (Some(request), Some(limit)) = (amount.as_str(), limits[name].as_str()) else {
            continue;
        };
        if quantity::nanos(request) > quantity::nanos(limit) {
            let detail = format!("must be less than or equal to {name} limit of {limit}");
            errors.invalid(&path.child("requests"), request, detail);
        }
    }
    for kind in ["limits", "requests"] {
        for (name, amount) in entries(resources, kind) {
            if amount.as_str().and_then(quantity::nanos).is_some_and(|nanos| nanos < 0) {
                let path = path.child(kind).key(name);
                errors.invalid(&path, amount.clone(), "must be greater than or equal to 0");
            }
        }
    }
}

fn probe(path: &FieldPath, probe: &Value, errors: &mut Errors) {
    let handlers = ["exec", "httpGet", "tcpSocket", "grpc"];
    let handlers: Vec<_> = handlers.iter().filter(|name| given(probe, name).is_some()).collect();
    if handlers.is_empty() {
        errors.push(FieldError::required(path, "must specify a handler type"));
    }
    for extra in handlers.iter().skip(1) {
        let detail = "may not specify more than 1 handler type";
        errors.push(FieldError::forbidden(path.child(extra), detail));
    }
    for name in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "failureThreshold"] {
        errors.not_negative(path, probe, name);
    }
    if path.to_string().ends_with("livenessProbe") && number(probe, "/successThreshold") != 1 {
        let value = number(probe, "/successThreshold");
        errors.invalid(&path.child("successThreshold"), value, "must be 1");
    }
}
