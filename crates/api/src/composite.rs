//! Pure: the CompositeController resource, as its users write it.
//!
//! The types are the wire form, field by field; the engine turns them into a checked form of its own.

use k8s::Resource;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::names;

/// The custom resource definition of CompositeControllers, as YAML.
const CRD: &str = include_str!("crds/compositecontrollers.yaml");

/// Returns the custom resource definition of CompositeControllers.
pub fn definition() -> Value {
    let documents = k8s::yaml::documents(CRD).expect("the definition in the binary is valid YAML");
    documents.into_iter().next().map(|document| document.value).unwrap_or_default()
}

/// Returns the resource of custom resource definitions.
pub fn definitions() -> Resource {
    let api_version = "apiextensions.k8s.io/v1";
    Resource::cluster(api_version, "CustomResourceDefinition", "customresourcedefinitions")
}

/// Returns the resource under which CompositeControllers are served.
pub fn resource() -> Resource {
    Resource::cluster(names::API_VERSION, "CompositeController", "compositecontrollers")
}

/// What a CompositeController asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CompositeControllerSpec {
    /// The type of the parents.
    pub parent_resource: ParentResource,
    /// The types of the children.
    #[serde(default)]
    pub child_resources: Vec<ChildResource>,
    /// What is called when a parent or a child changed.
    pub hooks: Option<Hooks>,
    /// TLS and credentials by host.
    #[serde(default)]
    pub endpoint_configs: Vec<Value>,
    /// How often all parents are synced again; values below 1 count as 1.
    pub resync_period_seconds: Option<i32>,
    /// Whether children are found by a label with the parent's UID.
    #[serde(default)]
    pub generate_selector: bool,
}

/// The type of the parents, and which of its objects are parents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentResource {
    /// The group and version.
    pub api_version: String,
    /// The lower-case plural.
    pub resource: String,
    /// The labels of parents; absent means all.
    pub label_selector: Option<Value>,
    /// Which fields make a new revision under rolling updates.
    pub revision_history: Option<RevisionHistory>,
    /// Whether changes of status alone are ignored.
    #[serde(default)]
    pub ignore_status_changes: bool,
}

/// Which fields of a parent make a new revision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionHistory {
    /// Paths of fields, separated by dots.
    #[serde(default)]
    pub field_paths: Vec<String>,
}

/// A type of children, and how they are updated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChildResource {
    /// The group and version.
    pub api_version: String,
    /// The lower-case plural.
    pub resource: String,
    /// How a child that differs is brought to its new form.
    pub update_strategy: Option<UpdateStrategy>,
}

/// How a child that differs from what is wanted is updated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateStrategy {
    /// The method.
    #[serde(default)]
    pub method: UpdateMethod,
    /// What a child must show before the next one is rolled.
    pub status_checks: Option<Value>,
}

/// What is done to a child that differs from what is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpdateMethod {
    /// Nothing, until somebody deletes it.
    #[default]
    OnDelete,
    /// It is deleted, and created in its new form.
    Recreate,
    /// It is changed where it is.
    InPlace,
    /// As `Recreate`, one child at a time.
    RollingRecreate,
    /// As `InPlace`, one child at a time.
    RollingInPlace,
}

/// The hooks of a controller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hooks {
    /// Says what children and status a parent should have.
    pub sync: Option<HookSpec>,
    /// Says the same for a parent that is going away.
    pub finalize: Option<HookSpec>,
    /// Says which other objects the hooks want to see.
    pub customize: Option<HookSpec>,
    /// Accepted and never called.
    pub pre_update_child: Option<HookSpec>,
    /// Accepted and never called.
    pub post_update_child: Option<HookSpec>,
}

/// One hook: its version and one way of calling it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookSpec {
    /// Which shape the request has.
    #[serde(default)]
    pub version: HookVersion,
    /// A hook behind HTTP.
    pub webhook: Option<Webhook>,
    /// A hook that is a Jsonnet program.
    pub jsonnet: Option<Value>,
    /// A hook that is a Function.
    pub function: Option<Value>,
}

/// Which shape a hook's request has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HookVersion {
    /// Objects of the parent's namespace, by name.
    #[default]
    V1,
    /// All objects, by namespace and name.
    V2,
}

/// A hook behind HTTP.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// The full URL; it wins over `service` and `path`.
    pub url: Option<String>,
    /// The Service that answers.
    pub service: Option<ServiceReference>,
    /// The path at that Service.
    pub path: Option<String>,
    /// How long the whole exchange may take, in Go's form.
    pub timeout: Option<String>,
    /// Whether answers are kept by their ETag.
    pub etag: Option<Value>,
    /// How unknown keys of the answer are met.
    #[serde(rename = "responseUnMarshallMode")]
    pub response_unmarshall_mode: Option<UnmarshallMode>,
    /// The certificates the hook's is checked against.
    pub ca_bundle: Option<Value>,
    /// The certificate that is shown to the hook.
    #[serde(rename = "clientTLS")]
    pub client_tls: Option<Value>,
    /// A token that is shown to the hook.
    pub authorization: Option<Value>,
    /// A name and password that are shown to the hook.
    pub basic_auth: Option<Value>,
}

/// A Service by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceReference {
    /// The name.
    pub name: String,
    /// The namespace.
    pub namespace: String,
    /// The port, 80 if absent.
    pub port: Option<i32>,
    /// The protocol, `http` if absent.
    pub protocol: Option<String>,
}

/// How unknown keys of a hook's answer are met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnmarshallMode {
    /// They are ignored.
    Loose,
    /// They fail the sync.
    Strict,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn odd_capitals_are_read() {
        let webhook: Webhook = serde_json::from_value(json!({
            "url": "http://h", "responseUnMarshallMode": "strict", "clientTLS": {}, "caBundle": {}}))
        .unwrap();
        assert_eq!(webhook.response_unmarshall_mode, Some(UnmarshallMode::Strict));
        assert!(webhook.client_tls.is_some() && webhook.ca_bundle.is_some());
    }
}
