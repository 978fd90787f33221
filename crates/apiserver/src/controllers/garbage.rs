//! Pure: what becomes of objects whose owners go, and of owners that wait for their dependents.

use k8s::{GroupVersionKind, Object, OwnerReference, ResourceScope};
use serde_json::{Value, json};

use super::{
    action::{Action, Deletion, Note, Plan, Severity, Target},
    world::{Entry, World},
};
use crate::fields;

/// The component its Events name.
const COMPONENT: &str = "garbage-collector-controller";

/// Keeps an owner until the dependents that block its deletion are gone.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";

/// Keeps an owner until its dependents no longer name it.
pub(crate) const ORPHAN: &str = "orphan";

/// What discovery tells of a kind: its scope, or nothing if it is unknown.
pub(crate) type Discovery<'a> = &'a dyn Fn(&GroupVersionKind) -> Option<ResourceScope>;

/// What a plan came to.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    Plan(Plan),
    /// An owner is of a kind nobody knows yet: ask again when discovery changes.
    UnknownKind,
}

/// How an owner fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Lives,
    /// It waits for its dependents to go first.
    Waits,
    Absent,
    /// It may not own this object, because of where the two are.
    Misplaced,
    Unknown,
}

/// Plans what the owners of an object, or its own deletion, ask for.
pub(crate) fn plan(world: &World, target: &Target, entry: &Entry, known: Discovery<'_>) -> Verdict {
    let meta = entry.object.meta();
    let mut plan = Plan::default();
    if meta.is_deleting() {
        if meta.has_finalizer(ORPHAN) {
            orphan(world, target, &entry.object, &mut plan);
        } else if meta.has_finalizer(FOREGROUND) && !is_blocked(world, &meta.uid) {
            plan.push(without_finalizer(target, &entry.object, FOREGROUND));
        }
        return Verdict::Plan(plan);
    }
    let fates = meta.owner_references.iter().map(|it| (it, fate(world, target, it, known)));
    let fates: Vec<_> = fates.collect();
    if fates.iter().any(|(_, fate)| *fate == Owner::Unknown) {
        return Verdict::UnknownKind;
    }
    let misplaced = fates.iter().filter(|(_, fate)| *fate == Owner::Misplaced);
    plan.actions.extend(misplaced.map(|(owner, _)| complain(target, owner)));
    judge(world, target, &entry.object, &fates, &mut plan);
    Verdict::Plan(plan)
}

fn judge(
    world: &World,
    target: &Target,
    object: &Object,
    fates: &[(&OwnerReference, Owner)],
    plan: &mut Plan,
) {
    let are = |wanted: Owner| fates.iter().any(|(_, fate)| *fate == wanted);
    let meta = object.meta();
    if fates.is_empty() {
        return;
    }
    if are(Owner::Lives) {
        let dead = fates.iter().filter(|(_, fate)| *fate != Owner::Lives);
        let dead: Vec<_> = dead.map(|(owner, _)| owner.uid.as_str()).collect();
        if !dead.is_empty() {
            plan.push(without_owners(target, object, &dead));
        }
        return;
    }
    let mut dependents = world.dependents(&meta.uid).peekable();
    let how = if are(Owner::Waits) && dependents.peek().is_some() {
        // Two that wait for each other would wait for ever: this one no longer holds its owners up.
        if dependents.any(|it| waits(&it.object)) && blocks_any(object) {
            plan.push(without_blocking(target, object));
        }
        Deletion::Foreground
    } else if meta.has_finalizer(ORPHAN) {
        Deletion::Orphan
    } else if meta.has_finalizer(FOREGROUND) {
        Deletion::Foreground
    } else {
        Deletion::Background
    };
    plan.push(Action::Delete { target: target.clone(), how });
}

