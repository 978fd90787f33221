//! The API over HTTP: paths, media types, headers and bodies around the backend.

pub(crate) mod apply;
pub(crate) mod authenticate;
pub(crate) mod body;
pub(crate) mod collection;
pub(crate) mod compress;
pub(crate) mod harm;
pub(crate) mod log;
pub(crate) mod measure;
pub(crate) mod media;
pub(crate) mod meta;
pub(crate) mod patch;
pub(crate) mod proxy;
pub(crate) mod query;
pub(crate) mod resource;
pub(crate) mod respond;
pub(crate) mod review;
pub(crate) mod route;
pub(crate) mod scale;
pub(crate) mod service;
pub(crate) mod shape;
pub(crate) mod subresource;
pub(crate) mod token;
pub(crate) mod watch;
pub(crate) mod windlass;
pub(crate) mod write;

use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderMap, Method,
    header::{self, HeaderName},
};

use crate::{
    audit::AuditLog,
    backend::{Backend, WriteOptions},
    error::ApiError,
    faults::Faults,
    http::{media::Wanted, proxy::Forwarder, query::Query},
    requests::RequestLog,
    services::Directory,
    snapshot::Snapshots,
    tokens::Signer,
    user::User,
    warnings::Warnings,
};

/// What all requests to one server share.
pub(crate) struct Core {
    pub(crate) backend: Backend,
    pub(crate) requests: RequestLog,
    pub(crate) faults: Faults,
    pub(crate) signer: Signer,
    pub(crate) services: Directory,
    pub(crate) forwarder: Forwarder,
    pub(crate) audit: Option<AuditLog>,
    pub(crate) snapshots: Snapshots,
}

/// One request, its body read.
pub(crate) struct Call {
    pub(crate) core: Arc<Core>,
    pub(crate) user: User,
    pub(crate) method: Method,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) wanted: Wanted,
    pub(crate) body: Bytes,
    pub(crate) warnings: Arc<Warnings>,
}

impl Call {
    pub(crate) fn backend(&self) -> &Backend {
        &self.core.backend
    }

    /// Returns the options of a write; `kind` names them in errors.
    pub(crate) fn write_options(&self, kind: &str) -> Result<WriteOptions<'_>, ApiError> {
        let options = self.query.write_options(kind, self.header(header::USER_AGENT))?;
        Ok(WriteOptions { warnings: Some(&self.warnings), ..options })
    }

    /// Returns a header as text, empty if it is missing or no text.
    pub(crate) fn header(&self, name: HeaderName) -> &str {
        header(&self.headers, name)
    }
}

/// Returns a header as text, empty if it is missing or no text.
pub(crate) fn header(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
