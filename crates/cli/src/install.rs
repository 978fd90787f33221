//! Pure: what must be applied to a cluster before windlass can work there.

use k8s::yaml;
use serde_json::Value;

/// Namespace, account, role and workload of the engine, as YAML.
const ENGINE: &str = include_str!("install/engine.yaml");

/// Returns the objects that the engine needs, in the order to apply them in: custom resource
/// definitions, namespace, account, roles, and the StatefulSet that runs `image`.
pub fn engine(image: &str) -> Vec<Value> {
    let documents = yaml::documents(&ENGINE.replace("IMAGE", image));
    let documents = documents.expect("the manifests in the binary are valid YAML");
    let objects = documents.into_iter().map(|document| document.value);
    api::definition::all().into_iter().chain(objects).collect()
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
}
