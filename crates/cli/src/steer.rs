//! What people do to controllers and parents by hand: pausing them, and taking off finalizers that nobody
//! will take off any more.

use std::collections::BTreeSet;

use api::{composite, decorator, names};
use futures::future::join_all;
use k8s::{Object, ObjectKey, Resource};
use runtime::{ApiError, Client, Part, PatchType};
use serde_json::{Value, json};
use thiserror::Error;

use crate::find::{FindError, find, listable};

/// Why something was not done.
#[derive(Debug, Error)]
pub enum SteerError {
    /// The type of an object is not known.
    #[error(transparent)]
    Find(#[from] FindError),
    /// No controller has the name.
    #[error("there is no controller `{0}`")]
    NoController(String),
    /// The object is not there.
    #[error("there is no {kind} `{key}`")]
    NoObject {
        /// Its kind.
        kind: String,
        /// Where it was looked for.
        key: ObjectKey,
    },
    /// The API server did not do what it was asked.
    #[error("failed to {action}")]
    Call {
        /// What it was asked to do.
        action: String,
        /// What it said.
        source: ApiError,
    },
}

impl SteerError {
    /// Returns what the user can do about it, if that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Find(error) => error.hint(),
            Self::NoController(_) => Some("`windlass status` lists the controllers".to_owned()),
            Self::NoObject { .. } | Self::Call { .. } => None,
        }
    }
}

/// A finalizer of a controller that no longer exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// The type of the object that carries it.
    pub resource: Resource,
    /// The object.
    pub key: ObjectKey,
    /// The finalizer.
    pub finalizer: String,
}

/// Reads an object of the type that a person means.
pub async fn get(client: &Client, kind: &str, key: &ObjectKey) -> Result<Object, SteerError> {
    let resource = find(client, kind).await?;
    let key = placed(&resource, key);
    match client.get(&resource, &key).await {
        Ok(object) => Ok(object),
        Err(error) if error.is_not_found() => {
            Err(SteerError::NoObject { kind: resource.gvk.kind, key })
        }
        Err(source) => {
            Err(SteerError::Call { action: format!("read {} {key}", resource.gvk.kind), source })
        }
    }
}

/// Returns the key that an object of a type has: one that belongs to no namespace is named by its name.
pub fn placed(resource: &Resource, key: &ObjectKey) -> ObjectKey {
    if resource.is_namespaced() { key.clone() } else { ObjectKey::new("", &key.name) }
}

