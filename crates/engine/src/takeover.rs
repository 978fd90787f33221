//! Takes over children that dynamic apply made, before the server is to merge them.

use std::sync::Arc;

use k8s::{Object, Resource};
use runtime::{Part, PatchType, Written};

use crate::{
    context::Context,
    error::{SyncError, call},
    parent::TRIES,
    plan::ObservedType,
    server_side::{may_be_taken_over, takeover},
    strategy::ApplyStrategy,
};

/// Returns the observed children without what dynamic apply left in them; one that is gone meanwhile is
/// left out.
pub(crate) async fn take_over(
    ctx: &Context,
    parent: &Object,
    mut observed: Vec<ObservedType>,
) -> Result<Vec<ObservedType>, SyncError> {
    let ApplyStrategy::ServerSide { manager } = &ctx.means.strategy else { return Ok(observed) };
    for each in &mut observed {
        let known = ctx.known(std::slice::from_ref(each));
        let mut objects = Vec::new();
        for object in &each.objects {
            if known.is_unchanged(object) || !may_be_taken_over(each, object) {
                objects.push(Arc::clone(object));
            } else {
                objects.extend(one(ctx, parent, (&each.resource, object), manager).await?);
            }
        }
        each.objects = objects;
    }
    Ok(observed)
}

/// Takes over one child. Who owns its fields is not in the caches, so it is read.
async fn one(
    ctx: &Context,
    parent: &Object,
    (resource, object): (&Resource, &Object),
    manager: &str,
) -> Result<Option<Arc<Object>>, SyncError> {
    let (client, key) = (&ctx.means.client, object.key());
    let failed = |source| call(format!("take over {} {key}", resource.gvk.kind))(source);
    for _ in 0..TRIES {
        let live = match client.get(resource, &key).await {
            Ok(live) if live.meta().uid == object.meta().uid => live,
            Ok(_) => return Ok(None),
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let Some(patch) = takeover(&live.to_value(), manager) else {
            return Ok(Some(Arc::new(client.lean(live))));
        };
        let how = (Part::Main, PatchType::Json);
        match client.patch(resource, &key, how, patch.to_string()).await {
            Ok(written) => {
                ctx.expect(&parent.key(), Written::stored(resource, &written));
                return Ok(Some(Arc::new(client.lean(written))));
            }
            Err(error) if error.is_not_found() => return Ok(None),
            // A patch that does not fit what is there now is refused as invalid.
            Err(error) if error.is_conflict() || error.code() == Some(422) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Err(SyncError::Outdated)
}
