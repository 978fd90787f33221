//! Pure: what is remembered of the last sync of every parent, for people who ask.
//!
//! Texts are kept for the latest syncs only, as far as they have room; what Secrets hold never gets here,
//! and neither do the headers of hook calls.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use k8s::{GroupVersionKind, ObjectKey, Timestamp};
use runtime::WriteKind;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::mask::masked_text;

/// How many bytes of requests, answers and plans are kept in all.
const ROOM: usize = 8 << 20;

/// One type of parents of one controller.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    /// The kind of the controller.
    pub(crate) controller_kind: String,
    /// The controller's name.
    pub(crate) controller: String,
    /// The kind of the parents.
    pub(crate) parents: GroupVersionKind,
}

/// A parent as one controller sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) source: Arc<Source>,
    pub(crate) key: ObjectKey,
}

/// How a sync ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncResult {
    /// All is as the hook wishes.
    #[default]
    Done,
    /// Something failed; it is tried again.
    Failed,
    /// The hook, or a list that is not complete yet, has to be waited for.
    Waiting,
}

/// The last sync of a parent by a controller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncRecord {
    /// The kind of the controller.
    pub controller_kind: String,
    /// The controller's name.
    pub controller: String,
    /// The group and version of the parent.
    pub api_version: String,
    /// The kind of the parent.
    pub kind: String,
    /// The parent's namespace, if it has one.
    pub namespace: String,
    /// The parent's name.
    pub name: String,
    /// The number of the sync among all syncs of the engine.
    pub serial: u64,
    /// What the sync was for.
    pub trigger: String,
    /// When it began.
    pub started: Timestamp,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
    /// How it ended.
    pub result: SyncResult,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The status of the hook's last answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook_status: Option<u16>,
    /// How long the slowest call of a hook took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook_ms: Option<f64>,
    /// How many children were created.
    pub created: usize,
    /// How many children were updated.
    pub updated: usize,
    /// How many children were deleted.
    pub deleted: usize,
    /// When the parent is looked at again, if the hook asked for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_due: Option<Timestamp>,
    /// How far the children are rolled to the parent's latest version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<String>,
    /// What was said and planned, as long as it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<SyncDetail>,
}

/// What was said and planned in a sync.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncDetail {
    /// The calls of hooks.
    pub calls: Vec<HookCall>,
    /// The writes of children, each with the reason it is needed.
    pub plan: Vec<String>,
}

/// One call of a hook.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookCall {
    /// The hook's name.
    pub hook: String,
    /// What it was sent.
    pub request: Value,
    /// The status of its answer, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What it answered.
    pub response: Value,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
}

/// How many children a sync wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) created: usize,
    pub(crate) updated: usize,
    pub(crate) deleted: usize,
}

impl Counts {
    /// Counts a write.
    pub(crate) fn add(&mut self, kind: &WriteKind) {
        match kind {
            WriteKind::Create(_) | WriteKind::ApplyNew { .. } => self.created += 1,
            WriteKind::Update(_) | WriteKind::Apply { .. } => self.updated += 1,
            WriteKind::Delete { .. } => self.deleted += 1,
        }
    }
}

/// How a sync ended, with what is known only then.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ending {
    pub(crate) took: Duration,
    pub(crate) result: SyncResult,
    pub(crate) error: Option<String>,
    pub(crate) counts: Counts,
    /// How far the children are rolled.
    pub(crate) rollout: Option<String>,
}

/// A call of a hook as it is kept: texts are not parsed until somebody asks.
#[derive(Debug)]
pub(crate) struct KeptCall {
    hook: &'static str,
    request: Bytes,
    answer: Option<(u16, Bytes)>,
    took: Duration,
}

