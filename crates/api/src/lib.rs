//! What the parts of windlass say to each other and to their users: resource types, hook requests and
//! answers, conditions, reasons and reports. Data and traits only, no I/O.
#![warn(missing_docs)]

pub mod composite;
pub mod controller;
pub mod decorator;
pub mod definition;
mod fetch;
pub mod function;
mod hook;
mod login;
pub mod names;
mod report;
pub mod revision;
pub mod trigger;

pub use fetch::{Fetch, FetchError, FetchRequest, SharedFetch};
pub use hook::{
    Connecting, Hook, HookError, HookProgram, HookReply, HookRequest, HookTls, HookTrace,
    ProgramError, ProgramSource, SharedHook,
};
pub use login::without_login;
pub use report::{Happening, NoReport, Outcome, Report, SharedReport};
