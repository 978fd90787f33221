//! Pure: what a host answers by itself, and what it makes of a request before the function sees it.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header, request};

/// The header by which a worker says that the program failed.
pub(super) const FAILED: &str = "windlass-failed";

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
pub(super) fn preflight(headers: &HeaderMap, origin: &str) -> Response<Bytes> {
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
pub(super) fn allow(headers: &mut HeaderMap, origin: &str) {
    if let Ok(origin) = HeaderValue::from_str(origin) {
        headers.entry(header::ACCESS_CONTROL_ALLOW_ORIGIN).or_insert(origin);
    }
}

/// Returns an answer in plain text.
pub(super) fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Returns whether a body is JSON by its type: `application/json` or any type that ends in `+json`.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind =
        kind.and_then(|kind| kind.split(';').next()).map(|kind| kind.trim().to_ascii_lowercase());
    kind.is_some_and(|kind| kind == "application/json" || kind.ends_with("+json"))
}

/// Fills in the headers of an event from those of a CloudEvent, where there are none.
pub(super) fn name_event(headers: &mut HeaderMap) {
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
            assert_eq!(is_json(&head("GET", "/", Some(("content-type", kind))).headers), expected);
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
