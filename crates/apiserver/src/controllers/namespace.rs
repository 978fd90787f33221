//! Pure: empties a namespace that is being deleted, then lets it go.

use std::collections::BTreeMap;

use k8s::{Object, Timestamp};
use serde_json::{Value, json};

use super::{
    action::{Action, Deletion, Plan, Target},
    condition::{self, Condition},
    kinds,
    kinds::Shared,
    world::Entry,
};
use crate::fields;

/// Keeps a namespace until it is empty.
const FINALIZER: &str = "kubernetes";

/// What a plan is made from.
pub(crate) struct Observed<'a> {
    pub(crate) namespace: &'a Object,
    pub(crate) content: Vec<(&'a Shared, &'a Entry)>,
    pub(crate) now: Timestamp,
}

/// Plans to delete the pods, then the rest, then the namespace; says what holds it up.
pub(crate) fn plan(observed: &Observed<'_>) -> Plan {
    let mut plan = Plan::default();
    let namespace = observed.namespace.to_value();
    let finalizers = fields::list(&namespace, "/spec/finalizers");
    if !observed.namespace.meta().is_deleting() || !finalizers.iter().any(|it| it == FINALIZER) {
        return plan;
    }
    if observed.content.is_empty() {
        plan.push(finalize(namespace));
        return plan;
    }
    // Network policies and the like are to hold as long as a pod runs.
    let is_pod = |(resource, _): &&(&Shared, &Entry)| **resource == *kinds::PODS;
    let has_pods = observed.content.iter().any(|it| is_pod(&it));
    let first = observed.content.iter().filter(|it| !has_pods || is_pod(it));
    let deletions = first.filter(|(_, entry)| !entry.object.meta().is_deleting());
    plan.actions.extend(deletions.map(|(resource, entry)| Action::Delete {
        target: Target::of(resource, &entry.object),
        how: Deletion::Background,
    }));
    if plan.is_idle() {
        report(observed, namespace, &mut plan);
    }
    plan
}

fn finalize(mut namespace: Value) -> Action {
    let left = fields::list(&namespace, "/spec/finalizers").iter();
    let left: Vec<_> = left.filter(|it| *it != FINALIZER).cloned().collect();
    fields::set(&mut namespace, &["spec", "finalizers"], left);
    Action::Finalize { namespace }
}

/// Says in the conditions what is left.
fn report(observed: &Observed<'_>, mut namespace: Value, plan: &mut Plan) {
    let before = namespace.pointer("/status/conditions").cloned().unwrap_or_default();
    let before: Vec<Condition> = serde_json::from_value(before).unwrap_or_default();
    let mut conditions = before.clone();
    for (kind, status, reason, message) in [
        ("DiscoveryFailure", "False", "ResourcesDiscovered", DISCOVERED.to_owned()),
        ("GroupVersionParsingFailure", "False", "ParsedGroupVersions", PARSED.to_owned()),
        ("ContentFailure", "False", "ContentDeleted", DELETED.to_owned()),
    ] {
        let new = Condition::new(&format!("NamespaceDeletion{kind}"), status, observed.now);
        condition::put(&mut conditions, new.because(reason, message));
    }
    let remaining = Condition::new("NamespaceContentRemaining", "True", observed.now);
    condition::put(&mut conditions, remaining.because("SomeResourcesRemain", resources(observed)));
    let finalizers = finalizers(observed);
    let held = if finalizers.is_empty() { "False" } else { "True" };
    let held = Condition::new("NamespaceFinalizersRemaining", held, observed.now);
    let held = match finalizers.as_str() {
        "" => held.because("ContentHasNoFinalizers", UNHELD),
        finalizers => held.because("SomeFinalizersRemain", finalizers),
    };
    condition::put(&mut conditions, held);
    if conditions != before {
        fields::set(&mut namespace, &["status", "conditions"], json!(conditions));
        let resource = kinds::NAMESPACES.clone();
        plan.push(Action::Status { resource, object: namespace });
    }
}

const DISCOVERED: &str = "All resources successfully discovered";
const PARSED: &str = "All legacy kube types successfully parsed";
const DELETED: &str = "All content successfully deleted, may be waiting on finalization";
const UNHELD: &str = "All content-preserving finalizers finished";

fn resources(observed: &Observed<'_>) -> String {
    let names = observed.content.iter().map(|(it, _)| format!("{}.{}", it.plural, it.gvk.group));
    let counts = counted(names).into_iter();
    let counts = counts.map(|(name, count)| format!("{name} has {count} resource instances"));
    format!("Some resources are remaining: {}", counts.collect::<Vec<_>>().join(", "))
}

/// Names the finalizers that are left, or nothing.
fn finalizers(observed: &Observed<'_>) -> String {
    let names = observed.content.iter().flat_map(|(_, it)| it.object.meta().finalizers.clone());
    let counts = counted(names).into_iter();
    let counts: Vec<_> =
        counts.map(|(name, count)| format!("{name} in {count} resource instances")).collect();
    if counts.is_empty() {
        return String::new();
    }
    let counts = counts.join(", ");
    format!("Some content in the namespace has finalizers remaining: {counts}")
}

fn counted(names: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::controllers::world::World;

    /// Returns the plan for a namespace that is being deleted and holds `KIND/NAME` or `KIND/NAME!`, where
    /// `!` says that the object is already on its way.
    fn plan_text(content: &[&str]) -> String {
        let mut world = World::default();
        for line in content {
            let (kind, name) = line.split_once('/').unwrap();
            let resource = if kind == "Pod" { &kinds::PODS } else { &kinds::SERVICES };
            let mut meta =
                json!({"name": name.trim_end_matches('!'), "namespace": "a", "uid": name});
            if name.ends_with('!') {
                meta["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
                meta["finalizers"] = json!(["example.com/hold"]);
            }
            world.put(resource, Arc::new(Object::from_value(&json!({"metadata": meta})).unwrap()));
        }
        let namespace = Object::from_value(&json!({
            "metadata": {"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"finalizers": ["kubernetes"]},
        }));
        let namespace = namespace.unwrap();
        let content = world.within("a").collect();
        let now = Timestamp::UNIX_EPOCH;
        plan(&Observed { namespace: &namespace, content, now }).to_string()
    }

    #[test]
    fn pods_go_before_the_rest_and_the_namespace_last() {
        for (content, plan) in [
            (vec!["Pod/p", "Service/s"], "delete Pod a/p (background)\n"),
            (vec!["Pod/p!", "Service/s"], "status Namespace a\n"),
            (vec!["Service/s", "Service/t!"], "delete Service a/s (background)\n"),
            (vec!["Service/t!"], "status Namespace a\n"),
            (vec![], "finalize a\n"),
        ] {
            assert_eq!(plan_text(&content), plan, "{content:?}");
        }
    }
}
