//! The sync of a CompositeController: its hook owns the parent's status and all its children.

use std::sync::Arc;

use k8s::Object;

use crate::{
    answer::Answer,
    children::{Synced, check, manage},
    context::Context,
    customize::related,
    error::SyncError,
    observe::observe,
    parent::{Finalizer, change_finalizer, write_status},
    rolling, status,
    sync::{Call, ask, heed, is_managed},
    takeover::take_over,
};

/// Syncs one parent whose finalizer is settled.
pub(crate) async fn sync(
    ctx: &Context,
    call: Call<'_>,
    parent: Arc<Object>,
) -> Result<Synced, SyncError> {
    let selector = ctx.controller.child_selector(&parent)?;
    let Some(observed) = observe(ctx, &parent, &selector).await? else {
        return Ok(Synced::default());
    };
    let observed =
        if is_managed(ctx, &parent) { take_over(ctx, &parent, observed).await? } else { observed };
    let answer = if ctx.controller.rolls() && is_managed(ctx, &parent) {
        rolling::answer(ctx, (call, &selector), &parent, &observed).await?
    } else {
        let related = related(ctx, &parent).await?;
        Some(ask(ctx, call, &parent, &observed, &related).await?)
    };
    let Some(answer) = answer else { return Ok(Synced::default()) };
    heed(ctx, &parent, &answer);
    let Answer { status, children, finalized, .. } = answer;
    let mut synced = Synced::default();
    let mut parent = parent;
    if finalized {
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
    let status = status::wanted(&parent, status.unwrap_or_default());
    write_status(ctx, &parent, &status).await?;
    managed.map(|()| synced)
}
