//! Writes what Functions and triggers say of themselves: their status, with the events that tell of it, and
//! the end of finalizers.

use k8s::{Object, Resource};
use runtime::{ApiError, Client, EventKind, Events, Part};
use serde_json::Value;
use thiserror::Error;

use crate::status::{self, News};

/// Something was not written.
#[derive(Debug, Error)]
#[error("failed to write {what}")]
pub(crate) struct WriteError {
    /// What was not written.
    pub what: &'static str,
    /// What the API server said.
    pub source: ApiError,
}

impl WriteError {
    /// Returns what turns an answer of the API server into the error.
    pub(crate) fn of(what: &'static str) -> impl FnOnce(ApiError) -> Self {
        move |source| Self { what, source }
    }
}

/// Writes a status if it says something new, tells of it by events, and returns what they are about.
pub(crate) async fn tell(
    (client, events): (&Client, &Events),
    resource: &Resource,
    object: &Object,
    after: &Value,
) -> Result<Vec<News>, WriteError> {
    let mut value = object.to_value();
    let before = std::mem::replace(&mut value["status"], after.clone());
    if k8s::json::same(&before, after) {
        return Ok(Vec::new());
    }
    match client.update(resource, &object.key(), Part::Status, value.to_string()).await {
        // The change that was in the way brings the object here again.
        Err(error) if error.is_conflict() || error.is_not_found() => return Ok(Vec::new()),
        other => other.map_err(|source| WriteError { what: "the status", source })?,
    };
    let news = status::news(&before, after);
    for News { is_trouble, reason, message } in &news {
        let kind = if *is_trouble { EventKind::Warning } else { EventKind::Normal };
        events.tell(object, kind, reason, message.clone());
    }
    Ok(news)
}

/// Takes off the finalizer that Kubeless left, so that an object can go; what it owns goes by itself.
pub(crate) async fn let_go(
    client: &Client,
    resource: &Resource,
    object: &Object,
    finalizer: &str,
) -> Result<(), WriteError> {
    if !object.meta().has_finalizer(finalizer) {
        return Ok(());
    }
    let mut value = object.to_value();
    if let Some(finalizers) =
        value.pointer_mut("/metadata/finalizers").and_then(Value::as_array_mut)
    {
        finalizers.retain(|own| own != finalizer);
    }
    match client.update(resource, &object.key(), Part::Main, value.to_string()).await {
        Err(error) if error.is_conflict() || error.is_not_found() => Ok(()),
        other => other.map(|_| ()).map_err(|source| WriteError { what: "the finalizers", source }),
    }
}
