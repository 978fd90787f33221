//! Pure: what writers of built-in kinds are told although nothing is wrong.

use k8s::GroupVersionKind;
use serde_json::Value;

use crate::rules::{given, list, text};

/// Returns what is to be told about an object that is written.
pub(crate) fn warnings(gvk: &GroupVersionKind, object: &Value) -> Vec<String> {
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Service") => service(object),
        _ => vec![],
    }
}

fn service(object: &Value) -> Vec<String> {
    const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
    let annotations = object.pointer("/metadata/annotations");
    let spec = &object["spec"];
    let (kind, address) = (text(spec, "/type"), text(spec, "/clusterIP"));
    let is_external = kind == "ExternalName";
    let is_headless = kind == "ClusterIP" && address == "None";
    let has_external_ips = !list(spec, "/externalIPs").is_empty();
    let closest = "PreferClose";
    [
        (
            annotations.is_some_and(|it| it.get(HINTS).is_some()),
            format!(
                "annotation {HINTS} is deprecated, please use service.kubernetes.io/topology-mode instead"
            ),
        ),
        (
            is_headless && !text(spec, "/loadBalancerIP").is_empty(),
            "spec.loadBalancerIP is ignored for headless services".to_owned(),
        ),
        (
            is_headless && has_external_ips,
            "spec.externalIPs is ignored for headless services".to_owned(),
        ),
        (
            is_headless && text(spec, "/sessionAffinity") != "None",
            "spec.SessionAffinity is ignored for headless services".to_owned(),
        ),
        (
            has_external_ips && !is_headless && !is_external,
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
                .to_owned(),
        ),
        (
            is_external && has_external_ips,
            "spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned(),
        ),
        (
            !is_external && !text(spec, "/externalName").is_empty(),
            "spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned(),
        ),
        (
            given(spec, "trafficDistribution").is_some_and(|it| *it == closest),
            format!(
                "spec.trafficDistribution: \"{closest}\" is deprecated; use \"PreferSameZone\""
            ),
        ),
    ]
    .into_iter()
    .filter_map(|(applies, warning)| applies.then_some(warning))
    .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_service_says_in_vain_is_told() {
        let warned = |spec: Value| {
            warnings(&GroupVersionKind::new("v1", "Service"), &json!({"spec": spec})).join("; ")
        };
        let ips = json!(["192.0.2.1"]);
        for (spec, expected) in [
            (json!({"type": "ClusterIP", "sessionAffinity": "None"}), ""),
            (
                json!({"type": "ClusterIP", "externalIPs": ips}),
                "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
            ),
            (
                json!({"type": "ExternalName", "externalName": "a", "externalIPs": ips}),
                "spec.externalIPs is ignored when spec.type is \"ExternalName\"",
            ),
            (
                json!({"type": "ClusterIP", "clusterIP": "None", "sessionAffinity": "ClientIP"}),
                "spec.SessionAffinity is ignored for headless services",
            ),
        ] {
            assert_eq!(warned(spec), expected);
        }
    }
}