fn fate(world: &World, target: &Target, owner: &OwnerReference, known: Discovery<'_>) -> Owner {
    let gvk = GroupVersionKind::new(&owner.api_version, &owner.kind);
    let namespace = &target.key.namespace;
    if let Some(found) = world.by_uid(&owner.uid) {
        let home = &found.object.meta().namespace;
        // By design, Kubernetes has no owners across namespaces.
        if !home.is_empty() && home != namespace {
            return Owner::Misplaced;
        }
        let same = found.resource.gvk.group == gvk.group
            && found.resource.gvk.kind == gvk.kind
            && found.object.meta().name == owner.name;
        if same {
            return if waits(&found.object) { Owner::Waits } else { Owner::Lives };
        }
    }
    if world.is_gone(&owner.uid) {
        return Owner::Absent;
    }
    match known(&gvk) {
        None => Owner::Unknown,
        Some(ResourceScope::Namespaced) if namespace.is_empty() => Owner::Misplaced,
        Some(_) => Owner::Absent,
    }
}

/// Removes the references of all dependents, then the finalizer.
fn orphan(world: &World, target: &Target, owner: &Object, plan: &mut Plan) {
    let uid = owner.meta().uid.as_str();
    for dependent in world.dependents(uid) {
        plan.push(without_owners(&dependent.target(), &dependent.object, &[uid]));
    }
    plan.push(without_finalizer(target, owner, ORPHAN));
}

/// Returns whether dependents still hold up the deletion of their owner.
fn is_blocked(world: &World, owner: &str) -> bool {
    world.dependents(owner).any(|entry| {
        let references = &entry.object.meta().owner_references;
        references.iter().any(|it| it.uid == owner && it.block_owner_deletion == Some(true))
    })
}

fn waits(object: &Object) -> bool {
    object.meta().is_deleting() && object.meta().has_finalizer(FOREGROUND)
}

fn blocks_any(object: &Object) -> bool {
    object.meta().owner_references.iter().any(|it| it.block_owner_deletion == Some(true))
}

fn without_owners(target: &Target, object: &Object, owners: &[&str]) -> Action {
    let mut value = object.to_value();
    let left = fields::list(&value, "/metadata/ownerReferences").iter();
    let left: Vec<_> =
        left.filter(|it| !owners.contains(&fields::text(it, "/uid"))).cloned().collect();
    if left.is_empty() {
        fields::remove(&mut value, &["metadata", "ownerReferences"]);
    } else {
        fields::set(&mut value, &["metadata", "ownerReferences"], left);
    }
    update(target, value, "drop owners")
}

fn without_blocking(target: &Target, object: &Object) -> Action {
    let mut value = object.to_value();
    let mut owners = fields::list(&value, "/metadata/ownerReferences").to_vec();
    for owner in &mut owners {
        fields::set(owner, &["blockOwnerDeletion"], false);
    }
    fields::set(&mut value, &["metadata", "ownerReferences"], owners);
    update(target, value, "unblock owners")
}

/// Returns the update that removes a finalizer.
pub(crate) fn without_finalizer(target: &Target, object: &Object, finalizer: &str) -> Action {
    let mut value = object.to_value();
    let left = object.meta().finalizers.iter().filter(|it| *it != finalizer);
    let left: Vec<_> = left.map(|it| json!(it)).collect();
    if left.is_empty() {
        fields::remove(&mut value, &["metadata", "finalizers"]);
    } else {
        fields::set(&mut value, &["metadata", "finalizers"], left);
    }
    update(target, value, &format!("drop finalizer {finalizer}"))
}

fn update(target: &Target, object: Value, what: &str) -> Action {
    Action::Update { resource: target.resource.clone(), object, what: what.to_owned() }
}

