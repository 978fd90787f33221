//! Pure: the ports of nodes that lead to Services.

use std::{collections::BTreeSet, ops::RangeInclusive};

use serde_json::{Value, json};

use super::{has_node_ports, needs_health_check, node_port, ports, ports_mut};
use crate::field::FieldError;

/// Returns all ports of nodes that a Service holds.
pub(super) fn held(service: &Value) -> impl Iterator<Item = u16> {
    ports(service).iter().filter_map(node_port).chain(health_check(service))
}

/// Takes over the ports that a Service was given before and its update does not mention.
pub(super) fn keep(new: &mut Value, old: &Value) {
    if has_node_ports(new) && has_node_ports(old) {
        let before = ports(old).clone();
        let mentioned: Vec<_> = ports(new).iter().filter_map(node_port).collect();
        for port in ports_mut(new).filter(|port| node_port(port).is_none()) {
            let same = before.iter().find(|it| it["name"] == port["name"]).and_then(node_port);
            if let Some(number) = same.filter(|it| !mentioned.contains(it)) {
                port["nodePort"] = json!(number);
            }
        }
    }
    if needs_health_check(new)
        && needs_health_check(old)
        && health_check(new).is_none()
        && let Some(number) = health_check(old)
    {
        new["spec"]["healthCheckNodePort"] = json!(number);
    }
}

/// Gives a Service the ports it needs and returns what is wrong with those it asks for.
pub(super) fn assign(
    service: &mut Value,
    taken: &BTreeSet<u16>,
    range: &RangeInclusive<u16>,
) -> Vec<FieldError> {
    let mut errors = vec![];
    let mut used = taken.clone();
    let is_lent = has_node_ports(service);
    let asked = ports(service).iter().enumerate().filter(|_| is_lent);
    let asked = asked.filter_map(|(index, port)| {
        Some((format!("spec.ports[{index}].nodePort"), node_port(port)?))
    });
    let asked: Vec<_> = asked.collect();
    let mut own = BTreeSet::new();
    for (field, number) in asked {
        if !range.contains(&number) {
            let why = format!(
                "provided port is not in the valid range. The range of valid ports is {}-{}",
                range.start(),
                range.end()
            );
            errors.push(FieldError::invalid(field, number, why));
        } else if !used.insert(number) && !own.contains(&number) {
            let why = "provided port is already allocated";
            errors.push(FieldError::invalid(field, number, why));
        }
        // One number may lead to the same port of several protocols.
        own.insert(number);
    }
    if is_lent {
        for port in ports_mut(service).filter(|port| node_port(port).is_none()) {
            if let Some(free) = take(range, &mut used) {
                port["nodePort"] = json!(free);
            }
        }
    }
    if needs_health_check(service)
        && health_check(service).is_none()
        && let Some(free) = take(range, &mut used)
    {
        service["spec"]["healthCheckNodePort"] = json!(free);
    }
    errors
}

fn take(range: &RangeInclusive<u16>, used: &mut BTreeSet<u16>) -> Option<u16> {
    let free = range.clone().find(|each| !used.contains(each))?;
    used.insert(free);
    Some(free)
}

fn health_check(service: &Value) -> Option<u16> {
    let number = service["spec"]["healthCheckNodePort"].as_u64().filter(|number| *number != 0)?;
    Some(u16::try_from(number).unwrap_or(u16::MAX))
}
