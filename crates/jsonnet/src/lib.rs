//! The Jsonnet interpreter, its worker processes and the HTTP hook server.
//!
//! A hook program is a Jsonnet file whose value is a function of `request`. It is evaluated in worker
//! processes, because no interpreter can be stopped or bounded from inside.

mod bundle;
mod closure;
mod failure;
pub mod flags;
pub mod httpd;
mod image;
mod in_place;
mod interpreter;
mod pool;
mod print;
mod resolve;
mod routes;
mod runtime;
mod scan;
mod watch;
mod wire;
mod worker;

pub use bundle::{Revision, Variable, VariableValue};
pub use closure::{GivenProgram, ProgramOptions};
pub use failure::{CallError, ErrorKind, LoadError};
pub use in_place::InPlace;
pub use interpreter::{Answer, Form};
pub use pool::WorkerCommand;
pub use routes::{RouteError, Routes};
pub use runtime::{Evaluated, RouteStatus, RouteVariables, Runtime, RuntimeOptions};
pub use watch::Change;
pub use worker::worker_main;

/// The first argument by which the binary knows that it is to be a worker.
pub const WORKER_ARGUMENT: &str = "__jsonnet-worker";
