//! Pure: what must be applied to a cluster before windlass can work there.

use k8s::yaml;
use serde_json::Value;

/// Namespace, account, role and workload of the engine, as YAML.
const ENGINE: &str = include_str!("install/engine.yaml");
/// Namespace, account, roles and workload of functions, as YAML.
const FUNCTIONS: &str = include_str!("install/functions.yaml");

/// Returns the objects that the engine needs, in the order to apply them in: custom resource
/// definitions, namespace, account, roles, and the StatefulSet that runs `image`.
pub fn engine(image: &str) -> Vec<Value> {
    api::definition::all().into_iter().chain(objects(ENGINE, image)).collect()
}

/// Returns the objects that functions need, in the order to apply them in: custom resource definitions,
/// namespace, account, roles, and the Deployment that runs `image`.
pub fn functions(image: &str) -> Vec<Value> {
    api::definition::of_functions().into_iter().chain(objects(FUNCTIONS, image)).collect()
}

fn objects(text: &str, image: &str) -> impl Iterator<Item = Value> {
    let documents = yaml::documents(&text.replace("IMAGE", image));
    let documents = documents.expect("the manifests in the binary are valid YAML");
    documents.into_iter().map(|document| document.value)
}

/// Returns objects as one YAML stream.
pub fn to_yaml(objects: &[Value]) -> String {
    let documents: Vec<_> = objects.iter().map(yaml::to_string).collect();
    documents.join("---\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_s_objects_come_in_the_order_to_apply_them_in() {
        let kinds: Vec<_> = engine("windlass:test")
            .iter()
            .map(|object| object["kind"].as_str().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(
            kinds,
            [
                "CustomResourceDefinition",
                "CustomResourceDefinition",
                "CustomResourceDefinition",
                "Namespace",
                "ServiceAccount",
                "ClusterRole",
                "ClusterRoleBinding",
                "ClusterRole",
                "ClusterRole",
                "StatefulSet"
            ]
        );
        assert!(to_yaml(&engine("windlass:test")).contains("image: windlass:test"));
    }

    #[test]
    fn functions_may_do_nothing_that_is_not_named() {
        let all = functions("windlass:test");
        let roles = all.iter().filter(|it| it["rules"].is_array());
        let text: String = roles.map(ToString::to_string).collect();
        assert!(text.contains("functions/status") && !text.contains('*'), "{text}");
        let last =
            all.last().and_then(|it| it.pointer("/spec/template/spec/containers/0")).unwrap();
        assert_eq!(last["image"], "windlass:test");
        assert_eq!(last["args"][2], "--functions-image=windlass:test");
    }
}
