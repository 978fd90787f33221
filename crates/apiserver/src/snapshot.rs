//! All objects at one moment, to come back to: tests share one beginning.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

use k8s::{Object, Resource};

/// All objects as they were at one revision. Clones share them.
#[derive(Clone)]
pub struct Snapshot(Arc<Kept>);

struct Kept {
    revision: u64,
    objects: Vec<(Arc<Resource>, Vec<Arc<Object>>)>,
}

/// The snapshots that clients asked for, by number.
#[derive(Debug, Default)]
pub(crate) struct Snapshots(Mutex<BTreeMap<u64, Snapshot>>);

impl Snapshot {
    pub(crate) fn new(revision: u64, objects: Vec<(Arc<Resource>, Vec<Arc<Object>>)>) -> Self {
        Self(Arc::new(Kept { revision, objects }))
    }

    /// Returns the revision at which it was made.
    pub fn revision(&self) -> u64 {
        self.0.revision
    }

    /// Returns the objects of each resource.
    pub(crate) fn objects(&self) -> &[(Arc<Resource>, Vec<Arc<Object>>)] {
        &self.0.objects
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot(revision {})", self.0.revision)
    }
}

impl Snapshots {
    /// Keeps a snapshot and returns its number.
    pub(crate) fn keep(&self, snapshot: Snapshot) -> u64 {
        let mut kept = self.kept();
        let number = kept.last_key_value().map_or(0, |(number, _)| *number) + 1;
        kept.insert(number, snapshot);
        number
    }

    pub(crate) fn get(&self, number: u64) -> Option<Snapshot> {
        self.kept().get(&number).cloned()
    }

    /// Forgets a snapshot; false if there is none of the number.
    pub(crate) fn forget(&self, number: u64) -> bool {
        self.kept().remove(&number).is_some()
    }

    /// Returns the numbers of all snapshots and the revisions they were made at.
    pub(crate) fn all(&self) -> Vec<(u64, u64)> {
        self.kept().iter().map(|(number, it)| (*number, it.revision())).collect()
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<u64, Snapshot>> {
        self.0.lock().expect("the lock of snapshots is never poisoned")
    }
}
