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
mod fields;
mod garbage;
mod job;
mod kinds;
mod names;
mod namespace;
mod node;
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

/// Creates a simulated node, unless it is there from before.
fn register_node(backend: &Backend, number: u16) -> Result<(), ApiError> {
    let name = k8s::ObjectKey::new("", &node::name(number));
    if backend.get(&kinds::NODES, &name).is_ok() {
        return Ok(());
    }
    let node = node::simulated(number, backend.settings().networks.pods, backend.clock().now());
    backend.create(&kinds::NODES, node).map(|_| ())
}
