//! The sync of a DecoratorController: its hook adds to an object that is somebody else's.

use std::sync::Arc;

use k8s::Object;
use runtime::{Part, PatchType, Written};

use crate::{
    children::{Synced, check, manage},
    context::Context,
    customize::related,
    error::{SyncError, call},
    observe::observe,
    sync::{Call, ask, heed, is_managed},
    takeover::take_over,
    target::{self, TargetChange},
};

/// What became of the writes of a target.
enum Outcome {
    Written,
    Gone,
    /// Somebody else changed it meanwhile.
    Outdated,
}

/// Syncs one target whose finalizer is settled.
pub(crate) async fn sync(
    ctx: &Context,
    call: Call<'_>,
    target: Arc<Object>,
) -> Result<Synced, SyncError> {
    let selector = ctx.controller.child_selector(&target)?;
    let Some(observed) = observe(ctx, &target, &selector).await? else {
        return Ok(Synced::default());
    };
    // As it was when the sync began: the attachments of a target that goes are dealt with once more.
    let is_managed = is_managed(ctx, &target);
    let observed = if is_managed { take_over(ctx, &target, observed).await? } else { observed };
    let related = related(ctx, &target).await?;
    let answer = ask(ctx, call, &target, &observed, &related).await?;
    heed(ctx, &target, &answer);
    let mut released = Vec::new();
    if answer.finalized {
        released = vec![ctx.controller.finalizer(), ctx.controller.legacy_finalizer()];
    }
    let change = target::change(&target, &answer, &released, ctx.has_status);
    match write(ctx, &target, change).await? {
        Outcome::Written => {}
        Outcome::Gone => return Ok(Synced::default()),
        Outcome::Outdated => return Ok(Synced { retry: true, ..Synced::default() }),
    }
    let (desired, problems) = check(ctx, &target, &selector, answer.children).await?;
    let mut synced = Synced::default();
    if is_managed {
        manage(ctx, &target, &observed, &desired, &problems, &mut synced).await?;
    }
    Ok(synced)
}

/// Writes what changed of a target, its status first: without its last finalizer it may be gone.
async fn write(ctx: &Context, target: &Object, change: TargetChange) -> Result<Outcome, SyncError> {
    let mut version = target.meta().resource_version.clone();
    for (part, patch) in [(Part::Status, change.status), (Part::Main, change.main)] {
        let Some(wish) = patch else { continue };
        let place = (target.meta().uid.clone(), part);
        // A finalizer that goes is no matter of taste.
        let is_last = wish.pointer("/metadata/finalizers").is_some();
        if !is_last && !ctx.may_send(target, &place, (&wish, &target::decorated(target, part))) {
            continue;
        }
        let mut patch = wish.clone();
        patch["metadata"]["resourceVersion"] = version.as_str().into();
        let (resource, key) = (ctx.parents.resource(), target.key());
        let (client, body) = (&ctx.means.client, patch.to_string());
        let answer = match client.patch(resource, &key, (part, PatchType::Merge), body).await {
            // Roles that were made for Metacontroller let it update its targets, but not patch them.
            Err(error) if error.is_forbidden() => {
                let body = target::patched(target, &patch).to_string();
                client.update(resource, &key, part, body).await
            }
            answer => answer,
        };
        match answer {
            Err(error) if error.is_not_found() => return Ok(Outcome::Gone),
            Err(error) if error.is_conflict() => return Ok(Outcome::Outdated),
            Err(error) => return Err(call("write the target")(error)),
            Ok(written) => {
                version.clone_from(&written.meta().resource_version);
                let (made, now) =
                    (target::decorated(&written, part), ctx.means.client.clock().now());
                ctx.memory().repeats.note(place, (&wish, &made), now);
                if !written.meta().is_deleting() {
                    ctx.expect(&key, Written::stored(resource, &written));
                }
            }
        }
    }
    Ok(Outcome::Written)
}