fn complain(target: &Target, owner: &OwnerReference) -> Action {
    let OwnerReference { api_version, kind, name, uid, .. } = owner;
    let namespace = &target.key.namespace;
    Action::Note(Note {
        about: target.clone(),
        severity: Severity::Warning,
        component: COMPONENT,
        reason: "OwnerRefInvalidNamespace",
        message: format!(
            "ownerRef [{api_version}/{kind}, namespace: {namespace}, name: {name}, uid: {uid}] \
             does not exist in namespace \"{namespace}\""
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s::{ObjectKey, Resource};

    use super::*;
    use crate::controllers::kinds::{CRDS, PODS, Shared};

    /// Puts objects into a world, one a line: `name [deleting] [+finalizer] [<owner[!]]`, where `!` blocks.
    fn world(lines: &str) -> World {
        let mut world = World::default();
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            put(&mut world, &PODS, "a", line);
        }
        world
    }

    fn put(world: &mut World, resource: &Shared, namespace: &str, line: &str) {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap();
        let mut meta = json!({"name": name, "namespace": namespace, "uid": format!("uid-{name}")});
        let (mut finalizers, mut owners) = (vec![], vec![]);
        for word in words {
            if let Some(finalizer) = word.strip_prefix('+') {
                finalizers.push(json!(finalizer));
            } else if let Some(owner) = word.strip_prefix('<') {
                let (owner, blocks) = (owner.trim_end_matches('!'), owner.ends_with('!'));
                let kind = if owner == "alien" { "Alien" } else { "Pod" };
                owners.push(json!({"apiVersion": "v1", "kind": kind, "name": owner,
                    "uid": format!("uid-{owner}"), "blockOwnerDeletion": blocks}));
            } else {
                meta["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            }
        }
        meta["finalizers"] = finalizers.into();
        meta["ownerReferences"] = owners.into();
        let object = Object::from_value(&json!({"metadata": meta})).unwrap();
        world.put(resource, Arc::new(object));
    }

    fn plan_of(world: &World, resource: &Resource, namespace: &str, name: &str) -> String {
        let entry = world.get(resource, &ObjectKey::new(namespace, name)).unwrap();
        let target = Target::of(&Arc::new(resource.clone()), &entry.object);
        let known =
            |gvk: &GroupVersionKind| (gvk.kind == "Pod").then_some(ResourceScope::Namespaced);
        match plan(world, &target, entry, &known) {
            Verdict::Plan(plan) => plan.to_string(),
            Verdict::UnknownKind => "unknown kind".to_owned(),
        }
    }

    fn plan_text(lines: &str, name: &str) -> String {
        plan_of(&world(lines), &PODS, "a", name)
    }

    #[test]
    fn an_object_goes_with_its_last_owner() {
        assert_eq!(plan_text("b <a", "b"), "delete Pod a/b (background)\n");
        assert_eq!(plan_text("a\nb <a", "b"), "");
        assert_eq!(plan_text("a\nb <a <c", "b"), "update Pod a/b: drop owners\n");
        assert_eq!(plan_text("b", "b"), "");
    }

    #[test]
    fn an_unknown_kind_of_owner_keeps_everything() {
        assert_eq!(plan_text("b <alien <gone", "b"), "unknown kind");
    }

    #[test]
    fn foreground_waits_for_those_that_block() {
        let owner = "a deleting +foregroundDeletion\n";
        assert_eq!(plan_text(&format!("{owner}b <a!"), "a"), "");
        assert_eq!(plan_text(&format!("{owner}b <a!"), "b"), "delete Pod a/b (background)\n");
        let freed = "update Pod a/a: drop finalizer foregroundDeletion\n";
        assert_eq!(plan_text(&format!("{owner}b <a"), "a"), freed);
        assert_eq!(plan_text(&format!("{owner}b <a!\nc <b"), "b"), "delete Pod a/b (foreground)\n");
    }

    #[test]
    fn orphans_lose_their_reference_before_their_owner_goes() {
        assert_eq!(
            plan_text("a deleting +orphan\nb <a\nc <a <d", "a"),
            "update Pod a/b: drop owners\nupdate Pod a/c: drop owners\n\
             update Pod a/a: drop finalizer orphan\n"
        );
    }

    #[test]
    fn two_that_wait_for_each_other_are_freed() {
        assert_eq!(
            plan_text("a deleting +foregroundDeletion <b!\nb <a!", "b"),
            "update Pod a/b: unblock owners\ndelete Pod a/b (foreground)\n"
        );
    }

    #[test]
    fn owners_in_other_places_count_as_absent() {
        let mut world = world("a");
        put(&mut world, &PODS, "b", "dependent <a");
        put(&mut world, &CRDS, "", "wide <a");
        let one = plan_of(&world, &PODS, "b", "dependent");
        assert!(one.starts_with("event Warning OwnerRefInvalidNamespace"), "{one}");
        assert!(one.ends_with("delete Pod b/dependent (background)\n"), "{one}");
        let two = plan_of(&world, &CRDS, "", "wide");
        assert!(two.starts_with("event Warning OwnerRefInvalidNamespace"), "{two}");
    }
}
