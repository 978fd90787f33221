//! What the engine serves besides its work: metrics, health, readiness.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing};
use runtime::Metrics;
use tokio::{net::TcpListener, task::JoinSet};
use tracing::{info, warn};

use super::EngineError;

/// What is served at an address: what it is called, and its routes.
pub(crate) type Served<'a> = (&'a String, &'static str, Router);

/// Serves each of several at its address until the servers are dropped.
///
/// # Errors
///
/// [`EngineError::Listen`] for the first address that cannot be used.
pub(crate) async fn serve_all(all: &[Served<'_>]) -> Result<JoinSet<()>, EngineError> {
    let mut servers = JoinSet::new();
    for (address, what, routes) in all {
        let served = serve(&mut servers, address, (what, routes.clone())).await;
        served.map_err(|source| EngineError::Listen { address: (*address).clone(), source })?;
    }
    Ok(servers)
}

/// Serves on an address; `0` and nothing are nowhere.
///
/// # Errors
///
/// What the system says if the address cannot be used.
async fn serve(
    servers: &mut JoinSet<()>,
    address: &str,
    (what, routes): (&str, Router),
) -> io::Result<()> {
    if matches!(address, "0" | "") {
        return Ok(());
    }
    let listener = bind(address).await?;
    info!(address = %listener.local_addr()?, what, "serving");
    servers.spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            warn!(%error, "stopped to serve");
        }
    });
    Ok(())
}

/// Returns the route of metrics.
pub(crate) fn metrics(metrics: Metrics) -> Router {
    let text = |State(metrics): State<Metrics>| async move {
        let kind = [("content-type", "text/plain; version=0.0.4; charset=utf-8")];
        (kind, metrics.text())
    };
    Router::new().route("/metrics", routing::get(text)).with_state(metrics)
}

/// Returns the routes of health and readiness.
pub(crate) fn health(is_ready: Arc<AtomicBool>) -> Router {
    let readyz = |State(is_ready): State<Arc<AtomicBool>>| async move {
        if is_ready.load(Ordering::Relaxed) {
            return "ok".into_response();
        }
        let reason = "the API server's resources are not known yet";
        (StatusCode::SERVICE_UNAVAILABLE, reason).into_response()
    };
    Router::new()
        .route("/healthz", routing::get(|| async { "ok" }))
        .route("/readyz", routing::get(readyz))
        .with_state(is_ready)
}

/// Returns the routes of profiles, which a program without Go's runtime does not have.
pub(crate) fn profiles() -> Router {
    let answer = || async { (StatusCode::NOT_IMPLEMENTED, "profiles are not supported") };
    Router::new().route("/debug/pprof/{*profile}", routing::get(answer))
}

/// Listens on `host:port`; an empty host is every interface of both address families, if there are two.
async fn bind(address: &str) -> io::Result<TcpListener> {
    let Some(port) = address.strip_prefix(':') else { return TcpListener::bind(address).await };
    match TcpListener::bind(format!("[::]:{port}")).await {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            TcpListener::bind(format!("0.0.0.0:{port}")).await
        }
        bound => bound,
    }
}
