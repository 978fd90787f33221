//! The queue of a controller: one for all its types of parents, so that its workers serve them in turn.

use std::fmt;

use k8s::{Activity, ObjectKey, SharedClock, TimerKind, Timestamp};
use runtime::{Item, Metrics, Queue};

/// Where an object is: which of several types it has, and its key there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    /// The position of the type.
    pub(crate) position: usize,
    /// The object.
    pub(crate) key: ObjectKey,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}

/// The share that one type of parents has in its controller's queue. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct ParentQueue {
    queue: Queue<Place>,
    position: usize,
}

impl ParentQueue {
    /// Returns the queue of a controller for the first of its types.
    pub(crate) fn new(name: &str, clock: SharedClock, activity: Activity) -> Self {
        Self { queue: Queue::new(name, clock, activity), position: 0 }
    }

    /// Counts from now on what goes through the queue, under a name of its own.
    pub(crate) fn measured(self, metrics: &Metrics, name: &str) -> Self {
        Self { queue: self.queue.measured(metrics, name), ..self }
    }

    /// Returns the same queue for another type.
    pub(crate) fn at(&self, position: usize) -> Self {
        Self { queue: self.queue.clone(), position }
    }

    /// Waits for the next parent of any type; nothing comes after the queue is closed.
    pub(crate) async fn next(&self) -> Option<Item<Place>> {
        self.queue.next().await
    }

    /// Queues a parent.
    pub(crate) fn add(&self, parent: ObjectKey) {
        self.queue.add(self.place(parent));
    }

    /// Queues a parent at a moment to come.
    pub(crate) fn add_at(&self, parent: ObjectKey, at: Timestamp, kind: TimerKind) {
        self.queue.add_at(self.place(parent), at, kind);
    }

    /// Queues a parent again after a gap that grows with its failures.
    pub(crate) fn add_failed(&self, parent: ObjectKey) {
        self.queue.add_failed(self.place(parent));
    }

    /// Forgets the failures of a parent.
    pub(crate) fn forget(&self, parent: &ObjectKey) {
        self.queue.forget(&self.place(parent.clone()));
    }

    /// Lets the workers go, whatever waits.
    pub(crate) fn close(&self) {
        self.queue.close();
    }

    fn place(&self, key: ObjectKey) -> Place {
        Place { position: self.position, key }
    }
}
