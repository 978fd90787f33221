//! Pure: the rules of addresses behind Services.

use std::net::IpAddr;

use serde_json::Value;

use crate::{
    dns,
    field::FieldPath,
    rules::{Errors, list, text},
};

/// Why an address on this machine is refused. A server can be told to let them be.
pub(super) const LOOPBACK: &str = "may not be in the loopback range (127.0.0.0/8, ::1/128)";

pub(super) fn endpoints(new: &Value, errors: &mut Errors) {
    for (index, subset) in list(new, "/subsets").iter().enumerate() {
        for field in ["addresses", "notReadyAddresses"] {
            let addresses = FieldPath::new("subsets").index(index).child(field);
            for (index, address) in list(subset, &format!("/{field}")).iter().enumerate() {
                let path = addresses.index(index).child("ip");
                if !check(&path, text(address, "/ip"), errors) {
                    // The reference looks at these twice.
                    errors.invalid(&path, text(address, "/ip"), "must be a valid IP address");
                }
            }
        }
    }
}

pub(super) fn slice(new: &Value, errors: &mut Errors) {
    let kind = text(new, "/addressType");
    for (index, endpoint) in list(new, "/endpoints").iter().enumerate() {
        let addresses = FieldPath::new("endpoints").index(index).child("addresses");
        for (index, address) in list(endpoint, "/addresses").iter().enumerate() {
            let (path, address) = (addresses.index(index), address.as_str().unwrap_or_default());
            if kind == "FQDN" {
                errors.name(&path, address, dns::subdomain);
                continue;
            }
            let why = match (kind, address.parse()) {
                ("IPv4", Ok(IpAddr::V6(_))) => "must be an IPv4 address",
                ("IPv6", Ok(IpAddr::V4(_))) => "must be an IPv6 address",
                _ => "",
            };
            if !why.is_empty() {
                errors.invalid(&addresses, address, why);
            }
            check(&path, address, errors);
        }
    }
}

/// Checks that an address is one that a program can listen on and others reach; false if it is none at all.
fn check(path: &FieldPath, text: &str, errors: &mut Errors) -> bool {
    let Ok(address) = text.parse::<IpAddr>() else {
        let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        errors.invalid(path, text, why);
        return false;
    };
    let why = match address {
        IpAddr::V4(it) if it.is_unspecified() => "may not be unspecified (0.0.0.0)",
        IpAddr::V6(it) if it.is_unspecified() => "may not be unspecified (::)",
        it if it.is_loopback() => LOOPBACK,
        it if is_link_local(it) => "may not be in the link-local range (169.254.0.0/16, fe80::/10)",
        it if is_link_local_multicast(it) => {
            "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
        }
        _ => return true,
    };
    errors.invalid(path, text, why);
    true
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(it) => it.is_link_local(),
        IpAddr::V6(it) => it.is_unicast_link_local(),
    }
}

fn is_link_local_multicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(it) => it.octets().starts_with(&[224, 0, 0]),
        IpAddr::V6(it) => it.segments().first().is_some_and(|it| it & 0xff0f == 0xff02),
    }
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
            texts(slice, &of("IPv4", "2001:db8::1")),
            ["endpoints[0].addresses: Invalid value: \"2001:db8::1\": must be an IPv4 address"]
        );
        assert!(texts(slice, &of("FQDN", "a.example")).is_empty());
        assert_eq!(texts(slice, &of("FQDN", "a_")).len(), 1);
    }
}
