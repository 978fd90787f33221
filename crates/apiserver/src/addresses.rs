//! Pure: gives Services their cluster addresses and node ports.

mod asked;
mod ports;
mod release;

use std::{collections::BTreeSet, net::Ipv4Addr};

use serde_json::{Value, json};

use crate::{
    field::FieldError,
    network::{Cidr, Networks},
};

/// What other Services hold.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    addresses: BTreeSet<Ipv4Addr>,
    node_ports: BTreeSet<u16>,
}

impl Taken {
    /// Returns what these Services hold.
    pub(crate) fn by<'a>(services: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut taken = Self::default();
        for service in services {
            taken.addresses.extend(address(service).parse::<Ipv4Addr>());
            taken.node_ports.extend(ports::held(service));
        }
        taken
    }
}

/// Gives a Service what it lacks and returns what is wrong with what it asks for.
pub(crate) fn assign(
    service: &mut Value,
    old: Option<&Value>,
    taken: &Taken,
    networks: &Networks,
) -> Vec<FieldError> {
    if let Some(old) = old {
        keep(service, old);
        follow(service, old);
        release::release(service, old);
    }
    complete(service);
    // What is asked for in vain is told before anything is given out, and that before anything else.
    let mut errors = asked::forms(service);
    if errors.is_empty() {
        errors = asked::families(service);
    }
    if errors.is_empty() {
        errors = assign_address(service, old, taken, networks.services);
    }
    if errors.is_empty() {
        errors.extend(ports::assign(service, &taken.node_ports, &networks.node_ports).err());
    }
    errors
}

/// Takes over what the Service was given before and the update does not mention.
fn keep(service: &mut Value, old: &Value) {
    if kind(service) == "ExternalName" || kind(old) == "ExternalName" {
        return;
    }
    if address(service).is_empty() && !address(old).is_empty() {
        service["spec"]["clusterIP"] = old["spec"]["clusterIP"].clone();
        service["spec"]["clusterIPs"] = old["spec"]["clusterIPs"].clone();
    }
    ports::keep(service, old);
}

/// Has the list of addresses follow the one address where an update changed that alone, as old clients do.
fn follow(service: &mut Value, old: &Value) {
    let address = address(service).to_owned();
    let is_list_old = service["spec"]["clusterIPs"] == old["spec"]["clusterIPs"];
    if is_list_old
        && old["spec"]["clusterIP"].as_str().unwrap_or_default() != address
        && let Some(spec) = service["spec"].as_object_mut()
    {
        // Without an address the list goes; else it is filled in from it.
        spec.remove("clusterIPs");
    }
}

/// Fills in what follows from the address; it is handed out with it, and so nobody's.
fn complete(service: &mut Value) {
    let wanted = address(service).to_owned();
    let is_open = is_open(service);
    let Some(spec) = service.get_mut("spec").and_then(Value::as_object_mut) else { return };
    if !wanted.is_empty() {
        spec.entry("clusterIPs").or_insert_with(|| json!([wanted]));
    }
    if spec.get("type").is_some_and(|kind| kind == "ExternalName") {
        return;
    }
    let (families, policy) = if is_open {
        (json!(["IPv4", "IPv6"]), "RequireDualStack")
    } else {
        (json!(["IPv4"]), "SingleStack")
    };
    let families = spec.entry("ipFamilies").or_insert(families);
    if is_open
        && let Some(families) = families.as_array_mut()
        && families.len() == 1
    {
        let other = if families.contains(&json!("IPv4")) { "IPv6" } else { "IPv4" };
        families.push(json!(other));
    }
    spec.entry("ipFamilyPolicy").or_insert(json!(policy));
}

/// Returns whether a Service is left open to both families, as it has neither an address nor pods of its own.
fn is_open(service: &Value) -> bool {
    let spec = &service["spec"];
    let has_selector = spec.get("selector").is_some_and(|it| *it != json!({}));
    address(service) == "None" && !has_selector && spec["ipFamilyPolicy"] != "SingleStack"
}

