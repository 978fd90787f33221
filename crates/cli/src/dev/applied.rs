//! Brings the server's objects in line with the files: applies them, and deletes what was taken out.

use std::collections::BTreeMap;

use k8s::{GroupVersionKind, ObjectKey, in_one_line};
use runtime::{ApiError, Client, Discovery, DiscoveryError};
use serde_json::{Value, json};
use thiserror::Error;

use super::{
    ledger::Ledger,
    line::{Line, subject},
};
use crate::manifest::Manifest;

/// As whom the fields of the files are applied. Files win over whoever else has changed a field.
const MANAGER: &str = "windlass-dev";

/// Why a manifest was not applied.
#[derive(Debug, Error)]
enum ApplyError {
    #[error(transparent)]
    Type(#[from] DiscoveryError),
    #[error(transparent)]
    Call(#[from] ApiError),
}

/// What was applied in this run, so that it is applied once and can be taken back.
pub(super) struct Applied {
    client: Client,
    discovery: Discovery,
    last: BTreeMap<(GroupVersionKind, ObjectKey), Value>,
}

impl Applied {
    pub(super) fn new(client: Client) -> Self {
        let discovery = Discovery::new(client.clone());
        Self { client, discovery, last: BTreeMap::new() }
    }

    /// Applies manifests in their order and notes each in the ledger. With `prune`, objects that were
    /// applied before and are no longer there are deleted.
    pub(super) async fn apply(&mut self, manifests: &[Manifest], prune: bool, ledger: &Ledger) {
        let mut wanted = Vec::new();
        for Manifest { source, value, gvk, key } in manifests {
            let key = match self.discovery.by_kind(gvk).await {
                Ok(found) if found.resource.is_namespaced() && key.namespace.is_empty() => {
                    ObjectKey::new("default", &key.name)
                }
                _ => key.clone(),
            };
            let name = subject(gvk, &key);
            match self.one(gvk, &key, value).await {
                Ok(true) => {
                    ledger.done(&Line::new("applied", name, ""));
                    if gvk.kind == "CustomResourceDefinition" {
                        self.discovery.forget();
                    }
                }
                Ok(false) => {}
                Err(error) => ledger.failed(&name, &format!("{source}: {}", in_one_line(&error))),
            }
            wanted.push((gvk.clone(), key));
        }
        if prune {
            self.prune(&wanted, ledger).await;
        }
    }

    /// Applies one object; returns whether that changed anything.
    async fn one(
        &mut self,
        gvk: &GroupVersionKind,
        key: &ObjectKey,
        value: &Value,
    ) -> Result<bool, ApplyError> {
        let place = (gvk.clone(), key.clone());
        let mut desired = value.clone();
        if !key.namespace.is_empty() {
            desired["metadata"]["namespace"] = json!(key.namespace);
        }
        if self.last.get(&place) == Some(&desired) {
            return Ok(false);
        }
        let resource = self.discovery.by_kind(gvk).await?.resource;
        self.client.apply(&resource, key, MANAGER, desired.to_string()).await?;
        self.last.insert(place, desired);
        Ok(true)
    }

    async fn prune(&mut self, wanted: &[(GroupVersionKind, ObjectKey)], ledger: &Ledger) {
        let gone: Vec<_> =
            self.last.keys().filter(|place| !wanted.contains(place)).cloned().collect();
        // Instances go before their definitions.
        for (gvk, key) in gone.into_iter().rev() {
            let name = subject(&gvk, &key);
            let deleted: Result<(), ApplyError> = async {
                let resource = self.discovery.by_kind(&gvk).await?.resource;
                Ok(self.client.delete(&resource, &key, "").await?)
            }
            .await;
            match deleted {
                Ok(()) => ledger.done(&Line::new("deleted", name, "")),
                Err(ApplyError::Call(error)) if error.is_not_found() => ledger.forget(&name),
                Err(error) => ledger.failed(&name, &in_one_line(&error)),
            }
            self.last.remove(&(gvk, key));
        }
    }
}
