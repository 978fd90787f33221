//! Pure: the conditions in an object's status.

use k8s::Timestamp;
use serde::{Deserialize, Serialize};

use crate::lifecycle::rfc3339;

/// One condition, as stored. Fields a kind does not have stay absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Condition {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) observed_generation: Option<i64>,
    /// Only conditions of Jobs have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_probe_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_update_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_transition_time: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
}

impl Condition {
    /// Returns a condition that came about at `now`.
    pub(crate) fn new(kind: &str, status: &str, now: Timestamp) -> Self {
        Self {
            kind: kind.to_owned(),
            status: status.to_owned(),
            last_transition_time: Some(rfc3339(now)),
            ..Self::default()
        }
    }

    /// Says why the condition holds.
    pub(crate) fn because(self, reason: &str, message: impl Into<String>) -> Self {
        Self { reason: reason.to_owned(), message: message.into(), ..self }
    }

    /// Returns whether the condition holds.
    pub(crate) fn is_true(&self) -> bool {
        self.status == "True"
    }
}

/// Returns the condition of this type.
pub(crate) fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}

/// Puts `new` in the place of the condition of its type; one whose status stays keeps its time.
pub(crate) fn put(conditions: &mut Vec<Condition>, mut new: Condition) {
    match conditions.iter_mut().find(|condition| condition.kind == new.kind) {
        Some(old) => {
            if old.status == new.status {
                new.last_transition_time.clone_from(&old.last_transition_time);
            }
            *old = new;
        }
        None => conditions.push(new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_changed_status_gets_a_new_time() {
        let (early, late) =
            (Timestamp::UNIX_EPOCH, "1970-01-01T01:00:00.5Z".parse::<Timestamp>().unwrap());
        let mut conditions = vec![Condition::new("Ready", "False", early)];
        put(&mut conditions, Condition::new("Ready", "False", late).because("Other", "m"));
        assert_eq!(conditions[0].last_transition_time.as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(conditions[0].reason, "Other");
        put(&mut conditions, Condition::new("Ready", "True", late));
        assert_eq!(conditions[0].last_transition_time.as_deref(), Some("1970-01-01T01:00:00Z"));
    }
}
