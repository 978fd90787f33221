//! What some kinds need beyond the rules of all: namespaces and their first content, definitions, pods.

use std::{net::SocketAddr, sync::Arc};

use k8s::{Object, ObjectKey, Resource};
use serde_json::{Value, json};

use crate::{
    addresses::{self, Taken},
    admission::{
        self,
        pods::{self, Facts},
    },
    backend::{Backend, Ownership, Part, WriteOptions, text},
    convert,
    crd::{self, CustomVersion, TakenNames},
    error::ApiError,
    field::FieldError,
    furniture,
    lifecycle::{self, deletion, rfc3339, update},
    managed::Author,
    registry::{Registered, Registry},
    rules, whereabouts,
};

/// Keeps a definition until its objects are gone.
const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

impl Backend {
    pub(super) fn namespace(&self, name: &str) -> Option<Arc<Object>> {
        let namespaces = Resource::cluster("v1", "Namespace", "namespaces");
        self.0.store.get(&namespaces, &ObjectKey::new("", name))
    }

    /// Gives an object what is handed out by the server and returns what is wrong with its wishes.
    pub(super) fn assign(
        &self,
        registered: &Registered,
        value: &mut Value,
        old: Option<&Value>,
    ) -> Vec<FieldError> {
        if !registered.is("", "services") {
            return vec![];
        }
        let name = ObjectKey::new(text(value, "namespace"), text(value, "name"));
        let all = self.0.store.list(&registered.storage, "").objects;
        let others: Vec<_> =
            all.iter().filter(|it| it.key() != name).map(|it| it.to_value()).collect();
        addresses::assign(value, old, &Taken::by(&others), &self.0.settings.networks)
    }

    /// Returns what is wrong with a value that is about to be written.
    pub(super) fn check(
        &self,
        registered: &Registered,
        part: Part,
        value: &Value,
        old: Option<&Value>,
    ) -> Vec<FieldError> {
        let mut errors = admission::validate(registered, part, value, old);
        if self.0.settings.loopback_endpoints || whereabouts::tells(registered, value) {
            errors.retain(|error| !rules::is_about_loopback(error));
        }
        errors
    }

    /// Tells in the cluster where the server is reached; the first address stays the one that is told.
    pub(crate) fn announce(&self, address: SocketAddr) -> Result<(), ApiError> {
        if self.0.address.set(address).is_err() {
            return Ok(());
        }
        let key = whereabouts::key();
        for (resource, object) in whereabouts::objects(address) {
            let registered = self.registered(&resource)?;
            let author = Author { name: "kube-apiserver", subresource: "" };
            let options =
                WriteOptions { ownership: Ownership::Take(author), ..WriteOptions::default() };
            match self.create_with(&registered, &key.namespace, object, options) {
                // Somebody wrote it before there was a socket, or the controllers did just now; they put
                // right what is wrong with it.
                Err(error) if error.reason() == crate::Reason::AlreadyExists => {}
                created => drop(created?),
            }
        }
        Ok(())
    }

    /// Gives a new pod what it is given by what else is kept, or refuses it.
    pub(super) fn admit(&self, registered: &Registered, value: &mut Value) -> Result<(), ApiError> {
        if !registered.is("", "pods") {
            return Ok(());
        }
        let key = ObjectKey::new(text(value, "namespace"), pods::account_name(value));
        let account = self.0.store.get(&accounts(), &key).map(|it| it.to_value());
        let classes = self.0.store.list(&priority_classes(), "").objects;
        let classes: Vec<_> = classes.iter().map(|it| it.to_value()).collect();
        let volume = lifecycle::generated_name(pods::TOKEN_VOLUME, &self.0.entropy.bytes());
        let facts = Facts { account: account.as_ref(), classes: &classes, volume: &volume };
        pods::admit(value, &facts).map_err(|why| {
            // The reference refuses a pod before it makes up its name.
            let (name, base) = (text(value, "name"), text(value, "generateName"));
            let is_generated = !base.is_empty() && name.starts_with(base);
            ApiError::forbidden(registered, if is_generated { base } else { name }, &why)
        })
    }

