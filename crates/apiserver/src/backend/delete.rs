//! Deleting objects.

use std::sync::Arc;

use k8s::{Object, ObjectKey};
use serde_json::Value;

use crate::{
    backend::{Backend, DeleteOptions, Deleted, Part},
    convert,
    error::ApiError,
    lifecycle::deletion::{self, Deletion},
    registry::Registered,
};

/// The namespaces that cannot be deleted.
const IMMORTAL: &[&str] = &["default", "kube-public", "kube-system"];

impl Backend {
    pub(crate) fn delete_with(
        &self,
        registered: &Registered,
        key: &ObjectKey,
        options: &DeleteOptions,
    ) -> Result<Deleted, ApiError> {
        let _writer = self.0.store.writer();
        self.delete_locked(registered, key, options)
    }

    /// Deletes an object while the caller is the only writer.
    pub(super) fn delete_locked(
        &self,
        registered: &Registered,
        key: &ObjectKey,
        options: &DeleteOptions,
    ) -> Result<Deleted, ApiError> {
        if registered.is("", "namespaces") && IMMORTAL.contains(&key.name.as_str()) {
            let why = "this namespace may not be deleted";
            return Err(ApiError::forbidden(registered, &key.name, why));
        }
        let old = self.stored(registered, key)?;
        check_preconditions(registered, &old, options)?;
        let mut before = convert::served_value(registered, &old);
        Self::before_delete(registered, &mut before);
        let deleted = match deletion::plan(registered, &before, options, self.now()) {
            Deletion::Waiting => Deleted::Marked(convert::served(registered, &old)),
            Deletion::Remove if options.dry_run => Deleted::Gone(convert::served(registered, &old)),
            Deletion::Remove => Deleted::Gone(self.remove(registered, &old)),
            Deletion::MarkAndRemove(value) if options.dry_run => Deleted::Gone(unwritten(&value)?),
            Deletion::MarkAndRemove(value) => {
                self.commit(registered, Part::Main, value)?;
                let marked = self.stored(registered, key)?;
                Deleted::Gone(self.remove(registered, &marked))
            }
            Deletion::Mark(value) if options.dry_run => Deleted::Marked(unwritten(&value)?),
            Deletion::Mark(value) => {
                let marked = self.commit(registered, Part::Main, value)?;
                self.after_mark(registered, key)?;
                Deleted::Marked(marked)
            }
        };
        Ok(deleted)
    }

    /// Removes a kept object and returns its last state as it is served.
    pub(super) fn remove(&self, registered: &Registered, old: &Arc<Object>) -> Arc<Object> {
        let object = self.0.store.remove(&registered.storage, old, self.now());
        self.after_remove(registered, &object);
        convert::served(registered, &object)
    }
}

/// Returns an object as it would be, had it been written.
fn unwritten(value: &Value) -> Result<Arc<Object>, ApiError> {
    Object::from_value(value).map(Arc::new).map_err(ApiError::internal)
}

fn check_preconditions(
    registered: &Registered,
    old: &Object,
    options: &DeleteOptions,
) -> Result<(), ApiError> {
    let meta = old.meta();
    let (field, wanted, found) = match (&options.uid, &options.resource_version) {
        (Some(uid), _) if *uid != meta.uid => ("UID", uid, &meta.uid),
        (_, Some(version)) if *version != meta.resource_version => {
            ("ResourceVersion", version, &meta.resource_version)
        }
        _ => return Ok(()),
    };
    if deletion::is_marked_apart(registered) {
        let why = format!(
            "Precondition failed: {field} in precondition: {wanted}, {field} in object meta: {found}"
        );
        return Err(ApiError::conflict(registered, &meta.name, &why));
    }
    let guess = if field == "UID" { "deleted and then recreated" } else { "modified" };
    let why = format!(
        "the {field} in the precondition ({wanted}) does not match the {field} in record \
         ({found}). The object might have been {guess}"
    );
    Err(ApiError::precondition(registered, &meta.name, &why))
}
