//! Pure: whether a write that was sent before is worth sending again.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use k8s::{SignedDuration, Timestamp};
use runtime::Part;
use serde_json::Value;

/// The wait before a write that somebody undid for the second time; it doubles with every time.
const FIRST_GAP: Duration = Duration::from_millis(10);
/// The longest such wait.
const LONGEST_GAP: Duration = Duration::from_secs(1000);

/// The last writes to the parents themselves, by UID and part.
#[derive(Debug, Default)]
pub(crate) struct Repeats(HashMap<(String, Part), Sent>);

#[derive(Debug)]
struct Sent {
    wish: u64,
    /// What the server made of it.
    made: u64,
    at: Timestamp,
    /// How often in a row somebody else undid it.
    undone: u32,
}

/// What is to be done with a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is sent.
    Send,
    /// It would change nothing: the server made what is there of the same write.
    Leave,
    /// Somebody undoes it again and again. Two who do that to each other must not do it at full speed.
    SendAt(Timestamp),
}

impl Repeats {
    /// Decides about a write of `wish` where `now_there` is.
    pub(crate) fn judge(
        &self,
        place: &(String, Part),
        (wish, now_there): (&Value, &Value),
        now: Timestamp,
    ) -> Verdict {
        match self.0.get(place) {
            Some(sent) if sent.wish == hash(wish) && sent.made == hash(now_there) => Verdict::Leave,
            Some(sent) if sent.wish == hash(wish) => {
                let due = sent.at.checked_add(gap(sent.undone)).unwrap_or(Timestamp::MAX);
                if now < due { Verdict::SendAt(due) } else { Verdict::Send }
            }
            _ => Verdict::Send,
        }
    }

    /// Notes a write and what came of it.
    pub(crate) fn note(
        &mut self,
        place: (String, Part),
        (wish, made): (&Value, &Value),
        now: Timestamp,
    ) {
        let (wish, made) = (hash(wish), hash(made));
        // What held for a while was no quarrel.
        let is_quarrel = |sent: &&Sent| {
            let quiet = gap(sent.undone.saturating_add(1)) + gap(sent.undone.saturating_add(1));
            let calm = sent.at.checked_add(quiet).unwrap_or(Timestamp::MAX);
            sent.wish == wish && now < calm.max(sent.at + SignedDuration::from_secs(1))
        };
        let before = self.0.get(&place).filter(is_quarrel);
        let undone = before.map_or(0, |sent| sent.undone.saturating_add(1));
        self.0.insert(place, Sent { wish, made, at: now, undone });
    }

    /// Forgets a parent.
    pub(crate) fn forget(&mut self, uid: &str) {
        for part in [Part::Main, Part::Status] {
            self.0.remove(&(uid.to_owned(), part));
        }
    }
}

fn gap(undone: u32) -> SignedDuration {
    let gap = match undone.checked_sub(1) {
        None => Duration::ZERO,
        Some(times) => FIRST_GAP.saturating_mul(2_u32.saturating_pow(times)).min(LONGEST_GAP),
    };
    SignedDuration::try_from(gap).unwrap_or(SignedDuration::ZERO)
}

fn hash(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn place() -> (String, Part) {
        ("u".to_owned(), Part::Status)
    }

    #[test]
    fn what_the_server_makes_of_a_write_is_not_sent_again() {
        let (wish, made) = (json!({"a": 1, "pruned": 1}), json!({"a": 1}));
        let mut repeats = Repeats::default();
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(repeats.judge(&place(), (&wish, &json!({})), now), Verdict::Send);
        repeats.note(place(), (&wish, &made), now);
        assert_eq!(repeats.judge(&place(), (&wish, &made), now), Verdict::Leave);
        assert_eq!(repeats.judge(&place(), (&json!({"b": 1}), &made), now), Verdict::Send);
        assert_eq!(repeats.judge(&place(), (&wish, &json!({})), now), Verdict::Send);
        repeats.forget("u");
        assert_eq!(repeats.judge(&place(), (&wish, &made), now), Verdict::Send);
    }

    /// Two who undo each other's write as soon as they may.
    #[test]
    fn a_quarrel_gets_slower() {
        let (mine, theirs) = (json!({"a": 1}), json!({"a": 2}));
        let mut repeats = Repeats::default();
        let (mut now, mut sent) = (Timestamp::UNIX_EPOCH, 0);
        let end = now + SignedDuration::from_secs(60);
        while now < end {
            match repeats.judge(&place(), (&mine, &theirs), now) {
                Verdict::SendAt(at) => now = at,
                Verdict::Send | Verdict::Leave => {
                    repeats.note(place(), (&mine, &mine), now);
                    sent += 1;
                }
            }
        }
        assert!((5..20).contains(&sent), "{sent}");
    }

    #[test]
    fn what_held_for_a_while_is_sent_at_once() {
        let (mine, theirs) = (json!({"a": 1}), json!({"a": 2}));
        let mut repeats = Repeats::default();
        let mut now = Timestamp::UNIX_EPOCH;
        for _ in 0..10 {
            assert_eq!(repeats.judge(&place(), (&mine, &theirs), now), Verdict::Send);
            repeats.note(place(), (&mine, &mine), now);
            now += SignedDuration::from_secs(60);
        }
    }
}
