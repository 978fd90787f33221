//! The engine: runs controllers that are functions.
//!
//! A CompositeController names a parent type, child types and hooks. The engine watches them, asks the
//! hook what a parent's children and status should be, plans the difference in pure functions and carries
//! it out through `runtime`. It never talks to a socket itself, a hook never sees a client, and the
//! planner never awaits.

mod answer;
mod context;
mod controller;
mod desired;
mod error;
mod instance;
mod manager;
mod observe;
mod plan;
mod request;
mod selector;
mod status;
mod sync;
mod trial;
mod types;

pub use controller::{Controller, ControllerError, check};
pub use manager::{Engine, EngineOptions};
