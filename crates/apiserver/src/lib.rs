//! The embedded Kubernetes-compatible API server.
//!
//! Pure modules know names, schemas, defaults, selectors and error texts; the store keeps objects and the
//! events that led to them; HTTP, TLS and controllers are shells around the backend.

mod admission;
mod backend;
mod convert;
mod crd;
mod dns;
mod error;
mod field;
mod lifecycle;
mod pack;
mod registry;
mod schema;
mod store;
mod strategic;

pub use backend::{Backend, DeleteOptions, Deleted, Part, Propagation};
pub use error::{ApiError, Reason};
pub use store::{Event, EventKind, Subscription};
