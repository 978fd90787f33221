//! Pure: deletes the objects of a CustomResourceDefinition that is being deleted, then lets it go.

use k8s::{Object, Timestamp};
use serde_json::json;

use super::{
    action::{Action, Deletion, Plan, Target},
    condition::{self, Condition},
    garbage, kinds,
    kinds::Shared,
    world::Entry,
};
use crate::fields;

/// Keeps a definition until its objects are gone.
pub(crate) const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// What a plan is made from.
pub(crate) struct Observed<'a> {
    pub(crate) definition: &'a Object,
    pub(crate) instances: Vec<(&'a Shared, &'a Entry)>,
    pub(crate) now: Timestamp,
}

/// Plans to delete the objects, then the definition.
pub(crate) fn plan(observed: &Observed<'_>) -> Plan {
    let mut plan = Plan::default();
    let meta = observed.definition.meta();
    if !meta.is_deleting() || !meta.has_finalizer(FINALIZER) {
        return plan;
    }
    if observed.instances.is_empty() {
        let target = Target::of(&kinds::CRDS, observed.definition);
        plan.push(garbage::without_finalizer(&target, observed.definition, FINALIZER));
        return plan;
    }
    let living = observed.instances.iter().filter(|(_, entry)| !entry.object.meta().is_deleting());
    plan.actions.extend(living.map(|(resource, entry)| Action::Delete {
        target: Target::of(resource, &entry.object),
        how: Deletion::Background,
    }));
    if plan.is_idle() {
        report(observed, &mut plan);
    }
    plan
}

/// Says that the objects are still on their way.
fn report(observed: &Observed<'_>, plan: &mut Plan) {
    let mut object = observed.definition.to_value();
    let before = object.pointer("/status/conditions").cloned().unwrap_or_default();
    let mut conditions: Vec<Condition> = serde_json::from_value(before).unwrap_or_default();
    if condition::find(&conditions, "Terminating").is_some_and(Condition::is_true) {
        return;
    }
    let new = Condition::new("Terminating", "True", observed.now);
    let message = "CustomResource deletion is in progress";
    condition::put(&mut conditions, new.because("InstanceDeletionInProgress", message));
    fields::set(&mut object, &["status", "conditions"], json!(conditions));
    plan.push(Action::Status { resource: kinds::CRDS.clone(), object });
}
