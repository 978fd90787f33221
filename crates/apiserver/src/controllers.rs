//! The controllers inside the server: workloads, the simulated node, garbage, namespaces, definitions.
//!
//! What each decides is a pure function from observed objects to actions. One shell follows the store, without
//! HTTP and without polling, and is idle while there is nothing to do.

mod action;
mod addresses;
mod changes;
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

/// Starts the controllers of a server, after making the simulated node known.
///
/// Must be called within a Tokio runtime.
///
/// # Errors
///
/// What the server answered when the node was written.
pub fn spawn(backend: Backend) -> Result<ControllersHandle, ApiError> {
    register_node(&backend)?;
    Ok(ControllersHandle(tokio::spawn(shell::Shell::new(backend).run())))
}

impl Drop for ControllersHandle {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Creates the simulated node, unless it is there from before.
fn register_node(backend: &Backend) -> Result<(), ApiError> {
    let name = k8s::ObjectKey::new("", node::NAME);
    if backend.get(&kinds::NODES, &name).is_ok() {
        return Ok(());
    }
    backend.create(&kinds::NODES, node::simulated(backend.clock().now())).map(|_| ())
}