impl KeptCall {
    /// Returns a call without what Secrets hold.
    pub(crate) fn new(
        (hook, request): (&'static str, &Bytes),
        answer: Option<(u16, &Bytes)>,
        took: Duration,
    ) -> Self {
        let answer = answer.map(|(status, body)| (status, masked_text(body)));
        Self { hook, request: masked_text(request), answer, took }
    }
}

/// What is kept of the last sync of a parent.
#[derive(Debug, Default)]
struct Kept {
    serial: u64,
    trigger: String,
    started: Timestamp,
    ending: Ending,
    hook_status: Option<u16>,
    hook_took: Option<Duration>,
    next_due: Option<Timestamp>,
    calls: Vec<KeptCall>,
    plan: Vec<String>,
    bytes: usize,
    is_dropped: bool,
}

/// All that is remembered.
#[derive(Debug)]
pub(crate) struct Book {
    room: usize,
    serial: u64,
    triggers: HashMap<Place, String>,
    /// The syncs under way.
    running: HashMap<Place, Kept>,
    /// The last ones that ended.
    syncs: HashMap<Place, Kept>,
    /// Those that ended, the oldest first, and some that were followed by others since.
    order: VecDeque<(Place, u64)>,
    bytes: usize,
}

impl Default for Book {
    fn default() -> Self {
        Self::with_room(ROOM)
    }
}

impl Book {
    fn with_room(room: usize) -> Self {
        Self {
            room,
            serial: 0,
            triggers: HashMap::new(),
            running: HashMap::new(),
            syncs: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Notes why a parent is queued; the first reason since its last sync counts.
    pub(crate) fn trigger(&mut self, place: Place, why: impl FnOnce() -> String) {
        self.triggers.entry(place).or_insert_with(why);
    }

    /// Notes that a sync begins.
    pub(crate) fn begin(&mut self, place: Place, now: Timestamp) {
        self.serial += 1;
        let before = self.syncs.get(&place);
        let of_itself = || match before {
            Some(Kept { next_due: Some(due), .. }) if *due <= now => "`resyncAfterSeconds`",
            _ => "retry",
        };
        let trigger = self.triggers.remove(&place).unwrap_or_else(|| of_itself().to_owned());
        let kept = Kept { serial: self.serial, trigger, started: now, ..Kept::default() };
        self.running.insert(place, kept);
    }

    /// Notes a call of a hook.
    pub(crate) fn heard(&mut self, place: &Place, call: KeptCall) {
        let Some(kept) = self.running.get_mut(place) else { return };
        kept.hook_status = call.answer.as_ref().map(|(status, _)| *status);
        kept.hook_took = kept.hook_took.max(Some(call.took));
        let size = call.request.len() + call.answer.as_ref().map_or(0, |(_, body)| body.len());
        kept.calls.push(call);
        kept.bytes += size;
    }

    /// Notes what a sync is going to write.
    pub(crate) fn planned(&mut self, place: &Place, plan: Vec<String>) {
        let Some(kept) = self.running.get_mut(place) else { return };
        let size: usize = plan.iter().map(String::len).sum();
        kept.plan = plan;
        kept.bytes += size;
    }

    /// Notes when a parent is looked at again.
    pub(crate) fn due(&mut self, place: &Place, at: Timestamp) {
        if let Some(kept) = self.running.get_mut(place) {
            kept.next_due = Some(kept.next_due.map_or(at, |known| known.min(at)));
        }
    }

    /// Notes how a sync ended; one whose parent went meanwhile is of no interest any more.
    pub(crate) fn end(&mut self, place: &Place, ending: Ending) {
        let Some(kept) = self.running.remove(place) else { return };
        self.order.push_back((place.clone(), kept.serial));
        self.bytes += kept.bytes;
        let before = self.syncs.insert(place.clone(), Kept { ending, ..kept });
        self.bytes -= before.map_or(0, |before| before.bytes);
        self.make_room();
        if 2 * self.syncs.len() + 64 < self.order.len() {
            let syncs = &self.syncs;
            let is_last = |(place, serial): &(Place, u64)| {
                syncs.get(place).is_some_and(|kept| kept.serial == *serial)
            };
            self.order.retain(is_last);
        }
    }

    /// Returns the number of the latest sync that began.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// Drops what is known of a parent that is gone.
    pub(crate) fn forget(&mut self, place: &Place) {
        self.triggers.remove(place);
        self.running.remove(place);
        if let Some(kept) = self.syncs.remove(place) {
            self.bytes = self.bytes.saturating_sub(kept.bytes);
        }
    }

    /// Drops what is known of the parents of a type.
    pub(crate) fn forget_all(&mut self, source: &Source) {
        self.triggers.retain(|place, _| *place.source != *source);
        self.running.retain(|place, _| *place.source != *source);
        let bytes = &mut self.bytes;
        self.syncs.retain(|place, kept| {
            let stays = *place.source != *source;
            if !stays {
                *bytes = bytes.saturating_sub(kept.bytes);
            }
            stays
        });
    }

    /// Returns the last syncs that ended, of the parents that are asked for.
    pub(crate) fn records(
        &self,
        is_wanted: impl Fn(&Place) -> bool,
        with_detail: bool,
    ) -> Vec<SyncRecord> {
        let wanted = self.syncs.iter().filter(|(place, _)| is_wanted(place));
        let mut records: Vec<_> =
            wanted.map(|(place, kept)| kept.record(place, with_detail)).collect();
        records.sort_by(|a, b| name(a).cmp(&name(b)));
        records
    }

    fn make_room(&mut self) {
        while self.room < self.bytes {
            let Some((place, serial)) = self.order.pop_front() else { return };
            let Some(kept) = self.syncs.get_mut(&place) else { continue };
            if kept.serial == serial {
                self.bytes = self.bytes.saturating_sub(kept.bytes);
                kept.bytes = 0;
                kept.calls.clear();
                kept.plan.clear();
                kept.is_dropped = true;
            }
        }
    }
}

impl Kept {
    fn record(&self, place: &Place, with_detail: bool) -> SyncRecord {
        let Ending { took, result, error, counts, rollout } = &self.ending;
        let Source { controller_kind, controller, parents } = &*place.source;
        let Counts { created, updated, deleted } = *counts;
        SyncRecord {
            controller_kind: controller_kind.clone(),
            controller: controller.clone(),
            api_version: parents.api_version(),
            kind: parents.kind.clone(),
            namespace: place.key.namespace.clone(),
            name: place.key.name.clone(),
            serial: self.serial,
            trigger: self.trigger.clone(),
            started: self.started,
            took_ms: milliseconds(*took),
            result: *result,
            error: error.clone(),
            hook_status: self.hook_status,
            hook_ms: self.hook_took.map(milliseconds),
            created,
            updated,
            deleted,
            next_due: self.next_due,
            rollout: rollout.clone(),
            detail: (with_detail && !self.is_dropped).then(|| self.detail()),
        }
    }

    fn detail(&self) -> SyncDetail {
        let text = |text: &Bytes| {
            k8s::json::parse(text).unwrap_or_else(|_| String::from_utf8_lossy(text).into())
        };
        let calls = self.calls.iter().map(|call| HookCall {
            hook: call.hook.to_owned(),
            request: text(&call.request),
            status: call.answer.as_ref().map(|(status, _)| *status),
            response: call.answer.as_ref().map(|(_, body)| text(body)).unwrap_or_default(),
            took_ms: milliseconds(call.took),
        });
        SyncDetail { calls: calls.collect(), plan: self.plan.clone() }
    }
}

fn milliseconds(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}

fn name(record: &SyncRecord) -> (&str, &str, &str, &str) {
    (&record.controller, &record.kind, &record.namespace, &record.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> Place {
        let source = Source {
            controller_kind: "CompositeController".to_owned(),
            controller: "c".to_owned(),
            parents: GroupVersionKind::new("v1", "A"),
        };
        Place { source: Arc::new(source), key: ObjectKey::new("n", name) }
    }

    fn sync(book: &mut Book, name: &str, answer: &str) {
        let place = place(name);
        book.begin(place.clone(), Timestamp::UNIX_EPOCH);
        let (request, answer) = (Bytes::from_static(b"{}"), Bytes::from(answer.to_owned()));
        let took = Duration::from_millis(2);
        book.heard(&place, KeptCall::new(("sync", &request), Some((200, &answer)), took));
        book.planned(&place, vec!["x".to_owned()]);
        book.end(&place, Ending::default());
    }

    fn kept(book: &Book) -> Vec<(String, bool)> {
        let records = book.records(|_| true, true);
        records.into_iter().map(|each| (each.name, each.detail.is_some())).collect()
    }

    #[test]
    fn texts_are_kept_for_the_latest_syncs_only() {
        let mut book = Book::with_room(20);
        for name in ["a", "b", "a", "c"] {
            sync(&mut book, name, "\"four\"");
        }
        let kept = kept(&book);
        assert_eq!(kept, [("a".into(), true), ("b".into(), false), ("c".into(), true)]);
        assert!(book.bytes <= 20);
        book.forget(&place("a"));
        book.forget_all(&place("c").source);
        assert_eq!((book.bytes, book.records(|_| true, false).len()), (0, 0));
    }

    #[test]
    fn the_first_reason_since_the_last_sync_counts() {
        let mut book = Book::default();
        book.trigger(place("a"), || "parent changed".to_owned());
        book.trigger(place("a"), || "resync".to_owned());
        sync(&mut book, "a", "{}");
        assert_eq!(book.records(|_| true, false)[0].trigger, "parent changed");
        sync(&mut book, "a", "{}");
        assert_eq!(book.records(|_| true, false)[0].trigger, "retry");
    }

    #[test]
    fn a_sync_is_shown_when_it_has_ended_and_without_secrets() {
        let mut book = Book::default();
        book.begin(place("a"), Timestamp::UNIX_EPOCH);
        assert!(book.records(|_| true, true).is_empty());
        sync(&mut book, "a", r#"{"children":[{"kind":"Secret","data":{"a":"cGFzcw=="}}]}"#);
        let text = serde_json::to_string(&book.records(|_| true, true)).unwrap();
        assert!(text.contains("********") && !text.contains("cGFz"), "{text}");
    }
}
