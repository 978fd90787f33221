//! Changes the children of a parent: plans with what is remembered, writes, and remembers what came of it.

use std::collections::BTreeMap;

use api::names::reasons;
use k8s::{GroupVersionKind, Object, OwnerReference, Resource, in_one_line};
use runtime::{ApiError, Applied, EventKind, Write, WriteKind, Written};
use serde_json::Value;

use crate::{
    context::{ChildType, Context},
    desired::{self, Desired, Problem, Types},
    error::{SyncError, call},
    meter::Skip,
    plan::{Action, Doubt, ObservedType, Plan, Settled, Trial, plan},
    record::Counts,
    selector::{ChildSelector, Ownership},
    told,
    trial::{self, Question, ROUNDS, Replies},
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
    told::actions(&actions, observed);
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
            Ok(applied) => {
                synced.done.push(done(&action.write));
                synced.counts.add(&action.write.kind);
                remember(ctx, parent, observed, action, &applied);
                ctx.expect(&parent.key(), applied.written);
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
    let plan = || plan(parent, observed, desired, &ctx.known(observed));
    ctx.drop_old_trials();
    let mut planned = plan();
    let mut failures = BTreeMap::new();
    for _ in 0..ROUNDS {
        let questions = planned.actions.iter().filter_map(Question::about).collect();
        let Replies { is_news, failures: failed } = trial::ask(ctx, questions).await;
        failures.extend(failed);
        if !is_news {
            break;
        }
        planned = plan();
    }
    let Plan { mut actions, settled } = planned;
    let mut memory = ctx.memory();
    memory.settled.extend(settled);
    let mut refused = Vec::new();
    actions.retain(|action| match (&action.doubt, memory.trials.get(&action.wish)) {
        (Some(Doubt::Creation(_)), Some(Trial::Refused(cause))) => {
            let Write { resource, key, .. } = &action.write;
            ctx.meter.skipped(Skip::Inadmissible);
            refused.push(format!("keep the old {} {key}: {cause}", resource.gvk.kind));
            false
        }
        // Without an answer nothing is deleted: the child changed meanwhile, which will be seen, or the
        // server failed.
        (Some(Doubt::Application(application)), _) => {
            refused.extend(failures.remove(&application.id));
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
    applied: &Applied,
) {
    let Applied { written: Written::Stored { resource, key, uid, .. }, object: Some(object) } =
        applied
    else {
        return;
    };
    if observed.iter().any(|each| each.resource == *resource) {
        let settled = Settled::new(&ctx.means.strategy, action.wish, object);
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
        WriteKind::Create(_) | WriteKind::ApplyNew { .. } if error.is_already_exists() => {
            conflict(ctx, parent, write).await
        }
        WriteKind::Create(_) | WriteKind::ApplyNew { .. } if error.is_namespace_terminating() => {
            ctx.meter.skipped(Skip::NamespaceTerminating);
            Ok(false)
        }
        WriteKind::Update(_) | WriteKind::Apply { .. } if error.is_not_found() => Ok(false),
        WriteKind::Update(_)
        | WriteKind::ApplyNew { .. }
        | WriteKind::Apply { .. }
        | WriteKind::Delete { .. }
            if error.is_conflict() =>
        {
            Ok(true)
        }
        kind => {
            let Write { resource, key, .. } = write;
            let action = format!("{} {} {key}", kind.verb(), resource.gvk.kind);
            Err(in_one_line(&call(action)(error)))
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
    format!("{}d {} {}", write.kind.verb(), write.resource.gvk.kind, write.key)
}
