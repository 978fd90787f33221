//! Pure: the rules of services.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    addresses, dns,
    field::{FieldError, FieldPath},
    rules::{Errors, given, list, number, text},
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
    traffic(&path, new, old, errors);
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

/// Checks what makes sense for services of some types only.
fn traffic(path: &FieldPath, service: &Value, old: Option<&Value>, errors: &mut Errors) {
    let spec = &service["spec"];
    let kind = text(spec, "/type");
    if kind == "ExternalName" {
        for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            if given(spec, field).is_some() {
                let why = "may not be set for ExternalName services";
                errors.push(FieldError::forbidden(path.child(field), why));
            }
        }
    }
    if kind == "ClusterIP" {
        let lent = list(spec, "/ports").iter().enumerate();
        for (index, _) in lent.filter(|(_, port)| number(port, "/nodePort") != 0) {
            let field = path.child("ports").index(index).child("nodePort");
            let why = "may not be used when `type` is 'ClusterIP'";
            errors.push(FieldError::forbidden(field, why));
        }
    }
    if kind != "LoadBalancer" {
        let why = "may only be used when `type` is 'LoadBalancer'";
        // The first letter of the field is the reference's.
        for (field, name) in [
            ("loadBalancerSourceRanges", "LoadBalancerSourceRanges"),
            ("allocateLoadBalancerNodePorts", "allocateLoadBalancerNodePorts"),
            ("loadBalancerClass", "loadBalancerClass"),
        ] {
            if given(spec, field).is_some() {
                errors.push(FieldError::forbidden(path.child(name), why));
            }
        }
    }
    let policy = text(spec, "/externalTrafficPolicy");
    let field = path.child("externalTrafficPolicy");
    if addresses::is_reached_from_outside(service) {
        errors.one_of(&field, policy, &["Cluster", "Local"]);
    } else if !policy.is_empty() {
        let why = "may only be set for externally-accessible services";
        errors.invalid(&field, policy, why);
    }
    let (port, field) = (number(spec, "/healthCheckNodePort"), path.child("healthCheckNodePort"));
    if addresses::needs_health_check(service) {
        errors.port(&field, port);
        let before = old.filter(|old| addresses::needs_health_check(old));
        if before.is_some_and(|old| number(old, "/spec/healthCheckNodePort") != port) {
            errors.push(FieldError::forbidden(&field, "field is immutable"));
        }
    } else if port != 0 {
        let why =
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.invalid(&field, port, why);
    }
    if let Some(policy) = given(spec, "internalTrafficPolicy").and_then(Value::as_str) {
        errors.one_of(&path.child("internalTrafficPolicy"), policy, &["Cluster", "Local"]);
    }
    if let Some(spread) = given(spec, "trafficDistribution").and_then(Value::as_str) {
        let known = ["PreferClose", "PreferSameZone", "PreferSameNode"];
        errors.one_of(&path.child("trafficDistribution"), spread, &known);
    }
}
