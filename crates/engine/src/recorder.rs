//! Takes notes of syncs where they happen, and lets others wait for them.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use k8s::{ObjectKey, Timestamp};
use tokio::sync::watch;

use crate::{
    options::Record,
    record::{Book, Ending, KeptCall, Place, Source, SyncRecord},
    told,
};

/// The notes of all controllers. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    /// Absent if nobody can ask what is in it.
    book: Option<Arc<Mutex<Book>>>,
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
    pub(crate) fn new(record: Record) -> Self {
        let book = (record == Record::Kept).then(Arc::default);
        Self { book, ended: watch::Sender::new(0) }
    }

    /// Returns the notes of a type of parents.
    pub(crate) fn of(&self, source: Source) -> Notes {
        Notes { recorder: self.clone(), source: Arc::new(source) }
    }

    /// Returns the records of the places that are asked for, with their texts if all is wanted.
    pub(crate) fn records(
        &self,
        is_asked: impl Fn(&Place) -> bool,
        whole: bool,
    ) -> Vec<SyncRecord> {
        self.book().map_or_else(Vec::new, |book| book.records(is_asked, whole))
    }

    /// Returns the number of the latest record.
    pub(crate) fn serial(&self) -> u64 {
        self.book().map_or(0, |book| book.serial())
    }

    fn book(&self) -> Option<MutexGuard<'_, Book>> {
        let book = self.book.as_ref()?;
        Some(book.lock().expect("the lock of the record is never poisoned"))
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
            self.note(parent, |book, place| book.trigger(place, || why));
        } else {
            self.note(parent, |book, place| book.trigger(place, why));
        }
    }

    pub(crate) fn begin(&self, parent: &ObjectKey, now: Timestamp) {
        self.note(parent, |book, place| book.begin(place, now));
    }

    pub(crate) fn heard(
        &self,
        parent: &ObjectKey,
        sent: (&'static str, &Bytes),
        answer: Option<(u16, &Bytes)>,
        took: Duration,
    ) {
        told::exchange(sent.0, sent.1, answer);
        if self.recorder.book.is_some() {
            // All workers share the book: a long text is parsed before it is locked.
            let call = KeptCall::new(sent, answer, took);
            self.note(parent, |book, place| book.heard(&place, call));
        }
    }

    pub(crate) fn planned(&self, parent: &ObjectKey, plan: Vec<String>) {
        self.note(parent, |book, place| book.planned(&place, plan));
    }

    pub(crate) fn due(&self, parent: &ObjectKey, at: Timestamp) {
        self.note(parent, |book, place| book.due(&place, at));
    }

    pub(crate) fn end(&self, parent: &ObjectKey, ending: Ending) {
        self.note(parent, |book, place| book.end(&place, ending));
        self.recorder.ended.send_modify(|ended| *ended += 1);
    }

    pub(crate) fn forget(&self, parent: &ObjectKey) {
        self.note(parent, |book, place| book.forget(&place));
    }

    pub(crate) fn forget_all(&self) {
        if let Some(mut book) = self.recorder.book() {
            book.forget_all(&self.source);
        }
    }

    fn note(&self, parent: &ObjectKey, write: impl FnOnce(&mut Book, Place)) {
        if let Some(mut book) = self.recorder.book() {
            write(&mut book, self.place(parent));
        }
    }

    pub(crate) fn place(&self, parent: &ObjectKey) -> Place {
        Place { source: Arc::clone(&self.source), key: parent.clone() }
    }
}