    /// Gives a pod its node: a write that is nobody's and no change of what the pod is to be.
    pub(crate) fn bind(
        &self,
        registered: &Registered,
        key: &ObjectKey,
        binding: &Value,
        dry_run: bool,
    ) -> Result<(), ApiError> {
        let _writer = self.0.store.writer();
        let old = self.stored(registered, key)?;
        let uid = text(binding, "uid");
        if !uid.is_empty() && uid != old.meta().uid {
            let why = format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                old.meta().uid
            );
            return Err(ApiError::conflict(registered, &key.name, &why));
        }
        let mut pod = convert::served_value(registered, &old);
        lifecycle::pods::bind(&mut pod, binding, self.now())
            .map_err(|why| ApiError::binding_conflict(&key.name, &why))?;
        if !dry_run {
            self.commit(registered, Part::Main, pod)?;
        }
        Ok(())
    }

    /// Does what must be done before a checked object is written.
    pub(super) fn before_commit(&self, registered: &Registered, part: Part, value: &mut Value) {
        // Who writes a status may say anything; it is put right after that.
        if !admission::is_definition(registered) || part == Part::Status {
            return;
        }
        let others = self.definitions(value);
        let taken = TakenNames::of(value, &others);
        crd::set_conditions(value, &rfc3339(self.now()), &taken);
        // Who sees the definition established must already find what it defines.
        self.register(others.iter().chain([&*value]));
    }

    /// Puts the status of a definition right that somebody else wrote.
    pub(super) fn after_status(
        &self,
        registered: &Registered,
        key: &ObjectKey,
    ) -> Result<(), ApiError> {
        if !admission::is_definition(registered) {
            return Ok(());
        }
        let written = self.stored(registered, key)?.to_value();
        let mut right = written.clone();
        let taken = TakenNames::of(&right, &self.definitions(&right));
        crd::set_conditions(&mut right, &rfc3339(self.now()), &taken);
        if !update::is_same(&written, &right) {
            self.commit(registered, Part::Main, right)?;
        }
        Ok(())
    }

    pub(super) fn after_create(
        &self,
        registered: &Registered,
        object: &Arc<Object>,
    ) -> Result<(), ApiError> {
        if registered.is("", "namespaces") {
            self.furnish(&object.meta().name)?;
        }
        Ok(())
    }

    /// Checks that nothing forbids new custom resources of the definition.
    pub(super) fn check_definition(
        &self,
        registered: &Registered,
        name: &str,
    ) -> Result<(), ApiError> {
        let definition = ObjectKey::new("", &registered.qualified());
        let found = self.0.store.get(&definitions(), &definition);
        match found {
            Some(found) if registered.is_custom() && found.meta().is_deleting() => {
                let why = "create not allowed while custom resource definition is terminating";
                Err(ApiError::forbidden(registered, name, why))
            }
            _ => Ok(()),
        }
    }

    /// Makes a definition wait for the objects it defines.
    pub(super) fn before_delete(registered: &Registered, value: &mut Value) {
        let is_new = value.pointer("/metadata/deletionTimestamp").is_none();
        if !admission::is_definition(registered) || !is_new {
            return;
        }
        let metadata = &mut value["metadata"];
        if !metadata["finalizers"].is_array() {
            metadata["finalizers"] = json!([]);
        }
        if let Some(finalizers) = metadata["finalizers"].as_array_mut()
            && !finalizers.contains(&json!(CLEANUP))
        {
            finalizers.push(json!(CLEANUP));
        }
    }

    /// Lets a definition go that waits for objects although there are none.
    pub(super) fn after_mark(
        &self,
        registered: &Registered,
        key: &ObjectKey,
    ) -> Result<(), ApiError> {
        if !admission::is_definition(registered) {
            return Ok(());
        }
        let marked = self.stored(registered, key)?;
        let mut value = marked.to_value();
        if self.has_instances(&value) {
            return Ok(());
        }
        if let Some(finalizers) = value["metadata"]["finalizers"].as_array_mut() {
            finalizers.retain(|it| it != CLEANUP);
        }
        if deletion::is_done(registered, &value) {
            self.remove(registered, &marked);
        }
        Ok(())
    }

    /// Takes a removed definition out of service and gives its names to those that waited for them.
    pub(super) fn after_remove(&self, registered: &Registered, object: &Object) {
        if !admission::is_definition(registered) {
            return;
        }
        let gone = object.to_value();
        let mut left = self.definitions(&gone);
        self.register(&left);
        for version in crd::versions(&gone).unwrap_or_default().iter().filter(|it| it.storage) {
            self.0.store.close(&version.resource);
        }
        for index in 0..left.len() {
            let Some(mut waiting) = left.get(index).cloned() else { continue };
            let taken = TakenNames::of(&waiting, &left);
            crd::set_conditions(&mut waiting, &rfc3339(self.now()), &taken);
            if left.get(index).is_some_and(|before| !update::is_same(before, &waiting)) {
                if let Some(place) = left.get_mut(index) {
                    *place = waiting.clone();
                }
                self.register(&left);
                let now = self.now();
                let written = self.0.store.put(&registered.storage, waiting, now);
                debug_assert!(written.is_ok(), "a changed condition does not make it too large");
            }
        }
    }

    /// Serves what these definitions define.
    fn register<'a>(&self, definitions: impl IntoIterator<Item = &'a Value>) {
        let mut definitions: Vec<_> = definitions.into_iter().filter(|it| serves(it)).collect();
        definitions.sort_by_key(|it| it.pointer("/metadata/name").map(ToString::to_string));
        let custom = definitions.into_iter().flat_map(registered_versions).collect();
        let registry = Arc::new(Registry::new(custom));
        *self.0.registry.write().expect("the registry lock is never poisoned") = registry;
    }

    /// Serves what all definitions define that are there.
    pub(super) fn register_all(&self) {
        self.register(&self.definitions(&Value::Null));
    }

    /// Returns every definition but one.
    fn definitions(&self, but: &Value) -> Vec<Value> {
        let all = self.0.store.list(&definitions(), "").objects;
        let name = but.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        all.iter().filter(|it| it.meta().name != name).map(|it| it.to_value()).collect()
    }

    fn has_instances(&self, definition: &Value) -> bool {
        let versions = crd::versions(definition).unwrap_or_default();
        let mut stored = versions.iter().filter(|it| it.storage);
        stored.any(|it| !self.0.store.list(&it.resource, "").objects.is_empty())
    }

    /// Creates what every namespace has from the start.
    fn furnish(&self, namespace: &str) -> Result<(), ApiError> {
        let map = Resource::namespaced("v1", "ConfigMap", "configmaps");
        for (resource, value) in [
            (accounts(), furniture::account()),
            (map, furniture::certificate(&self.0.ca_certificate)),
        ] {
            let registered = self.registered(&resource)?;
            self.create_locked(&registered, namespace, value, WriteOptions::default())?;
        }
        Ok(())
    }
}

fn accounts() -> Resource {
    Resource::namespaced("v1", "ServiceAccount", "serviceaccounts")
}

fn priority_classes() -> Resource {
    Resource::cluster("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses")
}

fn definitions() -> Resource {
    Resource::cluster(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
    )
}

/// Returns whether what a definition defines is served.
fn serves(definition: &Value) -> bool {
    let conditions = definition.pointer("/status/conditions").and_then(Value::as_array);
    let established = |it: &Value| it["type"] == "Established" && it["status"] == "True";
    conditions.into_iter().flatten().any(established)
}

fn registered_versions(definition: &Value) -> Vec<Registered> {
    let versions = crd::versions(definition).unwrap_or_default();
    let Some(storage) = versions.iter().find(|it| it.storage) else { return vec![] };
    let storage = Arc::new(storage.resource.clone());
    let served = versions.into_iter().filter(|it: &CustomVersion| it.served);
    served.map(|version| Registered::custom(version, storage.clone())).collect()
}
