//! Pure: answers that are kept by their ETag.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use api::HookReply;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use k8s::{SignedDuration, Timestamp};

/// How many answers a hook's cache keeps.
const KEPT: usize = 10_000;

/// The last answers of a hook that had an ETag, one for each parent.
#[derive(Debug, Default)]
pub(crate) struct Etags {
    answers: HashMap<String, Answer>,
    /// The parents in the order in which their answers were last used.
    used: BTreeMap<u64, String>,
    uses: u64,
}

/// An answer that a hook may say still holds.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// What it is known by.
    pub(crate) etag: HeaderValue,
    body: Bytes,
}

#[derive(Debug)]
struct Answer {
    kept: Kept,
    until: Option<Timestamp>,
    used: u64,
}

impl Etags {
    /// Returns the answer that is kept for a parent.
    pub(crate) fn of(&mut self, parent: &str, now: Timestamp) -> Option<Kept> {
        if self.answers.get(parent)?.until.is_some_and(|until| until <= now) {
            self.drop(parent);
            return None;
        }
        self.touch(parent);
        self.answers.get(parent).map(|answer| answer.kept.clone())
    }

    /// Returns what a reply stands for: the answer whose ETag was `sent` if the hook says that it still
    /// holds, else the reply itself, which is kept if it has an ETag.
    ///
    /// The answer kept now may be another one: all versions of a parent in a rollout are asked at once.
    pub(crate) fn settle(
        &mut self,
        parent: &str,
        sent: Option<Kept>,
        reply: HookReply,
        (lifetime, now): (Option<Duration>, Timestamp),
    ) -> HookReply {
        let unchanged = [StatusCode::NOT_MODIFIED, StatusCode::PRECONDITION_FAILED];
        if unchanged.iter().any(|status| status.as_u16() == reply.status) {
            return sent.map_or(reply, |kept| HookReply {
                status: 200,
                headers: HeaderMap::new(),
                body: kept.body,
            });
        }
        if let (200, Some(etag)) = (reply.status, reply.headers.get(header::ETAG)) {
            let lifetime = lifetime.and_then(|lifetime| SignedDuration::try_from(lifetime).ok());
            let until = lifetime.and_then(|lifetime| now.checked_add(lifetime).ok());
            self.drop(parent);
            let kept = Kept { etag: etag.clone(), body: reply.body.clone() };
            self.answers.insert(parent.to_owned(), Answer { kept, until, used: 0 });
            self.touch(parent);
            self.drop_oldest();
        }
        reply
    }

    fn touch(&mut self, parent: &str) {
        let Some(answer) = self.answers.get_mut(parent) else { return };
        self.used.remove(&answer.used);
        self.uses += 1;
        answer.used = self.uses;
        self.used.insert(self.uses, parent.to_owned());
    }

    fn drop(&mut self, parent: &str) {
        if let Some(answer) = self.answers.remove(parent) {
            self.used.remove(&answer.used);
        }
    }

    fn drop_oldest(&mut self) {
        while KEPT < self.answers.len() {
            let Some((_, oldest)) = self.used.pop_first() else { return };
            self.answers.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, etag: &str, body: &str) -> HookReply {
        let mut headers = HeaderMap::new();
        if !etag.is_empty() {
            headers.insert(header::ETAG, etag.parse().unwrap());
        }
        HookReply { status, headers, body: body.to_owned().into() }
    }

    /// Plays replies to calls a second apart; returns what was sent, and what each reply stands for.
    fn played(lifetime: Option<Duration>, replies: &[HookReply]) -> Vec<String> {
        let mut etags = Etags::default();
        let mut now = Timestamp::UNIX_EPOCH;
        let mut seen = Vec::new();
        for reply in replies {
            let sent = etags.of("p", now);
            let settled = etags.settle("p", sent.clone(), reply.clone(), (lifetime, now));
            let sent = sent.as_ref().map_or("-", |sent| sent.etag.to_str().unwrap());
            let body = String::from_utf8_lossy(&settled.body);
            seen.push(format!("{sent} {} {body}", settled.status));
            now += SignedDuration::from_secs(1);
        }
        seen
    }

    #[test]
    fn an_unchanged_answer_is_used_again() {
        let replies = [
            reply(200, "A", "a"),
            reply(304, "", ""),
            reply(412, "", ""),
            reply(200, "B", "b"),
            reply(304, "", ""),
        ];
        assert_eq!(played(None, &replies), ["- 200 a", "A 200 a", "A 200 a", "A 200 b", "B 200 b"]);
    }

    #[test]
    fn nothing_is_unchanged_before_there_was_an_answer() {
        assert_eq!(played(None, &[reply(304, "", "")]), ["- 304 "]);
    }

    #[test]
    fn what_still_holds_is_the_answer_that_was_asked_about() {
        let mut etags = Etags::default();
        let now = Timestamp::UNIX_EPOCH;
        etags.settle("p", None, reply(200, "A", "a"), (None, now));
        let sent = etags.of("p", now);
        etags.settle("p", sent.clone(), reply(200, "B", "b"), (None, now));
        assert_eq!(etags.settle("p", sent, reply(304, "", ""), (None, now)).body, "a");
    }

    #[test]
    fn an_answer_is_forgotten_after_its_time() {
        let replies = [reply(200, "A", "a"), reply(200, "", "b"), reply(200, "", "c")];
        let lifetime = Some(Duration::from_secs(2));
        assert_eq!(played(lifetime, &replies), ["- 200 a", "A 200 b", "- 200 c"]);
    }

    #[test]
    fn the_answer_that_was_not_used_for_longest_goes_first() {
        let mut etags = Etags::default();
        let now = Timestamp::UNIX_EPOCH;
        for parent in 0..=KEPT {
            etags.settle(&parent.to_string(), None, reply(200, "A", ""), (None, now));
            etags.of("0", now);
        }
        assert_eq!(etags.answers.len(), KEPT);
        assert!(etags.of("0", now).is_some() && etags.of("1", now).is_none());
    }
}
