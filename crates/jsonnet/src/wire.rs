//! The messages between a runtime and its workers, and how they are framed.
//!
//! A frame is the length of the head and of the body, four bytes each, then the head in JSON and the
//! body as it is. One frame is answered by one frame.

use std::io::{self, Read, Write};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    bundle::{Bundle, Revision},
    failure::CallError,
    interpreter::{Form, Trace},
};

/// What a worker is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Take a program, whose contents are the body.
    Load { revision: Revision, bundle: Bundle },
    /// Evaluate a program with the request in the body.
    Call { revision: Revision, form: Form, max_response: usize },
    /// Free what belongs to revisions that are called no more.
    Forget { revisions: Vec<Revision> },
}

/// What a worker answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reply {
    /// Whether it worked; the result of a call is the body.
    pub(crate) outcome: Result<(), CallError>,
    pub(crate) traces: Vec<Trace>,
    pub(crate) undeclared: Vec<String>,
    /// Whether the worker has grown too large to go on.
    pub(crate) retires: bool,
}

impl Reply {
    /// Says that something worked, or why not.
    pub(crate) fn plain(outcome: Result<(), CallError>) -> Self {
        Self { outcome, traces: Vec::new(), undeclared: Vec::new(), retires: false }
    }
}

/// The largest head or body that a worker takes: far above what a runtime sends.
const MAX_PART: usize = 1 << 30;

/// Reads a frame; nothing if the other side has closed the connection.
pub(crate) fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<(T, Bytes)>> {
    let mut lengths = [0; 8];
    match from.read_exact(&mut lengths) {
        Ok(()) => (),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let (head, body) = split_lengths(lengths, MAX_PART)?;
    let mut head = vec![0; head];
    from.read_exact(&mut head)?;
    let mut body = vec![0; body];
    from.read_exact(&mut body)?;
    Ok(Some((serde_json::from_slice(&head)?, body.into())))
}

/// Writes a frame.
pub(crate) fn write(to: &mut impl Write, head: &impl Serialize, body: &[u8]) -> io::Result<()> {
    to.write_all(&start(head, body)?)?;
    to.write_all(body)
}

/// Sends a frame.
pub(crate) async fn send(
    to: &mut (impl AsyncWriteExt + Unpin),
    head: &impl Serialize,
    body: &[u8],
) -> io::Result<()> {
    to.write_all(&start(head, body)?).await?;
    to.write_all(body).await
}

/// Receives a frame whose parts are at most `limit` bytes each.
pub(crate) async fn receive<T: DeserializeOwned>(
    from: &mut (impl AsyncReadExt + Unpin),
    limit: usize,
) -> io::Result<(T, Bytes)> {
    let mut lengths = [0; 8];
    from.read_exact(&mut lengths).await?;
    let (head, body) = split_lengths(lengths, limit)?;
    let mut head = vec![0; head];
    from.read_exact(&mut head).await?;
    let mut body = vec![0; body];
    from.read_exact(&mut body).await?;
    Ok((serde_json::from_slice(&head)?, body.into()))
}

/// Returns the lengths and the head of a frame.
fn start(head: &impl Serialize, body: &[u8]) -> io::Result<Vec<u8>> {
    let head = serde_json::to_vec(head)?;
    let mut start = Vec::with_capacity(8 + head.len());
    for length in [head.len(), body.len()] {
        let length = u32::try_from(length).map_err(|_| io::ErrorKind::InvalidInput)?;
        start.extend_from_slice(&length.to_be_bytes());
    }
    start.extend_from_slice(&head);
    Ok(start)
}

fn split_lengths(lengths: [u8; 8], limit: usize) -> io::Result<(usize, usize)> {
    let both = u64::from_be_bytes(lengths);
    let head = usize::try_from(both >> 32).map_err(io::Error::other)?;
    let body = usize::try_from(both & u64::from(u32::MAX)).map_err(io::Error::other)?;
    if limit < head || limit < body {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "frame is too large"));
    }
    Ok((head, body))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_follow_each_other() {
        let mut pipe = Vec::new();
        write(&mut pipe, &"a", b"one").unwrap();
        write(&mut pipe, &"b", b"").unwrap();
        let mut pipe = pipe.as_slice();
        assert_eq!(read(&mut pipe).unwrap(), Some(("a".to_owned(), Bytes::from_static(b"one"))));
        assert_eq!(read(&mut pipe).unwrap(), Some(("b".to_owned(), Bytes::new())));
        assert_eq!(read::<String>(&mut pipe).unwrap(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 8..40)) {
            let mut bytes = bytes;
            // Lengths that fit the text are the ones worth trying.
            bytes[..3].fill(0);
            bytes[4..7].fill(0);
            let _ = read::<Order>(&mut bytes.as_slice());
        }
    }
}
