//! Changing objects.

use std::sync::Arc;

use k8s::{Object, ObjectKey, Resource};
use serde_json::Value;

use crate::{
    admission::{self, pods},
    backend::{Backend, Part, WriteOptions, Written, text},
    convert,
    error::ApiError,
    field::FieldError,
    lifecycle::{self, deletion, update},
    managed, prepare,
    registry::Registered,
};

/// What is written, and how.
#[derive(Clone, Copy)]
pub(crate) struct Modify<'a> {
    pub(crate) registered: &'a Registered,
    pub(crate) key: &'a ObjectKey,
    pub(crate) part: Part,
    pub(crate) options: WriteOptions<'a>,
}

impl Backend {
    /// Replaces an object by the value sent, or creates it where that is allowed.
    pub(crate) fn replace(
        &self,
        modify: Modify<'_>,
        mut value: Value,
    ) -> Result<Written, ApiError> {
        let Modify { registered, key, part, options } = modify;
        let ObjectKey { namespace, name } = key;
        options.warn(lifecycle::of_unknown_version(registered, options.validation, &value));
        lifecycle::identify(registered, namespace, &mut value)?;
        check_name(name, &value)?;
        let _writer = self.0.store.writer();
        let Some(old) = self.0.store.get(&registered.storage, key) else {
            if part == Part::Main && registered.update.creates() {
                check_uid(registered, key, "", text(&value, "uid"))?;
                if let Some(metadata) = value["metadata"].as_object_mut() {
                    metadata.remove("resourceVersion");
                }
                return self.create_locked(registered, namespace, value, options);
            }
            return Err(ApiError::not_found(registered, name));
        };
        check_version(registered, &value)?;
        check_uid(registered, key, &old.meta().uid, text(&value, "uid"))?;
        self.write(modify, &old, value)
    }

    /// Changes an object by a function of its present value, as it is served.
    pub(crate) fn modify(
        &self,
        modify: Modify<'_>,
        change: impl FnOnce(&Value) -> Result<Value, ApiError>,
    ) -> Result<Written, ApiError> {
        let _writer = self.0.store.writer();
        let old = self.stored(modify.registered, modify.key)?;
        let mut value = change(&convert::served_value(modify.registered, &old))?;
        let patched = modify.options.sent.is_patch().then(|| value.clone());
        let sent = modify.options.sent.into(patched.as_ref());
        if sent.is_patch() {
            let validation = modify.options.validation;
            let unknown = lifecycle::of_unknown_version(modify.registered, validation, &value);
            modify.options.warn(unknown);
            lifecycle::check_patched(modify.registered, sent, &mut value)?;
        }
        let options = WriteOptions { sent, ..modify.options };
        self.write(Modify { options, ..modify }, &old, value)
    }

    pub(super) fn write(
        &self,
        modify: Modify<'_>,
        old: &Arc<Object>,
        mut value: Value,
    ) -> Result<Written, ApiError> {
        let Modify { registered, key, part, options } = modify;
        let name = &key.name;
        check_revision(registered, old, &value)?;
        let sent = managed::take(&mut value);
        options.normalise(registered, &mut value)?;
        let mut before = convert::served_value(registered, old);
        let held = managed::take(&mut before);
        // Judged as it was sent: below, the old values are put back.
        let fixed = update::fixed(part, &before, &value);
        update::limit(registered, part, &before, &mut value);
        options.warn(lifecycle::dedup_owners(&mut value));
        admission::complete(registered, &mut value, false);
        let places = (Some(&before), held.as_ref());
        let managed = self.owners(registered, options.ownership, places, (&value, sent));
        update::revert(registered, part, &before, &mut value);
        if part == Part::Main && registered.is("", "pods") {
            pods::readmit(&mut value, &before);
        }
        prepare::prepare(registered, part, (&mut value, Some(&before)), self.now());
        let mut errors = fixed;
        errors.extend(self.assign(registered, &mut value, Some(&before)));
        errors.extend(self.check(registered, part, &value, Some(&before)));
        if !errors.is_empty() {
            return Err(ApiError::invalid(registered, name, &errors));
        }
        options.warn(admission::warnings(registered, part, &value, Some(&before)));
        if part == Part::Main {
            update::count_generation(registered, &before, &mut value);
        }
        prepare::drop_unkept(registered, &mut value);
        // What changes nothing gets no new version and wakes no watch: controllers that write what is there
        // already come to rest.
        let is_same =
            update::is_same(&before, &value) && managed::is_same(held.as_ref(), managed.as_ref());
        managed::put(&mut value, managed);
        let object = if deletion::is_done(registered, &value) && !options.dry_run {
            self.remove(registered, old);
            // The answer shows what the write made of it, the event what was there.
            Arc::new(Object::from_value(&value).map_err(ApiError::internal)?)
        } else if is_same {
            convert::served(registered, old)
        } else if options.dry_run {
            Arc::new(Object::from_value(&value).map_err(ApiError::internal)?)
        } else {
            let object = self.commit(registered, part, value)?;
            if part == Part::Status {
                self.after_status(registered, key)?;
            }
            object
        };
        Ok(Written { object, created: false })
    }
}

fn check_name(name: &str, value: &Value) -> Result<(), ApiError> {
    match text(value, "name") {
        "" => Err(ApiError::bad_request(format!(
            "the name of the object ({name} based on URL) was undeterminable: name must be provided"
        ))),
        given if given == name => Ok(()),
        given => Err(ApiError::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        ))),
    }
}

/// Some resources may only be overwritten by those who know what they overwrite.
fn check_version(registered: &Registered, value: &Value) -> Result<(), ApiError> {
    if registered.update.is_versioned() && text(value, "resourceVersion").is_empty() {
        let why = "must be specified for an update";
        let error = FieldError::invalid("metadata.resourceVersion", 0, why);
        let name = text(value, "name");
        // Custom resources are called by their plural here, unlike anywhere else.
        return Err(if registered.is_custom() {
            let Resource { gvk, plural, .. } = &registered.resource;
            ApiError::invalid_kind(plural, &gvk.group, name, &[error])
        } else {
            ApiError::invalid(registered, name, &[error])
        });
    }
    Ok(())
}

/// Who sends a whole object may say which one it is to replace.
fn check_uid(
    registered: &Registered,
    key: &ObjectKey,
    uid: &str,
    wanted: &str,
) -> Result<(), ApiError> {
    if wanted.is_empty() || wanted == uid {
        return Ok(());
    }
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: /registry/{}/{}/{}, ResourceVersion: 0, \
         AdditionalErrorMsg: Precondition failed: UID in precondition: {wanted}, UID in object meta: \
         {uid}",
        registered.resource.plural, key.namespace, key.name
    );
    Err(ApiError::conflict(registered, &key.name, &why))
}

fn check_revision(registered: &Registered, old: &Object, value: &Value) -> Result<(), ApiError> {
    let name = &old.meta().name;
    let version = text(value, "resourceVersion");
    match version {
        "" | "0" => Ok(()),
        _ if version.parse::<u64>().is_err() => {
            let why = "must be specified as an unsigned integer";
            let error = FieldError::invalid("metadata.resourceVersion", version, why);
            Err(ApiError::invalid(registered, name, &[error]))
        }
        _ if version != old.meta().resource_version => Err(ApiError::stale(registered, name)),
        _ => Ok(()),
    }
}
