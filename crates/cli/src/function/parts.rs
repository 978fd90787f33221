//! The files that a Function is made of, now and whenever they are saved.

use std::path::PathBuf;

use runtime::Client;

use super::{
    files::{self, FileError},
    source::{self, Source},
};
use crate::watched::Files;

/// The names of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The program, a file or a URL.
    pub program: Option<String>,
    /// What it depends on, likewise.
    pub deps: Option<String>,
}

/// What is in the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// The program.
    pub source: Option<Source>,
    /// The text of its dependencies.
    pub deps: Option<String>,
}

/// Files that are watched.
pub struct Saved {
    names: Names,
    last: Parts,
    files: Files,
    has_looked: bool,
}

impl Names {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// [`FileError`] if one of them cannot be read.
    pub async fn read(&self) -> Result<Parts, FileError> {
        let source = match &self.program {
            Some(name) => Some(files::program(name).await?),
            None => None,
        };
        let deps = match &self.deps {
            Some(name) => Some(files::text(name).await?),
            None => None,
        };
        Ok(Parts { source, deps })
    }

    /// Returns those that are files of this machine: nobody tells when the others change.
    pub fn local(&self) -> Vec<PathBuf> {
        let all = self.program.iter().chain(&self.deps);
        all.filter(|name| !source::is_url(name)).map(PathBuf::from).collect()
    }

    /// Watches the files, of which these are the parts that are known already.
    ///
    /// # Errors
    ///
    /// [`FileError::Watch`] if the system does not allow it.
    pub fn watch(self, last: Parts) -> Result<Saved, FileError> {
        let files = Files::watch(&self.local()).map_err(FileError::Watch)?;
        Ok(Saved { names: self, last, files, has_looked: false })
    }
}

impl Saved {
    /// Waits until the files hold something else than before, and returns what.
    ///
    /// # Errors
    ///
    /// [`FileError`] if one of them cannot be read; it is tried again when something is saved.
    pub async fn next(&mut self, client: &Client) -> Result<Parts, FileError> {
        loop {
            // At first they may have changed between being read and being watched.
            if std::mem::replace(&mut self.has_looked, true) {
                Files::next(Some(&mut self.files), client).await;
            }
            let now = self.names.read().await?;
            if now != self.last {
                self.last = now.clone();
                return Ok(now);
            }
        }
    }
}
