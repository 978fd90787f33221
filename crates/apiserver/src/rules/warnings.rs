//! Pure: what writers of built-in kinds are told although nothing is wrong.

use std::collections::BTreeSet;

use k8s::GroupVersionKind;
use serde_json::Value;

use crate::{
    field::{FieldPath, quote},
    fields::{list, number, text},
    rules::given,
};

/// Returns what is to be told about an object that is written in place of `old`.
pub(crate) fn warnings(gvk: &GroupVersionKind, object: &Value, old: Option<&Value>) -> Vec<String> {
    let template = match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Service") => return service(object),
        // People do not write to pods that are there, so nobody would read it.
        ("", "Pod") if old.is_none() => "/spec",
        ("", "PodTemplate") => "/template/spec",
        ("", "ReplicationController") | ("apps", _) | ("batch", "Job") => "/spec/template/spec",
        ("batch", "CronJob") => "/spec/jobTemplate/spec/template/spec",
        _ => return vec![],
    };
    // What was told of a template once is not told again until it changes.
    match object.pointer(template) {
        Some(spec) if old.and_then(|old| old.pointer(template)) != Some(spec) => {
            pod(&FieldPath::new(&template.trim_start_matches('/').replace('/', ".")), spec)
        }
        _ => vec![],
    }
}

fn pod(path: &FieldPath, spec: &Value) -> Vec<String> {
    let mut warnings = vec![];
    for (index, secret) in list(spec, "/imagePullSecrets").iter().enumerate() {
        if text(secret, "/name").is_empty() {
            let path = path.child("imagePullSecrets").index(index).child("name");
            warnings.push(format!("{path}: invalid empty name \"\""));
        }
    }
    for field in ["initContainers", "containers"] {
        for (index, container) in list(spec, &format!("/{field}")).iter().enumerate() {
            let path = path.child(field).index(index).child("env");
            let mut names = BTreeSet::new();
            for (index, variable) in list(container, "/env").iter().enumerate() {
                let name = text(variable, "/name");
                if !name.is_empty() && !names.insert(name) {
                    let path = path.index(index);
                    warnings.push(format!(
                        "{path}: hides previous definition of {}, which may be dropped when using \
                         apply",
                        quote(name)
                    ));
                }
            }
        }
    }
    if number(spec, "/terminationGracePeriodSeconds") < 0 {
        let path = path.child("terminationGracePeriodSeconds");
        warnings.push(format!(
            "{path}: must be >= 0; negative values are invalid and will be treated as 1"
        ));
    }
    warnings
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
            warnings(&GroupVersionKind::new("v1", "Service"), &json!({"spec": spec}), None)
                .join("; ")
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

    #[test]
    fn what_a_template_says_in_vain_is_told_when_it_comes() {
        let gvk = GroupVersionKind::new("apps/v1", "Deployment");
        let object = json!({"spec": {"template": {"spec": {
            "terminationGracePeriodSeconds": -1, "imagePullSecrets": [{}],
            "containers": [{"env": [{"name": "A"}, {"name": "A"}]}]}}}});
        let expected = [
            "spec.template.spec.imagePullSecrets[0].name: invalid empty name \"\"",
            "spec.template.spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply",
            "spec.template.spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
        ];
        assert_eq!(warnings(&gvk, &object, None), expected);
        assert_eq!(warnings(&gvk, &object, Some(&object)), Vec::<String>::new());
    }
}
