//! Pure: rules by which requests go wrong, and what of that a request meets.

mod handle;

use std::{num::NonZeroU64, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use crate::faults::handle::Faults;
use crate::{entropy::mix, requests::RequestRecord};

/// A rule by which requests go wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultRule {
    /// Which requests it concerns.
    #[serde(rename = "match", default)]
    pub on: FaultMatch,
    /// What happens to them.
    pub action: FaultAction,
}

/// Which requests a rule concerns: those that have all that is given here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FaultMatch {
    /// The verb as authorisation knows it, `update` for a PUT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verb: Option<String>,
    /// The group, empty for the core one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The plural; with a subresource `PLURAL/SUBRESOURCE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The name in the path, which requests to create do not have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The name of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Only every so many of the requests that match otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nth: Option<NonZeroU64>,
    /// Only this share of them, chosen by the seed of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FaultAction {
    /// It is refused.
    Status(FaultStatus),
    /// It is handled later, by the server's clock.
    Delay {
        /// How much later.
        milliseconds: u64,
    },
    /// It is not handled, and the connection breaks.
    DropConnection,
    /// It is handled, but the connection breaks before the client learns of it.
    LoseAnswer,
    /// Its watch ends after so many events; other requests than watches do not match.
    CloseWatch {
        /// How many events, bookmarks among them.
        after: usize,
    },
    /// All history is forgotten before it is handled.
    ExpireHistory,
}

/// With what a request is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultStatus {
    /// The HTTP status code.
    pub code: u16,
    /// The machine-readable reason.
    #[serde(default)]
    pub reason: String,
    /// After how many seconds to try again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
}

/// A rule in force, and what it did.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// The number by which it is removed.
    pub id: u64,
    /// How many requests matched, but for `nth` and `probability`.
    pub matched: u64,
    /// To how many it happened.
    pub hits: u64,
    /// The rule.
    #[serde(flatten)]
    pub rule: FaultRule,
}

/// The rules in force.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    last: u64,
    seed: u64,
    faults: Vec<Fault>,
}

/// What becomes of one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Harm {
    pub(crate) expire: bool,
    pub(crate) delay: Duration,
    pub(crate) end: Option<End>,
    /// After how many events a watch ends.
    pub(crate) close_after: Option<usize>,
}

/// How a request ends that is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Refused(FaultStatus),
    Dropped,
    Lost,
}

impl Rules {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    pub(crate) fn add(&mut self, rule: FaultRule) -> u64 {
        self.last += 1;
        self.faults.push(Fault { id: self.last, matched: 0, hits: 0, rule });
        self.last
    }

    /// Removes a rule and returns whether there was one.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let before = self.faults.len();
        self.faults.retain(|fault| fault.id != id);
        self.faults.len() < before
    }

    pub(crate) fn clear(&mut self) {
        self.faults.clear();
    }

    pub(crate) fn all(&self) -> &[Fault] {
        &self.faults
    }

    /// Counts a request and returns what becomes of it; of several ends the first rule's is taken.
    pub(crate) fn strike(&mut self, request: &RequestRecord) -> Harm {
        let mut harm = Harm::default();
        for fault in &mut self.faults {
            if fault.strikes(request, self.seed) {
                harm.add(&fault.rule.action);
            }
        }
        harm
    }
}

impl Fault {
    fn strikes(&mut self, request: &RequestRecord, seed: u64) -> bool {
        let FaultRule { on, action } = &self.rule;
        let is_watch = request.verb == "watch";
        if !on.matches(request) || matches!(action, FaultAction::CloseWatch { .. }) && !is_watch {
            return false;
        }
        self.matched += 1;
        let is_turn = on.nth.is_none_or(|nth| self.matched.is_multiple_of(nth.get()));
        let chance = share(seed ^ self.id.rotate_left(32) ^ self.matched);
        let hit = is_turn && on.probability.is_none_or(|probability| chance < probability);
        self.hits += u64::from(hit);
        hit
    }
}

impl FaultMatch {
    fn matches(&self, request: &RequestRecord) -> bool {
        let resource = match request.subresource.as_str() {
            "" => request.resource.clone(),
            subresource => format!("{}/{subresource}", request.resource),
        };
        [
            (&self.verb, &request.verb),
            (&self.group, &request.group),
            (&self.resource, &resource),
            (&self.namespace, &request.namespace),
            (&self.name, &request.name),
            (&self.user, &request.user),
        ]
        .into_iter()
        .all(|(wanted, had)| wanted.as_ref().is_none_or(|wanted| wanted == had))
    }
}

impl Harm {
    fn add(&mut self, action: &FaultAction) {
        let end = match action {
            FaultAction::Status(status) => End::Refused(status.clone()),
            FaultAction::DropConnection => End::Dropped,
            FaultAction::LoseAnswer => End::Lost,
            FaultAction::Delay { milliseconds } => {
                self.delay = self.delay.saturating_add(Duration::from_millis(*milliseconds));
                return;
            }
            FaultAction::CloseWatch { after } => {
                let after = self.close_after.map_or(*after, |before| before.min(*after));
                self.close_after = Some(after);
                return;
            }
            FaultAction::ExpireHistory => {
                self.expire = true;
                return;
            }
        };
        self.end.get_or_insert(end);
    }
}

