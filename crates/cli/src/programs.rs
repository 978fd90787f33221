//! URLs of hooks that Jsonnet files answer in this process.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use api::ProgramError;
use hooks::Router;
use thiserror::Error;

/// A URL and the file that answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The URL, exactly as controllers have it.
    pub url: String,
    /// The file of the program.
    pub file: PathBuf,
}

/// Why a text is no mapping.
#[derive(Debug, Error)]
pub enum MappingError {
    /// There is no file.
    #[error("it has no `=`: give URL=FILE")]
    NoFile,
    /// What stands before the file is no URL.
    #[error("`{0}` is not a URL of http or https")]
    NoUrl(String),
}

/// Why the directory or a file of hooks cannot be used.
#[derive(Debug, Error)]
pub enum ProgramsError {
    /// The directory is not there.
    #[error("no such directory of hooks: `{}`", .0.display())]
    NoDirectory(PathBuf),
    /// The file cannot be read.
    #[error("cannot map `{url}` to a hook")]
    Unreadable {
        /// The URL.
        url: String,
        /// What is wrong with the file.
        source: ProgramError,
    },
}

impl FromStr for Mapping {
    type Err = MappingError;

    fn from_str(text: &str) -> Result<Self, MappingError> {
        // A query has `=` too, so that the last one counts.
        let (url, file) = text.rsplit_once('=').ok_or(MappingError::NoFile)?;
        let is_url = ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme));
        match (is_url, file) {
            (false, _) => Err(MappingError::NoUrl(url.to_owned())),
            (true, "") => Err(MappingError::NoFile),
            (true, file) => Ok(Self { url: url.to_owned(), file: file.into() }),
        }
    }
}

/// Checks a directory of hooks.
pub(crate) fn directory(dir: &Path) -> Result<PathBuf, ProgramsError> {
    if dir.is_dir() { Ok(dir.to_owned()) } else { Err(ProgramsError::NoDirectory(dir.to_owned())) }
}

/// Maps URLs to files, and returns what is wrong with programs that do not load: they may be mended.
pub(crate) async fn map(
    router: &mut Router,
    mappings: &[Mapping],
) -> Result<Vec<(String, String)>, ProgramsError> {
    let mut broken = Vec::new();
    for Mapping { url, file } in mappings {
        match router.map(url, file).await {
            Ok(()) => {}
            Err(ProgramError::Invalid(cause)) => broken.push((url.clone(), cause)),
            Err(source) => return Err(ProgramsError::Unreadable { url: url.clone(), source }),
        }
    }
    Ok(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_a_url_and_a_file() {
        for (text, told) in [
            ("http://h.n/sync=a.jsonnet", "http://h.n/sync a.jsonnet"),
            ("https://h/s?x=1=dir/a.jsonnet", "https://h/s?x=1 dir/a.jsonnet"),
            ("http://h", "it has no `=`: give URL=FILE"),
            ("http://h=", "it has no `=`: give URL=FILE"),
            ("sync=a.jsonnet", "`sync` is not a URL of http or https"),
        ] {
            let read = text.parse::<Mapping>();
            let read = read.map(|mapping| format!("{} {}", mapping.url, mapping.file.display()));
            assert_eq!(read.unwrap_or_else(|error| error.to_string()), told);
        }
    }
}
