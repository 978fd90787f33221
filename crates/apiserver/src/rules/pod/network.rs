//! Pure: the rules of how pods find names: their DNS settings and the names they know themselves.

use std::net::IpAddr;

use serde_json::Value;

use crate::{
    dns,
    field::{FieldError, FieldPath},
    fields::{list, text},
    rules::{Errors, given},
};

/// How many name servers a resolver asks, and where it looks for short names.
const MOST_SERVERS: usize = 3;
const MOST_SEARCHES: usize = 32;
const NO_ADDRESS: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

/// Checks the DNS settings of a pod.
pub(super) fn dns_config(path: &FieldPath, spec: &Value, errors: &mut Errors) {
    let config = given(spec, "dnsConfig");
    let is_all = text(spec, "/dnsPolicy") == "None";
    let Some(config) = config else {
        if is_all {
            let detail = "must provide `dnsConfig` when `dnsPolicy` is None";
            errors.push(FieldError::required(path, detail));
        }
        return;
    };
    let servers = list(config, "/nameservers");
    let at = path.child("nameservers");
    if is_all && servers.is_empty() {
        let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        return errors.push(FieldError::required(&at, detail));
    }
    if MOST_SERVERS < servers.len() {
        let detail = format!("must not have more than {MOST_SERVERS} nameservers");
        errors.invalid(&at, servers, detail);
    }
    for (index, server) in servers.iter().filter_map(Value::as_str).enumerate() {
        address(&at.index(index), server, errors);
    }
    searches(&path.child("searches"), list(config, "/searches"), errors);
    for (index, option) in list(config, "/options").iter().enumerate() {
        if text(option, "/name").is_empty() {
            let path = path.child("options").index(index);
            errors.push(FieldError::required(path, "must not be empty"));
        }
    }
}

fn searches(path: &FieldPath, searches: &[Value], errors: &mut Errors) {
    if MOST_SEARCHES < searches.len() {
        let detail = format!("must not have more than {MOST_SEARCHES} search paths");
        errors.invalid(path, searches, detail);
    }
    for (index, search) in searches.iter().filter_map(Value::as_str).enumerate() {
        // A dot alone means the root, one at the end that a name is complete.
        let name = search.strip_suffix('.').unwrap_or(search);
        if search != "." {
            errors.checked(&path.index(index), name, dns::subdomain_with_underscores);
        }
    }
}

/// Checks the names that a pod knows without asking anybody.
pub(super) fn host_aliases(path: &FieldPath, spec: &Value, errors: &mut Errors) {
    for (index, alias) in list(spec, "/hostAliases").iter().enumerate() {
        let path = path.index(index);
        address(&path.child("ip"), text(alias, "/ip"), errors);
        for (index, name) in list(alias, "/hostnames").iter().filter_map(Value::as_str).enumerate()
        {
            errors.checked(&path.child("hostnames").index(index), name, dns::subdomain);
        }
    }
}

fn address(path: &FieldPath, text: &str, errors: &mut Errors) {
    if text.parse::<IpAddr>().is_err() {
        errors.invalid(path, text, NO_ADDRESS);
    }
}