impl FaultStatus {
    /// Returns the Status that the client sees.
    pub(crate) fn to_value(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "an injected fault", "reason": self.reason, "code": self.code,
        });
        if let Some(seconds) = self.retry_after {
            status["details"] = json!({"retryAfterSeconds": seconds});
        }
        status
    }
}

/// Returns a number from 0 to 1 that looks random and is always the same for the same input.
#[expect(clippy::cast_precision_loss, reason = "53 bits are what a float holds")]
fn share(input: u64) -> f64 {
    (mix(input) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(rules: &[Value]) -> Rules {
        let mut book = Rules::new(7);
        for rule in rules {
            book.add(serde_json::from_value(rule.clone()).unwrap());
        }
        book
    }

    /// Returns a request from `VERB NAMESPACE/PLURAL/NAME[/SUBRESOURCE]`.
    fn request(line: &str) -> RequestRecord {
        let (verb, path) = line.split_once(' ').unwrap();
        let mut parts = path.split('/').map(ToOwned::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        let (namespace, resource, name) = (next(), next(), next());
        let (verb, subresource) = (verb.to_owned(), next());
        let user = "engine".to_owned();
        RequestRecord { verb, resource, subresource, namespace, name, user, ..<_>::default() }
    }

    fn hits(on: &Value, requests: &[&str]) -> u64 {
        let mut rules = rules(&[json!({"match": on, "action": "expireHistory"})]);
        for line in requests {
            rules.strike(&request(line));
        }
        rules.all()[0].hits
    }

    #[test]
    fn a_request_must_have_all_that_is_given() {
        for (on, line, hit) in [
            (json!({}), "get a/pods/b", true),
            (json!({"verb": "get", "user": "engine"}), "get a/pods/b", true),
            (json!({"verb": "get", "user": "other"}), "get a/pods/b", false),
            (json!({"resource": "pods"}), "update a/pods/b/status", false),
            (json!({"resource": "pods/status"}), "update a/pods/b/status", true),
            (json!({"namespace": "a", "name": "c"}), "get a/pods/b", false),
            (json!({"group": "apps"}), "get a/pods/b", false),
        ] {
            assert_eq!(hits(&on, &[line]) == 1, hit, "{on} {line}");
        }
    }

    #[test]
    fn every_nth_match_is_hit() {
        let all = ["update a/pods/b", "get a/pods/b", "update a/pods/c", "update a/pods/d"];
        assert_eq!(hits(&json!({"verb": "update", "nth": 3}), &all), 1);
        assert_eq!(hits(&json!({"verb": "update", "nth": 2}), &all), 1);
        assert_eq!(hits(&json!({"nth": 1}), &all), 4);
    }

    #[test]
    fn a_share_is_hit_and_always_the_same() {
        let all = vec!["get a/pods/b"; 1000];
        let quarter = hits(&json!({"probability": 0.25}), &all);
        assert!((200..300).contains(&quarter), "{quarter}");
        assert_eq!(hits(&json!({"probability": 0.25}), &all), quarter);
        assert_eq!(hits(&json!({"probability": 0.0}), &all), 0);
        assert_eq!(hits(&json!({"probability": 1.0}), &all), 1000);
    }

    #[test]
    fn what_several_rules_do_adds_up() {
        let mut rules = rules(&[
            json!({"action": {"delay": {"milliseconds": 5}}}),
            json!({"action": {"delay": {"milliseconds": 7}}}),
            json!({"action": {"closeWatch": {"after": 9}}}),
            json!({"action": {"closeWatch": {"after": 4}}}),
            json!({"action": {"status": {"code": 429, "retryAfter": 1}}}),
            json!({"action": "dropConnection"}),
        ]);
        let refused =
            End::Refused(FaultStatus { code: 429, retry_after: Some(1), ..<_>::default() });
        let end = Some(refused);
        let delay = Duration::from_millis(12);
        let harm = Harm { expire: false, delay, end, close_after: Some(4) };
        assert_eq!(rules.strike(&request("watch a/pods")), harm);
        let other = rules.strike(&request("get a/pods/b"));
        assert_eq!(other, Harm { close_after: None, ..harm });
    }

    #[test]
    fn rules_that_make_no_sense_are_refused() {
        for rule in [
            json!({"match": {"nth": 0}, "action": "expireHistory"}),
            json!({"match": {"verbs": "get"}, "action": "expireHistory"}),
            json!({"match": {}}),
            json!({"action": "reorder"}),
        ] {
            assert!(serde_json::from_value::<FaultRule>(rule.clone()).is_err(), "{rule}");
        }
    }
}
