//! Pure: who owns which fields of an object, and what an apply makes of it.
//!
//! Every write but apply takes over what it changes. An apply owns what it says, refuses to change what
//! others own, and gives up what it no longer says.

mod check;
mod compare;
mod element;
mod entries;
mod form;
mod merge;
mod set;
#[cfg(test)]
mod tests;

use k8s::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    backend::Part,
    lifecycle::{rfc3339, update::protected_from_status},
    managed::{
        compare::{Difference, compare, fields},
        element::Element,
        entries::{Manager, Managers, Operation, Owned},
        form::Form,
        merge::{merge, with_parents, without},
        set::FieldSet,
    },
    registry::Registered,
    typed::blank,
};

/// Who writes, and through which subresource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Author<'a> {
    /// The name of the manager, `unknown` if it is empty.
    pub(crate) name: &'a str,
    /// The subresource, empty for the resource itself.
    pub(crate) subresource: &'a str,
}

/// What is applied, and how.
#[derive(Clone, Copy)]
pub(crate) struct Application<'a> {
    pub(crate) registered: &'a Registered,
    pub(crate) part: Part,
    pub(crate) author: Author<'a>,
    /// The object as the author wants it, as far as the author cares.
    pub(crate) wanted: &'a Value,
    /// Whether fields of others are taken over.
    pub(crate) force: bool,
    pub(crate) now: Timestamp,
}

/// A field that somebody else owns, who wants another value for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Conflict {
    /// The other manager, as errors name it.
    pub(crate) manager: String,
    /// The path of the field, such as `.spec.replicas`.
    pub(crate) path: String,
}

/// Why something was not applied.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ApplyError {
    /// The schema does not allow what was applied.
    Untyped(String),
    /// Others own some of the fields.
    Conflicts(Vec<Conflict>),
}

/// Who is listed for what nobody is known to have written.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// The manager that takes over from client-side apply.
const KUBECTL: &str = "kubectl";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const ANNOTATIONS_LIMIT: usize = 256 * 1024;

/// What the server itself writes has no owner.
const UNOWNED: &[&str] = &["apiVersion", "kind"];
const UNOWNED_METADATA: &[&str] = &[
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
];

/// Takes `managedFields` out of an object.
pub(crate) fn take(object: &mut Value) -> Option<Value> {
    object.get_mut("metadata")?.as_object_mut()?.remove("managedFields")
}

/// Puts `managedFields` into an object.
pub(crate) fn put(object: &mut Value, managed: Option<Value>) {
    if let (Some(managed), Some(metadata)) =
        (managed, object.get_mut("metadata").and_then(Value::as_object_mut))
    {
        metadata.insert("managedFields".to_owned(), managed);
    }
}

/// Returns whether nobody owns more or less than before, whenever that was written.
pub(crate) fn is_same(old: Option<&Value>, new: Option<&Value>) -> bool {
    let entries = |value: Option<&Value>| -> Vec<Map<String, Value>> {
        let entries = value.and_then(Value::as_array).into_iter().flatten();
        let mut entries: Vec<_> = entries.filter_map(|it| it.as_object().cloned()).collect();
        for entry in &mut entries {
            entry.remove("time");
        }
        entries
    };
    old == new || entries(old) == entries(new)
}

/// Returns whether the value of a custom resource has the types that its schema asks for, status and all.
///
/// What a built-in kind cannot hold is not even decoded.
pub(crate) fn fits(registered: &Registered, value: &Value) -> bool {
    !registered.is_custom() || check::fits(Form::of(registered), value)
}

/// Returns `managedFields` after a write that is no apply; the objects are without theirs.
///
/// `held` are those of the object before the write, `sent` those that came with the new one.
pub(crate) fn update(
    registered: &Registered,
    author: Author<'_>,
    (old, held): (Option<&Value>, Option<&Value>),
    (new, sent): (&Value, Option<Value>),
    now: Timestamp,
) -> Option<Value> {
    let form = Form::of(registered);
    let held = held.and_then(Managers::decode).unwrap_or_default();
    let mut managers = match sent {
        Some(sent) if author.subresource.is_empty() => match Managers::decode(&sent) {
            _ if is_reset(&sent) => Managers::default(),
            Some(sent) if !sent.0.is_empty() => sent,
            _ => held,
        },
        _ => held,
    };
    if old.is_some() && !is_tracked(registered, author, &managers) {
        return managers.encode();
    }
    let version = registered.resource.gvk.api_version();
    let Difference { changed, removed } = match old {
        Some(old) => compare(form, old, new),
        None => compare(form, &blank::decoded(&registered.resource.gvk), new),
    };
    managers.release(&changed);
    managers.release(&removed);
    let own = owned(registered, author, changed);
    if !own.is_empty() && !is_scaled_to_nothing(registered, author, new) {
        let manager = Manager::new(author.name, Operation::Update, &version, author.subresource);
        // What it owned before and has just changed was released with the rest.
        managers.add(manager, own, &version, time(author, now));
    }
    managers.cap();
    managers.encode()
}

