//! What some kinds need beyond the rules of all: namespaces and their first content.

use std::sync::Arc;

use k8s::{Object, ObjectKey, Resource};
use serde_json::{Value, json};

use crate::{
    backend::{Backend, WriteOptions, text},
    error::ApiError,
    registry::Registered,
};

impl Backend {
    pub(super) fn namespace(&self, name: &str) -> Option<Arc<Object>> {
        let namespaces = Resource::cluster("v1", "Namespace", "namespaces");
        self.0.store.get(&namespaces, &ObjectKey::new("", name))
    }

    /// Fills in what the kind's own rules say, before validation.
    pub(super) fn complete(
        &self,
        registered: &Registered,
        value: &mut Value,
        old: Option<&Value>,
    ) -> Result<(), ApiError> {
        if registered.is("", "namespaces") {
            complete_namespace(value, old.is_none());
        }
        Ok(())
    }

    pub(super) fn after_create(
        &self,
        registered: &Registered,
        object: &Arc<Object>,
    ) -> Result<(), ApiError> {
        if registered.is("", "namespaces") {
            self.furnish(&object.meta().name)?;
        }
        Ok(())
    }

    pub(super) fn after_update(
        &self,
        _registered: &Registered,
        _object: &Arc<Object>,
    ) -> Result<(), ApiError> {
        Ok(())
    }

    pub(super) fn before_delete(
        &self,
        _registered: &Registered,
        _value: &Value,
    ) -> Result<(), ApiError> {
        Ok(())
    }

    pub(super) fn after_remove(&self, _registered: &Registered, _object: &Arc<Object>) {}

    /// Creates what every namespace has from the start.
    fn furnish(&self, namespace: &str) -> Result<(), ApiError> {
        let account = Resource::namespaced("v1", "ServiceAccount", "serviceaccounts");
        let map = Resource::namespaced("v1", "ConfigMap", "configmaps");
        let ca = json!({"ca.crt": ""});
        for (resource, value) in [
            (account, json!({"metadata": {"name": "default"}})),
            (map, json!({"metadata": {"name": "kube-root-ca.crt"}, "data": ca})),
        ] {
            let registered = self.registered(&resource)?;
            self.create_locked(&registered, namespace, value, WriteOptions::default())?;
        }
        Ok(())
    }
}

fn complete_namespace(value: &mut Value, is_new: bool) {
    let name = text(value, "name").to_owned();
    value["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!(name);
    if is_new {
        value["spec"] = json!({"finalizers": ["kubernetes"]});
        value["status"] = json!({"phase": "Active"});
    }
}
