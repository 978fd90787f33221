//! Pure: who may hold a Lease, by what it says and by what was seen of it.

use std::time::Duration;

use k8s::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// For how long a Lease that is not renewed still counts.
pub(crate) const DURATION: Duration = Duration::from_secs(15);
/// How long a leader that cannot renew goes on: it must have stopped before others take over.
pub(crate) const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// How long to wait between tries.
pub(crate) const RETRY: Duration = Duration::from_secs(2);

/// What a Lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Who holds it; nobody if empty.
    pub(crate) holder: String,
    /// For how many seconds it counts.
    pub(crate) seconds: i64,
    /// Since when the holder has it.
    pub(crate) acquired: String,
    /// When the holder last said so.
    pub(crate) renewed: String,
    /// How often it went from one holder to another.
    pub(crate) transitions: i64,
}

/// One who wants to hold a Lease.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    identity: String,
    /// What the Lease said last, and when that was first seen. Clocks of machines differ: a Lease has run
    /// out when it has not changed for its time by our own clock, whatever its text says.
    seen: Option<(Record, Timestamp)>,
}

impl Record {
    /// Reads the `spec` of a Lease.
    pub(crate) fn read(spec: &Value) -> Self {
        let text = |field: &str| spec[field].as_str().unwrap_or_default().to_owned();
        Self {
            holder: text("holderIdentity"),
            seconds: spec["leaseDurationSeconds"].as_i64().unwrap_or_default(),
            acquired: text("acquireTime"),
            renewed: text("renewTime"),
            transitions: spec["leaseTransitions"].as_i64().unwrap_or_default(),
        }
    }

    /// Returns the `spec` of a Lease that says this.
    pub(crate) fn spec(&self) -> Value {
        json!({
            "holderIdentity": self.holder, "leaseDurationSeconds": self.seconds,
            "acquireTime": self.acquired, "renewTime": self.renewed,
            "leaseTransitions": self.transitions})
    }
}

impl Candidate {
    /// Returns a candidate who has seen nothing yet.
    pub(crate) fn new(identity: String) -> Self {
        Self { identity, seen: None }
    }

    /// Tells whether the Lease is this candidate's.
    pub(crate) fn is_holder(&self, record: &Record) -> bool {
        record.holder == self.identity
    }

    /// Returns what to write into the Lease to get or keep it, nothing as long as it is another's.
    pub(crate) fn bid(&mut self, live: Option<&Record>, now: Timestamp) -> Option<Record> {
        let mine = |transitions| Record {
            holder: self.identity.clone(),
            seconds: DURATION.as_secs().cast_signed(),
            acquired: written(now),
            renewed: written(now),
            transitions,
        };
        let Some(live) = live else { return Some(mine(0)) };
        if self.is_holder(live) {
            return Some(Record { acquired: live.acquired.clone(), ..mine(live.transitions) });
        }
        let bid = mine(live.transitions.saturating_add(1));
        let since = match &self.seen {
            Some((seen, since)) if seen == live => *since,
            _ => {
                self.seen = Some((live.clone(), now));
                now
            }
        };
        let is_over = SignedDuration::from_secs(live.seconds) <= now.duration_since(since);
        (live.holder.is_empty() || is_over).then_some(bid)
    }

    /// Returns what to write into the Lease so that the next candidate need not wait.
    pub(crate) fn release(&self, live: &Record, now: Timestamp) -> Option<Record> {
        let released = Record {
            holder: String::new(),
            seconds: 1,
            acquired: written(now),
            renewed: written(now),
            transitions: live.transitions,
        };
        self.is_holder(live).then_some(released)
    }
}

fn written(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn candidate(name: &str) -> Candidate {
        Candidate::new(name.to_owned())
    }

    #[test]
    fn a_lease_that_is_not_there_is_taken_and_renewed() {
        let mut a = candidate("a");
        let taken = a.bid(None, at(0)).unwrap();
        assert_eq!((taken.holder.as_str(), taken.seconds, taken.transitions), ("a", 15, 0));
        let renewed = a.bid(Some(&taken), at(2)).unwrap();
        assert_eq!(renewed.acquired, "1970-01-01T00:00:00.000000Z");
        assert_eq!(renewed.renewed, "1970-01-01T00:00:02.000000Z");
    }

    #[test]
    fn a_lease_runs_out_by_the_clock_of_who_looks_at_it() {
        let (mut a, mut b) = (candidate("a"), candidate("b"));
        // The leader's clock is far behind.
        let first = a.bid(None, at(0)).unwrap();
        assert_eq!(b.bid(Some(&first), at(1000)), None);
        assert_eq!(b.bid(Some(&first), at(1014)), None);
        let renewed = a.bid(Some(&first), at(12)).unwrap();
        assert_eq!(b.bid(Some(&renewed), at(1016)), None);
        let taken = b.bid(Some(&renewed), at(1031)).unwrap();
        assert_eq!((taken.holder.as_str(), taken.transitions), ("b", 1));
        assert_eq!(a.bid(Some(&taken), at(31)), None);
    }

    #[test]
    fn a_lease_that_was_released_is_free_at_once() {
        let (mut a, mut b) = (candidate("a"), candidate("b"));
        let held = a.bid(None, at(0)).unwrap();
        assert_eq!(b.release(&held, at(1)), None);
        let released = a.release(&held, at(1)).unwrap();
        assert_eq!((released.holder.as_str(), released.seconds), ("", 1));
        assert_eq!(b.bid(Some(&released), at(1)).unwrap().transitions, 1);
    }

    #[test]
    fn a_lease_is_read_as_it_is_written() {
        let record = candidate("a").bid(None, at(7)).unwrap();
        assert_eq!(Record::read(&record.spec()), record);
    }
}
