//! One sync: observe a parent and its children, ask the hook, plan, apply, write the status.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api::{HookRequest, names, names::reasons};
use k8s::{GroupVersionKind, Object, ObjectKey, Resource, in_one_line};
use runtime::{ApiError, EventKind, Part, Write, WriteKind, Written};
use serde_json::Value;

use crate::{
    answer::{self, Answer},
    context::{ChildType, Context},
    controller::Webhook,
    desired::{self, Desired, Problem, Types},
    error::{SyncError, call},
    plan::{Action, ObservedType, Plan, Settled, plan},
    request::{self, Told},
    selector::{ChildSelector, Claims, child_selector, claim, owner_reference},
    status,
};

/// How often a change of the parent itself is tried again after somebody else changed it.
const TRIES: usize = 5;

/// What a sync did.
#[derive(Debug, Default)]
pub(crate) struct Synced {
    /// What was done, in words, such as `created Deployment default/web`.
    pub(crate) done: Vec<String>,
    /// After how long the hook wants to be asked once more.
    pub(crate) look_again: Option<Duration>,
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
    let observed = observe(ctx, &parent, &selector).await?;
    let answer = ask(ctx, (name, webhook), &parent, &observed, finalizing).await?;
    let Answer { status, children, resync_after, finalized, events } = answer;
    for event in events {
        let kind = if event.r#type == "Warning" { EventKind::Warning } else { EventKind::Normal };
        ctx.means.events.tell(&parent, kind, &event.reason, event.message);
    }
    let mut synced = Synced { look_again: resync_after, ..Synced::default() };
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
        || meta.has_finalizer(&ctx.controller.finalizer())
            && !meta.has_finalizer("foregroundDeletion")
            && !meta.has_finalizer("orphan")
}

/// Brings the parent's finalizer in line with the hooks; returns nothing if the parent is none of ours.
async fn settle_finalizer(
    ctx: &Context,
    parent: Arc<Object>,
) -> Result<Option<Arc<Object>>, SyncError> {
    let matches = |parent: &Object| ctx.controller.parent.selector.matches(&parent.meta().labels);
    let held = parent.meta().has_finalizer(&ctx.controller.finalizer());
    if !matches(&parent) && !held {
        return Ok(None);
    }
    let change = match (&ctx.controller.finalize, held) {
        (Some(_), false) if !parent.meta().is_deleting() => Finalizer::Add,
        (None, true) => Finalizer::Remove,
        _ => return Ok(Some(parent)),
    };
    let changed = change_finalizer(ctx, &parent, change).await?;
    let is_ours = |parent: &Arc<Object>| {
        matches(parent) || parent.meta().has_finalizer(&ctx.controller.finalizer())
    };
    Ok(changed.filter(is_ours))
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
            return Ok(Some(Arc::new(live)));
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
                return Ok(Some(Arc::new(written)));
            }
        }
    }
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

/// Finds the parent's children, adopting orphans and letting go of what no longer belongs to it.
async fn observe(
    ctx: &Context,
    parent: &Arc<Object>,
    selector: &ChildSelector,
) -> Result<Vec<ObservedType>, SyncError> {
    let mut observed = Vec::new();
    let mut may_adopt = None;
    for ChildType { method, cache } in &ctx.children {
        let orphans = cache.orphans(&parent.meta().namespace);
        let candidates = cache.controlled_by(&parent.meta().uid).into_iter().chain(orphans);
        let Claims { owned: mut objects, adopt, release } = claim(parent, selector, candidates);
        for orphan in adopt {
            if may_adopt.is_none() {
                may_adopt = Some(is_alive(ctx, parent).await?);
            }
            if may_adopt == Some(true) {
                objects.extend(adopt_one(ctx, parent, cache.resource(), &orphan).await?);
            }
        }
        for object in release {
            release_one(ctx, parent, cache.resource(), &object).await?;
        }
        objects.sort_by_key(|object| object.key());
        observed.push(ObservedType {
            resource: cache.resource().clone(),
            method: *method,
            objects,
        });
    }
    Ok(observed)
}

/// Reads the parent live: only one that exists and stays may adopt.
async fn is_alive(ctx: &Context, parent: &Object) -> Result<bool, SyncError> {
    match ctx.means.client.get(ctx.parents.resource(), &parent.key()).await {
        Ok(live) => Ok(live.meta().uid == parent.meta().uid && !live.meta().is_deleting()),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(call("read the parent before an adoption")(error)),
    }
}

async fn adopt_one(
    ctx: &Context,
    parent: &Object,
    resource: &Resource,
    orphan: &Object,
) -> Result<Option<Arc<Object>>, SyncError> {
    let mut value = orphan.to_value();
    let mut owners = value["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
    owners.push(owner_reference(parent));
    value["metadata"]["ownerReferences"] = owners.into();
    rewrite(ctx, parent, resource, &value, "adopt").await
}

async fn release_one(
    ctx: &Context,
    parent: &Object,
    resource: &Resource,
    object: &Object,
) -> Result<(), SyncError> {
    let mut value = object.to_value();
    if let Some(owners) = value["metadata"]["ownerReferences"].as_array_mut() {
        owners.retain(|owner| owner["uid"] != parent.meta().uid.as_str());
    }
    rewrite(ctx, parent, resource, &value, "release").await.map(|_| ())
}

/// Writes a changed child; one that is gone or was changed meanwhile is left to the event that follows.
async fn rewrite(
    ctx: &Context,
    parent: &Object,
    resource: &Resource,
    value: &Value,
    verb: &str,
) -> Result<Option<Arc<Object>>, SyncError> {
    let text = |field: &str| value["metadata"][field].as_str().unwrap_or_default();
    let key = ObjectKey::new(text("namespace"), text("name"));
    match ctx.means.client.update(resource, &key, Part::Main, value.to_string()).await {
        Ok(written) => {
            ctx.expect(&parent.key(), Written::stored(resource, &written));
            Ok(Some(Arc::new(written)))
        }
        Err(error) if error.is_not_found() || error.is_conflict() => Ok(None),
        Err(error) => Err(call(format!("{verb} {} {key}", resource.gvk.kind))(error)),
    }
}

/// Calls the hook and reads its answer.
async fn ask(
    ctx: &Context,
    (hook, webhook): (&'static str, &Webhook),
    parent: &Object,
    observed: &[ObservedType],
    finalizing: bool,
) -> Result<Answer, SyncError> {
    let children: Vec<_> =
        observed.iter().map(|each| (each.resource.clone(), each.objects.clone())).collect();
    let controller = ctx.controller.object.as_ref();
    let told = Told { controller, parent, children: &children, finalizing };
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
    let Plan { mut actions, settled } = plan(parent, observed, desired, &ctx.memory().settled);
    ctx.memory().settled.extend(settled);
    actions.retain(|action| !is_known(ctx, parent, action));
    let writes: Vec<_> = actions.iter().map(|action| action.write.clone()).collect();
    let results = ctx.means.applier.apply(&writes).await;
    let failures = problems.iter().filter(|problem| problem.is_failure());
    let mut failures: Vec<_> = failures.map(|problem| problem.message.clone()).collect();
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

/// Tells whether a child that cannot be observed has been created already.
fn is_known(ctx: &Context, parent: &Object, action: &Action) -> bool {
    let place = (action.write.resource.clone(), action.write.key.clone());
    let memory = ctx.memory();
    memory.undeclared.get(&parent.meta().uid).is_some_and(|places| places.contains(&place))
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
    let places = &mut ctx.memory().undeclared;
    let place = (resource.clone(), key.clone());
    places.entry(parent.meta().uid.clone()).or_default().insert(place);
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
