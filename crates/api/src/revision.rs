//! Pure: the ControllerRevision resource: one version of a parent, and the children that still follow it.

use k8s::Resource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{definition, names};

/// Returns the custom resource definition of ControllerRevisions.
pub fn definition() -> Value {
    definition::of_revision::<ControllerRevision>(&resource())
}

/// Returns the resource under which ControllerRevisions are served.
pub fn resource() -> Resource {
    Resource::namespaced(names::API_VERSION, "ControllerRevision", "controllerrevisions")
}

/// What a ControllerRevision says; it has no spec.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ControllerRevision {
    /// The values of the parent's fields in this version.
    #[schemars(schema_with = "definition::any_object")]
    pub parent_patch: Value,
    /// The children that follow it.
    #[serde(default)]
    pub children: Vec<RevisionChildren>,
}

/// The children of one kind that follow a revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionChildren {
    /// The group of the kind, empty for the core group.
    pub api_group: String,
    /// The kind.
    pub kind: String,
    /// Their names, relative to the parent's namespace.
    pub names: Vec<String>,
}
