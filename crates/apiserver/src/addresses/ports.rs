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
) -> Result<(), FieldError> {
    let mut used = taken.clone();
    if has_node_ports(service) {
        lend(service, &mut used, range)?;
    }
    if needs_health_check(service)
        && health_check(service).is_none()
        && let Some(free) = take(range, &mut used, &[])
    {
        service["spec"]["healthCheckNodePort"] = json!(free);
    }
    Ok(())
}

/// Lends each port of a Service a number; the protocols of one port share it unless they ask for others.
fn lend(
    service: &mut Value,
    used: &mut BTreeSet<u16>,
    range: &RangeInclusive<u16>,
) -> Result<(), FieldError> {
    let asked = |port: &Value| Some((port["port"].as_u64(), node_port(port)?));
    let asked: Vec<_> = ports(service).iter().filter_map(asked).collect();
    let mut lent: Vec<(Option<u64>, u16)> = vec![];
    for (index, port) in ports_mut(service).enumerate() {
        let of = port["port"].as_u64();
        let shared = lent.iter().chain(&asked).find(|it| it.0 == of).map(|it| it.1);
        let number = match node_port(port).or(shared) {
            Some(number) if lent.contains(&(of, number)) => number,
            Some(number) => {
                let field = format!("spec.ports[{index}].nodePort");
                check(number, used, range)
                    .map_err(|why| FieldError::invalid(field, number, why))?;
                number
            }
            None => match take(range, used, &asked) {
                Some(number) => number,
                None => continue,
            },
        };
        lent.push((of, number));
        port["nodePort"] = json!(number);
    }
    Ok(())
}

fn check(number: u16, used: &mut BTreeSet<u16>, range: &RangeInclusive<u16>) -> Result<(), String> {
    if !range.contains(&number) {
        return Err(format!(
            "provided port is not in the valid range. The range of valid ports is {}-{}",
            range.start(),
            range.end()
        ));
    }
    let is_free = used.insert(number);
    is_free.then_some(()).ok_or_else(|| "provided port is already allocated".to_owned())
}

/// Takes a number that nobody holds and nobody asks for.
fn take(
    range: &RangeInclusive<u16>,
    used: &mut BTreeSet<u16>,
    asked: &[(Option<u64>, u16)],
) -> Option<u16> {
    let is_free = |each: &u16| !used.contains(each) && !asked.iter().any(|it| it.1 == *each);
    let free = range.clone().find(is_free)?;
    used.insert(free);
    Some(free)
}

fn health_check(service: &Value) -> Option<u16> {
    let number = service["spec"]["healthCheckNodePort"].as_u64().filter(|number| *number != 0)?;
    Some(u16::try_from(number).unwrap_or(u16::MAX))
}
