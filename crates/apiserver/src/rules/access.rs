//! Pure: the rules of roles and their bindings.

use k8s::selector::Selector;
use serde_json::{Value, json};

use crate::{
    dns,
    field::{FieldError, FieldPath},
    fields::{list, text},
    lifecycle::metadata,
    rules::{Errors, given, selector},
};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Whose objects a role or binding is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Those of its own namespace.
    Namespace,
    /// Those of all namespaces, and what has none.
    Cluster,
}

pub(super) fn role(scope: Scope, new: &Value, errors: &mut Errors) {
    for (index, each) in list(new, "/rules").iter().enumerate() {
        rule(scope, &FieldPath::new("rules").index(index), each, errors);
    }
    if let Some(aggregation) = given(new, "aggregationRule") {
        aggregates(&FieldPath::new("aggregationRule.clusterRoleSelectors"), aggregation, errors);
    }
}

fn rule(scope: Scope, path: &FieldPath, rule: &Value, errors: &mut Errors) {
    let is_bare = |name: &str| list(rule, &format!("/{name}")).is_empty();
    if is_bare("verbs") {
        let detail = "verbs must contain at least one value";
        errors.push(FieldError::required(path.child("verbs"), detail));
    }
    if !is_bare("nonResourceURLs") {
        let path = path.child("nonResourceURLs");
        let mut refuse =
            |detail: &str| errors.invalid(&path, rule["nonResourceURLs"].clone(), detail);
        if scope == Scope::Namespace {
            refuse("namespaced rules cannot apply to non-resource URLs");
        }
        if !["apiGroups", "resources", "resourceNames"].into_iter().all(is_bare) {
            refuse("rules cannot apply to both regular resources and non-resource URLs");
        }
        return;
    }
    for (name, what) in [("apiGroups", "api group"), ("resources", "resource")] {
        if is_bare(name) {
            let detail = format!("resource rules must supply at least one {what}");
            errors.push(FieldError::required(path.child(name), detail));
        }
    }
}

fn aggregates(path: &FieldPath, aggregation: &Value, errors: &mut Errors) {
    let selectors = list(aggregation, "/clusterRoleSelectors");
    if selectors.is_empty() {
        let detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        errors.push(FieldError::required(path, detail));
    }
    for (index, each) in selectors.iter().enumerate() {
        let path = path.index(index);
        selector::label_selector(&path, each, errors);
        if Selector::from_label_selector(each).is_err() {
            errors.invalid(&path, Value::Null, "invalid label selector.");
        }
    }
}

pub(super) fn binding(scope: Scope, new: &Value, old: Option<&Value>, errors: &mut Errors) {
    let path = FieldPath::new("roleRef");
    let role = &new["roleRef"];
    let kinds: &[&str] = match scope {
        Scope::Namespace => &["Role", "ClusterRole"],
        Scope::Cluster => &["ClusterRole"],
    };
    errors.one_of(&path.child("apiGroup"), text(role, "/apiGroup"), &[GROUP]);
    errors.one_of(&path.child("kind"), text(role, "/kind"), kinds);
    errors.name(&path.child("name"), text(role, "/name"), metadata::path_segment);
    for (index, each) in list(new, "/subjects").iter().enumerate() {
        subject(scope, &FieldPath::new("subjects").index(index), each, errors);
    }
    if old.is_some_and(|old| old["roleRef"] != *role) {
        // The reference shows its own form of the reference here.
        let shown = json!({"APIGroup": text(role, "/apiGroup"), "Kind": text(role, "/kind"),
            "Name": text(role, "/name")});
        errors.invalid(&path, shown, "cannot change roleRef");
    }
}

fn subject(scope: Scope, path: &FieldPath, subject: &Value, errors: &mut Errors) {
    let (kind, name) = (text(subject, "/kind"), text(subject, "/name"));
    let group = text(subject, "/apiGroup");
    if name.is_empty() {
        errors.required(&path.child("name"));
    }
    match kind {
        "ServiceAccount" => {
            if !name.is_empty() {
                errors.name(&path.child("name"), name, dns::subdomain);
            }
            errors.one_of(&path.child("apiGroup"), group, &[""]);
            if scope == Scope::Cluster && text(subject, "/namespace").is_empty() {
                errors.required(&path.child("namespace"));
            }
        }
        "User" | "Group" => errors.one_of(&path.child("apiGroup"), group, &[GROUP]),
        _ => errors.one_of(&path.child("kind"), kind, &["ServiceAccount", "User", "Group"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(check: impl Fn(&mut Errors)) -> Vec<String> {
        let mut errors = Errors::default();
        check(&mut errors);
        errors.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rules_are_about_resources_or_urls() {
        let urls = json!({"verbs": ["get"], "nonResourceURLs": ["/x"], "resources": ["pods"]});
        let both = r#"r.nonResourceURLs: Invalid value: ["/x"]: rules cannot apply to both regular resources and non-resource URLs"#;
        let check = |scope| texts(|errors| rule(scope, &FieldPath::new("r"), &urls, errors));
        assert_eq!(check(Scope::Cluster), [both]);
        assert_eq!(check(Scope::Namespace).len(), 2);
    }

    #[test]
    fn accounts_need_a_namespace_where_the_binding_has_none() {
        let account = json!({"kind": "ServiceAccount", "name": "s"});
        let check = |scope| texts(|errors| subject(scope, &FieldPath::new("s"), &account, errors));
        assert_eq!(check(Scope::Cluster), ["s.namespace: Required value"]);
        assert_eq!(check(Scope::Namespace), [""; 0]);
    }
}
