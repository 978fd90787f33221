//! Notes in a controller object how it fares, where its resource has a status.

use api::names::{conditions, reasons};
use k8s::{Object, Resource, Timestamp};
use runtime::{ApiError, Client, Part};
use serde_json::{Value, json};
use tracing::warn;

/// How often a condition is written again after somebody else changed the controller.
const TRIES: usize = 5;

/// One condition as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    kind: &'static str,
    holds: bool,
    reason: &'static str,
    message: String,
}

impl Verdict {
    /// Returns whether a controller runs.
    pub(crate) fn ready(holds: bool, reason: &'static str, message: &str) -> Self {
        Self { kind: conditions::READY, holds, reason, message: message.to_owned() }
    }

    /// Returns whether the programs of its hooks run.
    pub(crate) fn hooks_ready(holds: bool, reason: &'static str, message: &str) -> Self {
        Self { kind: conditions::HOOKS_READY, holds, reason, message: message.to_owned() }
    }

    /// Returns what is true of a controller that runs.
    pub(crate) fn running(with_programs: bool) -> Vec<Self> {
        let mut verdicts = vec![Self::ready(true, reasons::RUNNING, "")];
        if with_programs {
            verdicts.push(Self::hooks_ready(true, reasons::HOOKS_LOADED, ""));
        }
        verdicts
    }
}

/// Writes conditions that differ from what is there.
pub(crate) async fn note(
    client: &Client,
    resource: &Resource,
    object: &Object,
    verdicts: &[Verdict],
) {
    let (key, now) = (object.key(), client.clock().now());
    let once = || async {
        let live = client.get(resource, &key).await?;
        // Another controller of that name has conditions of its own.
        let is_same = live.meta().uid == object.meta().uid;
        let value = with_conditions(&live, verdicts, now).filter(|_| is_same);
        let Some(value) = value else { return Ok(()) };
        client.update(resource, &key, Part::Status, value.to_string()).await.map(|_| ())
    };
    let mut result: Result<(), ApiError> = once().await;
    for _ in 1..TRIES {
        if result.as_ref().is_err_and(ApiError::is_conflict) {
            result = once().await;
        }
    }
    match result {
        Err(error) if !error.is_not_found() => {
            warn!(controller = object.meta().name, %error, "failed to write a status");
        }
        _ => {}
    }
}

/// Returns a controller with its conditions set, or nothing if it has them.
fn with_conditions(controller: &Object, verdicts: &[Verdict], now: Timestamp) -> Option<Value> {
    let mut value = controller.to_value();
    let generation = controller.meta().generation;
    let before = value.pointer("/status/conditions").and_then(Value::as_array).cloned();
    let before = before.unwrap_or_default();
    let mut conditions = before.clone();
    for Verdict { kind, holds, reason, message } in verdicts {
        let status = if *holds { "True" } else { "False" };
        let old = conditions.iter().position(|condition| condition["type"] == *kind);
        let since = old
            .and_then(|old| conditions.get(old))
            .filter(|old| old["status"] == status)
            .and_then(|old| old["lastTransitionTime"].as_str())
            .map_or_else(|| now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), ToOwned::to_owned);
        let condition = json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastTransitionTime": since, "observedGeneration": generation});
        match old.and_then(|old| conditions.get_mut(old)) {
            Some(old) => *old = condition,
            None => conditions.push(condition),
        }
    }
    if conditions == before {
        return None;
    }
    value["status"] = json!({"observedGeneration": generation, "conditions": conditions});
    Some(value)
}
