//! Pure: which children of a parent are in which of its versions, and which one moves next.

use std::collections::{BTreeMap, BTreeSet};

use api::{composite::ConditionCheck, controller::UpdateMethod, names::conditions};
use k8s::{Object, ObjectKey};
use serde_json::{Map, Value, json};

use crate::{
    desired::Desired,
    plan::{self, Doubt, Known, ObservedType},
    revision::{GroupKind, Revision},
};

/// A version of a parent, and what its hook wants of it.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    /// The version.
    pub(crate) revision: Revision,
    /// The children that it should have.
    pub(crate) desired: Vec<Desired>,
}

/// How far a rollout is, as the parent's condition says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The next child waits for those before it.
    Waiting(String),
    /// One child moves to the latest version.
    Moving {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// All children are in the latest version, which has this name.
    Done(String),
}

/// What a parent's rollout looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    /// The parent.
    pub(crate) parent: &'a Object,
    /// Its observed children.
    pub(crate) observed: &'a [ObservedType],
    /// What is known of them.
    pub(crate) known: &'a Known,
}

/// Moves children between versions, the first of which is the latest: those that need no change all at
/// once, of the others at most one, and only if all that moved before are as they should be.
pub(crate) fn advance(versions: &mut [Version], view: View<'_>) -> Progress {
    clean(versions, view);
    settle(versions, view);
    let Some((latest, older)) = versions.split_first_mut() else {
        return Progress::Done(String::new());
    };
    let mut rolling: Vec<_> =
        latest.desired.iter().filter(|child| view.rule(child).is_some()).collect();
    rolling.sort_by_key(|child| child.position);
    let is_latest = |child: &Desired| is_claimed(&latest.revision, &view.place(child));
    let Some(next) = rolling.iter().find(|child| !is_latest(child)) else {
        return Progress::Done(latest.revision.name.clone());
    };
    let unhappy = rolling.iter().filter(|child| is_latest(child)).find_map(|it| view.unhappy(it));
    if let Some(why) = unhappy {
        return Progress::Waiting(why);
    }
    let (kind, name) = view.place(next);
    latest.revision.claim(&kind, &name);
    for version in older {
        version.revision.release(&kind, &name);
    }
    Progress::Moving { kind: kind.1, name }
}

/// Drops the claims of types that no longer roll, of children that the latest version does not want, and of
/// children that a version before has claimed already.
fn clean(versions: &mut [Version], view: View<'_>) {
    let wanted: BTreeSet<_> = versions
        .first()
        .into_iter()
        .flat_map(|latest| &latest.desired)
        .filter(|child| view.rule(child).is_some())
        .map(|child| view.place(child))
        .collect();
    let mut taken = BTreeSet::new();
    for version in versions {
        version.revision.claims.retain(|kind, names| {
            names.retain(|name| {
                let place = (kind.clone(), name.clone());
                wanted.contains(&place) && taken.insert(place)
            });
            !names.is_empty()
        });
    }
}

/// Gives the latest version the children that nobody claims, and those that are as it wants them already.
fn settle(versions: &mut [Version], view: View<'_>) {
    let Some((latest, older)) = versions.split_first_mut() else { return };
    for child in latest.desired.iter().filter(|child| view.rule(child).is_some()) {
        let (kind, name) = view.place(child);
        let place = (kind, name);
        let holder = older.iter_mut().find(|version| is_claimed(&version.revision, &place));
        let (kind, name) = &place;
        match holder {
            None => latest.revision.claim(kind, name),
            Some(holder) if view.is_updated(child) => {
                holder.revision.release(kind, name);
                latest.revision.claim(kind, name);
            }
            Some(_) => {}
        }
    }
}

fn is_claimed(revision: &Revision, (kind, name): &(GroupKind, String)) -> bool {
    revision.claims.get(kind).is_some_and(|names| names.contains(name))
}

