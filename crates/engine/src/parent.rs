//! Changes the parent itself: its finalizers and its status.

use std::sync::Arc;

use k8s::Object;
use runtime::{Part, Written};
use serde_json::Value;

use crate::{
    context::Context,
    controller::Controller,
    error::{SyncError, call},
    status,
};

/// How often a change of the parent itself is tried again after somebody else changed it.
pub(crate) const TRIES: usize = 5;

/// Whether a finalizer is to be put on the parent or taken off.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finalizer {
    /// It is put on.
    Add,
    /// It is taken off.
    Remove,
}

/// Brings the parent's finalizer in line with the hooks; returns nothing if the parent is none of ours.
pub(crate) async fn settle_finalizer(
    ctx: &Context,
    parent: Arc<Object>,
) -> Result<Option<Arc<Object>>, SyncError> {
    let is_held = ctx.controller.holds(&parent);
    if !ctx.selects(&parent) && !is_held {
        return Ok(None);
    }
    let has_finalizer = parent.meta().has_finalizer(&ctx.controller.finalizer());
    let change = match &ctx.controller.hooks.finalize {
        Some(_) if !has_finalizer && !parent.meta().is_deleting() && ctx.selects(&parent) => {
            Finalizer::Add
        }
        None if is_held => Finalizer::Remove,
        _ => return Ok(Some(parent)),
    };
    let changed = change_finalizer(ctx, &parent, change).await?;
    Ok(changed.filter(|parent| ctx.is_ours(parent)))
}

/// Reads the parent, changes its finalizers and writes it; returns nothing if it is gone.
pub(crate) async fn change_finalizer(
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
        let Some(changed) = with_finalizer(&live, &ctx.controller, change) else {
            return Ok(Some(Arc::new(client.lean(live))));
        };
        tries += 1;
        match client.update(resource, &key, Part::Main, changed.to_string()).await {
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) if error.is_conflict() && tries < TRIES => {}
            Err(error) => return Err(failed(error)),
            Ok(written) => {
                // One that is going may go with this write: then no watch shows the version that was written.
                if !written.meta().is_deleting() {
                    ctx.expect(&key, Written::stored(resource, &written));
                }
                return Ok(Some(Arc::new(client.lean(written))));
            }
        }
    }
}

/// Returns the parent with its finalizer put on or taken off, or nothing if there is nothing to change.
fn with_finalizer(parent: &Object, controller: &Controller, change: Finalizer) -> Option<Value> {
    let (finalizer, legacy) = (controller.finalizer(), controller.legacy_finalizer());
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

/// Writes the parent's status if it differs. One that is gone or keeps changing is left alone.
pub(crate) async fn write_status(
    ctx: &Context,
    parent: &Object,
    status: &Value,
) -> Result<(), SyncError> {
    let (resource, key, uid) = (ctx.parents.resource(), parent.key(), &parent.meta().uid);
    let Some(mut value) = status::with_status(parent, status) else { return Ok(()) };
    let place = (uid.clone(), Part::Status);
    if !ctx.may_send(parent, &place, (status, &status::of(parent))) {
        return Ok(());
    }
    for _ in 0..TRIES {
        let written =
            ctx.means.client.update(resource, &key, Part::Status, value.to_string()).await;
        let error = match written {
            Ok(written) => {
                let now = ctx.means.client.clock().now();
                ctx.memory().repeats.note(place, (status, &status::of(&written)), now);
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
