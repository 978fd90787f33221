//! Answers: status, headers and bodies in the form that was asked for.

use bytes::Bytes;
use futures::Stream;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use serde_json::Value;
use tower::BoxError;

use crate::{
    error::{ApiError, Reason},
    http::media::{Encoding, Wanted},
};

/// The body of an answer.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// An answer before headers that every answer carries are added.
pub(crate) type Answer = Response<Body>;

/// Answers with a value.
pub(crate) fn value(code: u16, value: &Value, wanted: Wanted) -> Answer {
    let body = match wanted.encoding {
        Encoding::Yaml => k8s::yaml::to_string(value).into_bytes(),
        _ if wanted.pretty => serde_json::to_vec_pretty(value).unwrap_or_default(),
        _ => serde_json::to_vec(value).unwrap_or_default(),
    };
    bytes(code, wanted.encoding.media_type(), body)
}

/// The name of the object that an answer is about, for the log of requests: the path of a create has none.
#[derive(Clone, Debug)]
pub(crate) struct About(pub(crate) String);

/// Answers with JSON text that is already there, unless another form was asked for.
pub(crate) fn json(code: u16, text: &Bytes, wanted: Wanted) -> Answer {
    if wanted.encoding == Encoding::Json && !wanted.pretty {
        return bytes(code, Encoding::Json.media_type(), text.clone());
    }
    let parsed = serde_json::from_slice(text).unwrap_or(Value::Null);
    value(code, &parsed, wanted)
}

/// Answers with an error.
pub(crate) fn error(error: &ApiError, wanted: Wanted) -> Answer {
    if error.reason() == Reason::PageNotFound {
        let mut answer = bytes(404, "text/plain; charset=utf-8", format!("{error}\n"));
        let nosniff = HeaderValue::from_static("nosniff");
        answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
        return answer;
    }
    let mut answer = value(error.code(), &error.status(), wanted);
    answer.extensions_mut().insert(About(error.name().to_owned()));
    if let Some(seconds) = error.retry_after() {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

/// Answers with plain text.
pub(crate) fn text(code: u16, text: impl Into<Bytes>) -> Answer {
    bytes(code, "text/plain; charset=utf-8", text)
}

/// Answers with bytes of a media type.
pub(crate) fn bytes(code: u16, media_type: &str, body: impl Into<Bytes>) -> Answer {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed_unsync();
    respond(code, media_type, body)
}

/// Answers with a body that comes in pieces.
pub(crate) fn stream(
    media_type: &str,
    pieces: impl Stream<Item = Bytes> + Send + 'static,
) -> Answer {
    use futures::StreamExt as _;
    let frames = pieces.map(|piece| Ok::<_, BoxError>(Frame::data(piece)));
    respond(200, media_type, StreamBody::new(frames).boxed_unsync())
}

/// Adds warnings to an answer.
pub(crate) fn warn(answer: &mut Answer, warnings: &[String]) {
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(header) = HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()) {
            answer.headers_mut().append(header::WARNING, header);
        }
    }
}

fn respond(code: u16, media_type: &str, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(media_type) = HeaderValue::from_str(media_type) {
        answer.headers_mut().insert(header::CONTENT_TYPE, media_type);
    }
    answer
}
