//! Pure: the status of a Deployment: its counts, and how its rollout gets on.

use k8s::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Rollout;
use crate::{
    controllers::{
        action::{Action, Plan},
        condition::{self, Condition},
        kinds,
        replicaset::is_zero,
    },
    fields,
};

/// The status of a Deployment, as stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    #[serde(skip_serializing_if = "is_zero")]
    observed_generation: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) replicas: i64,
    #[serde(skip_serializing_if = "is_zero")]
    updated_replicas: i64,
    #[serde(skip_serializing_if = "is_zero")]
    ready_replicas: i64,
    #[serde(skip_serializing_if = "is_zero")]
    available_replicas: i64,
    #[serde(skip_serializing_if = "is_zero")]
    unavailable_replicas: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    terminating_replicas: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conditions: Vec<Condition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) collision_count: Option<i64>,
}

impl Rollout<'_> {
    /// Writes the counts, but does not judge the progress.
    pub(super) fn report(&self, plan: &mut Plan) {
        self.write(&self.counted(), plan);
    }

    /// Writes the counts and one condition that changed.
    pub(super) fn report_with(&self, condition: Condition, plan: &mut Plan) {
        let mut status = self.counted();
        put(&mut status.conditions, condition);
        self.write(&status, plan);
    }

    /// Writes the status right after a set of `size` was created, which is not observed yet.
    pub(super) fn report_created(&self, condition: Condition, size: i64, plan: &mut Plan) {
        let mut status = self.counted();
        status.updated_replicas = 0;
        status.unavailable_replicas += size;
        if self.has_deadline() {
            put(&mut status.conditions, condition);
        }
        self.write(&status, plan);
    }

    /// Notes that the hash of the template is taken, so that the next try gets another.
    pub(super) fn report_collision(&self, plan: &mut Plan) {
        let mut status = self.counted();
        status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
        self.write(&status, plan);
    }

    /// Writes the counts and how the rollout gets on.
    pub(super) fn report_progress(&self, plan: &mut Plan) {
        let mut status = self.counted();
        if self.has_deadline() {
            self.judge(&mut status, plan);
        } else {
            status.conditions.retain(|condition| condition.kind != PROGRESSING);
        }
        self.write(&status, plan);
    }

    /// Returns the condition that tells of a pause or its end, if it is not there yet.
    pub(super) fn pause_change(&self) -> Option<Condition> {
        let paused = self.deployment.spec.paused;
        let reason = self.progressing().map(|condition| condition.reason.as_str());
        if !self.has_deadline() || reason == Some(TIMED_OUT) || paused == (reason == Some(PAUSED)) {
            return None;
        }
        let (reason, message) = if paused {
            (PAUSED, "Deployment is paused")
        } else {
            ("DeploymentResumed", "Deployment is resumed")
        };
        Some(self.condition(PROGRESSING, "Unknown").because(reason, message))
    }

    /// Returns whether all replicas are of the present template and available.
    pub(super) fn is_complete(&self) -> bool {
        let wanted = self.deployment.spec.replicas;
        let status = self.counted();
        status.updated_replicas == wanted
            && status.replicas == wanted
            && status.available_replicas == wanted
    }

    fn counted(&self) -> Status {
        let meta = self.deployment.object.meta();
        let sum = |count: fn(&_) -> i64| self.all().map(count).sum::<i64>();
        let available = sum(|set| set.status.available_replicas);
        let asked = sum(|set| set.spec.replicas);
        let before = &self.deployment.status;
        let mut status = Status {
            observed_generation: meta.generation,
            replicas: sum(|set| set.status.replicas),
            updated_replicas: self.new.map_or(0, |new| new.status.replicas),
            ready_replicas: sum(|set| set.status.ready_replicas),
            available_replicas: available,
            unavailable_replicas: (asked - available).max(0),
            terminating_replicas: self
                .all()
                .filter_map(|set| set.status.terminating_replicas)
                .reduce(|sum, it| sum + it),
            conditions: before.conditions.clone(),
            collision_count: before.collision_count,
        };
        put(&mut status.conditions, self.availability(available));
        self.copy_failure(&mut status.conditions);
        status
    }

    fn availability(&self, available: i64) -> Condition {
        let least = self.deployment.spec.replicas - self.max_unavailable();
        if least <= available {
            self.condition("Available", "True")
                .because("MinimumReplicasAvailable", "Deployment has minimum availability.")
        } else {
            self.condition("Available", "False").because(
                "MinimumReplicasUnavailable",
                "Deployment does not have minimum availability.",
            )
        }
    }

    /// Shows the failure of a set, of the present template's above all, as its own.
    fn copy_failure(&self, conditions: &mut Vec<Condition>) {
        let sets = self.new.into_iter().chain(self.old.iter().copied());
        let mut failures =
            sets.filter_map(|set| condition::find(&set.status.conditions, "ReplicaFailure"));
        conditions.retain(|condition| condition.kind != "ReplicaFailure");
        if let Some(failure) = failures.next() {
            let last_update_time = failure.last_transition_time.clone();
            conditions.push(Condition { last_update_time, ..failure.clone() });
        }
    }

    fn judge(&self, status: &mut Status, plan: &mut Plan) {
        let current = self.progressing();
        let done = current.is_some_and(|condition| condition.reason == AVAILABLE);
        if done && status.replicas == status.updated_replicas {
            return;
        }
        let subject = match self.new {
            Some(new) => format!("ReplicaSet \"{}\"", new.name()),
            None => format!("Deployment \"{}\"", self.deployment.name()),
        };
        let holds = |reason, message| {
            self.condition(PROGRESSING, "True").because(reason, format!("{subject} {message}"))
        };
        if self.is_complete() {
            put(&mut status.conditions, holds(AVAILABLE, "has successfully progressed."));
        } else if self.has_moved(status) {
            renew(&mut status.conditions, holds("ReplicaSetUpdated", "is progressing."));
        } else if let (None, Some(new)) = (current, self.new) {
            let found = format!("Found new replica set \"{}\"", new.name());
            let condition = self.condition(PROGRESSING, "True");
            put(&mut status.conditions, condition.because("FoundNewReplicaSet", found));
        } else if let Some(due) = self.deadline() {
            if self.now < due {
                return plan.look_at(due);
            }
            let message = format!("{subject} has timed out progressing.");
            let late = self.condition(PROGRESSING, "False");
            put(&mut status.conditions, late.because(TIMED_OUT, message));
        }
    }

    /// Returns whether more replicas are new, ready or available, or fewer are old, than before.
    fn has_moved(&self, status: &Status) -> bool {
        let before = &self.deployment.status;
        before.updated_replicas < status.updated_replicas
            || status.replicas - status.updated_replicas < before.replicas - before.updated_replicas
            || before.ready_replicas < status.ready_replicas
            || before.available_replicas < status.available_replicas
    }

    /// Returns when the lack of progress becomes a failure.
    fn deadline(&self) -> Option<Timestamp> {
        let current = self.progressing()?;
        if matches!(current.reason.as_str(), AVAILABLE | TIMED_OUT | PAUSED) {
            return None;
        }
        let since: Timestamp = current.last_update_time.as_deref()?.parse().ok()?;
        let seconds = self.deployment.spec.progress_deadline_seconds?;
        since.checked_add(SignedDuration::from_secs(seconds)).ok()
    }

    fn progressing(&self) -> Option<&Condition> {
        condition::find(&self.deployment.status.conditions, PROGRESSING)
    }

    fn write(&self, status: &Status, plan: &mut Plan) {
        if *status == self.deployment.status {
            return;
        }
        // A revision that was noted before goes with the status.
        let noted = plan.actions.iter_mut().find_map(|action| match action {
            Action::Status { resource, object } if *resource == *kinds::DEPLOYMENTS => Some(object),
            _ => None,
        });
        if let Some(object) = noted {
            return fields::set(object, &["status"], json!(status));
        }
        let mut object = self.deployment.object.to_value();
        fields::set(&mut object, &["status"], json!(status));
        plan.push(Action::Status { resource: kinds::DEPLOYMENTS.clone(), object });
    }
}

const PROGRESSING: &str = "Progressing";
const AVAILABLE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";

/// Puts a condition in place, unless one of the same status and reason is there already.
fn put(conditions: &mut Vec<Condition>, new: Condition) {
    let current = condition::find(conditions, &new.kind);
    if !current.is_some_and(|it| it.status == new.status && it.reason == new.reason) {
        renew(conditions, new);
    }
}

/// Puts a condition in place and notes when.
fn renew(conditions: &mut Vec<Condition>, new: Condition) {
    let last_update_time = new.last_transition_time.clone();
    condition::put(conditions, Condition { last_update_time, ..new });
}
