//! Pure: decides how children change where the server merges, by the fields that each manager owns.

use std::hash::{DefaultHasher, Hash, Hasher};

use api::{controller::UpdateMethod, names};
use k8s::{Object, apply};
use runtime::{Write, WriteKind};
use serde_json::{Map, Value, json};

use crate::{
    desired::Desired,
    plan::{
        Action, Application, Doubt, Known, ObservedType, Settled, Trial, delete, first_difference,
        recreation,
    },
    selector::owner_reference,
};

/// What an apply would change in a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    Nothing,
    /// First of all, in the order of keys, the field at this path.
    Changes(String),
    /// The server refuses it: a field that cannot change, or a child that it would never take.
    Refused,
}

/// Returns what is applied for a desired child: with its owner, without what others say.
pub(crate) fn body(parent: &Object, desired: &Desired) -> Value {
    // For the server, `null` is a value that the manager wants.
    let mut body = apply::without_null_fields(&desired.value);
    if let Value::Object(fields) = &mut body {
        fields.remove("status");
    }
    let owners = &mut body["metadata"]["ownerReferences"];
    match owners.as_array_mut() {
        Some(owners) => owners.push(owner_reference(parent, desired.ownership)),
        None => *owners = json!([owner_reference(parent, desired.ownership)]),
    }
    body
}

/// Returns the hash of what an apply can change of an object, and others too.
pub(crate) fn content(object: &Object) -> u64 {
    hash(&apply::last_applied(&merged(object)))
}

/// Returns what the server's answer to a dry run says of the object that is there.
pub(crate) fn effect(answer: &Object, observed: &Object) -> Effect {
    let (before, after) = (merged(observed), merged(answer));
    match first_difference(&before, &after, &mut Vec::new()) {
        Some(path) => Effect::Changes(path),
        None => Effect::Nothing,
    }
}

/// Plans how an observed child becomes the desired one, by the method of its type.
pub(crate) fn update(
    parent: &Object,
    (desired, wish): (&Desired, u64),
    observed: &Object,
    method: UpdateMethod,
    (known, manager): (&Known, &str),
) -> Option<Action> {
    let (reason, doubt) = match known.trials.get(&id(wish, observed)) {
        Some(Trial::Applied(Effect::Nothing)) => return None,
        _ if !method.recreates() => {
            let body = with(body(parent, desired), "uid", &observed.meta().uid);
            let (manager, body) = (manager.to_owned(), body.to_string().into());
            let kind = WriteKind::Apply { manager, body };
            let write =
                Write { resource: desired.resource.clone(), key: desired.key.clone(), kind };
            let reason = reason(desired, observed);
            return Some(Action { write, reason, wish, doubt: None });
        }
        Some(Trial::Applied(Effect::Changes(path))) => {
            (format!("an apply would change {path}, to be recreated"), None)
        }
        Some(Trial::Applied(Effect::Refused)) => {
            let recreation = recreation(parent, desired, &known.strategy);
            let reason = "the server refuses the change, to be recreated".to_owned();
            (reason, Some(Doubt::Creation(recreation)))
        }
        _ => {
            let reason = format!("{}, to be recreated", reason(desired, observed));
            (reason, Some(application(parent, (desired, wish), observed, manager)))
        }
    };
    Some(Action { doubt, ..delete(&desired.resource, observed, &reason, wish) })
}

/// Returns what the server is asked to find out whether a child is as desired; nothing if that is known.
pub(crate) fn doubt(
    parent: &Object,
    (desired, wish): (&Desired, u64),
    observed: &Object,
    (known, manager): (&Known, &str),
) -> Option<Doubt> {
    let is_clear =
        known.trials.contains_key(&id(wish, observed)) || is_settled(known, wish, observed);
    (!is_clear).then(|| application(parent, (desired, wish), observed, manager))
}

/// Tells whether a child is known to be as desired.
pub(crate) fn is_updated(known: &Known, wish: u64, observed: &Object) -> bool {
    let trial = known.trials.get(&id(wish, observed));
    is_settled(known, wish, observed) || trial == Some(&Trial::Applied(Effect::Nothing))
}

