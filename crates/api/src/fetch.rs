//! How a file at a URL is got, by the same ways that hooks are called.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use thiserror::Error;

/// A file that is wanted, and what it may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchRequest {
    /// Where it is; a user and a password in it are sent along.
    pub url: String,
    /// How many bytes it may have.
    pub limit: usize,
    /// How often the request may be sent elsewhere.
    pub redirects: usize,
    /// How long all of it may take.
    pub timeout: Duration,
}

/// Gets files at URLs.
pub trait Fetch: fmt::Debug + Send + Sync {
    /// Gets a file.
    ///
    /// # Errors
    ///
    /// [`FetchError`] if there is no whole file.
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<Bytes, FetchError>>;
}

/// A way to get files that many share.
pub type SharedFetch = Arc<dyn Fetch>;

/// Why there is no file. URLs are told without the user and password in them.
#[derive(Debug, Error)]
pub enum FetchError {
    /// Nothing answered, or it stopped in the middle.
    #[error("failed to get `{url}`")]
    Unreachable {
        /// Where the file was looked for.
        url: String,
        /// What the transport said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer is about the file, not the file.
    #[error("`{url}` answered {status}")]
    Refused {
        /// Where the file was looked for.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The request was sent from one place to the next.
    #[error("`{url}` leads through more than {limit} redirects")]
    Redirects {
        /// Where the way began.
        url: String,
        /// How many were allowed.
        limit: usize,
    },
    /// The file is too large.
    #[error("`{url}` has more than {limit} bytes")]
    TooLarge {
        /// Where the file is.
        url: String,
        /// How many bytes were allowed.
        limit: usize,
    },
    /// It took too long.
    #[error("`{url}` was not read within {timeout:?}")]
    TimedOut {
        /// Where the file is.
        url: String,
        /// How long it could have taken.
        timeout: Duration,
    },
}
