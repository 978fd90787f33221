//! Deleting objects.

use std::sync::Arc;

use k8s::{Object, ObjectKey};

use crate::{
    backend::{Backend, DeleteOptions, Deleted},
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
        self.before_delete(registered, &mut before);
        let deleted = match deletion::plan(registered, &before, options, self.now()) {
            Deletion::Waiting => Deleted::Marked(convert::served(registered, &old)),
            Deletion::Remove if options.dry_run => Deleted::Gone(convert::served(registered, &old)),
            Deletion::Remove => Deleted::Gone(self.remove(registered, &old)),
            Deletion::Mark(value) if options.dry_run => {
                Deleted::Marked(Arc::new(Object::from_value(&value).map_err(ApiError::internal)?))
            }
            Deletion::Mark(value) => Deleted::Marked(self.commit(registered, value)?),
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

fn check_preconditions(
    registered: &Registered,
    old: &Object,
    options: &DeleteOptions,
) -> Result<(), ApiError> {
    let meta = old.meta();
    let why = match (&options.uid, &options.resource_version) {
        (Some(uid), _) if *uid != meta.uid => format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object \
             might have been deleted and then recreated",
            meta.uid
        ),
        (_, Some(version)) if *version != meta.resource_version => format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion \
             in record ({}). The object might have been modified",
            meta.resource_version
        ),
        _ => return Ok(()),
    };
    Err(ApiError::precondition(registered, &meta.name, &why))
}
