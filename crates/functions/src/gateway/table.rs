//! Pure: which function answers a request that comes to the gateway: rules of triggers first, then names of
//! Services.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use http::{Uri, uri::PathAndQuery};
use k8s::{ObjectKey, PortChoice, ServicePort};

use super::htpasswd::Users;

/// Which calls go to a function, and who may make them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The host that callers name: any if empty, one label of any name if it begins with `*.`.
    pub host: String,
    /// The path below which calls go to the function.
    pub path: String,
    /// The Function.
    pub function: ObjectKey,
    /// Who may call; everybody if absent.
    pub users: Option<Arc<Users>>,
    /// Whether pages of other origins may call.
    pub cors: bool,
}

/// What the gateway knows.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// The rule of each trigger.
    rules: BTreeMap<ObjectKey, Rule>,
    /// The port of each Function's Service.
    ports: HashMap<ObjectKey, u16>,
}

/// The function that answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    /// The Function.
    pub function: ObjectKey,
    /// Path and query as the function sees them.
    pub path: PathAndQuery,
    /// Who may call; everybody if absent.
    pub users: Option<Arc<Users>>,
    /// Whether pages of other origins may call.
    pub cors: bool,
}

/// How closely a rule's host names the one that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Closeness {
    Any,
    Wildcard,
    Exact,
}

impl Table {
    /// Sets or removes the rule of a trigger.
    pub(crate) fn set_rule(&mut self, trigger: &ObjectKey, rule: Option<Rule>) {
        match rule {
            Some(rule) => self.rules.insert(trigger.clone(), rule),
            None => self.rules.remove(trigger),
        };
    }

    /// Sets or removes the port of a Function's Service.
    pub(crate) fn set_port(&mut self, function: &ObjectKey, port: Option<u16>) {
        match port {
            Some(port) => self.ports.insert(function.clone(), port),
            None => self.ports.remove(function),
        };
    }

    /// Returns who answers a request to a host; `own` is the port of the gateway, which callers may name too.
    pub(crate) fn find(&self, host: &str, uri: &Uri, own: u16) -> Option<Destination> {
        self.by_rule(host, uri).or_else(|| self.by_name(host, uri, own))
    }

    /// The closest host counts, then the longest path, then the name of the trigger.
    fn by_rule(&self, host: &str, uri: &Uri) -> Option<Destination> {
        let host = without_port(host).to_ascii_lowercase();
        let matching = self.rules.values().rev().filter_map(|rule| {
            let rest = below(&rule.path, uri.path())?;
            Some((closeness(&rule.host, &host)?, rule.path.len(), rule, rest))
        });
        let (.., rule, rest) =
            matching.max_by_key(|(closeness, length, ..)| (*closeness, *length))?;
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        Some(Destination {
            function: rule.function.clone(),
            path: format!("{rest}{query}").parse().ok()?,
            users: rule.users.clone(),
            cors: rule.cors,
        })
    }

    fn by_name(&self, host: &str, uri: &Uri, own: u16) -> Option<Destination> {
        let named = format!("http://{}/", host.to_ascii_lowercase()).parse().ok()?;
        let ServicePort { namespace, name, port } = ServicePort::of_url(&named)?;
        let function = ObjectKey::new(&namespace, &name);
        let served = *self.ports.get(&function)?;
        let is_meant =
            named.port_u16().is_none_or(|port| port == own) || port == PortChoice::Number(served);
        let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        is_meant.then_some(Destination { function, path, users: None, cors: false })
    }
}

fn without_port(host: &str) -> &str {
    // An address of IPv6 has colons of its own, within brackets.
    let end = host.rfind(']').unwrap_or(0);
    let colon = host.get(end..).and_then(|rest| rest.find(':'));
    colon.and_then(|colon| host.get(..end + colon)).unwrap_or(host)
}

fn closeness(rule: &str, host: &str) -> Option<Closeness> {
    if rule.is_empty() {
        return Some(Closeness::Any);
    }
    if rule.eq_ignore_ascii_case(host) {
        return Some(Closeness::Exact);
    }
    let (_, domain) = host.split_once('.')?;
    let is_below = rule.strip_prefix("*.").is_some_and(|it| it.eq_ignore_ascii_case(domain));
    is_below.then_some(Closeness::Wildcard)
}

