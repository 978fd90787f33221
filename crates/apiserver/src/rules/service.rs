//! Pure: the rules of services.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    dns,
    field::{FieldError, FieldPath},
    rules::{Errors, list, number, text},
};

pub(super) fn service(new: &Value, old: Option<&Value>, errors: &mut Errors) {
    let path = FieldPath::new("spec");
    let spec = &new["spec"];
    let kind = text(spec, "/type");
    let headless = text(spec, "/clusterIP") == "None";
    let ports = list(spec, "/ports");
    if ports.is_empty() && kind != "ExternalName" && !headless {
        errors.required(&path.child("ports"));
    }
    match kind {
        "LoadBalancer" if headless => {
            let detail = "may not be set to 'None' for LoadBalancer services";
            errors.invalid(&path.child("clusterIPs").index(0), "None", detail);
        }
        "NodePort" if headless => {
            let detail = "may not be set to 'None' for NodePort services";
            errors.invalid(&path.child("clusterIPs").index(0), "None", detail);
        }
        "ExternalName" => {
            let name = text(spec, "/externalName").trim_end_matches('.');
            errors.name(&path.child("externalName"), name, dns::subdomain);
        }
        _ => {}
    }
    let mut names = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        service_port(&path.child("ports").index(index), port, ports.len() > 1, &mut names, errors);
    }
    let affinities = ["ClientIP", "None"];
    let affinity = text(spec, "/sessionAffinity");
    errors.one_of(&path.child("sessionAffinity"), affinity, &affinities);
    let kinds = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    errors.one_of(&path.child("type"), kind, &kinds);
    if let Some(old) = old {
        keeps_address(&path, spec, &old["spec"], errors);
    }
}

fn service_port<'a>(
    path: &FieldPath,
    port: &'a Value,
    named: bool,
    names: &mut BTreeSet<&'a str>,
    errors: &mut Errors,
) {
    let name = text(port, "/name");
    if named || !name.is_empty() {
        errors.name(&path.child("name"), name, dns::label);
        if !name.is_empty() && !names.insert(name) {
            errors.push(FieldError::duplicate(path.child("name"), name));
        }
    }
    errors.port(&path.child("port"), number(port, "/port"));
    let protocols = ["SCTP", "TCP", "UDP"];
    errors.one_of(&path.child("protocol"), text(port, "/protocol"), &protocols);
    if let Some(target) = port.get("targetPort").and_then(Value::as_i64) {
        errors.port(&path.child("targetPort"), target);
    }
}

/// Refuses another cluster IP, unless the service is or was one of an external name.
fn keeps_address(path: &FieldPath, new: &Value, old: &Value, errors: &mut Errors) {
    let external = [new, old].iter().any(|spec| text(spec, "/type") == "ExternalName");
    let had = text(old, "/clusterIP");
    if !external && !had.is_empty() && text(new, "/clusterIP") != had {
        let value = new.get("clusterIPs").cloned().unwrap_or_default();
        errors.invalid(&path.child("clusterIPs").index(0), value, "may not change once set");
    }
}
