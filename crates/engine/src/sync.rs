//! One sync: observe a parent and its children, ask the hook, plan, apply, write the status.

use std::{collections::BTreeMap, sync::Arc};

use api::{HookRequest, names, names::reasons};
use k8s::{GroupVersionKind, Object, Resource, in_one_line};
use runtime::{ApiError, EventKind, Part, Write, WriteKind, Written};
use serde_json::Value;

use crate::{
    answer::{self, Answer},
    context::Context,
    controller::Webhook,
    desired::{self, Desired, Problem, Types},
    error::{SyncError, call},
    observe::observe,
    plan::{Action, ObservedType, Plan, Settled, Trial, plan},
    request::{self, Told},
    selector::{ChildSelector, child_selector},
    status, trial,
};

/// How often a change of the parent itself is tried again after somebody else changed it.
pub(crate) const TRIES: usize = 5;

/// What a sync did.
#[derive(Debug, Default)]
pub(crate) struct Synced {
    /// What was done, in words, such as `created Deployment default/web`.
    pub(crate) done: Vec<String>,
    /// Whether a child must be looked at again soon, though nothing failed.
    pub(crate) retry: bool,
}

/// Whether a finalizer is to be put on the parent or taken off.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Finalizer {
    Add,
    Remove,
}

/// Syncs one parent.
pub(crate) async fn sync(ctx: &Context, parent: Arc<Object>) -> Result<Synced, SyncError> {
    let Some(parent) = settle_finalizer(ctx, parent).await? else { return Ok(Synced::default()) };
    let controller = &ctx.controller;
    let finalizing = controller.finalize.is_some()
        && (parent.meta().is_deleting()
            || !controller.parent.selector.matches(&parent.meta().labels));
    let (name, webhook) = match (finalizing, &controller.finalize, &controller.sync) {
        (true, Some(webhook), _) => ("finalize", webhook),
        (_, _, Some(webhook)) => ("sync", webhook),
        // Only the end of a parent's life matters to this controller.
        (_, _, None) => return Ok(Synced::default()),
    };
    let selector = child_selector(controller.generate_selector, &parent)?;
    let Some(observed) = observe(ctx, &parent, &selector).await? else {
        return Ok(Synced::default());
    };
    let answer = ask(ctx, (name, webhook), &parent, &observed, finalizing).await?;
    let Answer { status, children, resync_after, finalized, events } = answer;
    for event in events {
        let kind = if event.r#type == "Warning" { EventKind::Warning } else { EventKind::Normal };
        ctx.means.events.tell(&parent, kind, &event.reason, event.message);
    }
    // What fails from here on does not take back when the hook wants to be asked again.
    if let Some(after) = resync_after {
        ctx.look_again(parent.key(), after);
    }
    let mut synced = Synced::default();
    let mut parent = parent;
    if finalizing && finalized {
        match change_finalizer(ctx, &parent, Finalizer::Remove).await? {
            Some(changed) => parent = changed,
            None => return Ok(synced),
        }
    }
    let (desired, problems) = check(ctx, &parent, &selector, children).await?;
    let managed = if is_managed(ctx, &parent) {
        manage(ctx, &parent, &observed, &desired, &problems, &mut synced).await
    } else {
        Ok(())
    };
    let status = status::wanted(&parent, status);
    write_status(ctx, &parent, &status).await?;
    managed.map(|()| synced)
}

/// Tells whether the children of a parent may be touched: it lives, or it waits for this controller and
/// neither foreground deletion nor orphaning decides about them.
fn is_managed(ctx: &Context, parent: &Object) -> bool {
    let meta = parent.meta();
    !meta.is_deleting()
        || ctx.controller.holds(parent)
            && !meta.has_finalizer("foregroundDeletion")
            && !meta.has_finalizer("orphan")
}

