//! Pure: the status of a Job.

use k8s::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{End, Run};
use crate::{
    controllers::{
        action::{Action, Plan, Severity},
        condition::{self, Condition},
        kinds,
        replicaset::is_zero,
    },
    fields,
    lifecycle::rfc3339,
};

/// The status, as stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    #[serde(skip_serializing_if = "is_zero")]
    active: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) completed_indexes: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_time: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conditions: Vec<Condition>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) failed: i64,
    ready: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) start_time: Option<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) succeeded: i64,
    terminating: Option<i64>,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(super) uncounted_terminated_pods: Value,
}

impl Status {
    /// Returns the UIDs of pods that ended in a way and are not in the counts.
    pub(super) fn uncounted(&self, kind: &str) -> impl Iterator<Item = &str> {
        let uids = self.uncounted_terminated_pods.get(kind).and_then(Value::as_array);
        uids.into_iter().flatten().filter_map(Value::as_str)
    }

    /// Returns when the Job finished, if it did.
    pub(super) fn finished(&self) -> Option<Timestamp> {
        let mut ends = self
            .conditions
            .iter()
            .filter(|it| it.is_true() && matches!(it.kind.as_str(), "Complete" | "Failed"));
        let at = ends.next()?.last_transition_time.as_deref().unwrap_or_default();
        Some(at.parse().unwrap_or(Timestamp::UNIX_EPOCH))
    }
}

impl End {
    /// Returns the conditions that say it is decided and that it is over, with reason and message.
    fn words(self) -> [&'static str; 4] {
        match self {
            Self::Complete => [
                "SuccessCriteriaMet",
                "Complete",
                "CompletionsReached",
                "Reached expected number of succeeded pods",
            ],
            Self::BackoffLimit => [
                "FailureTarget",
                "Failed",
                "BackoffLimitExceeded",
                "Job has reached the specified backoff limit",
            ],
            Self::Deadline => [
                "FailureTarget",
                "Failed",
                "DeadlineExceeded",
                "Job was active longer than specified deadline",
            ],
        }
    }
}

impl Run<'_> {
    /// Writes the status if it changed, and tells of what is new in it.
    pub(super) fn report(&self, end: Option<End>, plan: &mut Plan) {
        let job = self.job;
        let mut status = Status {
            active: count(self.active.len()),
            ready: Some(count(self.active.iter().filter(|it| it.ready_since.is_some()).count())),
            terminating: Some(count(self.terminating)),
            succeeded: self.succeeded,
            failed: self.failures,
            uncounted_terminated_pods: json!({}),
            ..job.status.clone()
        };
        if job.is_indexed() {
            status.completed_indexes = self.done.to_string();
        }
        self.suspend(&mut status, plan);
        if let Some(end) = end {
            self.finish(end, &mut status, plan);
        }
        if status != job.status {
            let mut object = job.object.to_value();
            fields::set(&mut object, &["status"], json!(status));
            plan.actions.insert(0, Action::Status { resource: kinds::JOBS.clone(), object });
        }
    }

    /// Starts the Job, or notes that it pauses or goes on.
    fn suspend(&self, status: &mut Status, plan: &mut Plan) {
        let was = condition::find(&status.conditions, "Suspended").map(Condition::is_true);
        let (value, reason, event, message) = match (self.job.spec.suspend, was) {
            (true, None | Some(false)) => ("True", "JobSuspended", "Suspended", "Job suspended"),
            (false, Some(true)) => ("False", "JobResumed", "Resumed", "Job resumed"),
            (true, Some(true)) => return,
            (false, None | Some(false)) => {
                status.start_time.get_or_insert_with(|| rfc3339(self.now));
                return;
            }
        };
        status.start_time = (!self.job.spec.suspend).then(|| rfc3339(self.now));
        self.put(status, "Suspended", value, [reason, message]);
        plan.push(self.job.note(Severity::Normal, event, message.to_owned()));
    }

    /// Notes that the Job is to end, and that it ended once no pod is left.
    fn finish(&self, end: End, status: &mut Status, plan: &mut Plan) {
        let [decided, over, reason, message] = end.words();
        self.put(status, decided, "True", [reason, message]);
        if !self.active.is_empty() || 0 < self.terminating {
            return;
        }
        self.put(status, over, "True", [reason, message]);
        if end == End::Complete {
            status.completion_time = Some(rfc3339(self.now));
            plan.push(self.job.note(Severity::Normal, "Completed", "Job completed".to_owned()));
        } else {
            plan.push(self.job.note(Severity::Warning, reason, message.to_owned()));
        }
    }

    fn put(&self, status: &mut Status, kind: &str, value: &str, why: [&str; 2]) {
        let [reason, message] = why;
        let mut new = Condition::new(kind, value, self.now).because(reason, message);
        new.last_probe_time = Some(rfc3339(self.now));
        let old = condition::find(&status.conditions, kind);
        if old.is_none_or(|old| old.status != value) {
            condition::put(&mut status.conditions, new);
        }
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
