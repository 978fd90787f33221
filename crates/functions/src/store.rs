//! Directories that are made once and then shared: prepared programs and installed dependencies.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use tempfile::TempDir;
use tokio::sync::OwnedMutexGuard;

/// Directories by name.
#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// Where a directory is.
pub(crate) enum Place {
    /// It was made before.
    Kept(PathBuf),
    /// It is to be made now, by nobody else in this process.
    New(Making),
}

/// A directory that is being made. Unless it is kept it is removed.
pub(crate) struct Making {
    scratch: TempDir,
    dir: PathBuf,
    _turn: OwnedMutexGuard<()>,
}

impl Store {
    /// Returns the store whose directories are in `root`, which may not be there yet.
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, turns: Mutex::default() }
    }

    /// Returns the directory of a name, or the right to make it.
    pub(crate) async fn place(&self, name: &str) -> io::Result<Place> {
        let turn = {
            let mut turns = self.turns.lock().expect("the lock of turns is never poisoned");
            // Whoever waits or works holds a turn as well.
            turns.retain(|_, turn| 1 < Arc::strong_count(turn));
            Arc::clone(turns.entry(name.to_owned()).or_default())
        };
        let turn = turn.lock_owned().await;
        let dir = self.root.join(name);
        if dir.is_dir() {
            return Ok(Place::Kept(dir));
        }
        fs::create_dir_all(&self.root)?;
        let scratch = tempfile::Builder::new().prefix(".new-").tempdir_in(&self.root)?;
        Ok(Place::New(Making { scratch, dir, _turn: turn }))
    }
}

impl Making {
    /// Returns the directory while it is made.
    pub(crate) fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// Gives the directory its name: from now on it is there, whole.
    pub(crate) fn keep(self) -> io::Result<PathBuf> {
        match fs::rename(self.scratch.path(), &self.dir) {
            // Another process with the same data was faster.
            Err(_) if self.dir.is_dir() => {}
            other => {
                other?;
                // There is nothing left to remove under that name.
                let _ = self.scratch.keep();
            }
        }
        Ok(self.dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Breaks when `place` does not look for what is there.
    #[tokio::test]
    async fn a_directory_is_made_once() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path().join("store"));
        let make = || async {
            match store.place("x").await.unwrap() {
                Place::Kept(dir) => (dir, 0),
                Place::New(new) => {
                    assert!(!root.path().join("store/x").exists());
                    fs::write(new.path().join("whole"), "").unwrap();
                    tokio::task::yield_now().await;
                    (new.keep().unwrap(), 1)
                }
            }
        };
        let made = futures::future::join_all([make(), make(), make()]).await;
        assert_eq!(made.iter().map(|(_, made)| made).sum::<i32>(), 1);
        assert!(made.iter().all(|(dir, _)| dir.join("whole").exists()));
        assert_eq!(fs::read_dir(root.path().join("store")).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn what_is_not_kept_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path().to_owned());
        drop(store.place("x").await.unwrap());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        assert!(matches!(store.place("x").await.unwrap(), Place::New(_)));
    }
}
