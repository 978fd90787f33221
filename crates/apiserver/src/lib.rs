//! The embedded Kubernetes-compatible API server.
//!
//! Pure modules know names, schemas, defaults, selectors and error texts; the store keeps objects and the
//! events that led to them; HTTP, TLS and controllers are shells around the backend.

mod addresses;
mod admission;
mod audit;
mod backend;
mod bootstrap;
mod controllers;
mod convert;
mod coverage;
mod crd;
mod defaults;
mod discovery;
mod dns;
mod dump;
mod duplicates;
mod entropy;
mod error;
mod executors;
mod expiry;
mod faults;
mod field;
mod fields;
mod furniture;
mod http;
mod kubeconfig;
mod lifecycle;
mod list;
mod listen;
mod managed;
mod metrics;
mod network;
mod openapi;
mod pack;
mod prepare;
mod protobuf;
mod quantity;
mod registry;
mod requests;
mod rules;
mod schema;
mod sent;
mod server;
mod services;
mod settings;
mod snapshot;
mod store;
mod strategic;
mod swagger;
mod table;
mod tls;
mod tokens;
mod typed;
mod user;
mod warnings;
mod watch;
mod whereabouts;

pub use backend::{Backend, DeleteOptions, Deleted, Part, Propagation};
pub use controllers::{
    ControllersHandle,
    chosen::{Controllers, UnknownController},
    spawn,
};
pub use error::{ApiError, Reason};
pub use executors::ExecutorRegistration;
pub use faults::{Fault, FaultAction, FaultMatch, FaultRule, FaultStatus, Faults};
pub use http::{respond::Body, service::ApiService};
pub use listen::{Endpoint, Listen, ListenError};
pub use network::{Cidr, NetworkError, Networks, parse_ports};
pub use requests::RequestRecord;
pub use server::{ApiServer, Builder, StartError};
pub use services::Registration;
pub use settings::Settings;
pub use snapshot::Snapshot;
pub use store::{Event, EventKind, Subscription};
pub use tls::TlsError;
pub use tokens::TokenError;
pub use user::User;
