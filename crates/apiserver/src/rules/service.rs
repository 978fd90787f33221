//! Pure: the rules of services.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    addresses, dns,
    field::{FieldError, FieldPath},
    fields::{list, number, text},
    lifecycle::metadata,
    rules::{Errors, address, container::port_name, given},
};

/// The longest that clients may stay with a pod: a day.
const MAX_AFFINITY_SECONDS: i64 = 86_400;

pub(super) fn service(new: &Value, old: Option<&Value>, errors: &mut Errors) {
    let path = FieldPath::new("spec");
    let spec = &new["spec"];
    let ports = list(spec, "/ports");
    of_type(&path, spec, errors);
    let mut names = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        service_port(&path.child("ports").index(index), port, ports.len() > 1, &mut names, errors);
    }
    let labels = json!({"labels": spec["selector"]});
    for error in metadata::labels_at("spec.selector", &labels) {
        errors.push(error);
    }
    affinity(&path, spec, errors);
    for (index, ip) in list(spec, "/externalIPs").iter().filter_map(Value::as_str).enumerate() {
        address::reachable(&path.child("externalIPs").index(index), ip, errors);
    }
    let kinds = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    errors.one_of(&path.child("type"), text(spec, "/type"), &kinds);
    traffic(&path, new, old, errors);
}

fn of_type(path: &FieldPath, spec: &Value, errors: &mut Errors) {
    let kind = text(spec, "/type");
    let headless = text(spec, "/clusterIP") == "None";
    if list(spec, "/ports").is_empty() && kind != "ExternalName" && !headless {
        errors.required(&path.child("ports"));
    }
    match kind {
        "LoadBalancer" | "NodePort" if headless => {
            let detail = format!("may not be set to 'None' for {kind} services");
            errors.invalid(&path.child("clusterIPs").index(0), "None", detail);
        }
        "ExternalName" => {
            for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                if given(spec, field).is_some() {
                    let why = "may not be set for ExternalName services";
                    errors.push(FieldError::forbidden(path.child(field), why));
                }
            }
            let name = text(spec, "/externalName").trim_end_matches('.');
            errors.name(&path.child("externalName"), name, dns::subdomain);
        }
        _ => {}
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
    match &port["targetPort"] {
        Value::String(name) => port_name(&path.child("targetPort"), name, errors),
        Value::Null => {}
        target => errors.port(&path.child("targetPort"), target.as_i64().unwrap_or_default()),
    }
    if let Some(protocol) = given(port, "appProtocol").and_then(Value::as_str) {
        for why in metadata::qualified_name(protocol) {
            errors.invalid(&path.child("appProtocol"), protocol, why);
        }
    }
}

fn affinity(path: &FieldPath, spec: &Value, errors: &mut Errors) {
    let affinity = text(spec, "/sessionAffinity");
    errors.one_of(&path.child("sessionAffinity"), affinity, &["ClientIP", "None"]);
    let seconds = number(spec, "/sessionAffinityConfig/clientIP/timeoutSeconds");
    if affinity == "ClientIP" && !(1..=MAX_AFFINITY_SECONDS).contains(&seconds) {
        let path = path.child("sessionAffinityConfig").child("clientIP").child("timeoutSeconds");
        let why = format!("must be greater than 0 and less than {MAX_AFFINITY_SECONDS}");
        errors.invalid(&path, seconds, why);
    }
}

/// Checks that no two ports of a Service are the same.
fn unique(path: &FieldPath, ports: &[Value], errors: &mut Errors) {
    let of = |port, field| (text(port, "/protocol").to_owned(), number(port, field));
    let mut lent = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let number = number(port, "/nodePort");
        if number != 0 && !lent.insert(of(port, "/nodePort")) {
            errors.push(FieldError::duplicate(path.index(index).child("nodePort"), number));
        }
    }
    let mut served = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let (protocol, number) = of(port, "/port");
        if !served.insert((protocol.clone(), number)) {
            // The reference shows its own type, filled in as far as it looks at it.
            let mut error = FieldError::duplicate(path.index(index), "");
            error.message = format!(
                "Duplicate value: {{\"Name\":\"\",\"Protocol\":\"{protocol}\",\"AppProtocol\":null,\
                 \"Port\":{number},\"TargetPort\":0,\"NodePort\":0}}"
            );
            errors.push(error);
        }
    }
}

/// Checks what makes sense for services of some types only.
fn traffic(path: &FieldPath, service: &Value, old: Option<&Value>, errors: &mut Errors) {
    let spec = &service["spec"];
    let kind = text(spec, "/type");
    if kind == "ClusterIP" {
        let lent = list(spec, "/ports").iter().enumerate();
        for (index, _) in lent.filter(|(_, port)| number(port, "/nodePort") != 0) {
            let field = path.child("ports").index(index).child("nodePort");
            let why = "may not be used when `type` is 'ClusterIP'";
            errors.push(FieldError::forbidden(field, why));
        }
    }
    unique(&path.child("ports"), list(spec, "/ports"), errors);
    if kind == "LoadBalancer" {
        let ranges = list(spec, "/loadBalancerSourceRanges").iter().filter_map(Value::as_str);
        for (index, range) in ranges.enumerate() {
            let path = path.child("LoadBalancerSourceRanges").index(index);
            address::network(&path, range.trim(), errors);
        }
    } else {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_told_apart_by_protocol() {
        let told = |ports: Value| {
            let mut errors = Errors::default();
            unique(&FieldPath::new("p"), list(&ports, ""), &mut errors);
            errors.0.iter().map(|it| it.field.clone()).collect::<Vec<_>>()
        };
        let port = |protocol: &str, port: u16, node: u16| json!({"protocol": protocol, "port": port, "nodePort": node});
        assert!(told(json!([port("TCP", 53, 30053), port("UDP", 53, 30053)])).is_empty());
        assert_eq!(told(json!([port("TCP", 1, 0), port("TCP", 1, 0)])), ["p[1]"]);
        assert_eq!(told(json!([port("TCP", 1, 9), port("TCP", 2, 9)])), ["p[1].nodePort"]);
    }

    #[test]
    fn clients_stay_for_a_day_at_most() {
        for (seconds, count) in [(0, 1), (1, 0), (86_400, 0), (86_401, 1)] {
            let mut errors = Errors::default();
            let spec = json!({"sessionAffinity": "ClientIP",
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": seconds}}});
            affinity(&FieldPath::new("spec"), &spec, &mut errors);
            assert_eq!(errors.0.len(), count, "{seconds}");
        }
    }
}
