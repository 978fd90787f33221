//! Requests that are about the server itself.

use http::Method;
use serde_json::{Value, json};

use crate::{
    error::ApiError,
    http::{
        Call,
        respond::{self, Answer},
        route::Route,
    },
};

pub(crate) fn handle(call: &Call, route: &Route) -> Result<Answer, ApiError> {
    if !matches!(call.method, Method::GET | Method::HEAD) {
        return Err(match route {
            Route::Unknown => ApiError::page_not_found(),
            _ => ApiError::method_not_allowed(),
        });
    }
    match route {
        Route::Version => Ok(respond::value(200, &version(), call.wanted)),
        Route::Health => Ok(respond::text(200, "ok")),
        Route::Index => Ok(respond::value(200, &index(call), call.wanted)),
        Route::Windlass(path) if path == "requests" => {
            let requests = json!({"requests": call.core.requests.all()});
            Ok(respond::value(200, &requests, call.wanted))
        }
        _ => Err(ApiError::page_not_found()),
    }
}

fn version() -> Value {
    let own = env!("CARGO_PKG_VERSION");
    json!({
        "major": "1",
        "minor": "36",
        "emulationMajor": "1",
        "emulationMinor": "36",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35",
        "gitVersion": format!("v1.36.0+windlass.{own}"),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, platform_arch()),
    })
}

fn platform_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn index(call: &Call) -> Value {
    let registry = call.backend().registry();
    let mut paths: Vec<String> = [
        "/api",
        "/apis",
        "/healthz",
        "/livez",
        "/openapi/v2",
        "/openapi/v3",
        "/readyz",
        "/version",
    ]
    .map(ToOwned::to_owned)
    .into();
    for registered in registry.all() {
        let version = registered.resource.gvk.group_version();
        paths.push(version.path());
        if !version.group.is_empty() {
            paths.push(format!("/apis/{}", version.group));
        }
    }
    paths.sort();
    paths.dedup();
    json!({"paths": paths})
}
