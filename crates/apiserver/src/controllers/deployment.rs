//! Pure: rolls the ReplicaSets of a Deployment towards its template and size.

mod bounds;
mod new_set;
mod rolling;
mod sizing;
mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use k8s::{Object, Timestamp, selector::Selector};
use serde::Deserialize;
use serde_json::{Value, json};

use self::{bounds::Strategy, status::Status};
use super::{
    action::{Action, Deletion, Note, Plan, Severity, Target},
    claim::{Claim, Claimant},
    condition::Condition,
    kinds,
    parts::Parts,
    pod::Pod,
    replicaset::ReplicaSet,
};
use crate::fields;

/// The component its Events name.
const COMPONENT: &str = "deployment-controller";

/// The label that tells the pods of one template from those of another.
const HASH_LABEL: &str = "pod-template-hash";

/// A Deployment as its controller reads it.
#[derive(Clone, Debug)]
pub(crate) struct Deployment {
    object: Arc<Object>,
    selector: Selector,
    spec: Spec,
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    replicas: i64,
    min_ready_seconds: i64,
    paused: bool,
    revision_history_limit: Option<usize>,
    progress_deadline_seconds: Option<i64>,
    strategy: Strategy,
    selector: Value,
    template: Value,
}

/// What a plan is made from.
pub(crate) struct Observed<'a> {
    pub(crate) deployment: &'a Deployment,
    /// The ReplicaSets it owns or might adopt.
    pub(crate) sets: Vec<&'a ReplicaSet>,
    /// The pods of those.
    pub(crate) pods: Vec<&'a Pod>,
    /// Whether there is a ReplicaSet of this name, whoever owns it.
    pub(crate) is_taken: &'a dyn Fn(&str) -> bool,
    pub(crate) now: Timestamp,
}

/// A Deployment with its own ReplicaSets, oldest first.
struct Rollout<'a> {
    deployment: &'a Deployment,
    /// The set of the present template.
    new: Option<&'a ReplicaSet>,
    old: Vec<&'a ReplicaSet>,
    observed: &'a Observed<'a>,
    now: Timestamp,
}

impl Deployment {
    /// Reads a Deployment, unless its shape is unexpected.
    pub(crate) fn read(object: Arc<Object>) -> Option<Self> {
        let Parts { spec, status, .. } = Parts::<Spec, Status>::read(&object)?;
        let selector = Selector::from_label_selector(&spec.selector).ok()?;
        Some(Self { object, selector, spec, status })
    }

    /// Returns how it claims ReplicaSets.
    pub(crate) fn claimant(&self) -> Claimant<'_> {
        let resource = &kinds::DEPLOYMENTS;
        Claimant { resource, object: &self.object, selector: &self.selector }
    }

    fn name(&self) -> &str {
        &self.object.meta().name
    }

    fn target(&self) -> Target {
        Target::of(&kinds::DEPLOYMENTS, &self.object)
    }
}

/// Plans the next step of a rollout.
///
/// The status waits until nothing else is to be written, so that it is not written for each step.
pub(crate) fn plan(observed: &Observed<'_>) -> Plan {
    let mut plan = Plan::default();
    let claimant = observed.deployment.claimant();
    let sets = &kinds::REPLICA_SETS;
    plan.actions.extend(observed.sets.iter().filter_map(|set| claimant.settle(sets, &set.object)));
    if plan.is_idle() {
        Rollout::new(observed, &claimant).step(&mut plan);
    }
    plan
}

impl<'a> Rollout<'a> {
    fn new(observed: &'a Observed<'a>, claimant: &Claimant<'_>) -> Self {
        let deployment = observed.deployment;
        let sets = observed.sets.iter().copied();
        let mut sets: Vec<_> =
            sets.filter(|set| claimant.claim(set.object.meta()) == Claim::Mine).collect();
        sets.sort_by_key(|set| {
            let meta = set.object.meta();
            (meta.creation_timestamp.clone(), set.revision(), meta.name.clone())
        });
        let new = sets.iter().position(|set| same_template(&set.spec.template, deployment));
        let new = new.map(|place| sets.remove(place));
        Self { deployment, new, old: sets, observed, now: observed.now }
    }

    fn step(&self, plan: &mut Plan) {
        if self.deployment.object.meta().is_deleting() {
            return self.report(plan);
        }
        if let Some(condition) = self.pause_change() {
            return self.report_with(condition, plan);
        }
        if self.deployment.spec.paused || self.is_resized() {
            self.resize(plan);
            if plan.is_idle() {
                self.report(plan);
            }
            return;
        }
        match self.deployment.spec.strategy {
            Strategy::Recreate => self.recreate(plan),
            Strategy::RollingUpdate { .. } => self.roll(plan),
        }
        if plan.is_idle() {
            self.clean_up(plan);
            self.report_progress(plan);
        }
    }

