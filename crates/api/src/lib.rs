//! What the parts of windlass say to each other and to their users: resource types, hook requests and
//! answers, conditions, reasons and reports. Data and traits only, no I/O.
#![warn(missing_docs)]

pub mod composite;
mod hook;
pub mod names;
mod report;

pub use hook::{Hook, HookError, HookReply, HookRequest, SharedHook};
pub use report::{Happening, NoReport, Outcome, Report, SharedReport};