/// Returns the path below a prefix, which ends where a segment ends.
fn below(prefix: &str, path: &str) -> Option<String> {
    let prefix = prefix.trim_end_matches('/');
    let rest = path.strip_prefix(prefix)?;
    match rest.strip_prefix('/') {
        Some(rest) => Some(format!("/{}", rest.trim_start_matches('/'))),
        None => rest.is_empty().then(|| "/".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table() -> Table {
        let mut table = Table::default();
        for (name, host, path) in [
            ("any", "", "/"),
            ("any-api", "", "/api/v1"),
            ("shop", "shop.test", "/"),
            ("shop-pay", "Shop.test", "/pay/"),
            ("wild", "*.shop.test", "/"),
        ] {
            let rule = Rule {
                host: host.to_owned(),
                path: path.to_owned(),
                function: ObjectKey::new("ops", name),
                users: None,
                cors: false,
            };
            table.set_rule(&ObjectKey::new("ops", name), Some(rule));
        }
        table
    }

    fn found(table: &Table, host: &str, uri: &str) -> String {
        let found = table.find(host, &uri.parse().unwrap(), 8080);
        found.map_or("-".to_owned(), |it| format!("{} {}", it.function.name, it.path))
    }

    #[test]
    fn the_closest_host_and_the_longest_path_count() {
        let table = table();
        for (host, uri, expected) in [
            ("else.test", "/x?a=b", "any /x?a=b"),
            ("else.test:8080", "/api/v1/x", "any-api /x"),
            ("else.test", "/api/v1", "any-api /"),
            ("else.test", "/api/v12", "any /api/v12"),
            ("SHOP.test", "/api/v1/x", "shop /api/v1/x"),
            ("shop.test:81", "/pay", "shop-pay /"),
            ("shop.test", "/pay//a%2Fb?c", "shop-pay /a%2Fb?c"),
            ("a.shop.test", "/pay", "wild /pay"),
            ("a.b.shop.test", "/", "any /"),
            ("[::1]:8080", "/", "any /"),
        ] {
            assert_eq!(found(&table, host, uri), expected, "{host} {uri}");
        }
    }

    #[test]
    fn names_of_services_count_after_rules_and_on_their_port_alone() {
        let mut table = Table::default();
        table.set_port(&ObjectKey::new("ops", "f"), Some(80));
        for (host, expected) in [
            ("f.ops", "f /x?y"),
            ("F.ops.svc", "f /x?y"),
            ("f.ops.svc.cluster.local:80", "f /x?y"),
            ("f.ops:8080", "f /x?y"),
            ("f.ops:9000", "-"),
            ("g.ops", "-"),
            ("f", "-"),
            ("127.0.0.1:8080", "-"),
            ("not a host", "-"),
        ] {
            assert_eq!(found(&table, host, "/x?y"), expected, "{host}");
        }
        table.set_port(&ObjectKey::new("ops", "f"), None);
        assert_eq!(found(&table, "f.ops", "/"), "-");
    }

    proptest! {
        #[test]
        fn any_host_and_path_are_answered_or_not(
            host in "(f[.]ops|[*a-z.:\\[\\]0-9]{0,12}|.{0,12})", rule in "(|[*]?[.]?[a-z.]{0,9})",
            path in "/?[a-z/%0-9.]{0,9}", asked in "/[a-z/.]{0,12}([?][a-z=/]{0,5})?",
        ) {
            let mut table = Table::default();
            let function = ObjectKey::new("ops", "f");
            table.set_port(&function, Some(80));
            let rule = Rule { host: rule, path, function: function.clone(), users: None, cors: false };
            table.set_rule(&function, Some(rule));
            let asked: Uri = asked.parse().unwrap();
            if let Some(found) = table.find(&host, &asked, 8080) {
                prop_assert!(found.path.as_str().starts_with('/'));
                prop_assert_eq!(found.path.query(), asked.query());
                prop_assert!(asked.path().ends_with(found.path.path().trim_start_matches('/')));
            }
        }
    }
}