    /// Deletes all old pods, then creates the new ones.
    fn recreate(&self, plan: &mut Plan) {
        for set in self.old.iter().filter(|set| set.spec.replicas > 0) {
            self.scale(set, 0, plan);
        }
        if !plan.is_idle() || self.has_old_pods() {
            return;
        }
        match self.new {
            Some(new) => {
                self.keep_up(new, plan);
                if plan.is_idle() && new.spec.replicas != self.deployment.spec.replicas {
                    self.scale(new, self.deployment.spec.replicas, plan);
                }
            }
            None => self.create(plan),
        }
    }

    /// Returns whether a pod of an old template still runs.
    fn has_old_pods(&self) -> bool {
        let mut pods = self.observed.pods.iter().filter(|pod| !pod.is_terminal());
        pods.any(|pod| {
            let owner = pod.object.meta().controller();
            owner.is_some_and(|owner| self.old.iter().any(|set| set.object.meta().uid == owner.uid))
        })
    }

    /// Gives a ReplicaSet a new size.
    fn scale(&self, set: &ReplicaSet, to: i64, plan: &mut Plan) {
        let mut object = set.object.to_value();
        fields::set(&mut object, &["spec", "replicas"], to);
        self.note_sizes(&mut object);
        let (from, name) = (set.spec.replicas, set.name());
        let what = format!("replicas {from} to {to}");
        plan.push(Action::Update { resource: kinds::REPLICA_SETS.clone(), object, what });
        if from != to {
            plan.push(self.note_scaled(name, from, to));
        }
    }

    fn note_scaled(&self, name: &str, from: i64, to: i64) -> Action {
        let way = if from < to { "up" } else { "down" };
        Action::Note(Note {
            about: self.deployment.target(),
            severity: Severity::Normal,
            component: COMPONENT,
            reason: "ScalingReplicaSet",
            message: format!("Scaled {way} replica set {name} from {from} to {to}"),
        })
    }

    /// Notes on a ReplicaSet how large its Deployment is to be, and may be.
    fn note_sizes(&self, set: &mut Value) {
        let desired = self.deployment.spec.replicas;
        for (name, size) in [(DESIRED, desired), (MAX, desired + self.max_surge())] {
            fields::set(set, &["metadata", "annotations", name], size.to_string());
        }
    }

    /// Deletes the oldest sets without pods beyond the history limit, once the rollout is complete.
    fn clean_up(&self, plan: &mut Plan) {
        let Some(limit) = self.deployment.spec.revision_history_limit else { return };
        if !self.is_complete() {
            return;
        }
        let alive = self.old.iter().filter(|set| !set.object.meta().is_deleting());
        let mut old: Vec<_> = alive.collect();
        old.sort_by_key(|set| set.revision());
        let surplus = old.len().saturating_sub(limit);
        for set in old.into_iter().take(surplus) {
            let seen = set.object.meta().generation <= set.status.observed_generation;
            if seen && set.spec.replicas == 0 && set.status.replicas == 0 {
                plan.push(Action::Delete { target: set.target(), how: Deletion::Background });
            }
        }
    }

    /// Returns all its sets, the one of the present template last.
    fn all(&self) -> impl Iterator<Item = &'a ReplicaSet> {
        self.old.iter().copied().chain(self.new)
    }

    fn has_deadline(&self) -> bool {
        let deadline = self.deployment.spec.progress_deadline_seconds;
        deadline.is_some_and(|seconds| seconds != i64::from(i32::MAX))
    }

    fn condition(&self, kind: &str, status: &str) -> Condition {
        Condition::new(kind, status, self.now)
    }
}

/// How many replicas the Deployment had when it last wrote to a set.
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";

/// How many replicas the Deployment might have had then.
const MAX: &str = "deployment.kubernetes.io/max-replicas";

/// Returns whether a set was made from the present template.
fn same_template(template: &Value, deployment: &Deployment) -> bool {
    let mut template = template.clone();
    fields::remove(&mut template, &["metadata", "labels", HASH_LABEL]);
    let mut wanted = deployment.spec.template.clone();
    fields::remove(&mut wanted, &["metadata", "labels", HASH_LABEL]);
    for each in [&mut template, &mut wanted] {
        if each["metadata"]["labels"] == json!({}) {
            fields::remove(each, &["metadata", "labels"]);
        }
    }
    template == wanted
}
