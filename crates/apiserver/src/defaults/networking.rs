//! Pure: the defaults of services and what lies behind them.

use serde_json::{Map, Value, json};

use crate::defaults::{each, map, set, text, within};

pub(super) fn service(object: &mut Map<String, Value>) {
    within(object, "spec", |spec| {
        set(spec, "sessionAffinity", "None");
        match text(spec, "sessionAffinity") {
            "ClientIP" => {
                let client = map(map(spec, "sessionAffinityConfig"), "clientIP");
                set(client, "timeoutSeconds", 10800);
            }
            _ => drop(spec.remove("sessionAffinityConfig")),
        }
        set(spec, "type", "ClusterIP");
        each(spec, "ports", service_port);
        let kind = text(spec, "type").to_owned();
        let has_more = spec.get("externalIPs").and_then(Value::as_array).is_some();
        if ["NodePort", "LoadBalancer"].contains(&kind.as_str()) || kind == "ClusterIP" && has_more
        {
            set(spec, "externalTrafficPolicy", "Cluster");
        }
        if kind == "LoadBalancer" {
            set(spec, "allocateLoadBalancerNodePorts", true);
        }
        if kind != "ExternalName" {
            set(spec, "internalTrafficPolicy", "Cluster");
        }
    });
    within(object, "status", |status| {
        within(status, "loadBalancer", |balancer| each(balancer, "ingress", ingress));
    });
}

fn ingress(ingress: &mut Map<String, Value>) {
    if !text(ingress, "ip").is_empty() {
        set(ingress, "ipMode", "VIP");
    }
}

fn service_port(port: &mut Map<String, Value>) {
    set(port, "protocol", "TCP");
    let is_missing =
        port.get("targetPort").is_none_or(|target| *target == json!(0) || *target == json!(""));
    if is_missing {
        let number = port.get("port").cloned().unwrap_or_default();
        port.insert("targetPort".to_owned(), number);
    }
}

pub(super) fn endpoints(object: &mut Map<String, Value>) {
    each(object, "subsets", |subset| each(subset, "ports", |port| set(port, "protocol", "TCP")));
}

pub(super) fn endpoint_slice(object: &mut Map<String, Value>) {
    each(object, "ports", |port| {
        port.entry("name").or_insert_with(|| json!(""));
        set(port, "protocol", "TCP");
    });
}

pub(super) fn policy(spec: &mut Map<String, Value>) {
    for rules in ["ingress", "egress"] {
        each(spec, rules, |rule| each(rule, "ports", |port| set(port, "protocol", "TCP")));
    }
    let types = if spec.get("egress").and_then(Value::as_array).is_some_and(|it| !it.is_empty()) {
        json!(["Ingress", "Egress"])
    } else {
        json!(["Ingress"])
    };
    set(spec, "policyTypes", types);
}

pub(super) fn ingress_class(object: &mut Map<String, Value>) {
    within(object, "spec", |spec| {
        within(spec, "parameters", |parameters| set(parameters, "scope", "Cluster"));
    });
}
