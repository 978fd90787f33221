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
    server_side::{self, Effect},
    strategy::ApplyStrategy,
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
    /// What the server is asked first, if this is a deletion of a child only because it differs.
    pub(crate) doubt: Option<Doubt>,
}

/// What the server is asked before a child is deleted only because it differs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Doubt {
    /// What it would make of the child that is to follow.
    Creation(Recreation),
    /// What an apply would make of the child that is there.
    Application(Box<Application>),
}

/// An apply to a child.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Application {
    /// What its answer is kept by: the hash of the wish and of the child.
    pub(crate) id: u64,
    /// The manager that applies.
    pub(crate) manager: String,
    /// What is applied, only to the very version that was observed.
    pub(crate) body: Value,
    /// The child.
    pub(crate) observed: Object,
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
    /// An apply would do this.
    Applied(Effect),
}

/// The trials so far, by the hash of the desired object; those of applies by their own.
pub(crate) type Trials = HashMap<u64, Trial>;

/// What a plan goes by, besides what is there and what is wanted.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// How children are made what the hooks want.
    pub(crate) strategy: ApplyStrategy,
    /// The children that need no look.
    pub(crate) settled: SettledChildren,
    /// What the server would make of children.
    pub(crate) trials: Arc<Trials>,
}

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
    /// Under server-side apply, the hash of what an apply can change in the child: other changes of its
    /// version, such as those of its status, mean nothing.
    pub(crate) content: Option<u64>,
}

impl Settled {
    /// Returns the note that a child is as wished.
    pub(crate) fn new(strategy: &ApplyStrategy, wish: u64, object: &Object) -> Self {
        let content = match strategy {
            ApplyStrategy::Dynamic => None,
            ApplyStrategy::ServerSide { .. } => Some(server_side::content(object)),
        };
        Self { wish, version: object.meta().resource_version.clone(), content }
    }

    /// Tells whether a child of which this was noted is still as wished.
    pub(crate) fn covers(&self, now: &Self) -> bool {
        let is_same =
            self.version == now.version || self.content.is_some() && self.content == now.content;
        self.wish == now.wish && is_same
    }
}

impl Known {
    /// Tells whether a child is in the very version in which it was found settled.
    pub(crate) fn is_unchanged(&self, object: &Object) -> bool {
        let settled = self.settled.get(&object.meta().uid);
        settled.is_some_and(|settled| settled.version == object.meta().resource_version)
    }
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
        write!(f, "{} {} {key}: {}", kind.verb(), resource.gvk.kind, self.reason)
    }
}

