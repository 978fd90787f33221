//! What the listener answers.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Query, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use engine::{AskError, Engine, Outlook, ParentOutlook, Step};
use k8s::{GroupVersionKind, ObjectKey};
use serde_json::{Value, json};

use super::Asked;

/// Returns the routes for an engine, for those who know the token.
pub(super) fn routes(engine: Engine, token: &str) -> Router {
    let token: Arc<str> = format!("Bearer {token}").into();
    Router::new()
        .route("/control/v1/status", get(status))
        .route("/control/v1/syncs", get(last_syncs).post(sync))
        .route("/control/v1/outlooks", axum::routing::post(outlooks))
        .with_state(engine)
        .layer(middleware::from_fn_with_state(token, check))
}

async fn check(State(token): State<Arc<str>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    if given.is_some_and(|given| is_equal(given, token.as_bytes())) {
        return next.run(request).await;
    }
    (StatusCode::UNAUTHORIZED, Json(json!({"error": "unknown token"}))).into_response()
}

/// Compares in a time that does not tell where a difference is.
fn is_equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

async fn status(State(engine): State<Engine>) -> Response {
    Json(json!({"controllers": engine.controllers().await})).into_response()
}

async fn last_syncs(State(engine): State<Engine>, Query(asked): Query<Asked>) -> Response {
    let (kind, key) = parent(&asked);
    Json(json!({"syncs": engine.last_syncs(&kind, &key)})).into_response()
}

async fn sync(State(engine): State<Engine>, Json(asked): Json<Asked>) -> Response {
    let (kind, key) = parent(&asked);
    answer(engine.sync_now(&kind, &key).await.map(|syncs| json!({"syncs": syncs})))
}

async fn outlooks(State(engine): State<Engine>, Json(asked): Json<Asked>) -> Response {
    let (kind, key) = parent(&asked);
    let outlooks = engine.outlook(&kind, &key, asked.wish.as_ref()).await;
    answer(
        outlooks
            .map(|outlooks| json!({"outlooks": outlooks.iter().map(outlook).collect::<Vec<_>>()})),
    )
}

fn outlook(each: &ParentOutlook) -> Value {
    let ParentOutlook { controller_kind, controller, outlook } = each;
    let Outlook { steps, problems, .. } = outlook;
    let step = |step: &Step| {
        let Step { verb, kind, key, reason, before, after } = step;
        json!({"verb": verb, "apiVersion": kind.api_version(), "kind": kind.kind,
            "namespace": key.namespace, "name": key.name, "reason": reason,
            "before": before, "after": after})
    };
    json!({"controllerKind": controller_kind, "controller": controller, "problems": problems,
        "steps": steps.iter().map(step).collect::<Vec<_>>()})
}

fn parent(asked: &Asked) -> (GroupVersionKind, ObjectKey) {
    let kind = GroupVersionKind::new(&asked.api_version, &asked.kind);
    (kind, ObjectKey::new(&asked.namespace, &asked.name))
}

fn answer(result: Result<Value, AskError>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(error) => {
            let code = match error {
                AskError::NoController(_) | AskError::NoParent(_) => StatusCode::NOT_FOUND,
                AskError::Paused(_) => StatusCode::CONFLICT,
                AskError::Late(_) => StatusCode::GATEWAY_TIMEOUT,
                AskError::Outlook(_)
                | AskError::Sync(_)
                | AskError::Discovery(_)
                | AskError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            };
            (code, Json(json!({"error": k8s::in_one_line(&error)}))).into_response()
        }
    }
}
