//! Asks the hook about every version of a parent that still has children, and moves the rollout on.

use std::sync::Arc;

use api::revision;
use futures::future::try_join_all;
use k8s::{Object, ObjectKey, Resource, json::same};
use runtime::{ApiError, Cache, Write, WriteKind};
use serde_json::Value;

use crate::{
    answer::Answer,
    children::check,
    context::Context,
    controller::Form,
    customize::related,
    desired::Desired,
    error::{SyncError, call},
    observe::{Change, is_alive, reclaim},
    plan::{self, ObservedType},
    revision::{Revision, RevisionError, in_version, labels, patch},
    rollout::{self, Progress, Version, View},
    selector::ChildSelector,
    sync::{Call, ask},
    trial::{self, Question, Replies},
};

/// What a version of a parent is asked with, and what came of it.
struct Asked {
    version: Version,
    answer: Answer,
}

/// Returns the answer of the latest version of a parent, in which children that still follow an older one
/// have that one's form; nothing if the parent turned out to be going or gone.
pub(crate) async fn answer(
    ctx: &Context,
    (call, selector): (Call<'_>, &ChildSelector),
    parent: &Arc<Object>,
    observed: &[ObservedType],
) -> Result<Option<Answer>, SyncError> {
    let Some(known) = claim(ctx, parent, selector).await? else { return Ok(None) };
    let revisions = versions(ctx, parent, &known)?;
    let asked = revisions.into_iter().enumerate().map(|(position, revision)| {
        // The latest version is the parent as it is.
        let form = if position == 0 { Arc::clone(parent) } else { form(ctx, parent, &revision) };
        one(ctx, (call, selector), (parent, form), revision, observed)
    });
    let (mut versions, mut answers) = (Vec::new(), Vec::new());
    for Asked { version, answer } in try_join_all(asked).await? {
        versions.push(version);
        answers.push(answer);
    }
    let progress = advance(ctx, parent, &mut versions, observed).await?;
    ctx.note_rollout(&parent.key(), matches!(progress, Progress::Waiting(_)));
    write(ctx, parent, &versions).await?;
    let resync_after = answers.iter().filter_map(|answer| answer.resync_after).min();
    let finalized = answers.iter().all(|answer| answer.finalized);
    let latest = answers.into_iter().next().unwrap_or_default();
    let mut status = latest.status.unwrap_or_default();
    rollout::note(&mut status, &progress);
    let children = rollout::merged(latest.children, &versions, parent);
    Ok(Some(Answer { status: Some(status), children, resync_after, finalized, ..latest }))
}

/// Returns the ControllerRevisions of a parent; orphans that match are adopted.
async fn claim(
    ctx: &Context,
    parent: &Arc<Object>,
    selector: &ChildSelector,
) -> Result<Option<Vec<Arc<Object>>>, SyncError> {
    let Some(cache) = &ctx.revisions else { return Ok(Some(Vec::new())) };
    let mut known = cache.controlled_by(&parent.meta().uid);
    if parent.meta().is_deleting() {
        return Ok(Some(known));
    }
    for orphan in orphans(ctx, cache, parent, selector) {
        if !is_alive(ctx, parent).await? {
            return Ok(None);
        }
        let adopted = reclaim(ctx, (parent, selector), cache.resource(), orphan, Change::Adopt);
        known.extend(adopted.await?);
    }
    Ok(Some(known))
}

/// Returns the ControllerRevisions without a controller that belong to a parent by their labels.
fn orphans(
    ctx: &Context,
    cache: &Cache,
    parent: &Object,
    selector: &ChildSelector,
) -> Vec<Arc<Object>> {
    let type_labels = labels(ctx.parents.resource(), &Value::Null, false);
    let is_ours = |orphan: &Arc<Object>| {
        let labels = &orphan.meta().labels;
        let mut of_type = type_labels.as_object().into_iter().flatten();
        of_type.all(|(key, value)| labels.get(key).map(String::as_str) == value.as_str())
            && selector.matches(labels)
            && !orphan.meta().is_deleting()
    };
    cache.orphans(namespace(ctx, parent)).into_iter().filter(is_ours).collect()
}

/// Returns where the versions of a parent are kept.
fn namespace<'a>(ctx: &'a Context, parent: &'a Object) -> &'a str {
    match parent.meta().namespace.as_str() {
        "" => &ctx.means.namespace,
        namespace => namespace,
    }
}

/// Returns the versions of a parent, the latest first; it is made if there is none like it.
fn versions(
    ctx: &Context,
    parent: &Object,
    known: &[Arc<Object>],
) -> Result<Vec<Revision>, RevisionError> {
    let patch = patch(&parent.to_value(), &ctx.rule.revision_fields)?;
    let mut revisions = Vec::new();
    for object in known.iter().filter(|object| !object.meta().is_deleting()) {
        revisions.push(Revision::observed(Arc::clone(object))?);
    }
    match revisions.iter().position(|revision| same(&revision.patch, &patch)) {
        Some(latest) => revisions.swap(0, latest),
        None => revisions.insert(0, Revision::new(ctx.parents.resource(), parent, patch)),
    }
    Ok(revisions)
}

/// Returns a parent as one of its versions says.
fn form(ctx: &Context, parent: &Arc<Object>, revision: &Revision) -> Arc<Object> {
    let value = in_version(&parent.to_value(), &revision.patch, &ctx.rule.revision_fields);
    Object::from_value(&value).map_or_else(|_| Arc::clone(parent), Arc::new)
}

/// Asks the hook what it wants of a parent in the form of one of its versions.
async fn one(
    ctx: &Context,
    (call, selector): (Call<'_>, &ChildSelector),
    (parent, form): (&Object, Arc<Object>),
    revision: Revision,
    observed: &[ObservedType],
) -> Result<Asked, SyncError> {
    let related = related(ctx, &form).await?;
    let answer = ask(ctx, call, &form, observed, &related).await?;
    // What is wrong with single children is told when they are written.
    let (desired, _) = check(ctx, parent, selector, answer.children.clone()).await?;
    Ok(Asked { version: Version { revision, desired }, answer })
}

/// Moves the rollout on; where it is not clear whether a child is updated, the server is asked first what it
/// would make of it.
async fn advance(
    ctx: &Context,
    parent: &Object,
    versions: &mut [Version],
    observed: &[ObservedType],
) -> Result<Progress, SyncError> {
    ctx.drop_old_trials();
    let known = ctx.known(observed);
    let view = View { parent, observed, known: &known };
    let latest = versions.first().into_iter().flat_map(|latest| &latest.desired);
    let question = |child: &Desired| {
        let (resource, key, wish) = (child.resource.clone(), child.key.clone(), plan::wish(child));
        Some(Question { resource, key, wish, doubt: view.doubt(child)? })
    };
    let Replies { failures, .. } = trial::ask(ctx, latest.filter_map(question).collect()).await;
    if !failures.is_empty() {
        return Err(SyncError::Children(failures.into_values().collect()));
    }
    let known = ctx.known(observed);
    Ok(rollout::advance(versions, View { parent, observed, known: &known }))
}

/// Writes what changed of the versions: all of it, before any child is touched.
async fn write(ctx: &Context, parent: &Object, versions: &[Version]) -> Result<(), SyncError> {
    let Some(cache) = &ctx.revisions else { return Ok(()) };
    let (resource, namespace) = (cache.resource(), namespace(ctx, parent));
    let generated = matches!(ctx.controller.form, Form::Composite { generate_selector: true });
    let labels = labels(ctx.parents.resource(), &parent.to_value(), generated);
    let mut writes = Vec::new();
    for (position, Version { revision, .. }) in versions.iter().enumerate() {
        let is_kept = position == 0 || revision.is_followed();
        let kind = match &revision.observed {
            None => Some(WriteKind::Create(
                revision.object(parent, &labels, namespace).to_string().into(),
            )),
            Some(observed) if is_kept => {
                revision.updated(observed).map(|value| WriteKind::Update(value.to_string().into()))
            }
            Some(observed) => Some(WriteKind::Delete { uid: observed.meta().uid.clone() }),
        };
        let key = ObjectKey::new(namespace, &revision.name);
        writes.extend(kind.map(|kind| Write { resource: resource.clone(), key, kind }));
    }
    let results = ctx.means.applier.apply(&writes).await;
    for (write, result) in writes.iter().zip(results) {
        match result {
            Ok(applied) => ctx.expect(&parent.key(), applied.written),
            Err(error) if error.is_already_exists() => take_over(ctx, parent, write).await?,
            Err(error) if error.is_conflict() || error.is_not_found() => {
                return Err(SyncError::Outdated);
            }
            Err(error) => return Err(failed(&write.key, error)),
        }
    }
    Ok(())
}

/// Makes a ControllerRevision that is there already the parent's own, if it says the same.
async fn take_over(ctx: &Context, parent: &Object, write: &Write) -> Result<(), SyncError> {
    let Write { resource, key, kind: WriteKind::Create(body) } = write else { return Ok(()) };
    let client = &ctx.means.client;
    let live = client.get(resource, key).await.map_err(|error| failed(key, error))?;
    let wanted = k8s::json::parse(body).unwrap_or_default();
    let is_foreign = live.meta().controller().is_some_and(|owner| owner.uid != parent.meta().uid);
    let mut value = live.to_value();
    if is_foreign || !same(&value["parentPatch"], &wanted["parentPatch"]) {
        return Err(SyncError::Revision(key.name.clone()));
    }
    value["children"] = wanted["children"].clone();
    value["metadata"]["labels"] = wanted["metadata"]["labels"].clone();
    value["metadata"]["ownerReferences"] = wanted["metadata"]["ownerReferences"].clone();
    let update = Write {
        resource: Resource::clone(resource),
        key: key.clone(),
        kind: WriteKind::Update(value.to_string().into()),
    };
    for applied in ctx.means.applier.apply(&[update]).await {
        ctx.expect(&parent.key(), applied.map_err(|error| failed(key, error))?.written);
    }
    Ok(())
}

fn failed(key: &ObjectKey, error: ApiError) -> SyncError {
    call(format!("write {} {key}", revision::resource().gvk.kind))(error)
}
