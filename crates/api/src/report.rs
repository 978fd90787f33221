//! What happened, for whoever shows it to a person.

use std::{sync::Arc, time::Duration};

use k8s::{GroupVersionKind, ObjectKey};

/// How something that happened ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It went well; the text says what was done, such as `created Deployment default/web`.
    Done(String),
    /// It failed; the text is the cause, without a full stop.
    Failed(String),
    /// The thing is gone.
    Gone,
}

/// One thing that happened to one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A controller started, or could not.
    Controller {
        /// The controller's kind.
        kind: GroupVersionKind,
        /// The controller's name.
        name: String,
        /// How it ended.
        outcome: Outcome,
    },
    /// A parent was synced.
    Sync {
        /// The controller's name.
        controller: String,
        /// The parent's kind.
        kind: GroupVersionKind,
        /// Where the parent is.
        parent: ObjectKey,
        /// How it ended; what was done is empty if nothing had to be.
        outcome: Outcome,
        /// How long it took.
        took: Duration,
    },
}

/// Takes notice of what happened.
pub trait Report: Send + Sync {
    /// Takes notice. It must not block.
    fn report(&self, happening: Happening);
}

/// A report that many tasks share.
pub type SharedReport = Arc<dyn Report>;

/// Takes no notice.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoReport;

impl Report for NoReport {
    fn report(&self, _: Happening) {}
}