fn assign_address(
    service: &mut Value,
    old: Option<&Value>,
    taken: &Taken,
    network: Cidr,
) -> Vec<FieldError> {
    let wanted = address(service).to_owned();
    let before = old.filter(|old| kind(old) != "ExternalName").map(address).unwrap_or_default();
    if kind(service) == "ExternalName" || wanted == "None" {
        return vec![];
    }
    if !before.is_empty() && wanted != before {
        let why = "may not change once set";
        return vec![FieldError::invalid("spec.clusterIPs[0]", json!([wanted]), why)];
    }
    if wanted.is_empty() {
        let free = hosts(network).find(|each| !taken.addresses.contains(each));
        let Some(free) = free else {
            let why = "failed to allocate a serviceIP: range is full";
            return vec![FieldError::invalid_without_value("spec.clusterIPs", why)];
        };
        service["spec"]["clusterIP"] = json!(free.to_string());
        service["spec"]["clusterIPs"] = json!([free.to_string()]);
        return vec![];
    }
    let Ok(asked) = wanted.parse::<Ipv4Addr>() else { return vec![] };
    let why = if network.number(asked).is_none() {
        format!(
            "the provided IP ({wanted}) is not in the valid range. The range of valid IPs is \
             {network}"
        )
    } else if taken.addresses.contains(&asked) {
        "provided IP is already allocated".to_owned()
    } else {
        return vec![];
    };
    let why = format!("failed to allocate IP {wanted}: {why}");
    vec![FieldError::invalid("spec.clusterIPs", json!([wanted]), why)]
}

fn has_node_ports(service: &Value) -> bool {
    let allocates = service["spec"]["allocateLoadBalancerNodePorts"] != json!(false);
    matches!(kind(service), "NodePort") || (kind(service) == "LoadBalancer" && allocates)
}

/// Returns whether nodes are asked over a port of its own whether they have a backend.
pub(crate) fn needs_health_check(service: &Value) -> bool {
    kind(service) == "LoadBalancer" && service["spec"]["externalTrafficPolicy"] == "Local"
}

/// Returns whether a Service has addresses besides the one in the cluster.
pub(crate) fn is_reached_from_outside(service: &Value) -> bool {
    let has_more = service["spec"]["externalIPs"].as_array().is_some_and(|it| !it.is_empty());
    match kind(service) {
        "LoadBalancer" | "NodePort" => true,
        "ClusterIP" => has_more,
        _ => false,
    }
}

fn kind(service: &Value) -> &str {
    service["spec"]["type"].as_str().unwrap_or("ClusterIP")
}

fn address(service: &Value) -> &str {
    service["spec"]["clusterIP"].as_str().unwrap_or_default()
}

fn ports(service: &Value) -> &Vec<Value> {
    const NONE: &Vec<Value> = &Vec::new();
    service["spec"]["ports"].as_array().unwrap_or(NONE)
}

fn ports_mut(service: &mut Value) -> impl Iterator<Item = &mut Value> {
    service.pointer_mut("/spec/ports").and_then(Value::as_array_mut).into_iter().flatten()
}

fn node_port(port: &Value) -> Option<u16> {
    let number = port["nodePort"].as_u64().filter(|number| *number != 0)?;
    Some(u16::try_from(number).unwrap_or(u16::MAX))
}

