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

/// Serves on an address; `0` and nothing are nowhere.
///
/// # Errors
///
/// What the system says if the address cannot be used.
pub(crate) async fn serve(
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
