//! Writes the objects of Functions by server-side apply, and only if they are not what they should be.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use k8s::{GroupVersionKind, Object, ObjectKey, Resource};
use runtime::{ApiError, Client, Discovery, Part, PatchType};
use serde_json::{Value, json};

use super::MANAGER;
use crate::{
    function::Function,
    live::{holds, is_of_kubeless, is_ours, is_owned, taken_over},
    objects::{Objects, is_by_calls},
    plan::Live,
    writes::WriteError,
};

/// What was applied of one object.
type Applied = HashMap<(ObjectKey, &'static str), (String, Value)>;

/// Writes the objects of Functions.
pub(super) struct Writer {
    client: Client,
    discovery: Discovery,
    /// What was applied since the start, and for which Function: what is wanted no more goes by another apply.
    applied: Mutex<Applied>,
}

impl Writer {
    pub(super) fn new(client: &Client) -> Self {
        let (client, discovery) = (client.clone(), Discovery::new(client.clone()));
        Self { client, discovery, applied: Mutex::default() }
    }

    /// Forgets what was applied for a Function that is gone.
    pub(super) fn forget(&self, key: &ObjectKey) {
        self.applied().retain(|(of, _), _| of != key);
    }

    /// Makes the objects of a Function what they should be.
    pub(super) async fn write(
        &self,
        function: &Function,
        made: &Objects,
        live: &Live,
    ) -> Result<(), WriteError> {
        // The program is there before what runs it.
        for (what, resource, wanted, live) in [
            ("the ConfigMap", config_maps(), &made.config_map, &live.config_map),
            ("the Service", services(), &made.service, &live.service),
            ("the Deployment", deployments(), &made.deployment, &live.deployment),
        ] {
            self.apply(function, (what, &resource), wanted, live.as_deref()).await?;
        }
        self.scale(function, made, live.autoscaler.as_ref()).await
    }

    /// Makes what scales a Function what it should be, and deletes it if nothing should.
    async fn scale(
        &self,
        function: &Function,
        made: &Objects,
        live: Option<&Arc<Object>>,
    ) -> Result<(), WriteError> {
        let own = live.filter(|live| is_ours(live) && is_owned(live, &function.meta.uid));
        let was_by_calls = own.is_some_and(|live| is_by_calls(&live.to_value()));
        if let Some(wanted) = &made.autoscaler {
            let what = ("the HorizontalPodAutoscaler", &autoscalers());
            match self.apply(function, what, wanted, live.map(Arc::as_ref)).await {
                // A server that scales nothing serves no such type; the Function runs all the same.
                Err(error) if error.source.is_not_found() => {}
                applied => applied?,
            }
        } else if let Some(own) = own {
            let deleted = self.client.delete(&autoscalers(), &own.key(), &own.meta().uid).await;
            allow_missing(deleted).map_err(WriteError::of("the HorizontalPodAutoscaler"))?;
        }
        if made.monitor.is_some() || was_by_calls {
            self.monitor(function, made.monitor.as_ref()).await?;
        }
        Ok(())
    }

    /// Makes the ServiceMonitor of a Function what it should be, where there are any.
    async fn monitor(&self, function: &Function, wanted: Option<&Value>) -> Result<(), WriteError> {
        let gvk = GroupVersionKind::new("monitoring.coreos.com/v1", "ServiceMonitor");
        // Where nobody reads them none are needed.
        let Ok(found) = self.discovery.by_kind(&gvk).await else { return Ok(()) };
        let (what, resource, key) = ("the ServiceMonitor", found.resource, function.meta.key());
        let live = match self.client.get(&resource, &key).await {
            Err(error) if error.is_not_found() => None,
            live => Some(live.map_err(WriteError::of(what))?),
        };
        if live.as_ref().is_some_and(|live| !is_ours(live)) {
            return Ok(());
        }
        if let Some(wanted) = wanted {
            return self.apply(function, (what, &resource), wanted, live.as_ref()).await;
        }
        let own = live.filter(|live| is_owned(live, &function.meta.uid));
        let Some(own) = own else { return Ok(()) };
        let deleted = self.client.delete(&resource, &key, &own.meta().uid).await;
        allow_missing(deleted).map_err(WriteError::of(what))
    }

    async fn apply(
        &self,
        function: &Function,
        (what, resource): (&'static str, &Resource),
        wanted: &Value,
        live: Option<&Object>,
    ) -> Result<(), WriteError> {
        let (key, failed) = (function.meta.key(), WriteError::of(what));
        let at = (key.clone(), what);
        let now = (function.meta.uid.clone(), wanted.clone());
        let before = self.applied().get(&at).cloned();
        let is_new = before.as_ref().is_none_or(|before| *before != now);
        if !is_new && live.is_some_and(|live| holds(wanted, &live.to_value())) {
            return Ok(());
        }
        let body = wanted.to_string();
        let written = match live {
            Some(live) if is_of_kubeless(live) => match self.take_over(resource, &key).await {
                Ok(()) => self.client.apply(resource, &key, MANAGER, body).await,
                Err(error) => Err(error),
            },
            // Somebody else may have taken the name since the last look.
            None if before.is_none() => self.client.apply_new(resource, &key, MANAGER, body).await,
            _ => self.client.apply(resource, &key, MANAGER, body).await,
        };
        written.map_err(failed)?;
        self.applied().insert(at, now);
        Ok(())
    }

    /// Makes all that Kubeless wanted of an object a wish of ours: what is wanted no more would stay for ever.
    async fn take_over(&self, resource: &Resource, key: &ObjectKey) -> Result<(), ApiError> {
        let live = self.client.get(resource, key).await?;
        let patch = json!([
            {"op": "test", "path": "/metadata/resourceVersion", "value": live.meta().resource_version},
            {"op": "replace", "path": "/metadata/managedFields", "value": taken_over(&live.to_value(), MANAGER)}]);
        let how = (Part::Main, PatchType::Json);
        self.client.patch(resource, key, how, patch.to_string()).await.map(|_| ())
    }

    fn applied(&self) -> MutexGuard<'_, Applied> {
        self.applied.lock().expect("the lock of what was applied is never poisoned")
    }
}

/// What is gone already need not be deleted.
fn allow_missing(deleted: Result<(), ApiError>) -> Result<(), ApiError> {
    match deleted {
        Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
        other => other,
    }
}

pub(super) fn config_maps() -> Resource {
    Resource::namespaced("v1", "ConfigMap", "configmaps")
}

pub(super) fn services() -> Resource {
    Resource::namespaced("v1", "Service", "services")
}

pub(super) fn deployments() -> Resource {
    Resource::namespaced("apps/v1", "Deployment", "deployments")
}

pub(super) fn autoscalers() -> Resource {
    let version = "autoscaling/v2";
    Resource::namespaced(version, "HorizontalPodAutoscaler", "horizontalpodautoscalers")
}
