//! Takes notes of syncs where they happen, and lets others wait for them.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use k8s::{ObjectKey, Timestamp};
use tokio::sync::watch;

use crate::{
    record::{Book, Ending, KeptCall, Place, Source},
    told,
};

/// The notes of all controllers. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    book: Arc<Mutex<Book>>,
    /// How many syncs have ended.
    ended: watch::Sender<u64>,
}

/// The notes of one type of parents of one controller.
#[derive(Clone, Debug)]
pub(crate) struct Notes {
    recorder: Recorder,
    source: Arc<Source>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self { book: Arc::default(), ended: watch::Sender::new(0) }
    }

    /// Returns the notes of a type of parents.
    pub(crate) fn of(&self, source: Source) -> Notes {
        Notes { recorder: self.clone(), source: Arc::new(source) }
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("the lock of the record is never poisoned")
    }

    /// Returns what changes whenever a sync ends.
    pub(crate) fn ended(&self) -> watch::Receiver<u64> {
        self.ended.subscribe()
    }
}

impl Notes {
    pub(crate) fn trigger(&self, parent: &ObjectKey, why: impl FnOnce() -> String) {
        if told::wants_triggers() {
            let why = why();
            told::trigger(&self.source, parent, &why);
            self.recorder.book().trigger(self.place(parent), || why);
        } else {
            self.recorder.book().trigger(self.place(parent), why);
        }
    }

    pub(crate) fn begin(&self, parent: &ObjectKey, now: Timestamp) {
        self.recorder.book().begin(self.place(parent), now);
    }

    pub(crate) fn heard(
        &self,
        parent: &ObjectKey,
        sent: (&'static str, &Bytes),
        answer: Option<(u16, &Bytes)>,
        took: Duration,
    ) {
        told::exchange(sent.0, sent.1, answer);
        // All workers share the book: a long text is parsed before it is locked.
        let call = KeptCall::new(sent, answer, took);
        self.recorder.book().heard(&self.place(parent), call);
    }

    pub(crate) fn planned(&self, parent: &ObjectKey, plan: Vec<String>) {
        self.recorder.book().planned(&self.place(parent), plan);
    }

    pub(crate) fn due(&self, parent: &ObjectKey, at: Timestamp) {
        self.recorder.book().due(&self.place(parent), at);
    }

    pub(crate) fn end(&self, parent: &ObjectKey, ending: Ending) {
        self.recorder.book().end(&self.place(parent), ending);
        self.recorder.ended.send_modify(|ended| *ended += 1);
    }

    pub(crate) fn forget(&self, parent: &ObjectKey) {
        self.recorder.book().forget(&self.place(parent));
    }

    pub(crate) fn forget_all(&self) {
        self.recorder.book().forget_all(&self.source);
    }

    pub(crate) fn place(&self, parent: &ObjectKey) -> Place {
        Place { source: Arc::clone(&self.source), key: parent.clone() }
    }
}
