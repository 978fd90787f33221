//! Finding Services: what a person said, what runs in this process, endpoints that can be reached, other names.

mod endpoint;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, RwLock},
};

use k8s::{
    GroupVersion, ObjectKey, Reached, ServiceEntry, ServiceHandler, ServicePort, Unreachable,
};
use serde_json::Value;

use crate::backend::Backend;

/// Knows where Services are, beyond what their endpoints tell.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    entries: Vec<ServiceEntry>,
    handlers: Handlers,
}

/// The Services that are answered in this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handlers(Arc<RwLock<HashMap<ObjectKey, Arc<dyn ServiceHandler>>>>);

/// Keeps a Service answered in this process; when it is dropped, its endpoints count again.
pub struct Registration {
    key: ObjectKey,
    handlers: Handlers,
}

/// Stands on the slices of a Service.
const SERVICE_OF_SLICE: &str = "kubernetes.io/service-name";

impl Directory {
    pub(crate) fn new(mut entries: Vec<ServiceEntry>) -> Self {
        entries.sort_by_key(|entry| !entry.is_exact());
        Self { entries, handlers: Handlers::default() }
    }

    /// Has a Service answered in this process.
    pub(crate) fn register(
        &self,
        key: ObjectKey,
        handler: Arc<dyn ServiceHandler>,
    ) -> Registration {
        let mut handlers = self.handlers.0.write().expect("the lock of handlers is never poisoned");
        handlers.insert(key.clone(), handler);
        Registration { key, handlers: self.handlers.clone() }
    }

    /// Returns where a port of a Service is reached; nothing if there is no such Service.
    pub(crate) fn find(
        &self,
        backend: &Backend,
        wanted: &ServicePort,
    ) -> Result<Option<Reached>, Unreachable> {
        if let Some(reached) = self.entries.iter().find_map(|entry| entry.find(wanted)) {
            return Ok(Some(reached));
        }
        let key = ObjectKey::new(&wanted.namespace, &wanted.name);
        let (handler, service) = (self.handlers.get(&key), stored(backend, ("", "services"), &key));
        if let Some(handler) = handler {
            let ports = service.as_ref().map_or(&Value::Null, |service| &service["spec"]["ports"]);
            // A handler knows nothing of ports; in a cluster nobody would listen at others.
            return match endpoint::refused(ports, &wanted.port) {
                None => Ok(Some(Reached::Handler(handler))),
                Some(why) => Err(Unreachable { namespace: key.namespace, name: key.name, why }),
            };
        }
        let Some(service) = service else { return Ok(None) };
        let slices = slices(backend, &key);
        let pods = backend.settings().networks.pods;
        let authority = endpoint::find(&service, &slices, &wanted.port, pods);
        authority.map(|it| Some(Reached::Authority(it))).map_err(|why| Unreachable {
            namespace: key.namespace,
            name: key.name,
            why,
        })
    }
}

impl Handlers {
    fn get(&self, key: &ObjectKey) -> Option<Arc<dyn ServiceHandler>> {
        self.0.read().expect("the lock of handlers is never poisoned").get(key).cloned()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut handlers = self.handlers.0.write().expect("the lock of handlers is never poisoned");
        handlers.remove(&self.key);
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registration({:?})", self.key)
    }
}

fn stored(backend: &Backend, (group, plural): (&str, &str), key: &ObjectKey) -> Option<Value> {
    let registry = backend.registry();
    let registered = registry.by_path(&GroupVersion::new(group, "v1"), plural)?;
    backend.store().get(&registered.storage, key).map(|object| object.to_value())
}

fn slices(backend: &Backend, service: &ObjectKey) -> Vec<Value> {
    let registry = backend.registry();
    let slices = GroupVersion::new("discovery.k8s.io", "v1");
    let Some(registered) = registry.by_path(&slices, "endpointslices") else { return vec![] };
    let all = backend.store().list(&registered.storage, &service.namespace).objects;
    let of_service = all.iter().filter(|slice| {
        slice.meta().labels.get(SERVICE_OF_SLICE).is_some_and(|name| *name == service.name)
    });
    of_service.map(|slice| slice.to_value()).collect()
}
