//! Pure: the rules of containers.

mod environment;
mod probe;
pub(super) mod reference;
mod resources;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    dns,
    field::{FieldError, FieldPath},
    fields::{list, number, text},
    rules::{
        Errors,
        pod::{security, source},
    },
};

/// When a container runs, which decides what may ask after it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Beside the others.
    Main,
    /// Before the others.
    Init,
}

/// Checks a container of a pod that has these volumes.
pub(super) fn container(
    path: &FieldPath,
    container: &Value,
    role: Role,
    volumes: &BTreeSet<&str>,
    errors: &mut Errors,
) {
    errors.name(&path.child("name"), text(container, "/name"), dns::label);
    image(&path.child("image"), text(container, "/image"), errors);
    let policies = ["File", "FallbackToLogsOnError"];
    let policy = text(container, "/terminationMessagePolicy");
    errors.one_of(&path.child("terminationMessagePolicy"), policy, &policies);
    ports(&path.child("ports"), container, errors);
    environment::variables(&path.child("env"), container, errors);
    environment::sources(&path.child("envFrom"), container, errors);
    mounts(&path.child("volumeMounts"), container, volumes, errors);
    let policies = ["Always", "IfNotPresent", "Never"];
    errors.one_of(&path.child("imagePullPolicy"), text(container, "/imagePullPolicy"), &policies);
    resources::resources(&path.child("resources"), &container["resources"], errors);
    security::of_container(&path.child("securityContext"), &container["securityContext"], errors);
    // Containers that start first but stay are asked after like the others.
    if role == Role::Main || text(container, "/restartPolicy") == "Always" {
        probe::all(path, container, errors);
    } else {
        probe::none(path, container, errors);
    }
}

fn image(path: &FieldPath, image: &str, errors: &mut Errors) {
    if image.is_empty() {
        errors.required(path);
    } else if image.trim() != image {
        errors.invalid(path, image, "must not have leading or trailing whitespace");
    }
}

/// Refuses ports of the node that two ports of these containers would take.
pub(super) fn host_ports(path: &FieldPath, containers: &[Value], errors: &mut Errors) {
    let mut taken = BTreeSet::new();
    for (index, container) in containers.iter().enumerate() {
        let path = path.index(index).child("ports");
        for (index, port) in list(container, "/ports").iter().enumerate() {
            let number = number(port, "/hostPort");
            let which = format!("{}/{}/{number}", text(port, "/protocol"), text(port, "/hostIP"));
            if number != 0 && !taken.insert(which.clone()) {
                let path = path.index(index).child("hostPort");
                errors.push(FieldError::duplicate(path, which));
            }
        }
    }
}

/// Refuses ports of the node that are not those of the containers, which share its network.
pub(super) fn shared_ports(path: &FieldPath, containers: &[Value], errors: &mut Errors) {
    for (index, container) in containers.iter().enumerate() {
        let path = path.index(index).child("ports");
        for (index, port) in list(container, "/ports").iter().enumerate() {
            let number = number(port, "/hostPort");
            if port["hostPort"] != port["containerPort"] {
                let detail = "must match `containerPort` when `hostNetwork` is true";
                errors.invalid(&path.index(index).child("hostPort"), number, detail);
            }
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
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let has_letter = name.chars().any(|c| c.is_ascii_lowercase());
    for (is_wrong, detail) in [
        (15 < name.len(), "must be no more than 15 characters"),
        (
            name.is_empty() || !name.chars().all(allowed),
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
        ),
        (!has_letter, "must contain at least one letter (a-z)"),
        (name.contains("--"), "must not contain consecutive hyphens"),
        (name.starts_with('-') || name.ends_with('-'), "must not begin or end with a hyphen"),
    ] {
        if is_wrong {
            errors.invalid(path, name, detail);
        }
    }
}

fn mounts(path: &FieldPath, container: &Value, volumes: &BTreeSet<&str>, errors: &mut Errors) {
    let mut paths = BTreeSet::new();
    for (index, mount) in list(container, "/volumeMounts").iter().enumerate() {
        let (mounts, path) = (path, path.index(index));
        let name = text(mount, "/name");
        if name.is_empty() {
            errors.required(&path.child("name"));
        }
        if !volumes.contains(name) {
            errors.push(FieldError::not_found(path.child("name"), name));
        }
        let target = text(mount, "/mountPath");
        if target.is_empty() {
            errors.required(&path.child("mountPath"));
        } else if !paths.insert(target) {
            errors.invalid(&path.child("mountPath"), target, "must be unique");
        }
        let (part, expression) = (text(mount, "/subPath"), text(mount, "/subPathExpr"));
        // The reference names the list here, not the item.
        source::descending(&mounts.child("subPath"), part, errors);
        if !part.is_empty() && !expression.is_empty() {
            let detail = "subPathExpr and subPath are mutually exclusive";
            errors.invalid(&path.child("subPathExpr"), expression, detail);
        }
        source::descending(&mounts.child("subPathExpr"), expression, errors);
    }
}
