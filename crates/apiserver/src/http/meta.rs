//! Requests that are about the server itself.

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use k8s::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    discovery::{self, Root},
    error::ApiError,
    http::{
        Call, measure,
        media::{self, Encoding},
        respond::{self, Answer},
        route::Route,
        token,
    },
    openapi,
};

pub(crate) fn handle(call: &Call, route: &Route) -> Result<Answer, ApiError> {
    if !matches!(call.method, Method::GET | Method::HEAD) {
        return Err(match route {
            Route::Unknown => ApiError::page_not_found(),
            _ => ApiError::method_not_allowed(),
        });
    }
    let registry = call.backend().registry();
    let all = registry.all();
    let json = |value: &Value| Ok(respond::value(200, value, call.wanted));
    let or_nothing = |value: Option<Value>| match value {
        Some(value) => json(&value),
        None => Err(ApiError::page_not_found()),
    };
    match route {
        Route::Version => json(&version()),
        Route::Health => Ok(health()),
        Route::Index => json(&index(call)),
        Route::CoreVersions => groups(call, Root::Core),
        Route::Groups => groups(call, Root::Groups),
        Route::Group(name) => or_nothing(discovery::group(all, name)),
        Route::Resources(version) => or_nothing(discovery::resources(all, version)),
        Route::OpenApiV3 => json(&registry.openapi().index()),
        Route::OpenApiDocument(path) => openapi_document(call, path),
        Route::OpenApiV2 => swagger(call),
        Route::Metrics => Ok(measure::answer(&call.core)),
        Route::KeySet => Ok(token::key_set(call)),
        Route::OpenIdConfiguration => Ok(token::configuration(call)),
        _ => Err(ApiError::page_not_found()),
    }
}

fn health() -> Answer {
    let mut answer = respond::text(200, "ok");
    let nosniff = HeaderValue::from_static("nosniff");
    answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    answer
}

/// Answers with everything below a root: one document of it all if that is asked for, else the groups.
fn groups(call: &Call, root: Root) -> Result<Answer, ApiError> {
    let registry = call.backend().registry();
    let accept = call.header(header::ACCEPT);
    let Some(form) = discovery_form(accept) else {
        return Err(ApiError::not_acceptable(&["application/json", "application/yaml"]));
    };
    let version = match form {
        Form::Aggregated(version) => version,
        Form::Plain => {
            let value = match root {
                Root::Core => discovery::core_versions(call.header(header::HOST)),
                Root::Groups => discovery::groups(registry.all()),
            };
            let mut answer = respond::value(200, &value, call.wanted);
            vary(&mut answer);
            return Ok(answer);
        }
    };
    let text = discovery::aggregated(registry.all(), root, version).to_string();
    let media_type =
        format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
    let mut answer = tagged(call, &media_type, text.into());
    vary(&mut answer);
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
    Ok(answer)
}

/// In which form discovery is wanted.
enum Form {
    Plain,
    /// As one document of this version.
    Aggregated(&'static str),
}

fn discovery_form(accept: &str) -> Option<Form> {
    if accept.trim().is_empty() {
        return Some(Form::Plain);
    }
    media::accepted_types(accept).into_iter().find_map(|(kind, parameters)| {
        let get = |name| parameters.iter().find(|it| it.0 == name).map_or("", |it| it.1);
        let known = ["application/json", "application/yaml", "application/*", "*/*"];
        if !known.contains(&kind.as_str()) {
            return None;
        }
        match (get("as"), get("g"), get("v")) {
            ("", ..) => Some(Form::Plain),
            ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2") => Some(Form::Aggregated("v2")),
            ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2beta1") => {
                Some(Form::Aggregated("v2beta1"))
            }
            _ => None,
        }
    })
}

/// Answers with a document and its hash, or only says that the client has it already.
fn tagged(call: &Call, media_type: &str, text: Bytes) -> Answer {
    let tag = format!("\"{}\"", openapi::hash(&text));
    let known = call.header(header::IF_NONE_MATCH).split(',').any(|it| it.trim() == tag);
    let mut answer = if known {
        respond::bytes(304, media_type, "")
    } else {
        respond::bytes(200, media_type, text)
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answer.headers_mut().insert(header::ETAG, tag);
    }
    answer
}

/// Answers with a document of one group and version, which clients may keep if they name its hash.
fn openapi_document(call: &Call, path: &str) -> Result<Answer, ApiError> {
    let registry = call.backend().registry();
    let document = registry.openapi().document(path).ok_or_else(ApiError::page_not_found)?;
    let json = Encoding::Json.media_type();
    match call.query.get("hash") {
        "" => Ok(tagged(call, json, document.json.clone())),
        hash if hash == document.hash => {
            let mut answer = tagged(call, json, document.json.clone());
            let headers = answer.headers_mut();
            let forever = HeaderValue::from_static("public, immutable");
            headers.insert(header::CACHE_CONTROL, forever);
            if let Ok(expires) = HeaderValue::from_str(&in_a_year(call.backend().clock().now())) {
                headers.insert(header::EXPIRES, expires);
            }
            Ok(answer)
        }
        _ => {
            let mut answer = respond::bytes(301, json, "");
            let current = format!("/openapi/v3/{path}?hash={}", document.hash);
            if let Ok(current) = HeaderValue::from_str(&current) {
                answer.headers_mut().insert(header::LOCATION, current);
            }
            Ok(answer)
        }
    }
}

const SWAGGER: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// Answers with the older description of everything, which some clients take as protobuf only.
fn swagger(call: &Call) -> Result<Answer, ApiError> {
    let registry = call.backend().registry();
    let json = Encoding::Json.media_type();
    let accept = call.header(header::ACCEPT);
    // The at sign is how clients wrote the type before it turned out to be no valid one.
    let accepted = media::accepted_types(accept).into_iter().find_map(|(kind, _)| {
        match kind.replace("spec.v2@v1.0", "spec.v2.v1.0").as_str() {
            SWAGGER => Some((SWAGGER, &registry.swagger().protobuf)),
            "" | "application/json" | "application/*" | "*/*" => {
                Some((json, &registry.swagger().json))
            }
            _ => None,
        }
    });
    let (kind, text) = accepted.ok_or_else(|| ApiError::not_acceptable(&[json, SWAGGER]))?;
    let mut answer = tagged(call, kind, text.clone());
    vary(&mut answer);
    Ok(answer)
}

fn in_a_year(now: Timestamp) -> String {
    let year = SignedDuration::from_hours(365 * 24);
    let then = now.checked_add(year).unwrap_or(now);
    then.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn vary(answer: &mut Answer) {
    answer.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
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
    let fixed = [
        "/.well-known/openid-configuration",
        "/api",
        "/apis",
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/openid/v1/jwks",
        "/readyz",
        "/version",
    ];
    let mut paths: Vec<String> = fixed.map(ToOwned::to_owned).into();
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
