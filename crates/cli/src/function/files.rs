//! The files and URLs that flags name.

use std::{fs, io, sync::Arc, time::Duration};

use api::{FetchError, FetchRequest, SharedFetch};
use bytes::Bytes;
use hooks::Webhooks;
use k8s::{Activity, SystemClock};
use thiserror::Error;

use super::source::{self, Source};

/// How many bytes a file at a URL may have.
const LARGEST: usize = 256 << 20;
/// How often a URL may lead elsewhere.
const REDIRECTS: usize = 10;
/// How long a file at a URL may take.
const PATIENCE: Duration = Duration::from_mins(10);

/// Why a file is not what was wanted.
#[derive(Debug, Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read `{name}`")]
    Read {
        /// The file.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// It is elsewhere, and cannot be got.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// URLs cannot be asked.
    #[error("failed to read the system's certificates")]
    Certificates(#[source] io::Error),
    /// Nobody would tell when it changes.
    #[error("failed to watch the files")]
    Watch(#[source] notify::Error),
    /// It should be text.
    #[error("`{0}` is no text")]
    NotText(String),
}

/// Returns what gets files at URLs.
pub fn fetch() -> Result<SharedFetch, FileError> {
    let webhooks = Webhooks::new(Arc::new(SystemClock), Activity::default());
    Ok(Arc::new(webhooks.map_err(FileError::Certificates)?))
}

/// Reads a file, or what is at a URL now.
pub async fn read(name: &str) -> Result<Bytes, FileError> {
    if !source::is_url(name) {
        let failed = |source| FileError::Read { name: name.to_owned(), source };
        return fs::read(name).map(Bytes::from).map_err(failed);
    }
    let url = name.to_owned();
    let request = FetchRequest { url, limit: LARGEST, redirects: REDIRECTS, timeout: PATIENCE };
    Ok(fetch()?.fetch(request).await?)
}

/// Reads a file of text.
pub async fn text(name: &str) -> Result<String, FileError> {
    let bytes = read(name).await?;
    String::from_utf8(bytes.into()).map_err(|_| FileError::NotText(name.to_owned()))
}

/// Reads a program as a Function has it.
pub async fn program(name: &str) -> Result<Source, FileError> {
    Ok(source::source(name, &read(name).await?))
}
