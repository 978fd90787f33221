//! One sync of one parent: which hook is called, and what is made of its answer.

use std::sync::Arc;

use api::controller::UnmarshallMode;
use k8s::Object;
use runtime::EventKind;
use tracing::{Level, debug};

use crate::{
    answer::{self, Answer, AnswerError},
    children::Synced,
    composite,
    context::Context,
    controller::{Controller, Form},
    decorator,
    error::SyncError,
    exchange::exchange,
    hook::{Hooks, Webhook},
    parent::settle_finalizer,
    plan::ObservedType,
    related::RelatedType,
    request::{self, Told},
};

/// The hook that a parent calls for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    /// The hook's name.
    pub(crate) name: &'static str,
    /// How it is called.
    pub(crate) webhook: &'a Webhook,
    /// Whether the parent is going away.
    pub(crate) finalizing: bool,
}

/// Syncs one parent.
pub(crate) async fn sync(ctx: &Context, parent: Arc<Object>) -> Result<Synced, SyncError> {
    let Some(parent) = settle_finalizer(ctx, parent).await? else { return Ok(Synced::default()) };
    // Only the end of a parent's life may matter to its controller.
    let Some(call) = choose(ctx, &parent) else { return Ok(Synced::default()) };
    match ctx.controller.form {
        Form::Composite { .. } => composite::sync(ctx, call, parent).await,
        Form::Decorator => decorator::sync(ctx, call, parent).await,
    }
}

/// Chooses the hook that is called for a parent.
fn choose<'a>(ctx: &'a Context, parent: &Object) -> Option<Call<'a>> {
    chosen(&ctx.controller.hooks, parent, ctx.selects(parent))
}

/// Chooses the hook that is called for a parent, which the controller selects or no longer does.
pub(crate) fn chosen<'a>(hooks: &'a Hooks, parent: &Object, selected: bool) -> Option<Call<'a>> {
    match &hooks.finalize {
        Some(webhook) if parent.meta().is_deleting() || !selected => {
            Some(Call { name: "finalize", webhook, finalizing: true })
        }
        _ => hooks.sync.as_ref().map(|webhook| Call { name: "sync", webhook, finalizing: false }),
    }
}

/// Tells whether the children of a parent may be touched: it lives, or it waits for this controller and
/// neither foreground deletion nor orphaning decides about them.
pub(crate) fn is_managed(ctx: &Context, parent: &Object) -> bool {
    managed(&ctx.controller, parent)
}

/// Tells the same without what runs.
pub(crate) fn managed(controller: &Controller, parent: &Object) -> bool {
    let meta = parent.meta();
    !meta.is_deleting()
        || controller.holds(parent)
            && !meta.has_finalizer("foregroundDeletion")
            && !meta.has_finalizer("orphan")
}

/// Calls the hook and reads its answer.
pub(crate) async fn ask(
    ctx: &Context,
    call: Call<'_>,
    parent: &Object,
    observed: &[ObservedType],
    related: &[RelatedType],
) -> Result<Answer, SyncError> {
    let Call { name: hook, webhook, finalizing } = call;
    let (form, controller) = (ctx.controller.form, ctx.controller.object.as_ref());
    let told = Told { form, controller, parent, children: observed, related, finalizing };
    let body = request::body(told, webhook.version);
    let reply = exchange(ctx, (hook, webhook), parent, body).await?;
    let now = ctx.means.client.clock().now();
    let answer = answer::read(&reply, form, webhook.mode, (finalizing, now))
        .map_err(|source| SyncError::Answer { hook, source })?;
    tell_passed_over(call.name, webhook, || answer::passed_over(&reply, form));
    Ok(answer)
}

/// Logs what of an answer was passed over in loose mode: it may be a key that was misspelt.
pub(crate) fn tell_passed_over(
    hook: &str,
    webhook: &Webhook,
    passed_over: impl FnOnce() -> Option<AnswerError>,
) {
    // To look for it costs as much as to read the answer.
    if webhook.mode == UnmarshallMode::Loose
        && tracing::enabled!(Level::DEBUG)
        && let Some(issue) = passed_over()
    {
        debug!(hook, url = webhook.url, %issue, "passed over what loose mode does not refuse");
    }
}

/// Does what an answer asks for apart from objects: events, and another look later. What fails afterwards
/// does not take these back.
pub(crate) fn heed(ctx: &Context, parent: &Object, answer: &Answer) {
    for event in &answer.events {
        let kind = if event.r#type == "Warning" { EventKind::Warning } else { EventKind::Normal };
        ctx.means.events.tell(parent, kind, &event.reason, event.message.clone());
    }
    if let Some(after) = answer.resync_after {
        ctx.look_again(parent.key(), after);
    }
}
