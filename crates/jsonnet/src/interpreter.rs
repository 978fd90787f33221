//! The one interpreter behind a narrow trait, so that the rest of the crate knows no values of it.

mod natives;
mod report;
mod rsjsonnet;
mod values;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub(crate) use rsjsonnet::Session;

use crate::{bundle::Bundle, failure::CallError};

/// Which JSON text a call returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// Several lines, indented by three spaces, with a newline at the end.
    #[default]
    Pretty,
    /// One line.
    Compact,
}

/// What a program answers to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A string, as it is.
    Text(String),
    /// Any other value, as JSON in one line.
    Json(String),
}

/// One call of `std.trace`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trace {
    /// The file and line of the call.
    pub(crate) place: String,
    pub(crate) message: String,
}

/// A loaded program that can be called again and again.
pub(crate) trait Interpreter: Sized {
    /// Parses every file of the bundle and checks it statically, but evaluates nothing.
    fn load(bundle: Arc<Bundle>) -> Result<Self, CallError>;

    /// Evaluates the program with `request` and returns the result as JSON text.
    ///
    /// After an error the program is spent: values under evaluation stay so for ever.
    fn call(&mut self, request: &[u8], form: Form) -> Result<String, CallError>;

    /// Takes what the program traced since it was last asked.
    fn take_traces(&mut self) -> Vec<Trace>;

    /// Takes the top-level arguments found undeclared since it was last asked.
    fn take_undeclared(&mut self) -> Vec<String>;

    /// Frees what the last call left behind.
    fn recycle(&mut self);
}

#[cfg(test)]
mod tests;
