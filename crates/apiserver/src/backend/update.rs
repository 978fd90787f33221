//! Changing objects.

use std::sync::Arc;

use k8s::{Object, ObjectKey};
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
        lifecycle::identify(registered, namespace, &mut value)?;
        check_name(name, &value)?;
        let _writer = self.0.store.writer();
        let Some(old) = self.0.store.get(&registered.storage, key) else {
            if part == Part::Main && registered.update.creates() {
                if let Some(metadata) = value["metadata"].as_object_mut() {
                    metadata.remove("resourceVersion");
                }
                return self.create_locked(registered, namespace, value, options);
            }
            return Err(ApiError::not_found(registered, name));
        };
        check_version(registered, &value)?;
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
        let value = change(&convert::served_value(modify.registered, &old))?;
        self.write(modify, &old, value)
    }

    pub(super) fn write(
        &self,
        modify: Modify<'_>,
        old: &Arc<Object>,
        mut value: Value,
    ) -> Result<Written, ApiError> {
        let Modify { registered, key, part, options } = modify;
        let name = &key.name;
        check_preconditions(registered, old, &value)?;
        let sent = managed::take(&mut value);
        let mut warnings = admission::normalise(registered, &mut value, options.validation)?;
        let mut before = convert::served_value(registered, old);
        let held = managed::take(&mut before);
        update::limit(registered, part, &before, &mut value);
        warnings.extend(lifecycle::dedup_owners(&mut value));
        admission::complete(registered, &mut value, false);
        let places = (Some(&before), held.as_ref());
        let managed = self.owners(registered, options.ownership, places, (&value, sent));
        update::revert(registered, part, &before, &mut value);
        if part == Part::Main && registered.is("", "pods") {
            pods::readmit(&mut value, &before);
        }
        prepare::prepare(registered, part, (&mut value, Some(&before)), self.now());
        let mut errors = self.assign(registered, &mut value, Some(&before));
        errors.extend(self.check(registered, part, &value, Some(&before)));
        if !errors.is_empty() {
            return Err(ApiError::invalid(registered, name, &errors));
        }
        warnings.extend(admission::warnings(registered, part, &value));
        if part == Part::Main {
            update::count_generation(registered, &before, &mut value);
        }
        prepare::drop_unkept(registered, &mut value);
        let is_same =
            update::is_same(&before, &value) && managed::is_same(held.as_ref(), managed.as_ref());
        managed::put(&mut value, managed);
        let object = if deletion::is_done(registered, &value) && !options.dry_run {
            self.remove(registered, old)
        } else if is_same {
            convert::served(registered, old)
        } else if options.dry_run {
            Arc::new(Object::from_value(&value).map_err(ApiError::internal)?)
        } else {
            self.commit(registered, value)?
        };
        Ok(Written { object, created: false, warnings })
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
        return Err(ApiError::invalid(registered, text(value, "name"), &[error]));
    }
    Ok(())
}

fn check_preconditions(
    registered: &Registered,
    old: &Object,
    value: &Value,
) -> Result<(), ApiError> {
    let name = &old.meta().name;
    let uid = text(value, "uid");
    if !uid.is_empty() && uid != old.meta().uid {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            old.meta().uid
        );
        return Err(ApiError::conflict(registered, name, &why));
    }
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
