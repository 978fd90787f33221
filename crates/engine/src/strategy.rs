//! How children are made what the hooks want, and whether the API server can do that.

use k8s::{ObjectKey, Resource};
use runtime::{ApiError, Client};
use serde_json::json;
use thiserror::Error;

/// How children are made what the hooks want.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ApplyStrategy {
    /// The engine merges, with what it applied last in an annotation.
    #[default]
    Dynamic,
    /// The API server merges, by the fields that each manager owns.
    ServerSide {
        /// The field manager that the engine is.
        manager: String,
    },
}

/// Why children cannot be changed by a strategy.
#[derive(Debug, Error)]
pub enum StrategyError {
    /// The API server takes no apply patches.
    #[error("the API server has no server-side apply")]
    NoApply(#[source] ApiError),
    /// The API server stores what it should only try.
    #[error("the API server has no dry run, which server-side apply needs")]
    NoDryRun,
}

impl ApplyStrategy {
    /// Asks the API server whether it can do what the strategy needs.
    ///
    /// An answer that leaves this open, such as a refusal for lack of rights, counts as a yes: what fails
    /// for it later is told where it fails.
    pub(crate) async fn check(
        &self,
        client: &Client,
        namespace: &str,
    ) -> Result<(), StrategyError> {
        let Self::ServerSide { manager } = self else { return Ok(()) };
        // Events are what an engine may write everywhere.
        let events = Resource::namespaced("v1", "Event", "events");
        let key = ObjectKey::new(namespace, "metacontroller-apply-check");
        let body = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": key.name, "namespace": key.namespace},
            "involvedObject": {"apiVersion": "v1", "kind": "Namespace", "name": key.namespace,
                "namespace": key.namespace},
            "reason": "ApplyCheck", "type": "Normal"})
        .to_string();
        let ask = || client.try_apply(&events, &key, manager, body.clone());
        let first = match ask().await {
            Err(error) if matches!(error.code(), Some(400 | 405 | 415)) => {
                return Err(StrategyError::NoApply(error));
            }
            Err(_) => return Ok(()),
            Ok(first) => first,
        };
        // An object that was only tried gets another UID with each try.
        match ask().await {
            Ok(second) if second.meta().uid == first.meta().uid => Err(StrategyError::NoDryRun),
            _ => Ok(()),
        }
    }
}
