//! How hooks are called: webhooks over HTTP, and Jsonnet programs in worker processes.
//!
//! The engine knows only the trait `api::Hook`; which transport a call takes is decided here, by URL. Files at
//! URLs, behind `api::Fetch`, are got by the same connections.

mod fetch;
mod proxied;
mod proxies;
mod router;
mod tls;
mod trace;
mod webhook;

pub use router::Router;
pub use webhook::Webhooks;
