//! Pure: the DecoratorController resource, as its users write it.

use std::collections::BTreeMap;

use k8s::Resource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    controller::{EndpointConfig, HookSpec, LabelSelector, SelectorRequirement, UpdateMethod},
    definition, names,
};

/// Returns the custom resource definition of DecoratorControllers.
pub fn definition() -> Value {
    definition::of_controller::<DecoratorControllerSpec>(&resource(), &["dec", "decorators"])
}

/// Returns the resource under which DecoratorControllers are served.
pub fn resource() -> Resource {
    Resource::cluster(names::API_VERSION, "DecoratorController", "decoratorcontrollers")
}

/// What a DecoratorController asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecoratorControllerSpec {
    /// The types of the targets.
    pub resources: Vec<TargetResource>,
    /// The types of the attachments.
    #[serde(default)]
    pub attachments: Vec<AttachmentResource>,
    /// What is called when a target or an attachment changed.
    pub hooks: Option<DecoratorHooks>,
    /// TLS and credentials by host.
    #[serde(default)]
    pub endpoint_configs: Vec<EndpointConfig>,
    /// How often all targets are synced again; values below 1 count as 1.
    pub resync_period_seconds: Option<i32>,
    /// How many targets are synced at once, instead of what the engine was told.
    #[schemars(range(min = 1))]
    pub workers: Option<i32>,
    /// The namespaces whose targets are synced; all if absent.
    #[serde(default)]
    pub namespaces: Vec<String>,
}

/// A type of targets, and which of its objects are targets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetResource {
    /// The group and version.
    pub api_version: String,
    /// The lower-case plural.
    pub resource: String,
    /// The labels of targets; absent means all.
    pub label_selector: Option<LabelSelector>,
    /// The annotations of targets; absent means all.
    pub annotation_selector: Option<AnnotationSelector>,
    /// Whether changes of status alone are ignored.
    #[serde(default)]
    pub ignore_status_changes: bool,
}

/// A selector of annotations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnnotationSelector {
    /// Annotations with the values they must have.
    #[serde(default)]
    pub match_annotations: BTreeMap<String, String>,
    /// Conditions that must hold as well.
    #[serde(default)]
    pub match_expressions: Vec<SelectorRequirement>,
}

/// A type of attachments, and how they are updated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttachmentResource {
    /// The group and version.
    pub api_version: String,
    /// The lower-case plural.
    pub resource: String,
    /// How an attachment that differs is brought to its new form.
    pub update_strategy: Option<AttachmentUpdateStrategy>,
    /// Whether the target becomes the controller of its attachments; if not, it is one of their owners.
    pub controller_ref: Option<bool>,
}

/// How an attachment that differs from what is wanted is updated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AttachmentUpdateStrategy {
    /// The method; the rolling ones do as those they are named after.
    #[serde(default)]
    pub method: UpdateMethod,
}

/// The hooks of a DecoratorController.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DecoratorHooks {
    /// Says what attachments, labels, annotations and status a target should have.
    pub sync: Option<HookSpec>,
    /// Says the same for a target that is going away or no longer selected.
    pub finalize: Option<HookSpec>,
    /// Says which other objects the hooks want to see.
    pub customize: Option<HookSpec>,
}
