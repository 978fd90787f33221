//! What people do to Functions and their triggers: the verbs of the `kubeless` command.
//!
//! What is written and shown is decided in the pure files; [`server`] and [`files`] do what they say.

pub mod call;
pub mod description;
pub mod files;
pub mod listing;
pub mod logs;
pub mod metrics;
pub mod pairs;
pub mod parts;
pub mod runtimes;
pub mod server;
pub mod source;
pub mod trigger;
pub mod wish;
