//! Pure Kubernetes mechanics that every other crate stands on.
//!
//! Objects as JSON bytes with a metadata index, names of types, selectors, patches, JSONPath, YAML by
//! Go's rules, and the two traits time and quiet are seen through. No client and no server code.

mod activity;
pub mod apply;
mod chain;
mod clock;
mod duration;
mod executor;
mod gvk;
pub mod json;
pub mod jsonpath;
mod object;
pub mod patch;
pub mod selector;
mod service;
pub mod yaml;

pub use activity::{Activity, Lag, Revisions, Settle, TimerKind, Token, Unsettled};
pub use chain::in_one_line;
pub use clock::{Clock, SharedClock, SystemClock, VirtualClock};
pub use duration::{DurationError, parse_duration};
pub use executor::{Executor, LogLine, LoggedRun, Outcome, PodLog, PodState};
pub use gvk::{GroupVersion, GroupVersionKind, Resource, ResourceScope};
pub use jiff::{SignedDuration, Timestamp};
pub use object::{Meta, Object, ObjectError, ObjectKey, OwnerReference};
pub use service::{
    PortChoice, Reached, ServiceBody, ServiceEntry, ServiceEntryError, ServiceHandler, ServicePort,
    ServiceRegistration, ServiceRegistry, Services, Unreachable,
};
