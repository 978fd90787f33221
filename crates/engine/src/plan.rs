//! Pure: decides how the children of one parent must change.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use api::{composite::ConditionCheck, controller::UpdateMethod, names};
use k8s::{Object, Resource, apply, json::same};
use runtime::{Write, WriteKind};
use serde_json::{Value, json};

use crate::{
    desired::Desired,
    selector::{Ownership, owner_reference},
};

/// What must be done to the children, in order.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Plan {
    /// The writes, each with the reason it is needed.
    pub(crate) actions: Vec<Action>,
    /// The children that are as they should be, to be left alone as long as nothing changes.
    pub(crate) settled: Vec<(String, Settled)>,
}

/// One write and why it is needed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Action {
    /// The write.
    pub(crate) write: Write,
    /// Why it is needed, in words.
    pub(crate) reason: String,
    /// The hash of the desired object, to know the write again.
    pub(crate) wish: u64,
    /// What is to follow, if this is a deletion of a child only because it differs.
    pub(crate) recreates: Option<Recreation>,
}

/// The child that is created once the old one is gone.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Recreation {
    /// As it is created.
    pub(crate) child: Value,
    /// As the hook wishes it.
    pub(crate) desired: Value,
}

/// What a server answered when it was asked what it would make of a desired child.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Trial {
    /// It would make this of the fields that are desired.
    Accepted(Value),
    /// It would refuse the child, with these words.
    Refused(String),
    /// It did not say.
    Unknown,
}

/// The trials so far, by the hash of the desired object.
pub(crate) type Trials = HashMap<u64, Trial>;

/// The observed children of one type.
#[derive(Clone, Debug)]
pub(crate) struct ObservedType {
    /// The type.
    pub(crate) resource: Resource,
    /// What is done to one that differs from what is wanted.
    pub(crate) method: UpdateMethod,
    /// What a child must show before the next one is rolled.
    pub(crate) status_checks: Arc<[ConditionCheck]>,
    /// Those that the parent owns.
    pub(crate) objects: Vec<Arc<Object>>,
}

/// A child that is as its parent wishes, as far as that can be reached: it was found so, or it is what
/// the server made of the last write. In the second case it may differ from the wish for ever, where the
/// server normalises a value; writing the same again would change nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    /// The hash of the desired object.
    pub(crate) wish: u64,
    /// The resourceVersion of the child.
    pub(crate) version: String,
}

/// The settled children, by UID.
pub(crate) type SettledChildren = HashMap<String, Settled>;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.actions.iter().try_for_each(|action| writeln!(f, "{action}"))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Write { resource, key, kind } = &self.write;
        let verb = match kind {
            WriteKind::Create(_) => "create",
            WriteKind::Update(_) => "update",
            WriteKind::Delete { .. } => "delete",
        };
        write!(f, "{verb} {} {key}: {}", resource.gvk.kind, self.reason)
    }
}

/// Plans the changes that turn the observed children into the desired ones: deletes first.
///
/// A child is compared with what the server makes of the desired one, where a trial told that.
pub(crate) fn plan(
    parent: &Object,
    observed: &[ObservedType],
    desired: &[Desired],
    settled: &SettledChildren,
    trials: &Trials,
) -> Plan {
    let wanted: BTreeMap<_, _> =
        desired.iter().map(|each| ((&each.resource, &each.key), each)).collect();
    let mut types: Vec<_> = observed.iter().collect();
    types.sort_by(|a, b| a.resource.gvk.cmp(&b.resource.gvk));
    let mut plan = Plan::default();
    let mut seen = BTreeMap::new();
    for each in types {
        for object in &each.objects {
            let key = object.key();
            if !wanted.contains_key(&(&each.resource, &key)) && !object.meta().is_deleting() {
                plan.actions.push(delete(&each.resource, object, "no longer desired", 0));
            }
            seen.insert((&each.resource, key), (each.method, object));
        }
    }
    for each in desired {
        match seen.get(&(&each.resource, each.key.clone())) {
            None => plan.actions.push(create(parent, each)),
            // It is created anew once it is gone.
            Some((_, object)) if object.meta().is_deleting() => {}
            Some((UpdateMethod::OnDelete, _)) => {}
            Some((method, object)) => {
                let now =
                    Settled { wish: wish(each), version: object.meta().resource_version.clone() };
                if settled.get(&object.meta().uid) == Some(&now) {
                    continue;
                }
                match update(parent, (each, now.wish), object, *method, trials) {
                    Some(action) => plan.actions.push(action),
                    None => plan.settled.push((object.meta().uid.clone(), now)),
                }
            }
        }
    }
    // The sort is stable: within deletes, and within the rest, the order stays.
    plan.actions.sort_by_key(|action| !matches!(action.write.kind, WriteKind::Delete { .. }));
    plan
}

/// Returns the hash by which a desired object is known again.
pub(crate) fn wish(desired: &Desired) -> u64 {
    let mut hasher = DefaultHasher::new();
    desired.value.to_string().hash(&mut hasher);
    hasher.finish()
}

fn create(parent: &Object, desired: &Desired) -> Action {
    let body = WriteKind::Create(new_child(parent, desired).to_string().into());
    Action {
        write: Write { resource: desired.resource.clone(), key: desired.key.clone(), kind: body },
        reason: "desired, not there".to_owned(),
        wish: wish(desired),
        recreates: None,
    }
}

