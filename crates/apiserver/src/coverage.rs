//! Pure: how far the rules of each resource go.

use serde_json::{Value, json};

use crate::registry::Registry;

/// What of the reference's behaviour is missing, by group and plural.
///
/// This is the one list kept by hand: nothing else can tell what is not there.
const MISSING: &[(&str, &str, &[&str])] = &[
    ("", "endpoints", &["names and sizes of ports"]),
    ("", "nodes", &["proxy"]),
    (
        "",
        "pods",
        &[
            "admission by limit ranges, quotas and pod security",
            "attach, exec, portforward and proxy",
            "previous, since and follow of logs",
            "preemption and topology spread",
        ],
    ),
    ("", "secrets", &["tokens for service-account-token secrets"]),
    ("", "services", &["dual-stack addresses", "load balancers"]),
    ("apps", "daemonsets", &["its controller"]),
    ("authorization.k8s.io", "localsubjectaccessreviews", &["roles: everything is allowed"]),
    ("authorization.k8s.io", "selfsubjectaccessreviews", &["roles: everything is allowed"]),
    ("authorization.k8s.io", "selfsubjectrulesreviews", &["roles: everything is allowed"]),
    ("authorization.k8s.io", "subjectaccessreviews", &["roles: everything is allowed"]),
    ("batch", "cronjobs", &["its controller"]),
    ("networking.k8s.io", "networkpolicies", &["its effect: there is no network"]),
    ("policy", "poddisruptionbudgets", &["its controller"]),
    ("rbac.authorization.k8s.io", "clusterroles", &["aggregation", "its effect"]),
    ("rbac.authorization.k8s.io", "roles", &["its effect"]),
];

/// Returns the tier of each resource and what is missing there.
pub(crate) fn report(registry: &Registry) -> Value {
    let built_in = registry.all().iter().filter(|it| !it.is_custom());
    let resources = built_in.map(|registered| {
        let gvk = &registered.resource.gvk;
        let plural = registered.resource.plural.as_str();
        let missing =
            MISSING.iter().find(|(group, name, _)| *group == gvk.group && *name == plural);
        json!({
            "group": gvk.group, "version": gvk.version, "resource": plural, "kind": gvk.kind,
            "tier": 1, "missing": missing.map_or(&[][..], |(.., missing)| *missing),
        })
    });
    json!({"resources": resources.collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_missing_is_missing_somewhere() {
        let registry = Registry::new(vec![]);
        for (group, plural, _) in MISSING {
            let is_there = registry
                .all()
                .iter()
                .any(|it| it.resource.gvk.group == *group && it.resource.plural == *plural);
            assert!(is_there, "{plural}.{group}");
        }
    }
}