impl<'a> View<'a> {
    /// Returns the observed type of a child, if children of that type roll.
    fn rule(&self, child: &Desired) -> Option<&'a ObservedType> {
        let mut types = self.observed.iter();
        types.find(|each| each.resource == child.resource && each.method.is_rolling())
    }

    /// Returns under which kind and name revisions know a child.
    fn place(&self, child: &Desired) -> (GroupKind, String) {
        let gvk = &child.resource.gvk;
        ((gvk.group.clone(), gvk.kind.clone()), relative(self.parent, &child.key))
    }

    fn find(&self, child: &Desired) -> Option<&'a Object> {
        let objects = &self.rule(child)?.objects;
        objects.iter().find(|object| object.key() == child.key).map(AsRef::as_ref)
    }

    /// Returns what the server is asked about a child of which it is not clear whether it is updated.
    pub(crate) fn doubt(&self, child: &Desired) -> Option<Doubt> {
        plan::doubt(self.parent, child, self.find(child)?, self.known)
    }

    fn is_updated(&self, child: &Desired) -> bool {
        self.find(child)
            .is_some_and(|object| plan::is_updated(self.parent, child, object, self.known))
    }

    /// Says why the rollout cannot go on while a child is as it is.
    fn unhappy(&self, child: &Desired) -> Option<String> {
        let (ObservedType { method, status_checks, .. }, (kind, name)) =
            (self.rule(child)?, self.place(child));
        let kind = kind.1;
        let Some(object) = self.find(child) else {
            return Some(format!("missing child {kind} {name}"));
        };
        if !self.is_updated(child) {
            return Some(format!("child {kind} {name} is not updated yet"));
        }
        let value = object.to_value();
        let seen = value["status"]["observedGeneration"].as_i64().unwrap_or_default();
        if *method == UpdateMethod::RollingInPlace && 0 < seen && seen < object.meta().generation {
            return Some(format!(
                "child {kind} {name} with RollingInPlace update strategy hasn't observed latest spec"
            ));
        }
        let failed = status_checks.iter().find_map(|check| failed(check, &value));
        failed.map(|why| format!("child {kind} {name} failed status check: {why}"))
    }
}

/// Returns the name of a child as a parent's revisions know it: with its namespace only if that is another.
pub(crate) fn relative(parent: &Object, child: &ObjectKey) -> String {
    if child.namespace == parent.meta().namespace { child.name.clone() } else { child.to_string() }
}

/// Says what a child's condition is instead of what a check asks for.
fn failed(check: &ConditionCheck, child: &Value) -> Option<String> {
    let wanted = &check.r#type;
    let found = child["status"]["conditions"].as_array();
    let found = found.and_then(|all| all.iter().find(|each| each["type"] == wanted.as_str()));
    let Some(found) = found else {
        return Some(format!("required condition type missing: {wanted:?}"));
    };
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    let differs = |field: &str, want: &Option<String>| {
        let (is, want) = (text(field), want.as_ref()?);
        (is != *want).then(|| format!("{wanted:?} condition {field} is {is:?} (want {want:?})"))
    };
    differs("status", &check.status).or_else(|| differs("reason", &check.reason))
}

/// Returns the latest version's answer with the children that still follow an older version in that
/// version's form.
pub(crate) fn merged(children: Vec<Value>, versions: &[Version], parent: &Object) -> Vec<Value> {
    let Some((latest, older)) = versions.split_first() else { return children };
    let mut children = children;
    let mut forms = BTreeMap::new();
    for version in older {
        for child in &version.desired {
            let gvk = &child.resource.gvk;
            let place = ((gvk.group.clone(), gvk.kind.clone()), relative(parent, &child.key));
            if is_claimed(&version.revision, &place) {
                forms.insert(place, &child.value);
            }
        }
    }
    for child in &latest.desired {
        let gvk = &child.resource.gvk;
        let place = ((gvk.group.clone(), gvk.kind.clone()), relative(parent, &child.key));
        if let (Some(form), Some(child)) = (forms.get(&place), children.get_mut(child.position)) {
            *child = (*form).clone();
        }
    }
    children
}

/// Puts the condition `Updated` into a status, in place of one that the hook may have put there.
pub(crate) fn note(status: &mut Map<String, Value>, progress: &Progress) {
    let (updated, reason, message) = match progress {
        Progress::Waiting(why) => ("False", "RolloutWaiting", why.clone()),
        Progress::Moving { kind, name } => {
            ("False", "RolloutProgressing", format!("updating {kind} {name}"))
        }
        Progress::Done(name) => {
            ("True", "OnLatestRevision", format!("latest ControllerRevision: {name}"))
        }
    };
    let condition = json!({"type": conditions::UPDATED, "status": updated, "reason": reason,
        "message": message});
    let all = status.entry("conditions").or_insert_with(|| json!([]));
    if !all.is_array() {
        *all = json!([]);
    }
    let Value::Array(all) = all else { return };
    match all.iter_mut().find(|each| each["type"] == conditions::UPDATED) {
        Some(old) => *old = condition,
        None => all.push(condition),
    }
}

#[cfg(test)]
#[path = "rollout/tests.rs"]
mod tests;
