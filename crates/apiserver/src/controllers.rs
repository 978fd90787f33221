//! The controllers inside the server: workloads, the simulated node, garbage, namespaces, definitions.
//!
//! What each decides is a pure function from observed objects to actions. One shell follows the store, without
//! HTTP and without polling, and is idle while there is nothing to do.

mod action;
mod addresses;
mod changes;
pub(crate) mod chosen;
mod claim;
mod condition;
mod custom;
mod deployment;
mod garbage;
mod job;
pub(crate) mod kinds;
mod names;
mod namespace;
mod node;
mod parts;
mod plans;
mod pod;
mod queue;
mod replicaset;
mod requests;
mod scheduler;
mod service;
mod shell;
mod sim;
mod statefulset;
mod volume;
mod world;

use k8s::{Object, ObjectKey};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{backend::Backend, error::ApiError};

/// The running controllers. They stop when it is dropped, and when the server stops.
#[derive(Debug)]
pub struct ControllersHandle(JoinHandle<()>);

/// Starts the controllers of a server, after making the simulated nodes known.
///
/// Must be called within a Tokio runtime.
///
/// # Errors
///
/// What the server answered when the node was written.
pub fn spawn(backend: Backend) -> Result<ControllersHandle, ApiError> {
    for number in 0..backend.settings().nodes {
        register_node(&backend, number)?;
    }
    Ok(ControllersHandle(tokio::spawn(shell::Shell::new(backend).run())))
}

impl Drop for ControllersHandle {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Creates the node of an executor, unless it is there from before.
pub(crate) fn register_executor_node(backend: &Backend, executor: &str) -> Result<(), ApiError> {
    // What does not ask for the executor is not to end up there.
    let taint = json!({"key": "windlass.dev/executor", "value": executor, "effect": "NoSchedule"});
    create_node(backend, &node::of_executor(executor), &[taint])
}

/// Returns whether a pod is to be run by this executor.
pub(crate) fn belongs_to(pod: &Object, executor: &str) -> bool {
    match world::executor(pod) {
        Some(named) => named == executor,
        None => pod.to_value()["spec"]["nodeName"] == node::of_executor(executor),
    }
}

/// Creates a simulated node, unless it is there from before.
fn register_node(backend: &Backend, number: u16) -> Result<(), ApiError> {
    create_node(backend, &node::name(number), &[])
}

fn create_node(backend: &Backend, name: &str, taints: &[Value]) -> Result<(), ApiError> {
    if backend.get(&kinds::NODES, &ObjectKey::new("", name)).is_ok() {
        return Ok(());
    }
    let pods = backend.settings().networks.pods;
    let mut node = node::simulated(name, pods, backend.clock().now());
    if !taints.is_empty() {
        node["spec"]["taints"] = json!(taints);
    }
    backend.create(&kinds::NODES, node).map(|_| ())
}
