//! Pure: counts each pod of a Job once, even if it is deleted meanwhile: a finalizer keeps it until it is counted.
//!
//! What ended is first named in the status, then let go, then counted. Whoever stops in between goes on there.

use serde_json::{Value, json};

use super::{Job, Pod, Run};
use crate::{
    controllers::{
        action::{Action, Plan},
        kinds,
    },
    fields,
};

/// Keeps a pod until it is counted.
pub(crate) const FINALIZER: &str = "batch.kubernetes.io/job-tracking";

/// The pods of a Job that ended, by how they did.
#[derive(Default)]
pub(super) struct Ended<'a> {
    pub(super) succeeded: Vec<&'a Pod>,
    pub(super) failed: Vec<&'a Pod>,
}

impl<'a> Ended<'a> {
    /// Returns the pods that ended and are still kept.
    pub(super) fn of(job: &Job, pods: &[&'a Pod]) -> Self {
        let kept = pods.iter().copied().filter(|pod| is_kept(pod));
        let (succeeded, others): (Vec<_>, Vec<_>) = kept.partition(|pod| pod.phase == "Succeeded");
        let is_failed = |pod: &&Pod| {
            // Unless only what failed is replaced, a deleted pod counts as one that never will succeed.
            let is_lost = pod.object.meta().is_deleting() && !job.replaces_failed_only();
            pod.phase == "Failed" || is_lost
        };
        Self { succeeded, failed: others.into_iter().filter(is_failed).collect() }
    }

    fn all(&self) -> impl Iterator<Item = &'a Pod> {
        self.succeeded.iter().chain(&self.failed).copied()
    }
}

impl Run<'_> {
    /// Names in the status which pods ended, and lets them go.
    pub(super) fn track(&self, plan: &mut Plan) {
        let status = &self.job.status;
        let named = |kind: &str, pods: &[&Pod]| {
            let mut uids: Vec<_> = status.uncounted(kind).map(ToOwned::to_owned).collect();
            let new = pods.iter().map(|pod| pod.object.meta().uid.clone());
            uids.extend(
                new.filter(|uid| status.uncounted(kind).all(|it| it != uid)).collect::<Vec<_>>(),
            );
            uids
        };
        let mut uncounted = json!({});
        for (kind, pods) in [("succeeded", &self.ended.succeeded), ("failed", &self.ended.failed)] {
            let uids = named(kind, pods);
            if !uids.is_empty() {
                uncounted[kind] = json!(uids);
            }
        }
        if self.ended.all().next().is_none() {
            return;
        }
        if uncounted != status.uncounted_terminated_pods {
            let mut object = self.job.object.to_value();
            fields::set(&mut object, &["status", "uncountedTerminatedPods"], uncounted);
            if self.job.is_indexed() {
                let done = self.done.to_string();
                fields::set(&mut object, &["status", "completedIndexes"], done);
            }
            plan.push(Action::Status { resource: kinds::JOBS.clone(), object });
        }
        plan.actions.extend(self.ended.all().map(release));
    }
}

/// Returns whether a pod waits to be counted.
pub(crate) fn is_kept(pod: &Pod) -> bool {
    pod.object.meta().has_finalizer(FINALIZER)
}

/// Returns the write that lets a pod go.
pub(crate) fn release(pod: &Pod) -> Action {
    let mut object = pod.object.to_value();
    let finalizers = fields::list(&object, "/metadata/finalizers").iter();
    let others: Vec<Value> = finalizers.filter(|it| **it != FINALIZER).cloned().collect();
    fields::set(&mut object, &["metadata", "finalizers"], others);
    Action::Update { resource: kinds::PODS.clone(), object, what: "counted".to_owned() }
}
