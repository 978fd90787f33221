//! Pure: what a Service may ask for as its addresses and their families.
//!
//! There are addresses of one family only, as in a cluster that is not set up for two.

use std::{collections::BTreeSet, net::IpAddr};

use serde_json::Value;

use super::{address, is_open, kind};
use crate::field::{FieldError, FieldPath};

const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];
const POLICIES: [&str; 3] = ["PreferDualStack", "RequireDualStack", "SingleStack"];

/// Returns what is wrong with the fields as such, and with one beside another.
pub(super) fn forms(service: &Value) -> Vec<FieldError> {
    if kind(service) == "ExternalName" {
        return vec![];
    }
    let path = FieldPath::new("spec");
    let addresses = &service["spec"]["clusterIPs"];
    let (first, all) = (address(service), texts(addresses));
    let refused = |why| FieldError::invalid(path.child("clusterIPs"), addresses.clone(), why);
    let mut errors = vec![];
    match all.first() {
        None if !first.is_empty() => {
            errors.push(FieldError::required(path.child("clusterIPs"), ""));
        }
        Some(_) if first.is_empty() => {
            errors.push(refused("must be empty when `clusterIP` is not specified"));
        }
        Some(it) if *it != first => errors.push(refused("first value must match `clusterIP`")),
        _ => {}
    }
    let mut seen = BTreeSet::new();
    for (index, family) in texts(&service["spec"]["ipFamilies"]).into_iter().enumerate() {
        let path = path.child("ipFamilies").index(index);
        if !FAMILIES.contains(&family) {
            errors.push(FieldError::not_supported(&path, family, &FAMILIES));
        }
        if !seen.insert(family) {
            errors.push(FieldError::duplicate(&path, family));
        }
    }
    if let Some(policy) = service["spec"]["ipFamilyPolicy"].as_str()
        && !POLICIES.contains(&policy)
    {
        errors.push(FieldError::not_supported(path.child("ipFamilyPolicy"), policy, &POLICIES));
    }
    errors.extend(addresses_of_families(service, &all, refused));
    errors
}

fn addresses_of_families(
    service: &Value,
    all: &[&str],
    refused: impl Fn(&'static str) -> FieldError,
) -> Vec<FieldError> {
    let path = FieldPath::new("spec.clusterIPs");
    let mut errors = vec![];
    let mut versions = vec![];
    for (index, text) in all.iter().enumerate() {
        match text.parse::<IpAddr>() {
            Ok(address) => versions.push(address.is_ipv4()),
            Err(_) if index == 0 && *text == "None" && all.len() == 1 => return errors,
            Err(_) if index == 0 && *text == "None" => {
                errors.push(refused("'None' must be the first and only value"));
            }
            Err(_) => {
                let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
                errors.push(FieldError::invalid(path.index(index), *text, why));
            }
        }
    }
    if 2 < all.len() {
        errors.push(refused("may only hold up to 2 values"));
    }
    // What is said of the others would be wrong where one is none at all.
    if versions.len() < all.len() {
        return errors;
    }
    if 1 < all.len() && all.len() - 1 != versions.iter().filter(|it| **it).count() {
        errors.push(refused("may specify no more than one IP for each IP family"));
    }
    let families = texts(&service["spec"]["ipFamilies"]);
    for (index, ((text, is_v4), family)) in all.iter().zip(versions).zip(families).enumerate() {
        if FAMILIES.contains(&family) && (family == "IPv4") != is_v4 {
            let why = format!("expected an {family} value as indicated by `ipFamilies[{index}]`");
            errors.push(FieldError::invalid(path.index(index), *text, why));
        }
    }
    errors
}

/// Returns what is wrong with asking for more than one family, or for one there is none of.
pub(super) fn families(service: &Value) -> Vec<FieldError> {
    if kind(service) == "ExternalName" || is_open(service) {
        return vec![];
    }
    let path = FieldPath::new("spec");
    let spec = &service["spec"];
    let (addresses, families) = (texts(&spec["clusterIPs"]), texts(&spec["ipFamilies"]));
    let mut errors = vec![];
    let mut policy = |why| {
        let (path, value) = (path.child("ipFamilyPolicy"), spec["ipFamilyPolicy"].clone());
        errors.push(FieldError::invalid(path, value, why));
    };
    match spec["ipFamilyPolicy"].as_str() {
        Some("SingleStack") if 1 < addresses.len() => policy(
            "must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified",
        ),
        Some("SingleStack") if 1 < families.len() => {
            policy(
                "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified",
            );
            // Which families those are is not looked at then.
            return errors;
        }
        Some("RequireDualStack") => {
            policy("this cluster is not configured for dual-stack services");
        }
        _ => {}
    }
    for (index, text) in addresses.iter().enumerate() {
        if text.parse::<IpAddr>().is_ok_and(|it| it.is_ipv6()) {
            let path = path.child("clusterIPs").index(index);
            let why = "IPv6 is not configured on this cluster";
            errors.push(FieldError::invalid(path, spec["clusterIPs"].clone(), why));
        }
    }
    for (index, family) in families.into_iter().enumerate().filter(|(_, it)| *it == "IPv6") {
        let path = path.child("ipFamilies").index(index);
        errors.push(FieldError::invalid(path, family, "not configured on this cluster"));
    }
    errors
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(spec: &Value) -> Vec<String> {
        let service = json!({"spec": spec});
        let errors = [forms(&service), families(&service)].concat();
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn addresses_are_such_and_belong_together() {
        for (spec, expected) in [
            (
                json!({"clusterIPs": ["10.96.0.7"]}),
                "must be empty when `clusterIP` is not specified",
            ),
            (
                json!({"clusterIP": "None", "clusterIPs": ["10.96.0.7"]}),
                "first value must match `clusterIP`",
            ),
            (json!({"clusterIP": "x", "clusterIPs": ["x"]}), "must be a valid IP address, "),
            (
                json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "10.0.0.2"]}),
                "may specify no more than one IP for each IP family",
            ),
            (
                json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv6"]}),
                "expected an IPv6 value as indicated by `ipFamilies[0]`",
            ),
            (
                json!({"clusterIP": "::1", "clusterIPs": ["::1"]}),
                "[\"::1\"]: IPv6 is not configured on this cluster",
            ),
        ] {
            let told = told(&spec);
            assert!(told.iter().any(|it| it.contains(expected)), "{spec}: {told:?}");
        }
        assert!(told(&json!({"clusterIP": "None", "clusterIPs": ["None"]})).is_empty());
    }

    #[test]
    fn there_is_one_family() {
        for (spec, expected) in [
            (
                json!({"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "PreferDualStack"}),
                vec!["spec.ipFamilies[1]: Invalid value: \"IPv6\": not configured on this cluster"],
            ),
            (
                json!({"ipFamilyPolicy": "RequireDualStack"}),
                vec![
                    "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not \
                      configured for dual-stack services",
                ],
            ),
            (
                json!({"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "SingleStack"}),
                vec![
                    "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' \
                      or 'PreferDualStack' when multiple IP families are specified",
                ],
            ),
            (json!({"ipFamilies": ["IPv4"], "ipFamilyPolicy": "PreferDualStack"}), vec![]),
        ] {
            assert_eq!(told(&spec), expected, "{spec}");
        }
    }
}
