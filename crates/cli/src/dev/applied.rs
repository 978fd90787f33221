//! Brings the server's objects in line with the files: creates, merges, and deletes what was taken out.

use std::collections::BTreeMap;

use k8s::{GroupVersionKind, ObjectKey, Resource, apply::three_way, in_one_line, json::same};
use runtime::{ApiError, Client, Discovery, DiscoveryError, Part};
use serde_json::{Value, json};
use thiserror::Error;

use super::{
    ledger::Ledger,
    line::{Line, subject},
};
use crate::manifest::Manifest;

/// How often a merge is tried again after somebody else changed the object.
const TRIES: usize = 5;

/// Why a manifest was not applied.
#[derive(Debug, Error)]
enum ApplyError {
    #[error(transparent)]
    Type(#[from] DiscoveryError),
    #[error(transparent)]
    Call(#[from] ApiError),
}

/// What was applied in this run, so that it can be merged and taken back.
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
        let last = self.last.get(&place);
        let exists = match last {
            Some(_) => true,
            None => {
                match self.client.create(&resource, &key.namespace, desired.to_string()).await {
                    Ok(_) => false,
                    Err(error) if error.is_already_exists() => true,
                    Err(error) => return Err(error.into()),
                }
            }
        };
        if exists {
            self.merge(&resource, key, last.unwrap_or(&json!({})), &desired).await?;
        }
        self.last.insert(place, desired);
        Ok(true)
    }

    /// Merges what is wanted now, and what was wanted last, into an object that exists.
    async fn merge(
        &self,
        resource: &Resource,
        key: &ObjectKey,
        last: &Value,
        desired: &Value,
    ) -> Result<(), ApiError> {
        let mut tries = 0;
        loop {
            let observed = match self.client.get(resource, key).await {
                Err(error) if error.is_not_found() => {
                    self.client.create(resource, &key.namespace, desired.to_string()).await?;
                    return Ok(());
                }
                observed => observed?.to_value(),
            };
            let merged = three_way(&observed, last, desired);
            if same(&observed, &merged) {
                return Ok(());
            }
            tries += 1;
            match self.client.update(resource, key, Part::Main, merged.to_string()).await {
                Err(error) if error.is_conflict() && tries < TRIES => {}
                updated => return updated.map(|_| ()),
            }
        }
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
