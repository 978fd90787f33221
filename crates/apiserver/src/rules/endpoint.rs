//! Pure: the rules of addresses behind Services.

use std::{collections::BTreeSet, net::IpAddr};

use serde_json::Value;

use crate::{
    dns,
    field::{FieldError, FieldPath},
    fields::{list, number, text},
    lifecycle::metadata,
    rules::{Errors, address, given},
};

/// How much may stand behind one slice.
const MAX_ENDPOINTS: usize = 1_000;
const MAX_ADDRESSES: usize = 100;

pub(super) fn endpoints(new: &Value, errors: &mut Errors) {
    for (index, subset) in list(new, "/subsets").iter().enumerate() {
        let path = FieldPath::new("subsets").index(index);
        let lists = ["addresses", "notReadyAddresses"];
        if lists.iter().all(|name| list(subset, &format!("/{name}")).is_empty()) {
            let detail = "must specify `addresses` or `notReadyAddresses`";
            errors.push(FieldError::required(&path, detail));
        }
        for field in lists {
            for (index, each) in list(subset, &format!("/{field}")).iter().enumerate() {
                endpoint_address(&path.child(field).index(index), each, errors);
            }
        }
        let ports = list(subset, "/ports");
        for (index, each) in ports.iter().enumerate() {
            let path = path.child("ports").index(index);
            let name = text(each, "/name");
            if 1 < ports.len() || !name.is_empty() {
                errors.name(&path.child("name"), name, dns::label);
            }
            errors.port(&path.child("port"), number(each, "/port"));
            protocols(&path, each, errors);
        }
    }
}

fn endpoint_address(path: &FieldPath, address: &Value, errors: &mut Errors) {
    let at = path.child("ip");
    if !address::reachable(&at, text(address, "/ip"), errors) {
        // The reference looks at these twice.
        errors.invalid(&at, text(address, "/ip"), "must be a valid IP address");
    }
    host_and_node(path, address, errors);
}

fn host_and_node(path: &FieldPath, endpoint: &Value, errors: &mut Errors) {
    let rules = [("hostname", dns::label as fn(&str) -> Vec<String>), ("nodeName", dns::subdomain)];
    for (field, rule) in rules {
        let value = text(endpoint, &format!("/{field}"));
        if !value.is_empty() {
            errors.name(&path.child(field), value, rule);
        }
    }
}

fn protocols(path: &FieldPath, port: &Value, errors: &mut Errors) {
    let supported = ["SCTP", "TCP", "UDP"];
    errors.one_of(&path.child("protocol"), text(port, "/protocol"), &supported);
    if let Some(protocol) = given(port, "appProtocol").and_then(Value::as_str) {
        for why in metadata::qualified_name(protocol) {
            errors.invalid(&path.child("appProtocol"), protocol, why);
        }
    }
}

pub(super) fn slice(new: &Value, old: Option<&Value>, errors: &mut Errors) {
    let path = FieldPath::new("addressType");
    let kind = text(new, "/addressType");
    if kind.is_empty() {
        errors.required(&path);
    } else {
        errors.one_of(&path, kind, &["FQDN", "IPv4", "IPv6"]);
    }
    let endpoints = list(new, "/endpoints");
    if MAX_ENDPOINTS < endpoints.len() {
        let (actual, most) = (endpoints.len() as u64, MAX_ENDPOINTS as u64);
        errors.push(FieldError::too_many("endpoints", actual, most));
    }
    for (index, each) in endpoints.iter().enumerate() {
        endpoint(&FieldPath::new("endpoints").index(index), kind, each, errors);
    }
    let mut names = BTreeSet::new();
    for (index, each) in list(new, "/ports").iter().enumerate() {
        let path = FieldPath::new("ports").index(index);
        let name = text(each, "/name");
        if !names.insert(name) {
            errors.push(FieldError::duplicate(path.child("name"), name));
        }
        if !name.is_empty() {
            errors.name(&path.child("name"), name, dns::label);
        }
        protocols(&path, each, errors);
    }
    if let Some(old) = old {
        errors.immutable(&path, new.get("addressType"), old.get("addressType"));
    }
}

fn endpoint(path: &FieldPath, kind: &str, endpoint: &Value, errors: &mut Errors) {
    let at = path.child("addresses");
    let addresses = list(endpoint, "/addresses");
    if addresses.is_empty() {
        errors.push(FieldError::required(&at, "must contain at least 1 address"));
    }
    if MAX_ADDRESSES < addresses.len() {
        let (actual, most) = (addresses.len() as u64, MAX_ADDRESSES as u64);
        errors.push(FieldError::too_many(&at, actual, most));
    }
    for (index, each) in addresses.iter().filter_map(Value::as_str).enumerate() {
        address_of_kind(&at, index, (kind, each), errors);
    }
    host_and_node(path, endpoint, errors);
    let mut zones = BTreeSet::new();
    for (index, zone) in list(endpoint, "/hints/forZones").iter().enumerate() {
        let name = text(zone, "/name");
        if !zones.insert(name) {
            let path = path.child("hints").child("forZones").index(index).child("name");
            errors.push(FieldError::duplicate(path, name));
        }
    }
}

fn address_of_kind(
    path: &FieldPath,
    index: usize,
    (kind, address): (&str, &str),
    errors: &mut Errors,
) {
    let at = path.index(index);
    if kind == "FQDN" {
        errors.name(&at, address, dns::subdomain);
        return;
    }
    let why = match (kind, address.parse()) {
        ("IPv4", Ok(IpAddr::V6(_))) => "must be an IPv4 address",
        ("IPv6", Ok(IpAddr::V4(_))) => "must be an IPv6 address",
        _ => "",
    };
    if !why.is_empty() {
        errors.invalid(path, address, why);
    }
    address::reachable(&at, address, errors);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(rule: fn(&Value, &mut Errors), object: &Value) -> Vec<String> {
        let mut errors = Errors::default();
        rule(object, &mut errors);
        errors.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn addresses_that_lead_nowhere_else_are_refused() {
        for (address, why) in [
            ("127.0.0.1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
            ("0.0.0.0", "may not be unspecified (0.0.0.0)"),
            ("169.254.0.1", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
            ("fe80::1", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
            ("ff02::1", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
        ] {
            let object = json!({"subsets": [{"addresses": [{"ip": address}]}]});
            let expected =
                format!("subsets[0].addresses[0].ip: Invalid value: \"{address}\": {why}");
            assert_eq!(texts(endpoints, &object), [expected]);
        }
        let fine =
            json!({"subsets": [{"addresses": [{"ip": "198.51.100.7"}, {"ip": "2001:db8::1"}]}]});
        assert!(texts(endpoints, &fine).is_empty());
        let none = json!({"subsets": [{"notReadyAddresses": [{"ip": "x"}]}]});
        assert_eq!(texts(endpoints, &none).len(), 2);
    }

    #[test]
    fn slices_hold_addresses_of_their_type() {
        let of = |kind: &str, address: &str| json!({"addressType": kind, "endpoints": [{"addresses": [address]}]});
        assert_eq!(
            texts(|new, errors| slice(new, None, errors), &of("IPv4", "2001:db8::1")),
            ["endpoints[0].addresses: Invalid value: \"2001:db8::1\": must be an IPv4 address"]
        );
        assert!(texts(|new, errors| slice(new, None, errors), &of("FQDN", "a.example")).is_empty());
        assert_eq!(texts(|new, errors| slice(new, None, errors), &of("FQDN", "a_")).len(), 1);
    }
}
