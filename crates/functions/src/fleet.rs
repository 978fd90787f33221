//! The hosts that answer for each Function of this process, and the Services that lead to them.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use http::{Request, Response};
use http_body_util::Full;
use k8s::{ObjectKey, ServiceBody, ServiceHandler, ServiceRegistration, ServiceRegistry};

use crate::host::{Host, down};

/// The hosts of all Functions. Clones share them.
#[derive(Clone)]
pub struct Fleet(Arc<Shared>);

struct Shared {
    registry: Arc<dyn ServiceRegistry>,
    functions: RwLock<HashMap<ObjectKey, Entry>>,
    turn: AtomicUsize,
}

struct Entry {
    hosts: Vec<Member>,
    /// The version that answers: the one that became ready last. Others only end what they began.
    hash: String,
    _registration: ServiceRegistration,
}

/// The host of one pod.
struct Member {
    pod: String,
    hash: String,
    host: Arc<Host>,
}

/// One Function as others see it.
#[derive(Clone)]
struct Endpoint {
    fleet: Fleet,
    function: ObjectKey,
}

impl Fleet {
    /// Returns a fleet without hosts, whose Services are answered through `registry`.
    pub fn new(registry: Arc<dyn ServiceRegistry>) -> Self {
        let functions = RwLock::default();
        Self(Arc::new(Shared { registry, functions, turn: AtomicUsize::new(0) }))
    }

    /// Returns a host of a Function's latest version, each in its turn.
    pub fn host(&self, function: &ObjectKey) -> Option<Arc<Host>> {
        let functions = self.0.functions.read().expect("the lock of a fleet is never poisoned");
        let Entry { hosts, hash, .. } = functions.get(function)?;
        let count = hosts.iter().filter(|member| member.hash == *hash).count();
        let turn = self.0.turn.fetch_add(1, Ordering::Relaxed) % count.max(1);
        let mut latest = hosts.iter().filter(|member| member.hash == *hash);
        // A version that is taken back leaves those of the one before it.
        let member = latest.nth(turn).or(hosts.last())?;
        Some(Arc::clone(&member.host))
    }

    /// Adds the host of a pod, whose version answers from now on.
    pub(crate) fn join(&self, function: &ObjectKey, (pod, hash): (&str, &str), host: &Arc<Host>) {
        let mut functions =
            self.0.functions.write().expect("the lock of a fleet is never poisoned");
        let entry = functions.entry(function.clone()).or_insert_with(|| {
            let endpoint = Endpoint { fleet: self.clone(), function: function.clone() };
            let registration = self.0.registry.serve(function.clone(), Arc::new(endpoint));
            Entry { hosts: Vec::new(), hash: String::new(), _registration: registration }
        });
        if !entry.hosts.iter().any(|member| member.pod == pod) {
            hash.clone_into(&mut entry.hash);
            let (pod, hash, host) = (pod.to_owned(), hash.to_owned(), Arc::clone(host));
            entry.hosts.push(Member { pod, hash, host });
        }
    }

    /// Takes the host of a pod out. The Service stays with the others; without any it is found no more.
    pub(crate) fn leave(&self, function: &ObjectKey, pod: &str) -> Option<Arc<Host>> {
        let mut functions =
            self.0.functions.write().expect("the lock of a fleet is never poisoned");
        let entry = functions.get_mut(function)?;
        let place = entry.hosts.iter().position(|member| member.pod == pod)?;
        let Member { host, .. } = entry.hosts.remove(place);
        if entry.hosts.is_empty() {
            functions.remove(function);
        }
        Some(host)
    }
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fleet")
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.function)
    }
}

impl ServiceHandler for Endpoint {
    fn handle(&self, request: Request<Bytes>) -> BoxFuture<'static, Response<ServiceBody>> {
        let host = self.fleet.host(&self.function);
        async move {
            match host {
                Some(host) => host.handle(request.map(Full::new)).await,
                None => down(),
            }
        }
        .boxed()
    }
}
