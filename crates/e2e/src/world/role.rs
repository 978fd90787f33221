//! What an account may do, in one form for both servers.

use http::{Method, Request};
use serde_json::{Value, json};

/// Rules as a ClusterRole has them: what they do not name is forbidden.
#[derive(Clone, Debug, Default)]
pub struct Role(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    group: String,
    resources: Vec<String>,
    verbs: Vec<String>,
}

impl Role {
    /// Returns a role from groups, resources and verbs, such as `("", "pods pods/status", "get list")`.
    pub fn new(rules: &[(&str, &str, &str)]) -> Self {
        let words = |text: &str| text.split_whitespace().map(ToOwned::to_owned).collect();
        let rule = |(group, resources, verbs): &(&str, &str, &str)| Rule {
            group: (*group).to_owned(),
            resources: words(resources),
            verbs: words(verbs),
        };
        Self(rules.iter().map(rule).collect())
    }

    /// Returns a role from rules as a ClusterRole has them, each of one group; the names of objects do not count.
    pub(super) fn of_rules<'a>(rules: impl Iterator<Item = &'a Value>) -> Self {
        let words = |list: &Value| {
            list.as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect::<Vec<_>>()
                .join(" ")
        };
        let rules: Vec<_> = rules
            .map(|rule| ["apiGroups", "resources", "verbs"].map(|field| words(&rule[field])))
            .collect();
        let rules: Vec<_> = rules
            .iter()
            .map(|[group, resources, verbs]| (group.as_str(), resources.as_str(), verbs.as_str()))
            .collect();
        Self::new(&rules)
    }

    /// Returns the rules of a ClusterRole.
    pub(super) fn rules(&self) -> Value {
        let rule = |rule: &Rule| json!({"apiGroups": [rule.group], "resources": rule.resources, "verbs": rule.verbs});
        self.0.iter().map(rule).collect()
    }

    /// Returns whether a request is allowed; what is not about a resource always is.
    pub(super) fn allows<B>(&self, request: &Request<B>) -> bool {
        let mut parts = request.uri().path().trim_start_matches('/').split('/');
        let group = match parts.next() {
            Some("api") => "",
            Some("apis") => parts.next().unwrap_or_default(),
            _ => return true,
        };
        let mut parts: Vec<_> = parts.skip(1).collect();
        if parts.first() == Some(&"namespaces") && 2 < parts.len() {
            parts.drain(..2);
        }
        let Some(resource) = parts.first() else { return true };
        let resource = match parts.get(2) {
            Some(subresource) => format!("{resource}/{subresource}"),
            None => (*resource).to_owned(),
        };
        let is_watch = request.uri().query().is_some_and(|query| query.contains("watch="));
        let verb = match *request.method() {
            Method::GET if is_watch => "watch",
            Method::GET if parts.len() == 1 => "list",
            Method::GET => "get",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            _ => "delete",
        };
        self.0.iter().any(|rule| {
            let has = |all: &[String], one: &str| all.iter().any(|each| each == one);
            rule.group == group && has(&rule.resources, &resource) && has(&rule.verbs, verb)
        })
    }
}
