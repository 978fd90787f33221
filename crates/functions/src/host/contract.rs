//! Pure: what a host answers by itself, and what it makes of a request before the function sees it.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header, request};
use serde::de::IgnoredAny;

use super::{cloud_event, pool::Refusal};

/// The header by which a worker says that the program failed.
pub(crate) const FAILED: &str = "windlass-failed";

/// The headers of an event, and those of CloudEvents that stand for them.
const EVENT: [(&str, &str); 4] = [
    ("event-id", "ce-id"),
    ("event-type", "ce-type"),
    ("event-time", "ce-time"),
    ("event-namespace", "ce-source"),
];

/// Who answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// The host says whether the function can be called.
    Health,
    /// The host says what it counted.
    Metrics,
    /// The host tells a browser what pages of other origins may do.
    Preflight,
    /// The function.
    Function,
}

/// Returns who answers a request.
pub(super) fn route(head: &request::Parts, cors: Option<&str>) -> Route {
    let asks = matches!(head.method, Method::GET | Method::HEAD);
    match head.uri.path() {
        "/healthz" if asks => Route::Health,
        "/metrics" if asks => Route::Metrics,
        _ if cors.is_some()
            && head.method == Method::OPTIONS
            && head.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) =>
        {
            Route::Preflight
        }
        _ => Route::Function,
    }
}

/// Returns the answer to a browser that asks before it calls.
pub(crate) fn preflight(headers: &HeaderMap, origin: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    allow(response.headers_mut(), origin);
    for (asked, told) in [
        (header::ACCESS_CONTROL_REQUEST_METHOD, header::ACCESS_CONTROL_ALLOW_METHODS),
        (header::ACCESS_CONTROL_REQUEST_HEADERS, header::ACCESS_CONTROL_ALLOW_HEADERS),
    ] {
        if let Some(value) = headers.get(asked) {
            response.headers_mut().insert(told, value.clone());
        }
    }
    response
}

/// Lets pages of an origin read the answer.
pub(crate) fn allow(headers: &mut HeaderMap, origin: &str) {
    if let Ok(origin) = HeaderValue::from_str(origin) {
        headers.entry(header::ACCESS_CONTROL_ALLOW_ORIGIN).or_insert(origin);
    }
}

/// Returns an answer in plain text.
pub(crate) fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Returns the type of a body without its parameters, in lower case; empty if there is none.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim().to_ascii_lowercase()
}

/// Returns whether a body of a type is JSON: `application/json` or any type that ends in `+json`.
pub(crate) fn is_json(kind: &str) -> bool {
    kind == "application/json" || kind.ends_with("+json")
}

/// Makes of a request what a function gets: the data of a CloudEvent, and the headers that name an event.
///
/// # Errors
///
/// The status and the text of the answer to a request that the function cannot get.
pub(super) fn accept(
    headers: &mut HeaderMap,
    body: Bytes,
) -> Result<Bytes, (StatusCode, &'static str)> {
    if is_json(&media_type(headers)) && !body.is_empty() {
        let text = std::str::from_utf8(&body).ok();
        if text.is_none_or(|text| serde_json::from_str::<IgnoredAny>(text).is_err()) {
            return Err((StatusCode::BAD_REQUEST, "Invalid JSON"));
        }
    }
    let body =
        cloud_event::open(headers, body).ok_or((StatusCode::BAD_REQUEST, "Invalid CloudEvent"))?;
    name_event(headers);
    Ok(body)
}

/// Returns the answer to a call that no worker takes, and why none does if callers may know.
pub(super) fn refused(refusal: Refusal, failure: Option<&str>) -> Response<Bytes> {
    let (status, text) = match (refusal, failure) {
        (Refusal::Full, _) => {
            (StatusCode::TOO_MANY_REQUESTS, "Too many calls are waiting".to_owned())
        }
        (Refusal::Down, None) => {
            (StatusCode::SERVICE_UNAVAILABLE, "The function does not run".to_owned())
        }
        (Refusal::Down, Some(failure)) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("The function does not run: {failure}"))
        }
    };
    let mut response = plain(status, text);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Fills in the headers of an event from those of a CloudEvent, where there are none.
fn name_event(headers: &mut HeaderMap) {
    if headers.contains_key("event-id") {
        return;
    }
    for (own, cloud) in EVENT {
        if let Some(value) = headers.get(cloud).cloned() {
            headers.entry(HeaderName::from_static(own)).or_insert(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(method: &str, path: &str, header: Option<(&str, &str)>) -> request::Parts {
        let mut request = Request::builder().method(method).uri(path);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_host_answers_for_itself_only() {
        let asked = ("access-control-request-method", "PUT");
        for (method, path, header, cors, expected) in [
            ("GET", "/healthz", None, None, Route::Health),
            ("POST", "/healthz", None, None, Route::Function),
            ("GET", "/metrics?x", None, None, Route::Metrics),
            ("OPTIONS", "/", Some(asked), Some("*"), Route::Preflight),
            ("OPTIONS", "/", Some(asked), None, Route::Function),
            ("OPTIONS", "/", None, Some("*"), Route::Function),
            ("GET", "/a/b", None, None, Route::Function),
        ] {
            assert_eq!(route(&head(method, path, header), cors), expected, "{method} {path}");
        }
    }

    #[test]
    fn json_is_known_by_its_type() {
        for (kind, expected) in [
            ("application/json; charset=utf-8", true),
            ("Application/CloudEvents+JSON", true),
            ("text/json", false),
            ("text/plain", false),
        ] {
            let headers = head("GET", "/", Some(("content-type", kind))).headers;
            assert_eq!(is_json(&media_type(&headers)), expected, "{kind}");
        }
    }

    #[test]
    fn only_what_is_json_passes_for_it() {
        for (kind, body, is_accepted) in [
            ("application/json", &b"[1]"[..], true),
            ("application/json", b"", true),
            ("application/json", b"{", false),
            ("application/json", b"NaN", false),
            ("application/json", b"\"\xff\"", false),
            ("text/plain", b"{\xff", true),
        ] {
            let mut headers = head("POST", "/", Some(("content-type", kind))).headers;
            let accepted = accept(&mut headers, Bytes::from_static(body));
            assert_eq!(accepted.is_ok(), is_accepted, "{kind} {body:?}");
        }
    }

    #[test]
    fn a_cloud_event_is_named_like_any_other() {
        let mut headers = head("GET", "/", Some(("ce-source", "shop"))).headers;
        name_event(&mut headers);
        assert_eq!(headers["event-namespace"], "shop");
        let mut headers = head("GET", "/", Some(("event-id", "1"))).headers;
        headers.insert("ce-type", HeaderValue::from_static("x"));
        name_event(&mut headers);
        assert!(!headers.contains_key("event-type"));
    }
}
