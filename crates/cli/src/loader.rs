//! Applies manifests to a server, as the owner of what files say.

use k8s::{GroupVersionKind, ObjectKey};
use runtime::{ApiError, Client, Discovery, DiscoveryError};
use serde_json::{Value, json};
use thiserror::Error;

/// As whom the fields of the files are applied. Files win over whoever else has changed a field.
const MANAGER: &str = "windlass-dev";

/// Why a manifest was not applied.
#[derive(Debug, Error)]
pub enum LoadError {
    /// Its type is not known, or could not be looked up.
    #[error(transparent)]
    Type(#[from] DiscoveryError),
    /// The server refused it.
    #[error(transparent)]
    Call(#[from] ApiError),
}

/// Applies and deletes objects of any type.
pub(crate) struct Loader {
    client: Client,
    discovery: Discovery,
}

impl Loader {
    pub(crate) fn new(client: Client) -> Self {
        let discovery = Discovery::new(client.clone());
        Self { client, discovery }
    }

    /// Returns the key of an object: one without a namespace goes to `default`.
    pub(crate) async fn place(&self, gvk: &GroupVersionKind, key: &ObjectKey) -> ObjectKey {
        match self.discovery.by_kind(gvk).await {
            Ok(found) if found.resource.is_namespaced() && key.namespace.is_empty() => {
                ObjectKey::new("default", &key.name)
            }
            _ => key.clone(),
        }
    }

    /// Returns the object as it is to be applied at its place.
    pub(crate) fn placed(key: &ObjectKey, value: &Value) -> Value {
        let mut desired = value.clone();
        if !key.namespace.is_empty() {
            desired["metadata"]["namespace"] = json!(key.namespace);
        }
        desired
    }

    /// Applies an object that has its place.
    pub(crate) async fn apply(
        &self,
        gvk: &GroupVersionKind,
        key: &ObjectKey,
        desired: &Value,
    ) -> Result<(), LoadError> {
        let resource = self.discovery.by_kind(gvk).await?.resource;
        self.client.apply(&resource, key, MANAGER, desired.to_string()).await?;
        if gvk.kind == "CustomResourceDefinition" {
            self.discovery.forget();
        }
        Ok(())
    }

    pub(crate) async fn delete(
        &self,
        gvk: &GroupVersionKind,
        key: &ObjectKey,
    ) -> Result<(), LoadError> {
        let resource = self.discovery.by_kind(gvk).await?.resource;
        Ok(self.client.delete(&resource, key, "").await?)
    }
}
