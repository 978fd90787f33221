//! Gives pods to the executors that are registered and writes down what becomes of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

use futures::StreamExt as _;
use k8s::{Executor, Object, ObjectKey, Outcome, PodState};
use tokio::task::JoinHandle;
use tracing::debug;

use crate::{
    backend::{Backend, DeleteOptions, Part},
    controllers::{belongs_to, kinds, register_executor_node},
    error::ApiError,
    store::{EventKind, Subscription},
};

/// The executors that are there, by name. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Executors(Arc<Mutex<ByName>>);

type ByName = BTreeMap<String, Arc<dyn Executor>>;

/// Keeps an executor registered until it is dropped.
pub struct ExecutorRegistration {
    name: String,
    executors: Executors,
    task: JoinHandle<()>,
}

/// Pods on their way to one executor.
struct Driver {
    backend: Backend,
    name: String,
    executor: Arc<dyn Executor>,
    events: Subscription,
    /// The pods, by UID, that were started and not stopped.
    started: BTreeSet<String>,
    /// The pods, by UID, that were told to stop and are still there.
    stopping: BTreeSet<String>,
}

impl Executors {
    /// Registers an executor, with a node of its own, and gives it its pods.
    pub(crate) fn register(
        &self,
        backend: &Backend,
        name: &str,
        executor: Arc<dyn Executor>,
    ) -> Result<ExecutorRegistration, ApiError> {
        register_executor_node(backend, name)?;
        self.all().insert(name.to_owned(), Arc::clone(&executor));
        let driver = Driver {
            events: backend.subscribe(backend.revision()),
            backend: backend.clone(),
            name: name.to_owned(),
            executor,
            started: BTreeSet::new(),
            stopping: BTreeSet::new(),
        };
        let task = tokio::spawn(driver.run());
        Ok(ExecutorRegistration { name: name.to_owned(), executors: self.clone(), task })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.all().contains_key(name)
    }

    /// Returns the executor that runs a pod, with its name; nothing for a simulated one.
    pub(crate) fn of(&self, pod: &Object) -> Option<(String, Arc<dyn Executor>)> {
        let all = self.all();
        let (name, executor) = all.iter().find(|(name, _)| belongs_to(pod, name))?;
        Some((name.clone(), Arc::clone(executor)))
    }

    fn all(&self) -> MutexGuard<'_, ByName> {
        self.0.lock().expect("the lock of executors is never poisoned")
    }
}

impl Drop for ExecutorRegistration {
    fn drop(&mut self) {
        self.executors.all().remove(&self.name);
        self.task.abort();
    }
}

impl fmt::Debug for ExecutorRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExecutorRegistration({})", self.name)
    }
}

impl Driver {
    async fn run(mut self) {
        let mut outcomes = self.executor.outcomes();
        self.all();
        loop {
            tokio::select! {
                event = self.events.next() => match event {
                    Some(event) if *event.resource == **kinds::PODS => {
                        self.pod(&event.object, event.kind == EventKind::Deleted);
                    }
                    Some(_) => {}
                    None if *self.backend.stopping().borrow() => return,
                    None => {
                        self.events = self.backend.subscribe(self.backend.revision());
                        self.all();
                    }
                },
                Some(outcome) = outcomes.next() => {
                    let pod = outcome.pod.clone();
                    if let Err(error) = self.note(outcome) {
                        debug!(%pod, %error, "the outcome of a pod was not written");
                    }
                }
            }
        }
    }

    fn all(&mut self) {
        for pod in self.backend.list(&kinds::PODS, "") {
            self.pod(&pod, false);
        }
    }

    /// Starts a pod that is new, and stops one that is to go.
    fn pod(&mut self, pod: &Arc<Object>, is_gone: bool) {
        if !belongs_to(pod, &self.name) {
            return;
        }
        let uid = &pod.meta().uid;
        if is_gone {
            self.stopping.remove(uid);
        }
        if is_gone || pod.meta().is_deleting() {
            if self.started.remove(uid) {
                self.stopping.insert(uid.clone());
                self.executor.stop(pod.clone());
            } else if !is_gone && !self.stopping.contains(uid) {
                // It never ran, so nobody would say that it has stopped.
                let _ = self.gone(&pod.key(), uid.clone());
            }
        } else if self.started.insert(uid.clone()) {
            self.executor.start(pod.clone());
        }
    }

    fn note(&self, outcome: Outcome) -> Result<(), ApiError> {
        let Outcome { pod: key, uid, state } = outcome;
        let pod = self.backend.get(&kinds::PODS, &key)?;
        if pod.meta().uid != uid {
            return Ok(());
        }
        match state {
            PodState::Status(status) => {
                let mut value = pod.to_value();
                value["status"] = status;
                self.backend.update(&kinds::PODS, value, Part::Status).map(|_| ())
            }
            PodState::Stopped => self.gone(&key, uid),
        }
    }

    fn gone(&self, key: &ObjectKey, uid: String) -> Result<(), ApiError> {
        let options = DeleteOptions { grace: Some(0), uid: Some(uid), ..DeleteOptions::default() };
        self.backend.delete(&kinds::PODS, key, &options).map(|_| ())
    }
}
