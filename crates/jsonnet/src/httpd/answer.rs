//! Pure: what the hook server answers.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::json;

use crate::{
    bundle::Revision,
    failure::{CallError, ErrorKind},
    runtime::Evaluated,
};

const REVISION: &str = "x-windlass-revision";
const ERROR: &str = "x-windlass-error";

/// What a request says about the form of its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wishes {
    /// Errors are to be JSON.
    json_errors: bool,
    /// The entity tags that the caller has already.
    known: Vec<String>,
}

impl Wishes {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let values = |name| headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let items = |name| values(name).flat_map(|value| value.split(',')).map(str::trim);
        let is_json =
            |item: &str| item.split(';').next().is_some_and(|t| t.trim() == "application/json");
        Self {
            json_errors: items(header::ACCEPT).any(is_json),
            known: items(header::IF_NONE_MATCH).map(str::to_owned).collect(),
        }
    }
}

/// The route a request was for.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) route: String,
    pub(super) revision: Option<Revision>,
}

/// Answers with a computed value.
pub(super) fn value(evaluated: Evaluated, target: &Target, wishes: &Wishes) -> Response<Bytes> {
    let etag = format!("\"{}\"", evaluated.etag);
    let known = wishes.known.iter().any(|known| known.strip_prefix("W/").unwrap_or(known) == etag);
    let mut response = if known {
        respond(StatusCode::NOT_MODIFIED, Bytes::new())
    } else {
        let mut response = respond(StatusCode::OK, evaluated.json);
        set(&mut response, header::CONTENT_TYPE.as_str(), "application/json");
        response
    };
    set(&mut response, header::ETAG.as_str(), &etag);
    with_revision(response, Some(&evaluated.revision).or(target.revision.as_ref()))
}

/// Answers with the failure of a call.
pub(super) fn failure(error: &CallError, target: &Target, wishes: &Wishes) -> Response<Bytes> {
    let mut response = describe(status(error.kind), error, target, wishes);
    if error.kind == ErrorKind::Overload {
        set(&mut response, header::RETRY_AFTER.as_str(), "1");
    }
    response
}

/// Answers a request whose body is not taken.
pub(super) fn bad_body(
    status: StatusCode,
    message: &str,
    target: &Target,
    wishes: &Wishes,
) -> Response<Bytes> {
    describe(status, &CallError::new(ErrorKind::Request, message), target, wishes)
}

/// Answers a request for a known route that is not a call.
pub(super) fn refusal(status: StatusCode, message: &str, target: &Target) -> Response<Bytes> {
    let mut response = text(status, message);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        set(&mut response, header::ALLOW.as_str(), "POST");
    }
    with_revision(response, target.revision.as_ref())
}

fn describe(
    status: StatusCode,
    error: &CallError,
    target: &Target,
    wishes: &Wishes,
) -> Response<Bytes> {
    let mut response = if wishes.json_errors {
        let body = json!({"error": {
            "kind": error.kind.as_str(),
            "message": error.message(),
            "trace": error.trace().collect::<Vec<_>>(),
            "route": target.route,
            "revision": target.revision,
        }});
        let mut response = respond(status, format!("{body}\n").into());
        set(&mut response, header::CONTENT_TYPE.as_str(), "application/json");
        nosniff(response)
    } else {
        text(status, &error.text)
    };
    set(&mut response, ERROR, error.kind.as_str());
    with_revision(response, target.revision.as_ref())
}

/// Answers with a line of text.
pub(super) fn text(status: StatusCode, text: &str) -> Response<Bytes> {
    let mut response = respond(status, format!("{text}\n").into());
    set(&mut response, header::CONTENT_TYPE.as_str(), "text/plain; charset=utf-8");
    nosniff(response)
}

fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Request => StatusCode::BAD_REQUEST,
        ErrorKind::Overload => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Load
        | ErrorKind::Import
        | ErrorKind::Runtime
        | ErrorKind::Manifest
        | ErrorKind::Stack
        | ErrorKind::Memory => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn respond(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

fn nosniff(mut response: Response<Bytes>) -> Response<Bytes> {
    set(&mut response, header::X_CONTENT_TYPE_OPTIONS.as_str(), "nosniff");
    response
}

fn with_revision(mut response: Response<Bytes>, revision: Option<&Revision>) -> Response<Bytes> {
    if let Some(revision) = revision {
        set(&mut response, REVISION, revision.as_str());
    }
    response
}

fn set(response: &mut Response<Bytes>, name: &str, value: &str) {
    let name = header::HeaderName::from_bytes(name.as_bytes());
    if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target { route: "sync".to_owned(), revision: None }
    }

    #[test]
    fn errors_take_the_form_that_is_asked_for() {
        let error = CallError::new(ErrorKind::Runtime, "RUNTIME ERROR: boom\n\ta.jsonnet:1:2\t");
        let plain = failure(&error, &target(), &Wishes::default());
        assert_eq!(plain.body(), "RUNTIME ERROR: boom\n\ta.jsonnet:1:2\t\n");
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/html, application/json;q=1"));
        let json = failure(&error, &target(), &Wishes::of(&headers));
        let expected = json!({"error": {
            "kind": "runtime",
            "message": "RUNTIME ERROR: boom",
            "trace": ["a.jsonnet:1:2"],
            "route": "sync",
            "revision": null,
        }});
        assert_eq!(serde_json::from_slice::<serde_json::Value>(json.body()).unwrap(), expected);
        assert_eq!(json.headers()["x-windlass-error"], "runtime");
    }

    #[test]
    fn every_kind_has_its_status() {
        for (kind, status) in [
            (ErrorKind::Request, 400),
            (ErrorKind::Overload, 429),
            (ErrorKind::Memory, 500),
            (ErrorKind::Timeout, 504),
        ] {
            let response = failure(&CallError::new(kind, "x"), &target(), &Wishes::default());
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(response.headers().contains_key("retry-after"), status == 429);
            assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        }
    }
}
