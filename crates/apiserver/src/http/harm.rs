//! Makes requests go wrong as the rules say.

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{HeaderValue, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, BodyStream, StreamBody};
use k8s::TimerKind;
use tower::BoxError;

use crate::{
    backend::Backend,
    error::ApiError,
    faults::{End, FaultStatus, Harm},
    http::{
        media::Wanted,
        respond::{self, Answer},
    },
};

/// Handles a request, or does to it what the rules want.
pub(crate) async fn suffer(
    backend: &Backend,
    harm: Harm,
    handled: impl Future<Output = Result<Answer, ApiError>>,
) -> Result<Answer, ApiError> {
    if harm.expire {
        backend.expire_history();
    }
    if !harm.delay.is_zero() {
        let clock = backend.clock().clone();
        let due = clock.after(harm.delay);
        let kind = TimerKind::Blocking;
        drop(backend.activity().sleep_until(&*clock, due, kind, "delayed request").await);
    }
    match harm.end {
        Some(End::Refused(status)) => return Ok(refusal(&status)),
        // The status is for the log of requests: nothing was done.
        Some(End::Dropped) => return Ok(broken(500)),
        Some(End::Lost) => return handled.await.map(|answer| broken(answer.status().as_u16())),
        None => {}
    }
    let answer = handled.await?;
    Ok(match harm.close_after {
        Some(lines) => cut(answer, lines),
        None => answer,
    })
}

fn refusal(status: &FaultStatus) -> Answer {
    let mut answer = respond::value(status.code, &status.to_value(), Wanted::default());
    if let Some(seconds) = status.retry_after {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

/// An answer whose body fails at once, upon which the server of a socket closes the connection.
fn broken(code: u16) -> Answer {
    let error = Err::<Frame<Bytes>, BoxError>("an injected fault broke the connection".into());
    let mut answer = respond::text(code, "");
    *answer.body_mut() = StreamBody::new(stream::iter([error])).boxed_unsync();
    answer
}

/// Ends a stream after so many lines, each of which is one event, without waiting for the next one.
fn cut(answer: Answer, lines: usize) -> Answer {
    answer.map(|body| {
        let start = (BodyStream::new(body), lines);
        let pieces = stream::unfold(start, |(mut body, mut left)| async move {
            if left == 0 {
                return None;
            }
            let frame = body.next().await?;
            let frame = frame.map(|frame| frame.map_data(|piece| first_lines(&piece, &mut left)));
            Some((frame, (body, left)))
        });
        StreamBody::new(pieces).boxed_unsync()
    })
}

/// Returns the first `left` lines of a piece, and counts them.
fn first_lines(piece: &Bytes, left: &mut usize) -> Bytes {
    for (at, byte) in piece.iter().enumerate() {
        if *byte == b'\n' {
            *left -= 1;
            if *left == 0 {
                return piece.slice(..=at);
            }
        }
    }
    piece.clone()
}