/// Brings the parent's finalizer in line with the hooks; returns nothing if the parent is none of ours.
async fn settle_finalizer(
    ctx: &Context,
    parent: Arc<Object>,
) -> Result<Option<Arc<Object>>, SyncError> {
    let matches = |parent: &Object| ctx.controller.parent.selector.matches(&parent.meta().labels);
    let is_held = ctx.controller.holds(&parent);
    if !matches(&parent) && !is_held {
        return Ok(None);
    }
    let has_finalizer = parent.meta().has_finalizer(&ctx.controller.finalizer());
    let change = match &ctx.controller.finalize {
        Some(_) if !has_finalizer && !parent.meta().is_deleting() && matches(&parent) => {
            Finalizer::Add
        }
        None if is_held => Finalizer::Remove,
        _ => return Ok(Some(parent)),
    };
    let changed = change_finalizer(ctx, &parent, change).await?;
    Ok(changed.filter(|parent| matches(parent) || ctx.controller.holds(parent)))
}

/// Reads the parent, changes its finalizers and writes it; returns nothing if it is gone.
async fn change_finalizer(
    ctx: &Context,
    parent: &Object,
    change: Finalizer,
) -> Result<Option<Arc<Object>>, SyncError> {
    let (client, resource, key) = (&ctx.means.client, ctx.parents.resource(), parent.key());
    let failed = |source| call("change the finalizers of the parent")(source);
    let mut tries = 0;
    loop {
        let live = match client.get(resource, &key).await {
            Err(error) if error.is_not_found() => return Ok(None),
            live => live.map_err(failed)?,
        };
        if live.meta().uid != parent.meta().uid {
            return Ok(None);
        }
        let Some(changed) = with_finalizer(&live, ctx.controller.name(), change) else {
            return Ok(Some(Arc::new(lean(live))));
        };
        tries += 1;
        match client.update(resource, &key, Part::Main, changed.to_string()).await {
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) if error.is_conflict() && tries < TRIES => {}
            Err(error) => return Err(failed(error)),
            Ok(written) => {
                if !written.meta().is_deleting() {
                    ctx.expect(&key, Written::stored(resource, &written));
                }
                return Ok(Some(Arc::new(lean(written))));
            }
        }
    }
}

/// Returns an object as caches keep it, and as hooks see it: without managedFields.
pub(crate) fn lean(object: Object) -> Object {
    let json = k8s::json::without_managed_fields(object.json()).ok();
    json.and_then(|json| Object::parse(json).ok()).unwrap_or(object)
}

/// Returns the parent with its finalizer put on or taken off, or nothing if there is nothing to change.
fn with_finalizer(parent: &Object, controller: &str, change: Finalizer) -> Option<Value> {
    let finalizer = names::composite_finalizer(controller);
    let legacy = names::legacy_composite_finalizer(controller);
    let mut finalizers = parent.meta().finalizers.clone();
    match change {
        Finalizer::Add => finalizers.push(finalizer),
        Finalizer::Remove => finalizers.retain(|each| *each != finalizer && *each != legacy),
    }
    let unchanged = finalizers.len() == parent.meta().finalizers.len()
        || change == Finalizer::Add && parent.meta().is_deleting();
    if unchanged {
        return None;
    }
    let mut value = parent.to_value();
    value["metadata"]["finalizers"] = finalizers.into();
    Some(value)
}

