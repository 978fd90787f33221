//! The one shell of all controllers: client, caches, work queue, applier and events.
//!
//! Decisions are made elsewhere, in pure functions; here is what talks to an API server, keeps copies of
//! its objects, hands out work, and writes what was decided. Retries, deadlines and limits live here, once.

mod applier;
mod bucket;
mod cache;
mod client;
mod discovery;
mod election;
mod error;
mod events;
mod lease;
mod limit;
mod metrics;
mod queue;
mod writes;

pub use applier::{Applied, Applier, Write, WriteKind, Written};
pub use cache::{Cache, Caches, Change, ListError, Subscription};
pub use client::{Client, ClientOptions, ConnectError, ManagedFields, Part, PatchType};
pub use discovery::{Discovered, Discovery, DiscoveryError};
pub use election::{Election, Leadership};
pub use error::{ApiError, Status};
pub use events::{Event, EventKind, EventLimits, Events};
pub use metrics::{Labels, Metric, MetricKind, Metrics, Sample, Source, USUAL_BOUNDS};
pub use queue::{Item, Queue};
pub use writes::{Expectations, Shown};
