//! How files look from outside, to notice that they have changed.

use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt, path::PathBuf};

/// The looks of a set of files at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prints(BTreeMap<PathBuf, Option<Print>>);

/// What changes when a file does; links are followed, so that swapped directories are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Print {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Prints {
    /// Looks at `paths` now.
    pub(crate) fn take(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(paths.into_iter().map(|path| (path.clone(), look(&path))).collect())
    }

    /// Adds those of `paths` that were not looked at before.
    pub(crate) fn with(mut self, paths: impl IntoIterator<Item = PathBuf>) -> Self {
        for path in paths {
            self.0.entry(path.clone()).or_insert_with(|| look(&path));
        }
        self
    }

    /// Returns whether any file looks different now.
    pub(crate) fn have_changed(&self) -> bool {
        self.0.iter().any(|(path, print)| look(path) != *print)
    }

    /// Returns the files.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.0.keys()
    }
}

fn look(path: &PathBuf) -> Option<Print> {
    let metadata = fs::metadata(path).ok()?;
    Some(Print {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    })
}