/// Pauses or resumes the controllers of a name, and returns their names with their kinds.
pub async fn pause_controller(
    client: &Client,
    name: &str,
    pause: bool,
) -> Result<Vec<String>, SteerError> {
    let mut done = Vec::new();
    for resource in [composite::resource(), decorator::resource()] {
        match annotate(client, &resource, &ObjectKey::new("", name), pause).await {
            Ok(subject) => done.push(subject),
            Err(SteerError::NoObject { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    if done.is_empty() { Err(SteerError::NoController(name.to_owned())) } else { Ok(done) }
}

/// Pauses or resumes one object, and returns its name with its kind.
pub async fn pause_object(
    client: &Client,
    kind: &str,
    key: &ObjectKey,
    pause: bool,
) -> Result<String, SteerError> {
    let resource = find(client, kind).await?;
    annotate(client, &resource, &placed(&resource, key), pause).await
}

async fn annotate(
    client: &Client,
    resource: &Resource,
    key: &ObjectKey,
    pause: bool,
) -> Result<String, SteerError> {
    let value = if pause { json!("true") } else { Value::Null };
    let patch = json!({"metadata": {"annotations": {PAUSED: value}}}).to_string();
    let subject = format!("{} {key}", resource.gvk.kind);
    match client.patch(resource, key, (Part::Main, PatchType::Merge), patch).await {
        Ok(_) => Ok(subject),
        Err(error) if error.is_not_found() => {
            Err(SteerError::NoObject { kind: resource.gvk.kind.clone(), key: key.clone() })
        }
        Err(source) => {
            let verb = if pause { "pause" } else { "resume" };
            Err(SteerError::Call { action: format!("{verb} {subject}"), source })
        }
    }
}

/// The annotation that stops syncs.
const PAUSED: &str = "windlass.dev/paused";

/// Reads all objects of all types, or of those in a namespace; types that may not be read are left out.
pub async fn everything(client: &Client, namespace: &str) -> Result<Vec<Object>, ApiError> {
    let resources = listable(client).await?;
    let wanted = resources.iter().filter(|resource| {
        // Events describe objects and are nobody's children.
        resource.gvk.kind != "Event" && (namespace.is_empty() || resource.is_namespaced())
    });
    let lists = join_all(wanted.map(|resource| list(client, resource, namespace))).await;
    let mut objects = Vec::new();
    for list in lists {
        match list {
            Ok(list) => objects.extend(list),
            Err(error) if matches!(error.code(), Some(403..=405)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(objects)
}

/// Reads the objects of one type, in one namespace or in all if that is empty.
pub(crate) async fn list(
    client: &Client,
    resource: &Resource,
    namespace: &str,
) -> Result<Vec<Object>, ApiError> {
    let path = resource.collection_path(namespace);
    let body = client.get_raw(&path).await?;
    let decode = |source: Box<dyn std::error::Error + Send + Sync>| ApiError::Decode {
        path: path.clone(),
        source,
    };
    let mut list = k8s::json::parse(&body).map_err(|error| decode(error.into()))?;
    let items = list["items"].take();
    let mut objects = Vec::new();
    for mut item in items.as_array().cloned().unwrap_or_default() {
        item["apiVersion"] = json!(resource.gvk.api_version());
        item["kind"] = json!(resource.gvk.kind);
        objects.push(Object::from_value(&item).map_err(|error| decode(error.into()))?);
    }
    Ok(objects)
}

/// Returns the finalizers of controllers that no longer exist.
pub async fn stale_finalizers(client: &Client) -> Result<Vec<Stale>, SteerError> {
    let failed = |action: &str| {
        let action = action.to_owned();
        move |source| SteerError::Call { action, source }
    };
    let mut live = BTreeSet::new();
    for resource in [composite::resource(), decorator::resource()] {
        let controllers = list(client, &resource, "").await;
        for controller in controllers.map_err(failed("list the controllers"))? {
            let (kind, name) = (resource.gvk.kind.to_lowercase(), &controller.meta().name);
            live.insert(names::finalizer(&kind, name));
            live.insert(names::legacy_finalizer(&kind, name));
        }
    }
    let objects = everything(client, "").await.map_err(failed("list all objects"))?;
    let resources = listable(client).await.map_err(failed("list all types"))?;
    Ok(stale(&live, &objects, &resources))
}

fn stale(live: &BTreeSet<String>, objects: &[Object], resources: &[Resource]) -> Vec<Stale> {
    let is_stale = |finalizer: &&String| {
        names::finalizer_owner(finalizer).is_some() && !live.contains(*finalizer)
    };
    let mut found = Vec::new();
    for object in objects {
        let resource = resources.iter().find(|resource| resource.gvk == *object.gvk());
        let (Some(resource), key) = (resource, object.key()) else { continue };
        found.extend(object.meta().finalizers.iter().filter(is_stale).map(|finalizer| Stale {
            resource: resource.clone(),
            key: key.clone(),
            finalizer: finalizer.clone(),
        }));
    }
    found
}

/// Takes a finalizer off, unless the object changes meanwhile.
pub async fn remove(client: &Client, stale: &Stale) -> Result<(), SteerError> {
    let Stale { resource, key, finalizer } = stale;
    let failed = |source| SteerError::Call {
        action: format!("take `{finalizer}` off {} {key}", resource.gvk.kind),
        source,
    };
    let object = client.get(resource, key).await.map_err(failed)?;
    let kept = object.meta().finalizers.iter().filter(|each| *each != finalizer);
    let patch = json!({"metadata": {"resourceVersion": object.meta().resource_version,
        "finalizers": kept.collect::<Vec<_>>()}});
    let part = (Part::Main, PatchType::Merge);
    client.patch(resource, key, part, patch.to_string()).await.map(drop).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finalizers_of_controllers_that_are_gone_are_stale() {
        let finalizers = [
            "metacontroller.io/compositecontroller-gone",
            "metacontroller.app/decoratorcontroller-gone",
            "metacontroller.io/compositecontroller-here",
            "example.com/compositecontroller-gone",
        ];
        let object = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "namespace": "n", "finalizers": finalizers}});
        let live = BTreeSet::from([names::finalizer("compositecontroller", "here")]);
        let pods = [Resource::namespaced("v1", "Pod", "pods")];
        let found = stale(&live, &[Object::from_value(&object).unwrap()], &pods);
        let found: Vec<_> = found.iter().map(|stale| stale.finalizer.as_str()).collect();
        assert_eq!(found, finalizers[..2]);
    }
}
