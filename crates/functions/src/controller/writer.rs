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
    live::{holds, is_of_kubeless, is_ours, is_owned, taken_over, with_addresses},
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
        let service = with_addresses(&made.service, live.service.as_deref());
        // The program is there before what runs it.
        for (what, resource, wanted, live) in [
            ("the ConfigMap", config_maps(), &made.config_map, &live.config_map),
            ("the Service", services(), &service, &live.service),
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
        if made.monitor.is_some() || was_by_calls {
            // What it is deleted for is deleted after it: a failure in between is made good for.
            self.monitor(function, made.monitor.as_ref()).await?;
        }
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
            Some(live) if is_of_kubeless(live) => self.take_over(resource, &key, body).await,
            // Somebody else may have taken the name since the last look.
            None if before.is_none() => self.client.apply_new(resource, &key, MANAGER, body).await,
            Some(_) => match self.client.apply(resource, &key, MANAGER, body.clone()).await {
                // What others put there may not go with what is wanted, such as a second port of one name.
                Err(error) if is_refused(&error) => self.take_over(resource, &key, body).await,
                applied => applied,
            },
            None => self.client.apply(resource, &key, MANAGER, body).await,
        };
        written.map_err(failed)?;
        self.applied().insert(at, now);
        Ok(())
    }

    /// Makes all that others wanted of an object a wish of ours before it is applied: what is wanted no more would
    /// stay for ever.
    async fn take_over(
        &self,
        resource: &Resource,
        key: &ObjectKey,
        body: String,
    ) -> Result<Object, ApiError> {
        let live = self.client.get(resource, key).await?;
        let patch = json!([
            {"op": "test", "path": "/metadata/resourceVersion", "value": live.meta().resource_version},
            {"op": "replace", "path": "/metadata/managedFields", "value": taken_over(&live.to_value(), MANAGER)}]);
        let how = (Part::Main, PatchType::Json);
        self.client.patch(resource, key, how, patch.to_string()).await?;
        self.client.apply(resource, key, MANAGER, body).await
    }

    fn applied(&self) -> MutexGuard<'_, Applied> {
        self.applied.lock().expect("the lock of what was applied is never poisoned")
    }
}

/// Returns whether an object cannot be as it was sent.
pub(super) fn is_refused(error: &ApiError) -> bool {
    error.code() == Some(422) && !error.is_conflict()
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
