//! Who owns which fields after a write, and server-side apply.

use k8s::ObjectKey;
use serde_json::{Value, json};

use crate::{
    admission,
    backend::{Backend, Modify, Ownership, Part, WriteOptions, Written, text},
    convert,
    error::ApiError,
    managed::{self, Application, ApplyError, Author},
    registry::Registered,
};

impl Backend {
    /// Changes an object into what an author wants, as far as the author cares, or creates it.
    pub(crate) fn apply(
        &self,
        modify: Modify<'_>,
        author: Author<'_>,
        (wanted, force): (&Value, bool),
    ) -> Result<Written, ApiError> {
        let Modify { registered, key, part, options } = modify;
        let (name, namespace) = (text(wanted, "name"), text(wanted, "namespace"));
        check_place(key, name, namespace)?;
        // The name is always known to be wanted, or nothing of the metadata might be.
        let mut named = wanted.clone();
        named["metadata"]["name"] = json!(key.name);
        let now = self.now();
        let application = Application { registered, part, author, wanted: &named, force, now };
        let options = WriteOptions { ownership: Ownership::Decided, ..options };
        let _writer = self.0.store.writer();
        let Some(old) = self.0.store.get(&registered.storage, key) else {
            if part != Part::Main {
                return Err(ApiError::not_found(registered, &key.name));
            }
            if name.is_empty() {
                return Err(ApiError::bad_request(format!(
                    "the name of the object ({} based on URL) was undeterminable: name must be \
                     provided",
                    key.name
                )));
            }
            let value = applied(application, None)?;
            return self.create_applied(modify, options, value);
        };
        let live = convert::served_value(registered, &old);
        let value = applied(application, Some(&live))?;
        self.write(Modify { options, ..modify }, &old, value)
    }

    fn create_applied(
        &self,
        modify: Modify<'_>,
        options: WriteOptions<'_>,
        mut value: Value,
    ) -> Result<Written, ApiError> {
        let Modify { registered, key, .. } = modify;
        let uid = text(&value, "uid");
        if !uid.is_empty() {
            let why = format!(
                "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            );
            return Err(ApiError::conflict(registered, &key.name, &why));
        }
        // What is applied to an object that is gone meanwhile creates it anew.
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("resourceVersion");
        }
        self.create_locked(registered, &key.namespace, value, options)
    }

    /// Returns a new object without what is given to it from birth, if that is more than a status: it is nobody's.
    pub(super) fn ungifted(registered: &Registered, value: &Value) -> Option<Value> {
        let is_gifted = registered.is("", "namespaces") || registered.is("batch", "jobs");
        is_gifted.then(|| {
            let mut ungifted = value.clone();
            admission::complete(registered, &mut ungifted, false);
            ungifted
        })
    }

    /// Fills in what a new object has from birth and returns who owns what of it.
    pub(super) fn complete_new(
        &self,
        registered: &Registered,
        (value, ungifted): (&mut Value, Option<&Value>),
        (ownership, sent): (Ownership<'_>, Option<Value>),
    ) -> Option<Value> {
        admission::complete(registered, value, true);
        self.owners(registered, ownership, (None, None), (ungifted.unwrap_or(value), sent))
    }

    /// Returns who owns what of a value that is answered and not kept.
    pub(crate) fn first_owners(
        &self,
        registered: &Registered,
        ownership: Ownership<'_>,
        written: (&Value, Option<Value>),
    ) -> Option<Value> {
        self.owners(registered, ownership, (None, None), written)
    }

    /// Returns who owns what of a value that is about to be written.
    pub(super) fn owners(
        &self,
        registered: &Registered,
        ownership: Ownership<'_>,
        old: (Option<&Value>, Option<&Value>),
        (value, sent): (&Value, Option<Value>),
    ) -> Option<Value> {
        match ownership {
            Ownership::Decided => sent,
            Ownership::Take(author) => {
                managed::update(registered, author, old, (value, sent), self.now())
            }
        }
    }
}

/// Checks that what is wanted is the object of the URL, as far as it says.
fn check_place(key: &ObjectKey, name: &str, namespace: &str) -> Result<(), ApiError> {
    if !name.is_empty() && name != key.name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            key.name
        )));
    }
    if !namespace.is_empty() && namespace != key.namespace {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}

fn applied(application: Application<'_>, live: Option<&Value>) -> Result<Value, ApiError> {
    managed::apply(application, live).map_err(|error| match error {
        ApplyError::Conflicts(conflicts) => ApiError::apply_conflict(&conflicts),
        ApplyError::Untyped(why) => {
            let gvk = &application.registered.resource.gvk;
            let wanted = application.wanted;
            ApiError::untyped(format!(
                "failed to create typed patch object ({}/{}; {}/{}, Kind={}): {why}",
                text(wanted, "namespace"),
                text(wanted, "name"),
                gvk.group,
                gvk.version,
                gvk.kind
            ))
        }
    })
}
