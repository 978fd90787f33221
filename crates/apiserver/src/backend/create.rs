//! Creating objects.

use std::sync::Arc;

use k8s::{Object, ObjectKey};
use serde_json::{Value, json};

use crate::{
    admission,
    backend::{Backend, Ownership, Part, WriteOptions, Written, text},
    convert,
    error::ApiError,
    lifecycle, managed, prepare,
    registry::Registered,
    store::TooLarge,
};

/// How often a name is generated before that is given up.
const NAME_TRIES: usize = 8;

impl Backend {
    pub(crate) fn create_with(
        &self,
        registered: &Registered,
        namespace: &str,
        value: Value,
        options: WriteOptions<'_>,
    ) -> Result<Written, ApiError> {
        let writer = self.0.store.writer();
        let written = self.create_locked(registered, namespace, value, options);
        drop(writer);
        written
    }

    /// Creates an object while the caller is the only writer.
    pub(super) fn create_locked(
        &self,
        registered: &Registered,
        namespace: &str,
        mut value: Value,
        options: WriteOptions<'_>,
    ) -> Result<Written, ApiError> {
        options.warn(lifecycle::of_unknown_version(registered, options.validation, &value));
        lifecycle::identify(registered, namespace, &mut value)?;
        // Of what is not of its type nobody is said to own anything.
        let ownership = match options.ownership {
            Ownership::Take(_) if !managed::fits(registered, &value) => Ownership::Decided,
            ownership => ownership,
        };
        lifecycle::wipe(registered, &mut value);
        let sent = managed::take(&mut value);
        options.normalise(registered, &mut value)?;
        if !text(&value, "resourceVersion").is_empty() {
            let why = "resourceVersion should not be set on objects to be created";
            return Err(ApiError::failure(why));
        }
        self.check_place(registered, namespace, &value)?;
        options.warn(lifecycle::dedup_owners(&mut value));
        // A generated name comes too late for what depends on it to be the sender's.
        let ungifted = Self::ungifted(registered, &value);
        self.name(registered, namespace, &mut value)?;
        lifecycle::give_birth(registered, &mut value, &self.0.entropy.uid(), self.now());
        let managed =
            self.complete_new(registered, (&mut value, ungifted.as_ref()), (ownership, sent));
        self.admit(registered, &mut value)?;
        let name = text(&value, "name").to_owned();
        prepare::prepare(registered, Part::Main, (&mut value, None), self.now());
        prepare::drop_unkept(registered, &mut value);
        let mut errors = self.assign(registered, &mut value, None);
        // The reference gives out what is asked for before it looks at the rest.
        if errors.is_empty() {
            errors = self.check(registered, Part::Main, &value, None);
        }
        if !errors.is_empty() {
            return Err(ApiError::invalid(registered, &name, &errors));
        }
        let key = ObjectKey::new(namespace, &name);
        options.warn(admission::warnings(registered, Part::Main, &value, None));
        if let Some(existing) = self.0.store.get(&registered.storage, &key) {
            let deleting = existing.meta().is_deleting();
            return Err(ApiError::already_exists(registered, &name, deleting));
        }
        managed::put(&mut value, managed);
        let object = if options.dry_run {
            Arc::new(Object::from_value(&value).map_err(ApiError::internal)?)
        } else {
            let object = self.commit(registered, Part::Main, value)?;
            self.after_create(registered, &object)?;
            object
        };
        Ok(Written { object, created: true })
    }

    /// Writes a checked object and returns it as it is served.
    pub(super) fn commit(
        &self,
        registered: &Registered,
        part: Part,
        mut value: Value,
    ) -> Result<Arc<Object>, ApiError> {
        self.before_commit(registered, part, &mut value);
        convert::stored(registered, &mut value);
        // What is owned is told at a greater depth than it stands at: a deep object is kept without its owners.
        if k8s::json::is_too_deep(&value)
            && let Some(metadata) = value["metadata"].as_object_mut()
        {
            metadata.remove("managedFields");
        }
        if k8s::json::is_too_deep(&value) {
            let why = format!("nested deeper than {} levels", k8s::json::MAX_DEPTH);
            return Err(lifecycle::undecodable(registered, &why));
        }
        let object = self.0.store.put(&registered.storage, value, self.now());
        let object = object.map_err(|TooLarge| ApiError::object_too_large())?;
        Ok(convert::served(registered, &object))
    }

    /// Checks that the namespace is there and takes new objects.
    fn check_place(
        &self,
        registered: &Registered,
        namespace: &str,
        value: &Value,
    ) -> Result<(), ApiError> {
        self.check_definition(registered, text(value, "name"))?;
        if !registered.resource.is_namespaced() {
            return Ok(());
        }
        if namespace.is_empty() {
            return Err(ApiError::bad_request("an empty namespace may not be set during creation"));
        }
        let found = self.namespace(namespace);
        let Some(found) = found else { return Err(ApiError::namespace_not_found(namespace)) };
        if found.meta().is_deleting() {
            return Err(ApiError::terminating(registered, text(value, "name"), namespace));
        }
        Ok(())
    }

    fn name(
        &self,
        registered: &Registered,
        namespace: &str,
        value: &mut Value,
    ) -> Result<(), ApiError> {
        let base = text(value, "generateName").to_owned();
        if !text(value, "name").is_empty() || base.is_empty() {
            return Ok(());
        }
        let mut name = String::new();
        for _ in 0..NAME_TRIES {
            name = lifecycle::generated_name(&base, &self.0.entropy.bytes());
            let key = ObjectKey::new(namespace, &name);
            if self.0.store.get(&registered.storage, &key).is_none() {
                value["metadata"]["name"] = json!(name);
                return Ok(());
            }
        }
        Err(ApiError::name_not_generated(registered, &name))
    }
}
