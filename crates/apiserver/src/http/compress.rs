//! Answers that are compressed, because they are large and the client can read that.

use std::{io::Write as _, mem};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, header};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, BodyStream, StreamBody};
use tower::BoxError;

use crate::http::respond::{Answer, Body};

/// Smaller bodies are sent as they are: compressing them takes longer than sending them.
const LARGE: u64 = 128 * 1024;

/// Returns whether a client reads what is compressed.
pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    let all = headers.get_all(header::ACCEPT_ENCODING).iter();
    let mut clauses = all.filter_map(|it| it.to_str().ok()).flat_map(|it| it.split(','));
    clauses.any(|clause| {
        let (name, quality) = clause.split_once(';').unwrap_or((clause, ""));
        let quality = quality.trim().strip_prefix("q=").and_then(|it| it.parse::<f32>().ok());
        name.trim() == "gzip" && quality != Some(0.0)
    })
}

/// Compresses an answer that is known to be large. What is sent as it arises, such as a watch, never is.
pub(crate) fn compress(answer: Answer) -> Answer {
    let is_large = LARGE <= answer.body().size_hint().lower();
    if !is_large || answer.headers().contains_key(header::CONTENT_ENCODING) {
        return answer;
    }
    let mut answer = answer.map(compressed);
    let headers = answer.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    answer
}

/// Compresses a body piece by piece, so that nobody waits for the whole.
fn compressed(body: Body) -> Body {
    let encoder = GzEncoder::new(vec![], Compression::new(1));
    let pieces = stream::unfold(Some((BodyStream::new(body), encoder)), |state| async move {
        let (mut body, mut encoder) = state?;
        while let Some(frame) = body.next().await {
            let data = match frame.map(Frame::into_data) {
                Ok(Ok(data)) => data,
                // Trailers come from no handler here.
                Ok(Err(_)) => continue,
                Err(error) => return Some((Err(error), None)),
            };
            if let Err(error) = encoder.write_all(&data) {
                return Some((Err(BoxError::from(error)), None));
            }
            let piece = mem::take(encoder.get_mut());
            if !piece.is_empty() {
                return Some((Ok(Frame::data(Bytes::from(piece))), Some((body, encoder))));
            }
        }
        let end = encoder.finish().map(|end| Frame::data(Bytes::from(end)));
        Some((end.map_err(BoxError::from), None))
    });
    StreamBody::new(pieces).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;
    use crate::http::respond;

    #[test]
    fn clients_say_what_they_can_read() {
        for (accepted, expected) in [
            ("gzip", true),
            ("deflate, gzip;q=1.0, *;q=0.5", true),
            ("gzip;q=0", false),
            ("identity", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted));
            assert_eq!(is_wanted(&headers), expected, "{accepted}");
        }
    }

    #[tokio::test]
    async fn large_answers_are_compressed() {
        let text = "abc".repeat(50_000);
        let answer = compress(respond::text(200, text.clone()));
        assert_eq!(answer.headers()["content-encoding"], "gzip");
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        let mut read = String::new();
        GzDecoder::new(&*bytes).read_to_string(&mut read).unwrap();
        assert_eq!(read, text);
        let small = compress(respond::text(200, "abc".repeat(1000)));
        assert!(!small.headers().contains_key("content-encoding"));
    }
}
