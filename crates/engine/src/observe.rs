//! Finds the children of a parent, adopting orphans and letting go of what no longer belongs to it.

use std::sync::Arc;

use k8s::{Object, Resource};
use runtime::{Part, Written};
use serde_json::Value;

use crate::{
    context::{ChildType, Context},
    error::{SyncError, call},
    parent::TRIES,
    plan::ObservedType,
    selector::{ChildSelector, Claims, Ownership, claim, owner_reference},
};

/// What becomes of the parent's reference in an object.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is put there.
    Adopt,
    /// It is taken away.
    Release,
}

/// Returns the parent's children by type; nothing if the parent turned out to be going or gone, which the
/// cache will show soon.
pub(crate) async fn observe(
    ctx: &Context,
    parent: &Arc<Object>,
    selector: &ChildSelector,
) -> Result<Option<Vec<ObservedType>>, SyncError> {
    let mut observed = Vec::new();
    let mut may_adopt = false;
    for ChildType { rule, cache } in &ctx.children {
        let (resource, method) = (cache.resource().clone(), rule.method);
        let status_checks = Arc::clone(&rule.status_checks);
        if rule.ownership == Ownership::Owner {
            let mut objects = cache.owned_by(&parent.meta().uid);
            objects.retain(|object| selector.owns(parent, object));
            observed.push(ObservedType { resource, method, status_checks, objects });
            continue;
        }
        let orphans = match selector {
            ChildSelector::Attached { .. } => Vec::new(),
            ChildSelector::Generated { .. } | ChildSelector::Own(_) => {
                cache.orphans(&parent.meta().namespace)
            }
        };
        let candidates = cache.controlled_by(&parent.meta().uid).into_iter().chain(orphans);
        let Claims { owned: mut objects, adopt, release } = claim(parent, selector, candidates);
        // The cache may lag: what is adopted by a parent that is gone already is garbage at once.
        if !adopt.is_empty() && !may_adopt {
            may_adopt = is_alive(ctx, parent).await?;
            if !may_adopt {
                return Ok(None);
            }
        }
        for orphan in adopt {
            let adopted = reclaim(ctx, (parent, selector), &resource, orphan, Change::Adopt);
            objects.extend(adopted.await?);
        }
        for object in release {
            reclaim(ctx, (parent, selector), &resource, object, Change::Release).await?;
        }
        objects.sort_by_key(|object| object.key());
        observed.push(ObservedType { resource, method, status_checks, objects });
    }
    Ok(Some(observed))
}

/// Reads the parent live: only one that exists and stays may adopt.
pub(crate) async fn is_alive(ctx: &Context, parent: &Object) -> Result<bool, SyncError> {
    match ctx.means.client.get(ctx.parents.resource(), &parent.key()).await {
        Ok(live) => Ok(live.meta().uid == parent.meta().uid && !live.meta().is_deleting()),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(call("read the parent before an adoption")(error)),
    }
}

/// Adopts or releases an object and returns it if it is the parent's now. One that somebody else changes
/// meanwhile is judged again as it is then; one that is gone is left alone.
pub(crate) async fn reclaim(
    ctx: &Context,
    (parent, selector): (&Object, &ChildSelector),
    resource: &Resource,
    object: Arc<Object>,
    change: Change,
) -> Result<Option<Arc<Object>>, SyncError> {
    let (client, key, uid) = (&ctx.means.client, object.key(), object.meta().uid.clone());
    let verb = if change == Change::Adopt { "adopt" } else { "release" };
    let failed = |source| call(format!("{verb} {} {key}", resource.gvk.kind))(source);
    let mut object = object;
    for _ in 0..TRIES {
        let value = with_change(&object, parent, change);
        // All of it, with the version that was judged: a change in between is refused, not overwritten.
        match client.update(resource, &key, Part::Main, value.to_string()).await {
            Ok(written) => {
                ctx.expect(&parent.key(), Written::stored(resource, &written));
                return Ok((change == Change::Adopt).then(|| Arc::new(client.lean(written))));
            }
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(failed(error)),
        }
        let live = match client.get(resource, &key).await {
            Ok(live) if live.meta().uid == uid => Arc::new(client.lean(live)),
            Ok(_) => return Ok(None),
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let Claims { mut owned, adopt, release } = claim(parent, selector, [live]);
        let still = if change == Change::Adopt { adopt } else { release };
        match still.into_iter().next() {
            Some(live) => object = live,
            None => return Ok(owned.pop()),
        }
    }
    Ok(None)
}

fn with_change(object: &Object, parent: &Object, change: Change) -> Value {
    let mut value = object.to_value();
    let mut owners = value["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
    match change {
        Change::Adopt => owners.push(owner_reference(parent, Ownership::Controller)),
        Change::Release => owners.retain(|owner| owner["uid"] != parent.meta().uid.as_str()),
    }
    value["metadata"]["ownerReferences"] = owners.into();
    value
}