/// Plans the changes that turn the observed children into the desired ones: deletes first.
///
/// A child is compared with what the server makes of the desired one, where a trial told that.
pub(crate) fn plan(
    parent: &Object,
    observed: &[ObservedType],
    desired: &[Desired],
    known: &Known,
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
            None => plan.actions.push(create(parent, each, &known.strategy)),
            // It is created anew once it is gone.
            Some((_, object)) if object.meta().is_deleting() => {}
            Some((UpdateMethod::OnDelete, _)) => {}
            Some((method, object)) => {
                let (wish, before) = (wish(each), known.settled.get(&object.meta().uid));
                let before = before.filter(|before| before.wish == wish);
                if before.is_some() && known.is_unchanged(object) {
                    continue;
                }
                let now = Settled::new(&known.strategy, wish, object);
                let action = match &known.strategy {
                    _ if before.is_some_and(|before| before.covers(&now)) => None,
                    ApplyStrategy::Dynamic => update(parent, (each, wish), object, *method, known),
                    ApplyStrategy::ServerSide { manager } => {
                        let known = (known, manager.as_str());
                        server_side::update(parent, (each, wish), object, *method, known)
                    }
                };
                match action {
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

fn create(parent: &Object, desired: &Desired, strategy: &ApplyStrategy) -> Action {
    let body = new_child(parent, desired, strategy).to_string().into();
    let kind = match strategy {
        ApplyStrategy::Dynamic => WriteKind::Create(body),
        ApplyStrategy::ServerSide { manager } => {
            WriteKind::ApplyNew { manager: manager.clone(), body }
        }
    };
    Action {
        write: Write { resource: desired.resource.clone(), key: desired.key.clone(), kind },
        reason: "desired, not there".to_owned(),
        wish: wish(desired),
        doubt: None,
    }
}

/// Returns a desired child as it is created: with its owner, and with its last applied configuration if
/// the engine itself merges later.
pub(crate) fn new_child(parent: &Object, desired: &Desired, strategy: &ApplyStrategy) -> Value {
    if matches!(strategy, ApplyStrategy::ServerSide { .. }) {
        return server_side::body(parent, desired);
    }
    let mut value = desired.value.clone();
    annotate(&mut value, &apply::last_applied(&desired.value));
    let owners = &mut value["metadata"]["ownerReferences"];
    match owners.as_array_mut() {
        Some(owners) => owners.push(owner_reference(parent, desired.ownership)),
        None => *owners = json!([owner_reference(parent, desired.ownership)]),
    }
    value
}

/// Returns the deletion of a child.
pub(crate) fn delete(resource: &Resource, object: &Object, reason: &str, wish: u64) -> Action {
    let uid = object.meta().uid.clone();
    Action {
        write: Write {
            resource: resource.clone(),
            key: object.key(),
            kind: WriteKind::Delete { uid },
        },
        reason: reason.to_owned(),
        wish,
        doubt: None,
    }
}

/// Plans how an observed child becomes the desired one, by the method of its type.
fn update(
    parent: &Object,
    (desired, wish): (&Desired, u64),
    observed: &Object,
    method: UpdateMethod,
    known: &Known,
) -> Option<Action> {
    let before = observed.to_value();
    let (mut after, differs) = compare(parent, (desired, wish), &before, &known.trials);
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
        let doubt = Some(Doubt::Creation(recreation(parent, desired, &known.strategy)));
        return Some(Action { doubt, ..delete(&desired.resource, observed, &reason, wish) });
    }
    annotate(&mut after, &annotation);
    let kind = WriteKind::Update(after.to_string().into());
    let write = Write { resource: desired.resource.clone(), key: desired.key.clone(), kind };
    Some(Action { write, reason, wish, doubt: None })
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
        Some(Trial::Refused(_) | Trial::Unknown | Trial::Applied(_)) | None => &desired.value,
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

/// Returns whether an observed child is known to be as desired.
pub(crate) fn is_updated(
    parent: &Object,
    desired: &Desired,
    observed: &Object,
    known: &Known,
) -> bool {
    match &known.strategy {
        ApplyStrategy::Dynamic => {
            let (wish, before) = (wish(desired), observed.to_value());
            compare(parent, (desired, wish), &before, &known.trials).1.is_none()
        }
        ApplyStrategy::ServerSide { .. } => server_side::is_updated(known, wish(desired), observed),
    }
}

/// Returns what the server is asked to find out whether an observed child is as desired; nothing if that is
/// clear.
pub(crate) fn doubt(
    parent: &Object,
    desired: &Desired,
    observed: &Object,
    known: &Known,
) -> Option<Doubt> {
    let wish = wish(desired);
    match &known.strategy {
        ApplyStrategy::Dynamic => {
            let is_clear =
                known.trials.contains_key(&wish) || is_updated(parent, desired, observed, known);
            let recreation = || recreation(parent, desired, &known.strategy);
            (!is_clear).then(|| Doubt::Creation(recreation()))
        }
        ApplyStrategy::ServerSide { manager } => {
            server_side::doubt(parent, (desired, wish), observed, (known, manager))
        }
    }
}

/// Returns what is created in the place of a child that differs.
pub(crate) fn recreation(
    parent: &Object,
    desired: &Desired,
    strategy: &ApplyStrategy,
) -> Recreation {
    let child = new_child(parent, desired, strategy);
    Recreation { child, desired: desired.value.clone() }
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
pub(crate) fn first_difference<'a>(
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
