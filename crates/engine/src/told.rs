//! What a log with more verbosity tells: why parents are synced, what is written, what hooks say.
//!
//! What Secrets hold is hidden, and texts are made only if somebody reads them.

use bytes::Bytes;
use k8s::{ObjectKey, patch::difference};
use runtime::WriteKind;
use serde_json::Value;
use tracing::{Level, debug, enabled, trace};

use crate::{
    mask::{mask, masked_text},
    plan::{Action, ObservedType},
    record::Source,
};

/// Tells what is going to be written, and how the children differ from it.
pub(crate) fn actions(actions: &[Action], observed: &[ObservedType]) {
    for action in actions {
        debug!(%action, "acting");
        if enabled!(target: "engine::diff", Level::TRACE)
            && let Some(change) = change(action, observed)
        {
            trace!(target: "engine::diff", key = %action.write.key, %change, "differs");
        }
    }
}

/// Returns whether anybody reads why parents are queued.
pub(crate) fn wants_triggers() -> bool {
    enabled!(Level::DEBUG)
}

/// Tells why a parent is queued.
pub(crate) fn trigger(source: &Source, parent: &ObjectKey, why: &str) {
    let (controller, kind) = (&source.controller, &source.parents.kind);
    debug!(controller, kind, %parent, why, "queued");
}

/// Tells what a hook was sent, and what it answered.
pub(crate) fn exchange(hook: &str, request: &Bytes, answer: Option<(u16, &Bytes)>) {
    if !enabled!(target: "engine::body", Level::TRACE) {
        return;
    }
    let text = |body: &Bytes| String::from_utf8_lossy(&masked_text(body)).into_owned();
    trace!(target: "engine::body", hook, request = text(request), "called a hook");
    if let Some((status, body)) = answer {
        trace!(target: "engine::body", hook, status, response = text(body), "a hook answered");
    }
}

/// Returns what an action changes of a child that is there, as a merge patch.
fn change(action: &Action, observed: &[ObservedType]) -> Option<Value> {
    let (WriteKind::Update(body) | WriteKind::Apply { body, .. }) = &action.write.kind else {
        return None;
    };
    let of_type = observed.iter().find(|each| each.resource == action.write.resource)?;
    let before = of_type.objects.iter().find(|object| object.key() == action.write.key)?;
    let (mut before, mut after) = (before.to_value(), k8s::json::parse(body).ok()?);
    mask(&mut before);
    mask(&mut after);
    if let WriteKind::Apply { .. } = action.write.kind {
        // An apply names only what it cares about.
        return Some(after);
    }
    Some(difference(&before, &after))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use api::controller::UpdateMethod;
    use k8s::{Object, Resource};
    use runtime::Write;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_what_differs_without_what_secrets_hold() {
        let secret = |label: &str, value: &str| {
            json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": value},
                "metadata": {"name": "s", "namespace": "n", "labels": {"l": label}}})
        };
        let resource = Resource::namespaced("v1", "Secret", "secrets");
        let before = Object::from_value(&secret("1", "b2xk")).unwrap();
        let observed = [ObservedType {
            resource: resource.clone(),
            method: UpdateMethod::InPlace,
            status_checks: Arc::default(),
            objects: vec![Arc::new(before)],
        }];
        let kind = WriteKind::Update(secret("2", "bmV3").to_string().into());
        let key = ObjectKey::new("n", "s");
        let write = Write { resource, key, kind };
        let action = Action { write, reason: String::new(), wish: 0, doubt: None };
        let change = change(&action, &observed).unwrap();
        assert_eq!(change, json!({"metadata": {"labels": {"l": "2"}}}));
    }
}
