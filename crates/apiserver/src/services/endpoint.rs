//! Pure: which endpoint of a Service can be called from this process.

use std::net::{IpAddr, Ipv6Addr};

use k8s::PortChoice;
use serde_json::Value;

use crate::network::Cidr;

/// Returns host and port of an endpoint, or what is missing.
///
/// Addresses of simulated pods, those of the pods' network, lead nowhere.
pub(super) fn find(
    service: &Value,
    slices: &[Value],
    wanted: &PortChoice,
    pods: Cidr,
) -> Result<String, String> {
    let spec = &service["spec"];
    let external = spec["externalName"].as_str().filter(|_| spec["type"] == "ExternalName");
    if let Some(why) = refused(&spec["ports"], wanted).filter(|_| external.is_none()) {
        return Err(why);
    }
    let mut ports = spec["ports"].as_array().into_iter().flatten();
    let port = ports.find(|port| is_meant(port, wanted));
    let name = port.and_then(|port| port["name"].as_str()).unwrap_or_default();
    let mut simulated = false;
    for slice in slices {
        let Some(number) = port_of(slice, name) else { continue };
        for address in addresses(slice) {
            if matches!(address, IpAddr::V4(it) if pods.number(it).is_some()) {
                simulated = true;
            } else {
                return Ok(authority(address, number));
            }
        }
    }
    if let Some(host) = external {
        let number = port.and_then(|port| port["port"].as_u64());
        return match (wanted, number) {
            (PortChoice::Number(number), _) => Ok(format!("{host}:{number}")),
            (PortChoice::Name(_), Some(number)) => Ok(format!("{host}:{number}")),
            (PortChoice::Name(_), None) => Ok(host.to_owned()),
        };
    }
    Err(if simulated { "its pods are simulated" } else { "it has no ready endpoints" }.to_owned())
}

/// Returns what is wrong with the port that is wanted, if a Service has others.
pub(super) fn refused(ports: &Value, wanted: &PortChoice) -> Option<String> {
    let ports = ports.as_array().filter(|ports| !ports.is_empty())?;
    let is_there = ports.iter().any(|port| is_meant(port, wanted));
    (!is_there).then(|| format!("it has no port {wanted}"))
}

fn is_meant(port: &Value, wanted: &PortChoice) -> bool {
    match wanted {
        PortChoice::Number(number) => port["port"] == *number,
        PortChoice::Name(name) => port["name"].as_str().unwrap_or_default() == name,
    }
}

/// Returns the number of a slice's port; none may be said, which means any.
fn port_of(slice: &Value, name: &str) -> Option<u16> {
    let ports = slice["ports"].as_array()?;
    let port = ports.iter().find(|port| port["name"].as_str().unwrap_or_default() == name)?;
    u16::try_from(port["port"].as_u64()?).ok()
}

/// Returns the addresses of a slice that take requests.
fn addresses(slice: &Value) -> impl Iterator<Item = IpAddr> {
    let endpoints = slice["endpoints"].as_array().into_iter().flatten();
    // Readiness that is not known counts as readiness.
    let ready = endpoints.filter(|it| it["conditions"]["ready"] != false);
    let texts = ready.flat_map(|it| it["addresses"].as_array().into_iter().flatten());
    texts.filter_map(|text| text.as_str()?.parse().ok())
}

fn authority(address: IpAddr, port: u16) -> String {
    match address {
        IpAddr::V4(address) => format!("{address}:{port}"),
        IpAddr::V6(address) => format!("[{}]:{port}", Ipv6Addr::from(address.octets())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::network::Networks;

    fn slice(address: &str, ready: &Value) -> Value {
        json!({"ports": [{"name": "http", "port": 8080}],
            "endpoints": [{"addresses": [address], "conditions": {"ready": ready}}]})
    }

    fn found(slices: &[Value], wanted: &str) -> String {
        let service = json!({"spec": {"ports": [{"name": "http", "port": 80}]}});
        let pods = Networks::default().pods;
        find(&service, slices, &PortChoice::parse(wanted), pods).unwrap_or_else(|why| why)
    }

    #[test]
    fn the_first_endpoint_that_takes_requests_is_found() {
        let (one, two) = (slice("127.0.0.1", &json!(false)), slice("127.0.0.2", &Value::Null));
        assert_eq!(found(&[one, two.clone()], "80"), "127.0.0.2:8080");
        assert_eq!(found(&[two], "http"), "127.0.0.2:8080");
        assert_eq!(found(&[slice("::1", &json!(true))], "80"), "[::1]:8080");
    }

    #[test]
    fn what_is_missing_is_told() {
        assert_eq!(found(&[], "80"), "it has no ready endpoints");
        assert_eq!(found(&[], "81"), "it has no port 81");
        assert_eq!(found(&[slice("10.244.0.1", &json!(true))], "80"), "its pods are simulated");
    }

    #[test]
    fn an_external_name_stands_for_endpoints() {
        let service = json!({"spec": {"type": "ExternalName", "externalName": "example.com"}});
        let pods = Networks::default().pods;
        for (wanted, expected) in [("80", "example.com:80"), ("", "example.com")] {
            let found = find(&service, &[], &PortChoice::parse(wanted), pods);
            assert_eq!(found, Ok(expected.to_owned()));
        }
    }
}