/// Returns the addresses to give out; the first of the network belongs to the API itself.
fn hosts(network: Cidr) -> impl Iterator<Item = Ipv4Addr> {
    (2..network.last()).map(move |number| network.address(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(spec: impl Into<Value>) -> Value {
        let spec: Value = spec.into();
        json!({"spec": spec})
    }

    fn assigned(mut value: Value, old: Option<&Value>, others: &[Value]) -> Result<Value, String> {
        match assign(&mut value, old, &Taken::by(others), &Networks::default()).first() {
            Some(error) => Err(error.to_string()),
            None => Ok(value["spec"].clone()),
        }
    }

    #[test]
    fn the_next_free_address_and_port_are_given() {
        let other = service(json!({"clusterIP": "10.96.0.2", "type": "NodePort",
            "ports": [{"port": 80, "nodePort": 30000}]}));
        let new = service(json!({"type": "NodePort", "ports": [{"port": 80}]}));
        let expected = json!({"type": "NodePort", "clusterIP": "10.96.0.3",
            "clusterIPs": ["10.96.0.3"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "ports": [{"port": 80, "nodePort": 30001}]});
        assert_eq!(assigned(new, None, &[other]), Ok(expected));
    }

    #[test]
    fn local_balancers_are_checked_over_a_port_that_stays_theirs() {
        let local = |health: Value| {
            service(json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local",
                "clusterIP": "10.96.0.9", "healthCheckNodePort": health}))
        };
        let first = assigned(local(Value::Null), None, &[]).unwrap();
        assert_eq!(first["healthCheckNodePort"], 30000);
        let other = service(json!({"healthCheckNodePort": 30000}));
        let second = assigned(local(Value::Null), None, &[other]).unwrap();
        assert_eq!(second["healthCheckNodePort"], 30001);
        let kept = assigned(local(Value::Null), Some(&local(json!(31000))), &[]).unwrap();
        assert_eq!(kept["healthCheckNodePort"], 31000);
    }

    #[test]
    fn what_the_new_type_has_no_use_for_goes_unless_it_was_changed() {
        let old = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local",
            "allocateLoadBalancerNodePorts": true, "clusterIP": "10.96.0.9",
            "clusterIPs": ["10.96.0.9"], "healthCheckNodePort": 31000, "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "ports": [{"port": 80, "nodePort": 30000}]});
        let turned = |kind: &str, more: Value| {
            let mut new = service(old.clone());
            k8s::patch::merge(&mut new, &json!({"spec": {"type": kind}}));
            k8s::patch::merge(&mut new, &json!({"spec": more}));
            assigned(new, Some(&service(old.clone())), &[]).unwrap()
        };
        let plain = json!({"type": "ClusterIP", "clusterIP": "10.96.0.9",
            "clusterIPs": ["10.96.0.9"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "ports": [{"port": 80}]});
        assert_eq!(turned("ClusterIP", json!({})), plain);
        let name = json!({"type": "ExternalName", "ports": [{"port": 80}]});
        assert_eq!(turned("ExternalName", json!({})), name);
        let changed = turned("ClusterIP", json!({"healthCheckNodePort": 31001}));
        assert_eq!(changed["healthCheckNodePort"], 31001);
    }

    #[test]
    fn the_protocols_of_a_port_share_a_number() {
        let numbers = |ports: Value| {
            assigned(service(json!({"type": "NodePort", "ports": ports})), None, &[]).map(|spec| {
                let ports = spec["ports"].as_array().unwrap().iter();
                ports.map(|port| port["nodePort"].as_u64().unwrap()).collect::<Vec<_>>()
            })
        };
        let port = |port: u16, node: u16| match node {
            0 => json!({"port": port}),
            _ => json!({"port": port, "nodePort": node}),
        };
        for (ports, expected) in [
            (json!([port(53, 0), port(53, 0)]), vec![30_000, 30_000]),
            (json!([port(53, 0), port(53, 30_007)]), vec![30_007, 30_007]),
            (json!([port(53, 30_006), port(53, 30_007)]), vec![30_006, 30_007]),
            (json!([port(1, 0), port(2, 30_000)]), vec![30_001, 30_000]),
        ] {
            assert_eq!(numbers(ports), Ok(expected));
        }
        let twice = numbers(json!([port(1, 30_007), port(2, 30_007), port(3, 30_007)]));
        let why =
            "spec.ports[1].nodePort: Invalid value: 30007: provided port is already allocated";
        assert_eq!(twice, Err(why.to_owned()));
    }

    #[test]
    fn what_is_taken_or_outside_is_refused() {
        let other = service(json!({"clusterIP": "10.96.0.9"}));
        for (spec, why) in [
            (json!({"clusterIP": "10.96.0.9"}), "provided IP is already allocated"),
            (json!({"clusterIP": "10.0.0.1"}), "The range of valid IPs is 10.96.0.0/16"),
            (json!({"clusterIP": "x"}), "must be a valid IP address"),
            (json!({"type": "NodePort", "ports": [{"nodePort": 1}]}), "not in the valid range"),
        ] {
            let error = assigned(service(spec), None, std::slice::from_ref(&other)).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn an_update_keeps_what_was_given() {
        let old = service(json!({"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"]}));
        let kept = assigned(service(json!({})), Some(&old), &[]).unwrap();
        assert_eq!(kept["clusterIP"], "10.96.0.9");
        let other = service(json!({"clusterIP": "10.96.0.8"}));
        let error = assigned(other, Some(&old), &[]).unwrap_err();
        assert_eq!(
            error,
            "spec.clusterIPs[0]: Invalid value: [\"10.96.0.8\"]: may not change once set"
        );
        let alone = json!({"clusterIP": "10.96.0.8", "clusterIPs": ["10.96.0.9"]});
        assert_eq!(assigned(service(alone), Some(&old), &[]).unwrap_err(), error);
        let headless = assigned(service(json!({"clusterIP": "None"})), None, &[]).unwrap();
        assert_eq!(
            headless,
            json!({"clusterIP": "None", "clusterIPs": ["None"],
            "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack"})
        );
    }
}
