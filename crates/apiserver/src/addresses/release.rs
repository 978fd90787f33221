//! Pure: takes from a Service what its new type has no use for.
//!
//! What was given or filled in for the old type stays in patches and in objects read before. It goes unless
//! the writer changed it too, which is for the rules to refuse.

use serde_json::{Value, json};

use super::{
    has_node_ports, is_reached_from_outside, kind, needs_health_check, node_port, ports, ports_mut,
};

/// Takes from a Service what its new type has no use for, and the old one had.
pub(super) fn release(new: &mut Value, old: &Value) {
    let lost = |needs: fn(&Value) -> bool, new: &Value| needs(old) && !needs(new);
    if lost(has_address, new) {
        if is_same(new, old, "clusterIP") && is_same(new, old, "clusterIPs") {
            remove(new, "clusterIP");
            remove(new, "clusterIPs");
        }
        remove_same(new, old, "ipFamilies");
        remove_same(new, old, "ipFamilyPolicy");
    }
    let before: Vec<_> = ports(old).iter().filter_map(node_port).collect();
    let is_known = |port: &Value| node_port(port).is_none_or(|number| before.contains(&number));
    if lost(has_node_ports, new) && ports(new).iter().all(is_known) {
        for port in ports_mut(new).filter_map(Value::as_object_mut) {
            port.remove("nodePort");
        }
    }
    if lost(needs_health_check, new) {
        remove_same(new, old, "healthCheckNodePort");
    }
    if lost(is_balanced, new) {
        remove_same(new, old, "allocateLoadBalancerNodePorts");
        remove_same(new, old, "loadBalancerClass");
    }
    if lost(is_reached_from_outside, new) {
        remove_same(new, old, "externalTrafficPolicy");
    }
    if !is_balanced(new) {
        new["status"]["loadBalancer"] = json!({});
    }
}

fn has_address(service: &Value) -> bool {
    kind(service) != "ExternalName"
}

fn is_balanced(service: &Value) -> bool {
    kind(service) == "LoadBalancer"
}

fn is_same(new: &Value, old: &Value, field: &str) -> bool {
    new["spec"][field] == old["spec"][field]
}

fn remove_same(new: &mut Value, old: &Value, field: &str) {
    if is_same(new, old, field) {
        remove(new, field);
    }
}

fn remove(service: &mut Value, field: &str) {
    if let Some(spec) = service["spec"].as_object_mut() {
        spec.remove(field);
    }
}
