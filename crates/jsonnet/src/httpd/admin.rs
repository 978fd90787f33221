//! The admin listener: health, readiness and what is known of the routes.

use std::sync::{Arc, atomic::Ordering};

use axum::{Router, body::Body, extract::State, routing};
use bytes::Bytes;
use http::{Response, StatusCode, header};
use serde_json::json;

use super::{Server, answer};
use crate::runtime::RouteStatus;

/// Returns the routes of the admin listener.
pub(super) fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/healthz", routing::get(|| async { body(answer::text(StatusCode::OK, "ok")) }))
        .route("/readyz", routing::get(readyz))
        .route("/routes", routing::get(routes))
        .route("/metrics", routing::get(metrics))
        .with_state(server)
}

async fn readyz(State(server): State<Arc<Server>>) -> Response<Body> {
    let draining = server.draining.load(Ordering::Relaxed);
    let reasons = not_ready(&server.runtime.status_all(), draining);
    body(if reasons.is_empty() {
        answer::text(StatusCode::OK, "ok")
    } else {
        answer::text(StatusCode::SERVICE_UNAVAILABLE, &reasons.join("\n"))
    })
}

/// Says why requests should go elsewhere.
fn not_ready(routes: &[RouteStatus], draining: bool) -> Vec<String> {
    let broken = routes.iter().filter(|status| status.revision.is_none()).map(|status| {
        let reason = status.error.as_ref().map(ToString::to_string);
        format!("route /{} is not loaded: {}", status.route, reason.unwrap_or_default())
    });
    let draining = draining.then(|| "shutting down".to_owned());
    draining.into_iter().chain(broken).collect()
}

async fn routes(State(server): State<Arc<Server>>) -> Response<Body> {
    let routes = server.runtime.status_all();
    let routes: Vec<_> = routes.iter().map(describe).collect();
    let mut response = Response::new(Body::from(format!("{}\n", json!(routes))));
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn describe(status: &RouteStatus) -> serde_json::Value {
    json!({
        "route": format!("/{}", status.route),
        "file": status.file,
        "revision": status.revision,
        "loadedAt": status.loaded_at.map(|at| at.to_string()),
        "lastError": status.error.as_ref().map(ToString::to_string),
        "calls": status.calls,
        "failures": status.failures,
        "fenced": status.fenced,
    })
}

async fn metrics() -> Response<Body> {
    body(answer::text(StatusCode::NOT_IMPLEMENTED, "metrics are not supported yet"))
}

fn body(response: Response<Bytes>) -> Response<Body> {
    response.map(Body::from)
}
