//! Pure: runs the pods of a Job until enough of them succeeded, or too many failed.

mod indexes;
mod new_pod;
mod status;
#[cfg(test)]
mod tests;
pub(crate) mod tracking;

use std::{collections::BTreeSet, sync::Arc};

use k8s::{Object, SignedDuration, Timestamp, selector::Selector};
use serde::Deserialize;
use serde_json::Value;

use self::{indexes::Indexes, status::Status, tracking::Ended};
use super::{
    action::{Action, Deletion, Note, Plan, Severity, Target},
    claim::{Claim, Claimant},
    kinds,
    parts::Parts,
    pod::Pod,
};
use crate::fields;

/// The component its Events name.
const COMPONENT: &str = "job-controller";

/// Who looks after a Job if nobody else is named.
const MANAGER: &str = "kubernetes.io/job-controller";

/// The wait after a first failed pod; each further one doubles it, up to the longest.
const FIRST_WAIT: SignedDuration = SignedDuration::from_secs(10);
const LONGEST_WAIT: SignedDuration = SignedDuration::from_secs(600);

/// How many pods one plan creates or deletes at most.
const BURST: usize = 500;

/// A Job as its controller reads it.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    object: Arc<Object>,
    selector: Selector,
    spec: Spec,
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    parallelism: i64,
    completions: Option<i64>,
    backoff_limit: i64,
    active_deadline_seconds: Option<i64>,
    ttl_seconds_after_finished: Option<i64>,
    completion_mode: String,
    pod_replacement_policy: String,
    suspend: bool,
    managed_by: Option<String>,
    selector: Value,
    template: Value,
}

/// What a plan is made from.
pub(crate) struct Observed<'a> {
    pub(crate) job: &'a Job,
    /// The pods it owns or might adopt.
    pub(crate) pods: Vec<&'a Pod>,
    /// Whether nothing new can be made in its namespace.
    pub(crate) is_closed: bool,
    /// The store's revision, from which the names of new pods are made.
    pub(crate) revision: u64,
    pub(crate) now: Timestamp,
}

/// A Job with its own pods, told apart by how far they are.
struct Run<'a> {
    job: &'a Job,
    active: Vec<&'a Pod>,
    /// Being deleted, but not gone.
    terminating: usize,
    failed: Vec<&'a Pod>,
    /// Ended, but not counted.
    ended: Ended<'a>,
    failures: i64,
    succeeded: i64,
    /// Which indexes succeeded, if it has any.
    done: Indexes,
    revision: u64,
    now: Timestamp,
}

/// How a Job comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Complete,
    BackoffLimit,
    Deadline,
}

impl Job {
    /// Reads a Job, unless its shape is unexpected or somebody else looks after it.
    pub(crate) fn read(object: Arc<Object>) -> Option<Self> {
        let Parts { spec, status, .. } = Parts::<Spec, Status>::read(&object)?;
        let selector = Selector::from_label_selector(&spec.selector).ok()?;
        let is_ours = spec.managed_by.as_deref().is_none_or(|manager| manager == MANAGER);
        is_ours.then_some(Self { object, selector, spec, status })
    }

    /// Returns how it claims pods.
    pub(crate) fn claimant(&self) -> Claimant<'_> {
        Claimant { resource: &kinds::JOBS, object: &self.object, selector: &self.selector }
    }

    fn replaces_failed_only(&self) -> bool {
        self.spec.pod_replacement_policy == "Failed"
    }

    fn is_indexed(&self) -> bool {
        self.spec.completion_mode == "Indexed"
    }

    fn target(&self) -> Target {
        Target::of(&kinds::JOBS, &self.object)
    }

    fn note(&self, severity: Severity, reason: &'static str, message: String) -> Action {
        let about = self.target();
        Action::Note(Note { about, severity, component: COMPONENT, reason, message })
    }
}

