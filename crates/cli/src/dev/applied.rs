//! Brings the server's objects in line with the files: applies them, and deletes what was taken out.

use std::collections::BTreeMap;

use k8s::{GroupVersionKind, ObjectKey, in_one_line};
use runtime::Client;
use serde_json::Value;

use super::{
    ledger::Ledger,
    line::{Line, subject},
};
use crate::{
    loader::{LoadError, Loader},
    manifest::Manifest,
};

/// What was applied in this run, so that it is applied once and can be taken back.
pub(super) struct Applied {
    loader: Loader,
    last: BTreeMap<(GroupVersionKind, ObjectKey), Value>,
}

impl Applied {
    pub(super) fn new(client: Client) -> Self {
        Self { loader: Loader::new(client), last: BTreeMap::new() }
    }

    /// Applies manifests in their order and notes each in the ledger. With `prune`, objects that were
    /// applied before and are no longer there are deleted.
    pub(super) async fn apply(&mut self, manifests: &[Manifest], prune: bool, ledger: &Ledger) {
        let mut wanted = Vec::new();
        for Manifest { source, value, gvk, key } in manifests {
            let key = self.loader.place(gvk, key).await;
            let name = subject(gvk, &key);
            match self.one(gvk, &key, value).await {
                Ok(true) => ledger.done(&Line::new("applied", name, "")),
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
    ) -> Result<bool, LoadError> {
        let place = (gvk.clone(), key.clone());
        let desired = Loader::placed(key, value);
        if self.last.get(&place) == Some(&desired) {
            return Ok(false);
        }
        self.loader.apply(gvk, key, &desired).await?;
        self.last.insert(place, desired);
        Ok(true)
    }

    async fn prune(&mut self, wanted: &[(GroupVersionKind, ObjectKey)], ledger: &Ledger) {
        let gone: Vec<_> =
            self.last.keys().filter(|place| !wanted.contains(place)).cloned().collect();
        // Instances go before their definitions.
        for (gvk, key) in gone.into_iter().rev() {
            let name = subject(&gvk, &key);
            match self.loader.delete(&gvk, &key).await {
                Ok(()) => ledger.done(&Line::new("deleted", name, "")),
                Err(LoadError::Call(error)) if error.is_not_found() => ledger.forget(&name),
                Err(error) => ledger.failed(&name, &in_one_line(&error)),
            }
            self.last.remove(&(gvk, key));
        }
    }
}
