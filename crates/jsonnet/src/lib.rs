//! The Jsonnet interpreter, its worker processes and the HTTP hook server.
//!
//! A hook program is a Jsonnet file whose value is a function of `request`. It is evaluated in worker
//! processes, because no interpreter can be stopped or bounded from inside.

mod bundle;
mod failure;
mod image;
mod interpreter;
mod resolve;
mod scan;

pub use bundle::{Revision, Variable, VariableValue};
pub use failure::{CallError, ErrorKind, LoadError};
pub use interpreter::Form;