/// Returns a desired child as it is created: with its owner and its last applied configuration.
pub(crate) fn new_child(parent: &Object, desired: &Desired) -> Value {
    let mut value = desired.value.clone();
    annotate(&mut value, &apply::last_applied(&desired.value));
    let owners = &mut value["metadata"]["ownerReferences"];
    match owners.as_array_mut() {
        Some(owners) => owners.push(owner_reference(parent, desired.ownership)),
        None => *owners = json!([owner_reference(parent, desired.ownership)]),
    }
    value
}

fn delete(resource: &Resource, object: &Object, reason: &str, wish: u64) -> Action {
    let uid = object.meta().uid.clone();
    Action {
        write: Write {
            resource: resource.clone(),
            key: object.key(),
            kind: WriteKind::Delete { uid },
        },
        reason: reason.to_owned(),
        wish,
        recreates: None,
    }
}

/// Plans how an observed child becomes the desired one, by the method of its type.
fn update(
    parent: &Object,
    (desired, wish): (&Desired, u64),
    observed: &Object,
    method: UpdateMethod,
    trials: &Trials,
) -> Option<Action> {
    let before = observed.to_value();
    let (mut after, differs) = compare(parent, (desired, wish), &before, trials);
    let annotation = apply::last_applied(&desired.value);
    let same_annotation = annotation_of(&before).is_some_and(|text| means_same(text, &annotation));
    if differs.is_none() && same_annotation {
        return None;
    }
    let reason = differs.as_ref().map_or_else(
        || "the last applied configuration differs".to_owned(),
        |path| format!("{path} differs"),
    );
    if method.recreates() && differs.is_some() {
        let reason = format!("{reason}, to be recreated");
        let recreates = Some(recreation(parent, desired));
        return Some(Action { recreates, ..delete(&desired.resource, observed, &reason, wish) });
    }
    annotate(&mut after, &annotation);
    let kind = WriteKind::Update(after.to_string().into());
    let write = Write { resource: desired.resource.clone(), key: desired.key.clone(), kind };
    Some(Action { write, reason, wish, recreates: None })
}

/// Merges a desired child into what was observed; returns that, and the path of the first field that differs.
fn compare(
    parent: &Object,
    (desired, wish): (&Desired, u64),
    before: &Value,
    trials: &Trials,
) -> (Value, Option<String>) {
    let shape = match trials.get(&wish) {
        Some(Trial::Accepted(shape)) => shape,
        Some(Trial::Refused(_) | Trial::Unknown) | None => &desired.value,
    };
    let last = last_applied(before);
    let mut after =
        apply::three_way(before, &last, &with_owner((parent, desired.ownership), shape, &last));
    // A hook that drops its annotations must not seem to drop the engine's own, which it never sets.
    if let Some(text) = annotation_of(before) {
        annotate(&mut after, text);
    }
    let differs = first_difference(before, &after, &mut Vec::new());
    (after, differs)
}

/// Returns whether an observed child differs from the desired one.
pub(crate) fn differs(
    parent: &Object,
    desired: &Desired,
    observed: &Object,
    trials: &Trials,
) -> bool {
    let before = observed.to_value();
    compare(parent, (desired, wish(desired)), &before, trials).1.is_some()
}

/// Returns what is created in the place of a child that differs.
pub(crate) fn recreation(parent: &Object, desired: &Desired) -> Recreation {
    Recreation { child: new_child(parent, desired), desired: desired.value.clone() }
}

/// Returns the desired object for merging: where the hook names owners, or named some before, the parent
/// is put among them, so that it does not go with those that are taken out.
fn with_owner((parent, ownership): (&Object, Ownership), shape: &Value, last: &Value) -> Value {
    let mut value = shape.clone();
    let owners = value.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut);
    if let Some(owners) = owners {
        owners.push(owner_reference(parent, ownership));
    } else if last.pointer("/metadata/ownerReferences").is_some() {
        value["metadata"]["ownerReferences"] = json!([owner_reference(parent, ownership)]);
    }
    value
}

fn annotation_of(object: &Value) -> Option<&str> {
    object.get("metadata")?.get("annotations")?.get(names::LAST_APPLIED)?.as_str()
}

fn last_applied(object: &Value) -> Value {
    let text = annotation_of(object).unwrap_or_default();
    k8s::json::parse(text.as_bytes()).unwrap_or_else(|_| json!({}))
}

/// Tells whether two texts are the same JSON, however it is written.
fn means_same(a: &str, b: &str) -> bool {
    let parse = |text: &str| k8s::json::parse(text.as_bytes()).ok();
    a == b || parse(a).zip(parse(b)).is_some_and(|(a, b)| same(&a, &b))
}

fn annotate(object: &mut Value, text: &str) {
    let annotations = &mut object["metadata"]["annotations"];
    if !annotations.is_object() {
        *annotations = json!({});
    }
    annotations[names::LAST_APPLIED] = json!(text);
}

/// Returns the path of the first field that differs, in the order of keys.
fn first_difference<'a>(
    before: &'a Value,
    after: &'a Value,
    path: &mut Vec<&'a str>,
) -> Option<String> {
    let (Some(old), Some(new)) = (before.as_object(), after.as_object()) else {
        return (!same(before, after)).then(|| path.join("."));
    };
    let keys = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
    for key in keys {
        path.push(key);
        let (old, new) =
            (old.get(key).unwrap_or(&Value::Null), new.get(key).unwrap_or(&Value::Null));
        if let Some(found) = first_difference(old, new, path) {
            return Some(found);
        }
        path.pop();
    }
    None
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