/// Returns an object after an apply, with its `managedFields`; `live` is the object before, if there is one.
pub(crate) fn apply(it: Application<'_>, live: Option<&Value>) -> Result<Value, ApplyError> {
    let form = Form::of(it.registered);
    let wanted = trimmed(&it);
    if let Some(why) = check::check(form, it.wanted).into_iter().next() {
        return Err(ApplyError::Untyped(why));
    }
    let (mut before, managers) = match live {
        Some(live) => (live.clone(), managers_of(&it, live)),
        None => ((*blank::decoded(&it.registered.resource.gvk)).clone(), Managers::default()),
    };
    take(&mut before);
    let mut after = managers.clone();
    let done = match run(&it, form, (&before, &wanted), &mut after) {
        Err(conflicts) if it.author.name == KUBECTL => {
            let left = conflicts_left(form, &it, &before, conflicts);
            if !left.is_empty() {
                return Err(ApplyError::Conflicts(left));
            }
            after = managers.clone();
            let forced = Application { force: true, ..it };
            run(&forced, form, (&before, &wanted), &mut after)
        }
        done => done,
    };
    let mut done = done.map_err(|conflicts| {
        ApplyError::Conflicts(conflicts.into_iter().flat_map(Refused::conflicts).collect())
    })?;
    // As in the reference, who only joins the owners of what is there already gets no time.
    let changed = live.is_none() || !k8s::json::same(&before, &done);
    if let (true, Some(owned)) = (changed, after.0.get_mut(&applier(&it))) {
        owned.time = time(it.author, it.now);
    }
    if it.author.name == KUBECTL {
        refresh_last_applied(&mut done, it.wanted);
    }
    // Some kinds are born with a status, which nobody owns for that.
    if let (None, Some(status)) = (live, it.wanted.get("status").filter(|_| it.part == Part::Main))
    {
        done["status"] = status.clone();
    }
    put(&mut done, after.encode());
    Ok(done)
}

/// What somebody else owns of what was to be changed.
struct Refused {
    manager: Manager,
    fields: FieldSet,
}

impl Refused {
    fn conflicts(self) -> Vec<Conflict> {
        let manager = self.manager.shown();
        let paths = self.fields.paths().into_iter();
        paths.map(|path| Conflict { manager: manager.clone(), path }).collect()
    }
}

fn applier(it: &Application<'_>) -> Manager {
    let version = it.registered.resource.gvk.api_version();
    Manager::new(it.author.name, Operation::Apply, &version, it.author.subresource)
}

/// Returns the managers of an object that is applied to; what nobody is known to own gets an owner.
fn managers_of(it: &Application<'_>, live: &Value) -> Managers {
    let mut live = live.clone();
    let held = take(&mut live).and_then(|held| Managers::decode(&held)).unwrap_or_default();
    if !held.0.is_empty() {
        return held;
    }
    let author = Author { name: BEFORE_FIRST_APPLY, ..it.author };
    let found = update(it.registered, author, (None, None), (&live, None), it.now);
    found.and_then(|found| Managers::decode(&found)).unwrap_or_default()
}

/// Applies once: returns the object and changes its managers, or tells who stands in the way.
fn run(
    it: &Application<'_>,
    form: Form<'_>,
    (live, wanted): (&Value, &Value),
    managers: &mut Managers,
) -> Result<Value, Vec<Refused>> {
    let version = it.registered.resource.gvk.api_version();
    let manager = applier(it);
    let last = managers.0.remove(&manager);
    let set = fields(form, wanted);
    let merged = merge(form, live, wanted);
    let new = match &last {
        Some(last) => prune(form, merged, &last.fields, &set, managers),
        None => merged,
    };
    let Difference { changed, removed } = compare(form, live, &new);
    let refused = managers.0.iter().map(|(manager, owned)| Refused {
        manager: manager.clone(),
        fields: owned.fields.intersection(&changed),
    });
    let refused: Vec<_> = refused.filter(|it| !it.fields.is_empty()).collect();
    if !it.force && !refused.is_empty() {
        return Err(refused);
    }
    managers.release(&changed);
    managers.release(&removed);
    let own = owned(it.registered, it.author, set);
    if !own.is_empty() {
        let time = last.and_then(|last| last.time);
        managers.0.insert(manager, Owned { fields: own, version, time });
    }
    Ok(new)
}

/// Takes out of a merged object what was applied last, is not applied now and nobody else owns.
fn prune(
    form: Form<'_>,
    merged: Value,
    last: &FieldSet,
    applied: &FieldSet,
    others: &Managers,
) -> Value {
    if last.is_empty() {
        return merged;
    }
    let last = with_parents(form, last);
    let pruned = without(form, &merged, &last);
    let mut wanted = applied.clone();
    for owned in others.0.values() {
        wanted.absorb(owned.fields.clone());
    }
    let all = |value: &Value| with_parents(form, &fields(form, value));
    let mut unwanted = all(&merged);
    unwanted.subtract(&all(&pruned));
    unwanted.subtract(&with_parents(form, &wanted));
    let pruned = without(form, &merged, &unwanted);
    // What stands below a field that goes, but was applied by nobody, stays.
    let mut gone = all(&merged);
    gone.subtract(&all(&pruned));
    without(form, &merged, &gone.intersection(&last))
}

