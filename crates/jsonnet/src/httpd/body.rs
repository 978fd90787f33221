//! The body of a request: its size, its encoding, its strictness.

use std::io::Read;

use axum::body::Body;
use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::failure::{CallError, ErrorKind};

/// Bodies of this size are parsed where that keeps nobody waiting.
const LARGE: usize = 256 * 1024;

/// Why a body is not taken.
#[derive(Debug)]
pub(super) enum BodyError {
    /// It is not read, or not to its end.
    Refused(StatusCode, String),
    /// It is not JSON.
    Json(CallError),
}

/// Reads the body, at most `limit` bytes before and after it is unpacked, and checks that it is JSON.
pub(super) async fn read(request: Request<Body>, limit: usize) -> Result<Bytes, BodyError> {
    let encodings = request.headers().get_all(header::CONTENT_ENCODING);
    let encodings: Vec<_> = encodings.iter().map(|value| value.to_str().unwrap_or("?")).collect();
    let packed = match encodings.join(",").to_ascii_lowercase().as_str() {
        "" | "identity" => false,
        "gzip" | "x-gzip" => true,
        other => {
            let message = format!("content encoding {other} is not supported");
            return Err(BodyError::Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
    };
    let body = Limited::new(request.into_body(), limit).collect().await;
    let body = body.map_err(|error| {
        if error.is::<LengthLimitError>() {
            too_large(limit)
        } else {
            BodyError::Refused(StatusCode::BAD_REQUEST, format!("cannot read the body: {error}"))
        }
    })?;
    let body = body.to_bytes();
    if LARGE < body.len() || packed {
        let taken = tokio::task::spawn_blocking(move || take(body, packed, limit)).await;
        return taken.expect("parsing a body does not panic");
    }
    take(body, packed, limit)
}

fn too_large(limit: usize) -> BodyError {
    let message = format!("request body is larger than {limit} bytes");
    BodyError::Refused(StatusCode::PAYLOAD_TOO_LARGE, message)
}

fn take(body: Bytes, packed: bool, limit: usize) -> Result<Bytes, BodyError> {
    let body = if packed { unpack(&body, limit)? } else { body };
    k8s::json::parse_strict(&body).map_err(|error| {
        BodyError::Json(CallError::new(ErrorKind::Request, format!("invalid JSON body: {error}")))
    })?;
    let bom = b"\xef\xbb\xbf";
    Ok(if body.starts_with(bom) { body.slice(bom.len()..) } else { body })
}

fn unpack(body: &[u8], limit: usize) -> Result<Bytes, BodyError> {
    let mut unpacked = Vec::new();
    // One byte more than may be, to tell the limit from the end.
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    GzDecoder::new(body).take(most).read_to_end(&mut unpacked).map_err(|error| {
        BodyError::Refused(StatusCode::BAD_REQUEST, format!("invalid gzip body: {error}"))
    })?;
    if limit < unpacked.len() {
        return Err(too_large(limit));
    }
    Ok(unpacked.into())
}
