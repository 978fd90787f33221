//! Pure: keeps the numbered pods of a StatefulSet, one after the other or all at once.

mod identity;
mod revisions;
mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use k8s::{Object, SignedDuration, Timestamp, selector::Selector};
use serde::Deserialize;
use serde_json::Value;

use self::{revisions::Revisions, status::Status};
use super::{
    action::{Action, Deletion, Note, Plan, Severity, Target},
    claim::{Claim, Claimant},
    kinds,
    kinds::Shared,
    parts::Parts,
    pod::Pod,
};
use crate::fields;

/// The component its Events name.
const COMPONENT: &str = "statefulset-controller";

/// The label of a pod that names the revision it was made from.
const REVISION_LABEL: &str = "controller-revision-hash";

/// A StatefulSet as its controller reads it.
#[derive(Clone, Debug)]
pub(crate) struct StatefulSet {
    object: Arc<Object>,
    selector: Selector,
    spec: Spec,
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    replicas: i64,
    ordinals: Ordinals,
    service_name: String,
    pod_management_policy: String,
    update_strategy: UpdateStrategy,
    revision_history_limit: Option<usize>,
    min_ready_seconds: i64,
    persistent_volume_claim_retention_policy: Retention,
    volume_claim_templates: Vec<Value>,
    selector: Value,
    template: Value,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Ordinals {
    start: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct UpdateStrategy {
    r#type: String,
    rolling_update: RollingUpdate,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct RollingUpdate {
    partition: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Retention {
    when_deleted: String,
    when_scaled: String,
}

/// What a plan is made from.
pub(crate) struct Observed<'a> {
    pub(crate) set: &'a StatefulSet,
    /// The pods it owns or might adopt.
    pub(crate) pods: Vec<&'a Pod>,
    /// The ControllerRevisions it owns.
    pub(crate) revisions: Vec<&'a Object>,
    /// Finds an object of its namespace by name.
    pub(crate) find: &'a dyn Fn(&Shared, &str) -> Option<&'a Object>,
    pub(crate) now: Timestamp,
}

/// A StatefulSet with its own pods by their number.
struct Ranks<'o, 'a> {
    observed: &'o Observed<'a>,
    set: &'a StatefulSet,
    revisions: Revisions<'a>,
    /// Those that should be, in order; absent ones included.
    wanted: Vec<(i64, Option<&'a Pod>)>,
    /// Those that should not be, highest first.
    condemned: Vec<(i64, &'a Pod)>,
}

impl StatefulSet {
    /// Reads a StatefulSet, unless its shape is unexpected.
    pub(crate) fn read(object: Arc<Object>) -> Option<Self> {
        let Parts { spec, status, .. } = Parts::<Spec, Status>::read(&object)?;
        let selector = Selector::from_label_selector(&spec.selector).ok()?;
        Some(Self { object, selector, spec, status })
    }

    /// Returns how it claims pods.
    pub(crate) fn claimant(&self) -> Claimant<'_> {
        Claimant { resource: &kinds::STATEFUL_SETS, object: &self.object, selector: &self.selector }
    }

    fn name(&self) -> &str {
        &self.object.meta().name
    }

    fn is_ordered(&self) -> bool {
        self.spec.pod_management_policy != "Parallel"
    }

    /// Returns the number in a pod's name, if it is one of the set's names.
    fn ordinal(&self, pod: &Pod) -> Option<i64> {
        let number = pod.object.meta().name.strip_prefix(self.name())?.strip_prefix('-')?;
        // `web-01` has a number, but is no name that the set would give.
        number.parse().ok().filter(|ordinal: &i64| ordinal.to_string() == number)
    }

    fn note(&self, reason: &'static str, message: String) -> Action {
        let about = Target::of(&kinds::STATEFUL_SETS, &self.object);
        let severity = Severity::Normal;
        Action::Note(Note { about, severity, component: COMPONENT, reason, message })
    }
}

/// Plans the next step of a StatefulSet.
///
/// The status waits until nothing else is to be written, so that it is not written for each step.
pub(crate) fn plan(observed: &Observed<'_>) -> Plan {
    let mut plan = Plan::default();
    let set = observed.set;
    let claimant = set.claimant();
    // A pod of another name is never taken in, whatever its labels.
    let named = observed.pods.iter().filter(|pod| set.ordinal(pod).is_some());
    plan.actions.extend(named.filter_map(|pod| claimant.settle(&kinds::PODS, &pod.object)));
    if !plan.is_idle() || set.object.meta().is_deleting() {
        return plan;
    }
    match Revisions::of(observed) {
        Ok(revisions) => Ranks::new(observed, revisions).step(&mut plan),
        Err(action) => plan.push(*action),
    }
    plan
}

impl<'o, 'a> Ranks<'o, 'a> {
    fn new(observed: &'o Observed<'a>, revisions: Revisions<'a>) -> Self {
        let set = observed.set;
        let claimant = set.claimant();
        let mine = observed.pods.iter().copied();
        let mine = mine.filter(|pod| claimant.claim(pod.object.meta()) == Claim::Mine);
        let mut mine: Vec<_> = mine.filter_map(|pod| Some((set.ordinal(pod)?, pod))).collect();
        mine.sort_by_key(|(ordinal, _)| -ordinal);
        let start = set.spec.ordinals.start;
        let range = start..start.saturating_add(set.spec.replicas);
        let find = |ordinal| mine.iter().find(|it| it.0 == ordinal).map(|it| it.1);
        let wanted = range.clone().map(|ordinal| (ordinal, find(ordinal))).collect();
        let condemned = mine.into_iter().filter(|it| !range.contains(&it.0)).collect();
        Self { observed, set, revisions, wanted, condemned }
    }

    fn step(&self, plan: &mut Plan) {
        self.retain(plan);
        // Nobody looks at the set again when only its claims change: the rest must follow at once.
        let retained = plan.actions.len();
        if self.fill(plan) && self.shrink(plan) {
            self.update(plan);
        }
        if plan.actions.len() == retained {
            self.clean_up(plan);
            self.report(plan);
        }
    }

    /// Creates the pods that are missing; returns whether nothing has to be waited for.
    fn fill(&self, plan: &mut Plan) -> bool {
        let ordered = self.set.is_ordered();
        for (ordinal, pod) in &self.wanted {
            let goes_on = match pod {
                None => {
                    self.create(*ordinal, plan);
                    false
                }
                Some(pod) if pod.object.meta().is_deleting() => false,
                // It will not run again, and its name is taken as long as it is there.
                Some(pod) if pod.is_terminal() => {
                    self.delete(pod, plan);
                    false
                }
                Some(pod) => self.is_available(pod, plan),
            };
            if ordered && !goes_on {
                return false;
            }
        }
        true
    }

    /// Deletes the pods beyond the size; returns whether nothing has to be waited for.
    fn shrink(&self, plan: &mut Plan) -> bool {
        for (_, pod) in &self.condemned {
            if !pod.object.meta().is_deleting() {
                self.delete(pod, plan);
            }
            if self.set.is_ordered() {
                return false;
            }
        }
        true
    }

    /// Replaces the pods of other revisions, highest first, each when those above are well.
    fn update(&self, plan: &mut Plan) {
        if self.set.spec.update_strategy.r#type == "OnDelete" {
            return;
        }
        let first = self.first_updated();
        for (_, pod) in self.wanted.iter().rev().filter(|(ordinal, _)| first <= *ordinal) {
            let Some(pod) = pod else { return };
            let is_ending = pod.object.meta().is_deleting();
            if !is_ending && revisions::of_pod(pod) != self.revisions.update.meta().name {
                self.delete(pod, plan);
                return;
            }
            if is_ending || !self.is_available(pod, plan) {
                return;
            }
        }
    }

    /// Returns the number from which on pods get the newest revision.
    fn first_updated(&self) -> i64 {
        let Spec { ordinals, update_strategy, .. } = &self.set.spec;
        ordinals.start.saturating_add(update_strategy.rolling_update.partition)
    }

    /// Creates a pod, after the claims it mounts.
    fn create(&self, ordinal: i64, plan: &mut Plan) {
        let is_rolling = self.set.spec.update_strategy.r#type != "OnDelete";
        let current = is_rolling && ordinal < self.first_updated();
        let revision = if current { self.revisions.current } else { self.revisions.update };
        let pod = identity::pod(self.set, ordinal, revision);
        let (set, name) = (self.set.name(), fields::text(&pod, "/metadata/name").to_owned());
        for claim in identity::claims(self.set, ordinal) {
            let claim_name = fields::text(&claim, "/metadata/name").to_owned();
            if (self.observed.find)(&kinds::CLAIMS, &claim_name).is_none() {
                plan.push(Action::Create { resource: kinds::CLAIMS.clone(), object: claim });
                let message =
                    format!("create Claim {claim_name} Pod {name} in StatefulSet {set} success");
                plan.push(self.set.note("SuccessfulCreate", message));
            }
        }
        plan.push(Action::Create { resource: kinds::PODS.clone(), object: pod });
        let message = format!("create Pod {name} in StatefulSet {set} successful");
        plan.push(self.set.note("SuccessfulCreate", message));
    }

    fn delete(&self, pod: &Pod, plan: &mut Plan) {
        plan.push(Action::Delete { target: pod.target(), how: Deletion::Background });
        let (set, name) = (self.set.name(), &pod.object.meta().name);
        let message = format!("delete Pod {name} in StatefulSet {set} successful");
        plan.push(self.set.note("SuccessfulDelete", message));
    }

    /// Gives claims the owners with which they are to go.
    fn retain(&self, plan: &mut Plan) {
        let Retention { when_deleted, when_scaled } =
            &self.set.spec.persistent_volume_claim_retention_policy;
        let wanted = self.wanted.iter().map(|(ordinal, _)| (*ordinal, None));
        let condemned = self.condemned.iter().map(|(ordinal, pod)| (*ordinal, Some(*pod)));
        for (ordinal, condemned) in wanted.chain(condemned) {
            let owner = match condemned {
                Some(pod) if when_scaled == "Delete" => Some(identity::pod_owner(pod)),
                _ if when_deleted == "Delete" => Some(identity::set_owner(self.set)),
                _ => None,
            };
            let claims = identity::claim_names(self.set, ordinal).into_iter();
            let claims = claims.filter_map(|name| (self.observed.find)(&kinds::CLAIMS, &name));
            plan.actions.extend(
                claims.filter_map(|claim| identity::retain(self.set, claim, owner.as_ref())),
            );
        }
    }

    /// Returns whether a pod has been ready for long enough, and looks again when it may have been.
    fn is_available(&self, pod: &Pod, plan: &mut Plan) -> bool {
        let Some(since) = pod.ready_since else { return false };
        let wait = SignedDuration::from_secs(self.set.spec.min_ready_seconds);
        let due = since.saturating_add(wait).unwrap_or(Timestamp::MAX);
        if wait.is_zero() || due <= self.observed.now {
            return true;
        }
        plan.look_at(due);
        false
    }

    /// Deletes the oldest revisions beyond the history limit that no pod was made from.
    fn clean_up(&self, plan: &mut Plan) {
        let Some(limit) = self.set.spec.revision_history_limit else { return };
        let pods = self.wanted.iter().filter_map(|(_, pod)| *pod);
        let pods = pods.chain(self.condemned.iter().map(|(_, pod)| *pod));
        let live: Vec<_> = pods.map(revisions::of_pod).collect();
        let old: Vec<_> = self.revisions.unused(&live).collect();
        for revision in old.iter().take(old.len().saturating_sub(limit)) {
            let target = Target::of(&kinds::CONTROLLER_REVISIONS, revision);
            plan.push(Action::Delete { target, how: Deletion::Background });
        }
    }
}