/// Returns the conflicts that client-side apply does not explain, which has left its own copy of what it wanted.
fn conflicts_left(
    form: Form<'_>,
    it: &Application<'_>,
    live: &Value,
    refused: Vec<Refused>,
) -> Vec<Conflict> {
    let allowed = last_applied(live).filter(|last| {
        let version = it.registered.resource.gvk.api_version();
        last.get("apiVersion").and_then(Value::as_str) == Some(&version)
            && check::check(form, last).is_empty()
    });
    let allowed = allowed.map(|last| {
        let Difference { changed, removed } = compare(form, &last, live);
        let mut allowed = fields(form, &last);
        allowed.subtract(&changed);
        allowed.subtract(&removed);
        allowed
    });
    let mut left = vec![];
    for mut refused in refused {
        if let Some(allowed) = &allowed {
            refused.fields.subtract(allowed);
        }
        left.extend(refused.conflicts());
    }
    left
}

fn last_applied(live: &Value) -> Option<Value> {
    let text = live.get("metadata")?.get("annotations")?.get(LAST_APPLIED)?.as_str()?;
    k8s::json::parse(text.as_bytes()).ok()
}

/// Writes the copy that client-side apply would have left, where it has left one before.
fn refresh_last_applied(object: &mut Value, wanted: &Value) {
    let annotations = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
    let Some(kept) = annotations.and_then(|annotations| annotations.get_mut(LAST_APPLIED)) else {
        return;
    };
    let mut wanted = wanted.clone();
    if let Some(annotations) =
        wanted.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut)
    {
        annotations.remove(LAST_APPLIED);
    }
    let text = format!("{wanted}\n");
    *kept = json!(if ANNOTATIONS_LIMIT < text.len() { String::new() } else { text });
}

/// Returns what an apply may change of what it wants.
fn trimmed(it: &Application<'_>) -> Value {
    let mut wanted = it.wanted.clone();
    let Value::Object(fields) = &mut wanted else { return wanted };
    match it.part {
        // Nodes come with their status; that of a node that exists is left alone later.
        Part::Main if it.registered.status && !it.registered.is("", "nodes") => {
            fields.remove("status");
        }
        Part::Main => {}
        Part::Status | Part::Finalize => {
            let kept = if it.part == Part::Status { "status" } else { "spec" };
            fields.retain(|name, _| {
                matches!(name.as_str(), "apiVersion" | "kind" | "metadata") || name == kept
            });
            let protected = protected_from_status(it.registered);
            if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
                metadata.retain(|name, _| {
                    matches!(name.as_str(), "name" | "namespace" | "uid" | "resourceVersion")
                        || !(it.registered.is_custom() || protected.contains(&name.as_str()))
                });
            }
        }
    }
    wanted
}

/// Returns the time of a change; those through `/scale` have none, as the reference loses it on the way.
fn time(author: Author<'_>, now: Timestamp) -> Option<String> {
    (author.subresource != "scale").then(|| rfc3339(now))
}

/// Returns what of a set an author can own.
fn owned(registered: &Registered, author: Author<'_>, mut set: FieldSet) -> FieldSet {
    set.cut(UNOWNED);
    set.below("metadata", |metadata| metadata.cut(UNOWNED_METADATA));
    if author.subresource.is_empty() && registered.status {
        set.cut(&["status"]);
    }
    set
}

/// Returns whether a write to an object that exists is noted.
///
/// Where nobody owns anything, nothing is noted until the first apply. Through `/scale` nothing but the
/// replicas is seen.
fn is_tracked(registered: &Registered, author: Author<'_>, managers: &Managers) -> bool {
    let mut owned = managers.0.values().map(|owned| &owned.fields);
    match &registered.scale {
        Some(paths) if author.subresource == "scale" => {
            let names: Vec<_> = paths.spec_replicas.trim_start_matches('.').split('.').collect();
            let find = |set: &FieldSet| {
                let found = names.iter().try_fold(set, |at, name| at.child(&Element::field(name)));
                found.is_some_and(FieldSet::is_own)
            };
            owned.any(find)
        }
        _ => owned.next().is_some(),
    }
}

/// Returns whether a write through `/scale` leaves no replicas, which a scale does not say and nobody owns.
fn is_scaled_to_nothing(registered: &Registered, author: Author<'_>, new: &Value) -> bool {
    let Some(paths) = registered.scale.as_ref().filter(|_| author.subresource == "scale") else {
        return false;
    };
    let pointer = paths.spec_replicas.replace('.', "/");
    new.pointer(&pointer).is_none_or(|replicas| *replicas == json!(0))
}

/// Returns whether the sender wants nobody to own anything any more.
fn is_reset(sent: &Value) -> bool {
    match sent.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([single]) => single.as_object().is_some_and(Map::is_empty),
        _ => false,
    }
}
