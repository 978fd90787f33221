//! Takes the finalizer of a controller that was deleted off its parents, which nobody could delete otherwise.

use std::{sync::Arc, time::Duration};

use api::names::reasons;
use k8s::{TimerKind, in_one_line};
use runtime::EventKind;
use tracing::warn;

use crate::{
    context::Context,
    parent::{Finalizer, change_finalizer},
};

/// How long a controller of the same name is waited for: people deploy by deleting and creating again.
const WAIT: Duration = Duration::from_secs(30);

/// Waits, and takes the finalizer off all parents unless the controller is back by then.
pub(crate) async fn release(contexts: Arc<[Arc<Context>]>, is_back: impl Fn() -> bool) {
    let Some(client) = contexts.first().map(|ctx| ctx.means.client.clone()) else { return };
    let at = client.clock().after(WAIT);
    let (clock, kind) = (client.clock().as_ref(), TimerKind::Progress);
    let _token = client.activity().sleep_until(clock, at, kind, "release of parents").await;
    if is_back() {
        return;
    }
    for ctx in contexts.iter() {
        let parents = ctx.parents.all().into_iter();
        for parent in parents.filter(|parent| ctx.controller.holds(parent)) {
            match change_finalizer(ctx, &parent, Finalizer::Remove).await {
                Ok(_) => {
                    let message = format!("Removed finalizer of {}", ctx.controller.name());
                    let reason = reasons::FINALIZER_REMOVED;
                    ctx.means.events.tell(&parent, EventKind::Normal, reason, message);
                }
                Err(error) => {
                    let (parent, error) = (parent.key(), in_one_line(&error));
                    warn!(%parent, error, "failed to remove the finalizer of a deleted controller");
                }
            }
        }
    }
}
