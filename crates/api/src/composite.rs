//! Pure: the CompositeController resource, as its users write it.

use k8s::Resource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    controller::{EndpointConfig, HookSpec, LabelSelector, UpdateMethod},
    definition, names,
};

/// Returns the custom resource definition of CompositeControllers.
pub fn definition() -> Value {
    definition::of_controller::<CompositeControllerSpec>(&resource(), &["cc", "cctl"])
}

/// Returns the resource under which CompositeControllers are served.
pub fn resource() -> Resource {
    Resource::cluster(names::API_VERSION, "CompositeController", "compositecontrollers")
}

/// What a CompositeController asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CompositeControllerSpec {
    /// The type of the parents.
    pub parent_resource: ParentResource,
    /// The types of the children.
    #[serde(default)]
    pub child_resources: Vec<ChildResource>,
    /// What is called when a parent or a child changed.
    pub hooks: Option<CompositeHooks>,
    /// TLS and credentials by host.
    #[serde(default)]
    pub endpoint_configs: Vec<EndpointConfig>,
    /// How often all parents are synced again; values below 1 count as 1.
    pub resync_period_seconds: Option<i32>,
    /// Whether children are found by a label with the parent's UID.
    #[serde(default)]
    pub generate_selector: bool,
    /// How many parents are synced at once, instead of what the engine was told.
    #[schemars(range(min = 1))]
    pub workers: Option<i32>,
    /// The namespaces whose parents are synced; all if absent.
    #[serde(default)]
    pub namespaces: Vec<String>,
}

/// The type of the parents, and which of its objects are parents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParentResource {
    /// The group and version.
    pub api_version: String,
    /// The lower-case plural.
    pub resource: String,
    /// The labels of parents; absent means all.
    pub label_selector: Option<LabelSelector>,
    /// Which fields make a new revision under rolling updates.
    pub revision_history: Option<RevisionHistory>,
    /// Whether changes of status alone are ignored.
    #[serde(default)]
    pub ignore_status_changes: bool,
}

/// Which fields of a parent make a new revision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionHistory {
    /// Paths of fields, separated by dots; `spec` if there are none.
    #[serde(default)]
    pub field_paths: Vec<String>,
}

/// A type of children, and how they are updated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChildResource {
    /// The group and version.
    pub api_version: String,
    /// The lower-case plural.
    pub resource: String,
    /// How a child that differs is brought to its new form.
    pub update_strategy: Option<UpdateStrategy>,
    /// Whether the parent becomes the controller of its children; if not, it is one of their owners.
    pub controller_ref: Option<bool>,
}

/// How a child that differs from what is wanted is updated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateStrategy {
    /// The method.
    #[serde(default)]
    pub method: UpdateMethod,
    /// What a child must show before the next one is rolled.
    #[serde(default)]
    pub status_checks: StatusChecks,
}

/// What a child must show before the next one is rolled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusChecks {
    /// Conditions that must be there.
    #[serde(default)]
    pub conditions: Vec<ConditionCheck>,
}

/// A condition that must be there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConditionCheck {
    /// The condition's type.
    pub r#type: String,
    /// The status it must have; any if absent.
    pub status: Option<String>,
    /// The reason it must have; any if absent.
    pub reason: Option<String>,
}

/// The hooks of a CompositeController.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CompositeHooks {
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
