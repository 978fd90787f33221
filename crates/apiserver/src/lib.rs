//! The embedded Kubernetes-compatible API server.

mod dns;
mod field;
mod schema;
