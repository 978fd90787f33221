//! Functions: source text in a resource becomes a web service, and thus a hook.
//!
//! `controller` makes the objects of each Function: ConfigMap, Service and Deployment. Their pods run the same
//! `host` everywhere: in a cluster as containers, on this machine as processes that `executor` starts. What is
//! made of a Function is decided in `function`, `objects` and `status`, which are pure.
//!
//! No program of a user ever runs in this process: each runs in workers that can be killed.

mod archive;
mod choice;
mod config;
mod container;
mod content;
mod controller;
mod executor;
mod fleet;
mod function;
mod gateway;
mod handler;
mod host;
mod install;
mod interpreters;
mod journal;
mod launch;
mod leftovers;
mod live;
mod local;
mod mounts;
mod needs;
mod objects;
mod plan;
mod pods;
mod preparation;
mod prepare;
mod runtimes;
mod shims;
mod status;
mod store;
mod table;
mod triggers;
mod unpack;
mod writes;

pub use container::{
    ContainerError, EQUIP_ARGUMENT, HOST_ARGUMENT, PREPARE_ARGUMENT, equip_pod, prepare_pod,
    serve_pod,
};
pub use controller::{Functions, Offer, Options, Served};
pub use executor::{ExecutorOptions, FunctionExecutor};
pub use fleet::Fleet;
pub use gateway::{Gateway, Routes};
pub use host::{End, Health, Host, Log, Means, Settings, SettingsError, Totals};
pub use interpreters::{Interpreter, Interpreters};
pub use launch::{LAUNCH_ARGUMENT, Launcher, launch_main};
pub use local::{Local, LocalError, LocalMeans};
pub use objects::Surroundings;
pub use preparation::PrepareError;
pub use runtimes::{Language, Policy, Version, built_in_runtimes};
pub use shims::{JSONNET_ARGUMENT, jsonnet_main};
pub use triggers::{CALL_ARGUMENT, CallError, Means as TriggerMeans, Triggers, call_function};
