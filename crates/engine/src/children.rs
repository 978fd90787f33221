//! Changes the children of a parent: plans with what is remembered, writes, and remembers what came of it.

use std::collections::BTreeMap;

use api::names::reasons;
use k8s::{GroupVersionKind, Object, OwnerReference, Resource, in_one_line};
use runtime::{ApiError, EventKind, Write, WriteKind, Written};
use serde_json::Value;

use crate::{
    context::{ChildType, Context},
    desired::{self, Desired, Problem, Types},
    error::{SyncError, call},
    meter::Skip,
    plan::{Action, ObservedType, Plan, Settled, Trial, plan},
    record::Counts,
    selector::{ChildSelector, Ownership},
    trial::{self, Question},
};

/// What a sync did.
#[derive(Debug, Default)]
pub(crate) struct Synced {
    /// What was done, in words, such as `created Deployment default/web`.
    pub(crate) done: Vec<String>,
    /// Whether a child must be looked at again soon, though nothing failed.
    pub(crate) retry: bool,
    /// How many children were written.
    pub(crate) counts: Counts,
}

/// Checks and completes what the hook asked for; types outside the rules are looked up.
pub(crate) async fn check(
    ctx: &Context,
    parent: &Object,
    selector: &ChildSelector,
    children: Vec<Value>,
) -> Result<(Vec<Desired>, Vec<Problem>), SyncError> {
    let of = |each: &ChildType| (each.cache.resource().clone(), each.rule.ownership);
    let declared: Vec<_> = ctx.children.iter().map(of).collect();
    let mut others = BTreeMap::<GroupVersionKind, Resource>::new();
    for gvk in children.iter().map(desired::gvk) {
        if declared.iter().all(|(resource, _)| resource.gvk != gvk) && !others.contains_key(&gvk) {
            match ctx.means.discovery.by_kind(&gvk).await {
                Ok(found) => drop(others.insert(gvk, found.resource)),
                Err(runtime::DiscoveryError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    let types = Types { declared: &declared, others: &others };
    Ok(desired::check(parent, selector, types, children)?)
}

/// Plans and carries out what happens to the children.
pub(crate) async fn manage(
    ctx: &Context,
    parent: &Object,
    observed: &[ObservedType],
    desired: &[Desired],
    problems: &[Problem],
    synced: &mut Synced,
) -> Result<(), SyncError> {
    for problem in problems {
        ctx.means.events.tell(parent, EventKind::Warning, problem.reason, &*problem.message);
        if problem.is_failure() {
            ctx.meter.skipped(Skip::Invalid);
        }
    }
    let (actions, refused) = decide(ctx, parent, observed, desired).await;
    if !actions.is_empty() {
        ctx.notes.planned(&parent.key(), actions.iter().map(ToString::to_string).collect());
    }
    let writes: Vec<_> = actions.iter().map(|action| action.write.clone()).collect();
    let results = ctx.means.applier.apply(&writes).await;
    let failures = problems.iter().filter(|problem| problem.is_failure());
    let mut failures: Vec<_> =
        failures.map(|problem| problem.message.clone()).chain(refused).collect();
    for (action, result) in actions.iter().zip(results) {
        ctx.meter.wrote(&action.write.kind, result.is_ok());
        match result {
            Ok(written) => {
                synced.done.push(done(&action.write));
                synced.counts.add(&action.write.kind);
                remember(ctx, parent, observed, action, &written);
                ctx.expect(&parent.key(), written);
            }
            Err(error) => match forgive(ctx, parent, &action.write, error).await {
                Ok(retry) => synced.retry |= retry,
                Err(failure) => failures.push(failure),
            },
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(SyncError::Children(failures)) }
}

/// Plans what happens to the children, and again if the server has to be asked first what it would make of
/// one; returns what is to be done, and why the rest cannot be.
async fn decide(
    ctx: &Context,
    parent: &Object,
    observed: &[ObservedType],
    desired: &[Desired],
) -> (Vec<Action>, Vec<String>) {
    let plan = || {
        let (settled, trials) = ctx.memory().known(observed);
        plan(parent, observed, desired, &settled, &trials)
    };
    ctx.drop_old_trials();
    let mut planned = plan();
    let question = |action: &Action| {
        let recreation = action.recreates.clone()?;
        Some(Question { resource: action.write.resource.clone(), wish: action.wish, recreation })
    };
    if trial::ask(ctx, planned.actions.iter().filter_map(question).collect()).await {
        planned = plan();
    }
    let Plan { mut actions, settled } = planned;
    let mut memory = ctx.memory();
    memory.settled.extend(settled);
    let mut refused = Vec::new();
    actions.retain(|action| match memory.trials.get(&action.wish) {
        Some(Trial::Refused(cause)) if action.recreates.is_some() => {
            let Write { resource, key, .. } = &action.write;
            ctx.meter.skipped(Skip::Inadmissible);
            refused.push(format!("keep the old {} {key}: {cause}", resource.gvk.kind));
            false
        }
        _ => !memory.is_known(parent, &action.write),
    });
    (actions, refused)
}

/// Remembers writes that need not or cannot be judged by what will be observed.
fn remember(
    ctx: &Context,
    parent: &Object,
    observed: &[ObservedType],
    action: &Action,
    written: &Written,
) {
    let Written::Stored { resource, key, uid, version } = written else { return };
    if observed.iter().any(|each| each.resource == *resource) {
        let settled = Settled { wish: action.wish, version: version.clone() };
        ctx.memory().settled.insert(uid.clone(), settled);
        return;
    }
    ctx.memory().know(parent, resource, key);
}

/// Decides about a write that was refused: whether to look again soon, or what failed.
async fn forgive(
    ctx: &Context,
    parent: &Object,
    write: &Write,
    error: ApiError,
) -> Result<bool, String> {
    match &write.kind {
        WriteKind::Create(_) if error.is_already_exists() => conflict(ctx, parent, write).await,
        WriteKind::Create(_) if error.is_namespace_terminating() => {
            ctx.meter.skipped(Skip::NamespaceTerminating);
            Ok(false)
        }
        WriteKind::Update(_) if error.is_not_found() => Ok(false),
        WriteKind::Update(_) | WriteKind::Delete { .. } if error.is_conflict() => Ok(true),
        kind => {
            let verb = match kind {
                WriteKind::Create(_) => "create",
                WriteKind::Update(_) => "update",
                WriteKind::Delete { .. } => "delete",
            };
            let Write { resource, key, .. } = write;
            Err(in_one_line(&call(format!("{verb} {} {key}", resource.gvk.kind))(error)))
        }
    }
}

/// Finds out whose object has the name of a child. Ours will be seen by the caches; a foreign one is
/// told about, and the parent waits for it to go.
async fn conflict(ctx: &Context, parent: &Object, write: &Write) -> Result<bool, String> {
    let Write { resource, key, .. } = write;
    let found = match ctx.means.client.get(resource, key).await {
        Err(error) if error.is_not_found() => return Ok(true),
        Err(error) => {
            return Err(in_one_line(&call(format!("read {} {key}", resource.gvk.kind))(error)));
        }
        Ok(found) => found,
    };
    let is_parent = |owner: &&OwnerReference| owner.uid == parent.meta().uid;
    let declared = ctx.children.iter().find(|each| each.cache.resource() == resource);
    let is_shared = declared.is_some_and(|each| each.rule.ownership == Ownership::Owner);
    let owner = found.meta().controller();
    if owner.as_ref().is_some_and(is_parent)
        || is_shared && found.meta().owner_references.iter().any(|owner| is_parent(&owner))
    {
        if declared.is_none() {
            ctx.memory().know(parent, resource, key);
        }
        return Ok(false);
    }
    let owner = owner.map_or("no controller".to_owned(), |owner| {
        format!("the controller {} {}", owner.kind, owner.name)
    });
    let message = format!("{} {key} exists and has {owner}", resource.gvk.kind);
    ctx.means.events.tell(parent, EventKind::Warning, reasons::CHILD_CONFLICT, message);
    ctx.meter.skipped(Skip::Conflict);
    ctx.conflict(resource, key, &parent.key());
    Ok(true)
}

fn done(write: &Write) -> String {
    let verb = match write.kind {
        WriteKind::Create(_) => "created",
        WriteKind::Update(_) => "updated",
        WriteKind::Delete { .. } => "deleted",
    };
    format!("{verb} {} {}", write.resource.gvk.kind, write.key)
}