/// Calls the hook and reads its answer.
async fn ask(
    ctx: &Context,
    (hook, webhook): (&'static str, &Webhook),
    parent: &Object,
    observed: &[ObservedType],
    finalizing: bool,
) -> Result<Answer, SyncError> {
    let controller = ctx.controller.object.as_ref();
    let told = Told { controller, parent, children: observed, finalizing };
    let body = request::body(told, webhook.version);
    let request = HookRequest { url: webhook.url.clone(), body, timeout: webhook.timeout };
    let reply = ctx.means.hook.call(request).await;
    let reply = reply.map_err(|source| SyncError::Hook { hook, source })?;
    answer::read(&reply, webhook.mode, finalizing)
        .map_err(|source| SyncError::Answer { hook, source })
}

/// Checks and completes what the hook asked for; types outside the rules are looked up.
async fn check(
    ctx: &Context,
    parent: &Object,
    selector: &ChildSelector,
    children: Vec<Value>,
) -> Result<(Vec<Desired>, Vec<Problem>), SyncError> {
    let declared: Vec<_> = ctx.children.iter().map(|each| each.cache.resource().clone()).collect();
    let mut others = BTreeMap::<GroupVersionKind, Resource>::new();
    for gvk in children.iter().map(desired::gvk) {
        if declared.iter().all(|resource| resource.gvk != gvk) && !others.contains_key(&gvk) {
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
async fn manage(
    ctx: &Context,
    parent: &Object,
    observed: &[ObservedType],
    desired: &[Desired],
    problems: &[Problem],
    synced: &mut Synced,
) -> Result<(), SyncError> {
    for problem in problems {
        ctx.means.events.tell(parent, EventKind::Warning, problem.reason, &*problem.message);
    }
    let (actions, refused) = decide(ctx, parent, observed, desired).await;
    let writes: Vec<_> = actions.iter().map(|action| action.write.clone()).collect();
    let results = ctx.means.applier.apply(&writes).await;
    let failures = problems.iter().filter(|problem| problem.is_failure());
    let mut failures: Vec<_> =
        failures.map(|problem| problem.message.clone()).chain(refused).collect();
    for (action, result) in actions.iter().zip(results) {
        match result {
            Ok(written) => {
                synced.done.push(done(&action.write));
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
    if trial::ask(ctx, &planned.actions).await {
        planned = plan();
    }
    let Plan { mut actions, settled } = planned;
    let mut memory = ctx.memory();
    memory.settled.extend(settled);
    let mut refused = Vec::new();
    actions.retain(|action| match memory.trials.get(&action.wish) {
        Some(Trial::Refused(cause)) if action.recreates.is_some() => {
            let Write { resource, key, .. } = &action.write;
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
        WriteKind::Create(_) if error.is_namespace_terminating() => Ok(false),
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
    let owner = found.meta().controller();
    if owner.is_some_and(|owner| owner.uid == parent.meta().uid) {
        if ctx.children.iter().all(|each| each.cache.resource() != resource) {
            ctx.memory().know(parent, resource, key);
        }
        return Ok(false);
    }
    let owner = owner.map_or("no controller".to_owned(), |owner| {
        format!("the controller {} {}", owner.kind, owner.name)
    });
    let message = format!("{} {key} exists and has {owner}", resource.gvk.kind);
    ctx.means.events.tell(parent, EventKind::Warning, reasons::CHILD_CONFLICT, message);
    ctx.conflict(resource, key, &parent.key());
    Ok(true)
}

/// Writes the parent's status if it differs. One that is gone or keeps changing is left alone.
async fn write_status(ctx: &Context, parent: &Object, status: &Value) -> Result<(), SyncError> {
    let (resource, key, uid) = (ctx.parents.resource(), parent.key(), &parent.meta().uid);
    let text = status.to_string();
    let known = (text.clone(), parent.meta().resource_version.clone());
    let Some(mut value) = status::with_status(parent, status) else { return Ok(()) };
    if ctx.memory().statuses.get(uid) == Some(&known) {
        return Ok(());
    }
    for _ in 0..TRIES {
        let written =
            ctx.means.client.update(resource, &key, Part::Status, value.to_string()).await;
        let error = match written {
            Ok(written) => {
                // What the server made something else of must not be sent on every sync.
                if status::with_status(&written, status).is_some() {
                    let version = written.meta().resource_version.clone();
                    ctx.memory().statuses.insert(uid.clone(), (text, version));
                }
                ctx.expect(&key, Written::stored(resource, &written));
                return Ok(());
            }
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => error,
        };
        if !error.is_conflict() {
            return Err(call("write the status of the parent")(error));
        }
        let live = match ctx.means.client.get(resource, &key).await {
            Ok(live) if live.meta().uid == *uid => live,
            Ok(_) => return Ok(()),
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(call("read the parent")(error)),
        };
        match status::with_status(&live, status) {
            Some(changed) => value = changed,
            None => return Ok(()),
        }
    }
    Ok(())
}

fn done(write: &Write) -> String {
    let verb = match write.kind {
        WriteKind::Create(_) => "created",
        WriteKind::Update(_) => "updated",
        WriteKind::Delete { .. } => "deleted",
    };
    format!("{verb} {} {}", write.resource.gvk.kind, write.key)
}