/// Tells whether children of a type may carry what dynamic apply left, and are written at all.
pub(crate) fn may_be_taken_over(observed: &ObservedType, object: &Object) -> bool {
    observed.method != UpdateMethod::OnDelete
        && !object.meta().is_deleting()
        && object.annotations().contains_key(names::LAST_APPLIED)
}

/// Returns the JSON patch that makes an object of dynamic apply one of this manager's: the annotation goes,
/// and what the manager wrote counts as applied, so that it is pruned once it is no longer desired.
/// Nothing if there is nothing to change.
pub(crate) fn takeover(live: &Value, manager: &str) -> Option<Value> {
    let metadata = live.get("metadata")?;
    metadata.get("annotations")?.get(names::LAST_APPLIED)?;
    let annotation = names::LAST_APPLIED.replace('~', "~0").replace('/', "~1");
    let mut patch = vec![
        json!({"op": "replace", "path": "/metadata/resourceVersion",
            "value": metadata.get("resourceVersion")}),
        json!({"op": "remove", "path": format!("/metadata/annotations/{annotation}")}),
    ];
    if let Some(Value::Array(entries)) = metadata.get("managedFields") {
        let entries = as_applied(entries, manager);
        patch.push(json!({"op": "replace", "path": "/metadata/managedFields", "value": entries}));
    }
    Some(patch.into())
}

/// Returns entries of managedFields in which all that a manager wrote is what it applied. There is one
/// entry of a manager that applies.
fn as_applied(entries: &[Value], manager: &str) -> Vec<Value> {
    let is_own = |entry: &&Value| entry["manager"] == manager && entry["subresource"].is_null();
    let mut own = entries.iter().filter(is_own).cloned();
    let mut applied = own.next();
    if let Some(applied) = &mut applied {
        applied["operation"] = json!("Apply");
        own.for_each(|entry| unite(&mut applied["fieldsV1"], &entry["fieldsV1"]));
    }
    let others = entries.iter().filter(|entry| !is_own(entry)).cloned();
    applied.into_iter().chain(others).collect()
}

fn unite(fields: &mut Value, more: &Value) {
    let (Value::Object(fields), Value::Object(more)) = (fields, more) else { return };
    for (field, below) in more {
        unite(fields.entry(field.clone()).or_insert_with(|| Map::new().into()), below);
    }
}

/// Returns an object without what no apply of a child changes: its status, and what the server sets.
fn merged(object: &Object) -> Value {
    let mut value = object.to_value();
    apply::strip_server_metadata(&mut value);
    if let Value::Object(fields) = &mut value {
        fields.remove("status");
    }
    value
}

fn is_settled(known: &Known, wish: u64, observed: &Object) -> bool {
    let now = Settled::new(&known.strategy, wish, observed);
    known.settled.get(&observed.meta().uid).is_some_and(|before| before.covers(&now))
}

/// Returns the question what an apply to the very version that was observed would change.
fn application(
    parent: &Object,
    (desired, wish): (&Desired, u64),
    observed: &Object,
    manager: &str,
) -> Doubt {
    let body = body(parent, desired);
    Doubt::Application(Box::new(Application {
        id: id(wish, observed),
        manager: manager.to_owned(),
        body: with(body, "resourceVersion", &observed.meta().resource_version),
        observed: observed.clone(),
    }))
}

/// Returns what an answer is kept by: the wish, and the object that it was about.
fn id(wish: u64, observed: &Object) -> u64 {
    hash(&(wish, &observed.meta().uid, content(observed)))
}

fn hash(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// Returns a body that is refused if the object is not the one that was observed.
fn with(mut body: Value, field: &str, value: &str) -> Value {
    body["metadata"][field] = json!(value);
    body
}

/// Says why a child is applied: as far as it shows, for a field that is to go shows only to the server.
fn reason(desired: &Desired, observed: &Object) -> String {
    let (before, wanted) = (merged(observed), apply::without_null_fields(&desired.value));
    let before = apply::project(&before, &wanted);
    match first_difference(&before, &wanted, &mut Vec::new()) {
        Some(path) => format!("{path} differs"),
        None => "it is not known to be as applied".to_owned(),
    }
}

#[cfg(test)]
#[path = "server_side/tests.rs"]
mod tests;
