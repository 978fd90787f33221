//! Lists and the deletion of whole collections.

use std::sync::Arc;

use k8s::ObjectKey;
use serde_json::{Value, json};

use crate::{
    convert,
    error::ApiError,
    http::{Call, media::Shape, query::Revision, respond::Answer, shape, write},
    list::{self, Continue, Filter, Page},
    registry::Registered,
    store::Snapshot,
};

const TOO_OLD: &str = "The resourceVersion for the provided list is too old.";
const CONTINUE_TOO_OLD: &str = "The provided continue parameter is too old to display a consistent \
    list result. You can start a new list without the continue parameter, or use the continue token \
    in this response to retrieve the remainder of the results. Continuing with the provided token \
    results in an inconsistent list - objects that were created, modified, or deleted between the \
    time the first chunk was returned and now may show up in the list.";

pub(crate) fn list(
    call: &Call,
    registered: &Arc<Registered>,
    namespace: &str,
) -> Result<Answer, ApiError> {
    let filter = Filter::parse(registered, namespace, "", &call.query)?;
    let wanted = call.query.list_revision()?;
    call.query.number("timeoutSeconds")?;
    let limit = match wanted {
        Revision::Any => 0,
        // A negative limit is none.
        _ => usize::try_from(call.query.number("limit")?.unwrap_or(0)).unwrap_or(0),
    };
    let from = match call.query.get("continue") {
        "" => None,
        token => Some(Continue::decode(token)?),
    };
    let snapshot = snapshot(call, registered, namespace, wanted, from.as_ref())?;
    let objects = snapshot.objects.iter().map(|it| convert::served(registered, it)).collect();
    let page = list::page(objects, &filter, from.as_ref().map(|it| &it.after), limit);
    shape::list(
        call,
        registered,
        &page.objects,
        &metadata(call, registered, &page, snapshot.revision),
    )
}

/// Deletes what a list would show and answers with that list, as it was before.
pub(crate) fn delete(
    call: &Call,
    registered: &Arc<Registered>,
    namespace: &str,
) -> Result<Answer, ApiError> {
    let filter = Filter::parse(registered, namespace, "", &call.query)?;
    let options = write::delete_options(call)?;
    let backend = call.backend();
    let Snapshot { objects, revision } = backend.store().list(&registered.storage, namespace);
    let objects = objects.iter().map(|it| convert::served(registered, it)).collect();
    let Page { objects, .. } = list::page(objects, &filter, None, 0);
    for object in &objects {
        match backend.delete_with(registered, &object.key(), &options) {
            // Somebody else was faster.
            Err(error) if error.code() == 404 => {}
            result => drop(result?),
        }
    }
    let metadata = last_page(call, registered, revision);
    shape::list(call, registered, &objects, &metadata)
}

fn snapshot(
    call: &Call,
    registered: &Registered,
    namespace: &str,
    wanted: Revision,
    from: Option<&Continue>,
) -> Result<Snapshot, ApiError> {
    let store = call.backend().store();
    let at = |revision| store.list_at(&registered.storage, namespace, revision);
    match (from, wanted) {
        (Some(Continue { revision: Some(revision), after }), _) => {
            let fresh = Continue { revision: None, after: ObjectKey::clone(after) };
            at(*revision).map_err(|_| ApiError::expired(CONTINUE_TOO_OLD, Some(fresh.encode())))
        }
        (None, Revision::Exact(revision)) => {
            at(revision).map_err(|_| ApiError::expired(TOO_OLD, None))
        }
        _ => Ok(store.list(&registered.storage, namespace)),
    }
}

/// Returns the metadata of a list after which nothing follows.
fn last_page(call: &Call, registered: &Registered, revision: u64) -> Value {
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    // Lists of custom resources are no Go structs, which would leave it out.
    if registered.is_custom() && call.wanted.shape == Shape::Plain {
        metadata["continue"] = json!("");
    }
    metadata
}

fn metadata(call: &Call, registered: &Registered, page: &Page, revision: u64) -> Value {
    let mut metadata = last_page(call, registered, revision);
    if let Some(after) = &page.more_after {
        let token = Continue { revision: Some(revision), after: after.clone() };
        metadata["continue"] = json!(token.encode());
    }
    if let Some(remaining) = page.remaining {
        metadata["remainingItemCount"] = json!(remaining);
    }
    metadata
}
