//! The types of a controller, as the API server has them.

use api::names::reasons;
use k8s::Resource;
use runtime::{Discovery, DiscoveryError};
use thiserror::Error;

use crate::controller::{ChildRule, Controller, Form};

/// The types a controller works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Types {
    /// The types of the parents, in the order of the rules.
    pub(crate) parents: Vec<ParentType>,
    /// The types of the children, with their rules.
    pub(crate) children: Vec<(Resource, ChildRule)>,
}

/// A type of parents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParentType {
    /// The position of its rule.
    pub(crate) position: usize,
    /// The type.
    pub(crate) resource: Resource,
    /// Whether its status is written apart from the rest.
    pub(crate) has_status: bool,
}

/// Why a controller's types cannot be worked on.
#[derive(Debug, Error)]
pub(crate) enum TypesError {
    /// A type is not there.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// The parent's status cannot be written apart from the rest.
    #[error("parent resource {0} does not have subresource 'Status' enabled")]
    NoStatus(Resource),
}

impl TypesError {
    /// Returns whether a type is missing, which is more than that the server could not be asked.
    pub(crate) fn is_missing(&self) -> bool {
        !matches!(self, Self::Discovery(DiscoveryError::Call { .. }))
    }

    /// Returns the reason of the event that tells it, and the reason of the condition.
    pub(crate) fn reasons(&self) -> (&'static str, &'static str) {
        match self {
            Self::Discovery(_) => (reasons::CREATE_ERROR, reasons::RESOURCE_NOT_FOUND),
            Self::NoStatus(_) => (reasons::SYNC_ERROR, reasons::STATUS_SUBRESOURCE_MISSING),
        }
    }
}

/// Looks the types of a controller up.
pub(crate) async fn find(
    controller: &Controller,
    discovery: &Discovery,
) -> Result<Types, TypesError> {
    let mut parents = Vec::new();
    for (position, rule) in controller.parents.iter().enumerate() {
        let parent = discovery.by_plural(&rule.api_version, &rule.plural).await?;
        if !parent.has_status && controller.form != Form::Decorator {
            // The answer may be older than the status subresource.
            discovery.forget();
            return Err(TypesError::NoStatus(parent.resource));
        }
        // A type that is named twice is one type: the last rule counts.
        parents.retain(|other: &ParentType| other.resource != parent.resource);
        let (resource, has_status) = (parent.resource, parent.has_status);
        parents.push(ParentType { position, resource, has_status });
    }
    let mut children = Vec::new();
    for rule in &controller.children {
        let child = discovery.by_plural(&rule.api_version, &rule.plural).await?;
        children.retain(|(resource, _)| *resource != child.resource);
        children.push((child.resource, rule.clone()));
    }
    Ok(Types { parents, children })
}