/// Plans the next step of a Job.
///
/// The status waits until the number of pods is right, so that it is not written for each step.
pub(crate) fn plan(observed: &Observed<'_>) -> Plan {
    let mut plan = Plan::default();
    let job = observed.job;
    let claimant = job.claimant();
    let finished = job.status.finished();
    if observed.is_closed || job.object.meta().is_deleting() || finished.is_some() {
        // Nobody counts any more, so nothing is to wait for that.
        let pods = observed.pods.iter().filter(|pod| {
            tracking::is_kept(pod)
                && claimant.claim(pod.object.meta()) == Claim::Mine
                && !pod.is_active()
        });
        plan.actions.extend(pods.map(|pod| tracking::release(pod)));
        if let Some(finished) = finished {
            expire(observed, finished, &mut plan);
        }
        return plan;
    }
    let pods = &kinds::PODS;
    plan.actions.extend(observed.pods.iter().filter_map(|pod| claimant.settle(pods, &pod.object)));
    if plan.is_idle() {
        let run = Run::new(observed);
        run.track(&mut plan);
        if plan.is_idle() {
            run.step(&mut plan);
        }
    }
    plan
}

/// Deletes a finished Job once its time is over.
fn expire(observed: &Observed<'_>, finished: Timestamp, plan: &mut Plan) {
    let job = observed.job;
    let Some(ttl) = job.spec.ttl_seconds_after_finished else { return };
    let due = finished.saturating_add(SignedDuration::from_secs(ttl)).unwrap_or(Timestamp::MAX);
    if job.object.meta().is_deleting() || observed.is_closed {
        return;
    }
    if due <= observed.now {
        plan.push(Action::Delete { target: job.target(), how: Deletion::Foreground });
    } else {
        plan.look_at(due);
    }
}

impl<'a> Run<'a> {
    fn new(observed: &Observed<'a>) -> Self {
        let job = observed.job;
        let claimant = job.claimant();
        let mine = observed.pods.iter().copied();
        let mine = mine.filter(|pod| claimant.claim(pod.object.meta()) == Claim::Mine);
        let mine: Vec<&Pod> = mine.collect();
        let of = |phase: &str| {
            let pods = mine.iter().copied().filter(|pod| pod.phase == phase);
            pods.collect::<Vec<_>>()
        };
        let ended = Ended::of(job, &mine);
        let mut done = Indexes::parse(&job.status.completed_indexes);
        if job.is_indexed() {
            let most = job.spec.completions.unwrap_or(0);
            let succeeded = ended.succeeded.iter().copied().filter_map(index);
            done.extend(succeeded.filter(|index| *index < most));
        }
        let counted = |before: i64, kind: &str| {
            before.saturating_add(
                i64::try_from(job.status.uncounted(kind).count()).unwrap_or(i64::MAX),
            )
        };
        Self {
            job,
            active: mine.iter().copied().filter(|pod| pod.is_active()).collect(),
            terminating: mine.iter().filter(|pod| pod.is_ending()).count(),
            failed: of("Failed"),
            failures: counted(job.status.failed, "failed"),
            succeeded: if job.is_indexed() {
                done.len()
            } else {
                counted(job.status.succeeded, "succeeded")
            },
            ended,
            done,
            revision: observed.revision,
            now: observed.now,
        }
    }

    fn step(&self, plan: &mut Plan) {
        let end = self.end();
        let wanted = match end {
            Some(_) => 0,
            None if self.job.spec.suspend => 0,
            None => self.wanted(),
        };
        let active = i64::try_from(self.active.len()).unwrap_or(i64::MAX);
        if wanted < active {
            self.delete(usize::try_from(active - wanted).unwrap_or(0), plan);
        } else if active < wanted {
            self.create(wanted - active, plan);
        }
        if plan.is_idle() {
            self.report(end, plan);
            self.watch_deadline(plan);
        }
    }

    /// Returns how the Job ends, if it is to end now.
    fn end(&self) -> Option<End> {
        let Spec { completions, backoff_limit, .. } = self.job.spec;
        let enough = match completions {
            Some(completions) => completions <= self.succeeded,
            None => 0 < self.succeeded && self.active.is_empty(),
        };
        if backoff_limit.max(0) < self.failures || self.is_past_restarts() {
            Some(End::BackoffLimit)
        } else if self.deadline().is_some_and(|due| due <= self.now) && !self.job.spec.suspend {
            Some(End::Deadline)
        } else {
            enough.then_some(End::Complete)
        }
    }

    /// Returns whether containers were restarted in place more often than pods may fail.
    fn is_past_restarts(&self) -> bool {
        let policy = fields::text(&self.job.spec.template, "/spec/restartPolicy");
        let restarts: i64 = self.active.iter().map(|pod| pod.restarts).sum();
        policy == "OnFailure" && self.job.spec.backoff_limit.max(1) <= restarts
    }

