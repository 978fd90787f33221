//! Pure: the rules of addresses and networks, wherever they stand.

use std::net::IpAddr;

use crate::{field::FieldPath, rules::Errors};

/// Why an address on this machine is refused. A server can be told to let them be.
pub(super) const LOOPBACK: &str = "may not be in the loopback range (127.0.0.0/8, ::1/128)";

/// Checks that an address is one that a program can listen on and others reach; false if it is none at all.
pub(super) fn reachable(path: &FieldPath, text: &str, errors: &mut Errors) -> bool {
    let Ok(address) = text.parse::<IpAddr>() else {
        let is_padded = unpadded(text).parse::<IpAddr>().is_ok();
        let why = if is_padded {
            "must not have leading 0s"
        } else {
            "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
        };
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

/// Checks a network such as `10.0.0.0/8` and returns whether it is one of IPv4, nothing if it is none.
pub(super) fn network(path: &FieldPath, text: &str, errors: &mut Errors) -> Option<bool> {
    let parts = |text: &str| {
        let (address, bits) = text.split_once('/')?;
        let (address, bits) = (address.parse::<IpAddr>().ok()?, bits.parse::<u32>().ok()?);
        let most = if address.is_ipv4() { 32 } else { 128 };
        (bits <= most).then_some((address, bits))
    };
    let plain = unpadded(text);
    let Some((address, bits)) = parts(&plain) else {
        let why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
        errors.invalid(path, text, why);
        return None;
    };
    if plain != text {
        errors.invalid(path, text, "must not have leading 0s in IP or prefix length");
    }
    let trailing = match address {
        IpAddr::V4(it) => it.to_bits().trailing_zeros() + bits < 32,
        IpAddr::V6(it) => it.to_bits().trailing_zeros() + bits < 128,
    };
    if trailing {
        errors.invalid(path, text, "must not have bits set beyond the prefix length");
    }
    Some(address.is_ipv4())
}

/// Drops leading zeros from decimal numbers: some programs read them as octal, and so nobody may write them.
fn unpadded(text: &str) -> String {
    if text.contains(':') {
        return text.to_owned();
    }
    let number = |part: &str| match part.trim_start_matches('0') {
        "" if !part.is_empty() => "0".to_owned(),
        rest => rest.to_owned(),
    };
    let dotted = |text: &str| text.split('.').map(number).collect::<Vec<_>>().join(".");
    text.split('/').map(dotted).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told<T>(rule: fn(&FieldPath, &str, &mut Errors) -> T, text: &str) -> Vec<String> {
        let mut errors = Errors::default();
        rule(&FieldPath::new("a"), text, &mut errors);
        errors.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn numbers_are_not_padded() {
        let padded = "a: Invalid value: \"010.0.0.1\": must not have leading 0s";
        assert_eq!(told(reachable, "010.0.0.1"), [padded]);
        for fine in ["10.0.0.1", "2001:db8::1"] {
            assert!(told(reachable, fine).is_empty());
        }
    }

    #[test]
    fn networks_have_no_address_of_their_own() {
        for (text, why) in [
            ("10.0.0.0", "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"),
            ("10.0.0.0/33", "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"),
            ("10.0.0.1/8", "must not have bits set beyond the prefix length"),
            ("010.0.0.0/8", "must not have leading 0s in IP or prefix length"),
        ] {
            let expected = format!("a: Invalid value: \"{text}\": {why}");
            assert_eq!(told(network, text), [expected]);
        }
        for fine in ["10.0.0.0/8", "0.0.0.0/0", "2001:db8::/64", "::/0"] {
            assert!(told(network, fine).is_empty(), "{fine}");
        }
    }
}