    fn deadline(&self) -> Option<Timestamp> {
        let start = self.job.status.start_time.as_deref()?.parse::<Timestamp>().ok()?;
        let seconds = SignedDuration::from_secs(self.job.spec.active_deadline_seconds?);
        Some(start.saturating_add(seconds).unwrap_or(Timestamp::MAX))
    }

    fn watch_deadline(&self, plan: &mut Plan) {
        if let Some(due) = self.deadline().filter(|due| self.now < *due) {
            plan.look_at(due);
        }
    }

    /// Returns how many pods should be active.
    fn wanted(&self) -> i64 {
        let active = i64::try_from(self.active.len()).unwrap_or(i64::MAX);
        match self.job.spec.completions {
            Some(completions) => self.job.spec.parallelism.min(completions - self.succeeded),
            // One success says that the work is done: the others may end theirs.
            None if 0 < self.succeeded => active.min(self.job.spec.parallelism),
            None => self.job.spec.parallelism,
        }
    }

    /// Creates pods, unless it is too early after the last failure.
    fn create(&self, count: i64, plan: &mut Plan) {
        if let Some(due) = self.next_try().filter(|due| self.now < *due) {
            plan.look_at(due);
            return;
        }
        let count = usize::try_from(count).unwrap_or(0).min(BURST);
        for place in self.places(count) {
            let pod = new_pod::new_pod(self.job, place, self.revision);
            let name = fields::text(&pod, "/metadata/name").to_owned();
            plan.push(Action::Create { resource: kinds::PODS.clone(), object: pod });
            let message = format!("Created pod: {name}");
            plan.push(self.job.note(Severity::Normal, "SuccessfulCreate", message));
        }
    }

    /// Chooses what the new pods are told apart by: the first free indexes, or just their number.
    fn places(&self, count: usize) -> Vec<i64> {
        if !self.job.is_indexed() {
            return (0..).take(count).collect();
        }
        let busy: BTreeSet<i64> = self.active.iter().copied().filter_map(index).collect();
        let all = 0..self.job.spec.completions.unwrap_or(0);
        all.filter(|index| !busy.contains(index) && !self.done.contains(*index))
            .take(count)
            .collect()
    }

    /// Returns when a pod may be created after others failed.
    fn next_try(&self) -> Option<Timestamp> {
        let last = self.failed.iter().filter_map(|pod| finished(pod)).max()?;
        let doublings = u32::try_from(self.failed.len() - 1).unwrap_or(u32::MAX).min(10);
        let wait = FIRST_WAIT.checked_mul(1 << doublings).unwrap_or(LONGEST_WAIT);
        Some(last.saturating_add(wait.min(LONGEST_WAIT)).unwrap_or(Timestamp::MAX))
    }

    /// Deletes the active pods that are missed least.
    fn delete(&self, count: usize, plan: &mut Plan) {
        let mut pods = self.active.clone();
        pods.sort_by_key(|pod| {
            (pod.ready_since.is_some(), pod.phase == "Running", std::cmp::Reverse(index(pod)))
        });
        for pod in pods.into_iter().take(count.min(BURST)) {
            // What is not wanted any more is no failure.
            if tracking::is_kept(pod) {
                plan.push(tracking::release(pod));
            }
            plan.push(Action::Delete { target: pod.target(), how: Deletion::Background });
            let message = format!("Deleted pod: {}", pod.object.meta().name);
            plan.push(self.job.note(Severity::Normal, "SuccessfulDelete", message));
        }
    }
}

/// Returns the index that a pod works on.
fn index(pod: &Pod) -> Option<i64> {
    pod.object.meta().labels.get(new_pod::INDEX)?.parse().ok()
}

/// Returns when the last container of a pod ended.
fn finished(pod: &Pod) -> Option<Timestamp> {
    let value = pod.object.to_value();
    let ends = fields::list(&value, "/status/containerStatuses").iter();
    let ends = ends.map(|status| fields::text(status, "/state/terminated/finishedAt"));
    let ended = ends.filter_map(|end| end.parse::<Timestamp>().ok()).max();
    ended.or_else(|| fields::text(&value, "/metadata/creationTimestamp").parse().ok())
}
