//! Pure: keeps as many pods of a ReplicaSet as it asks for.

use std::sync::Arc;

use k8s::{Object, SignedDuration, Timestamp, selector::Selector};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    action::{Action, Deletion, Note, Plan, Severity, Target},
    claim::{Claim, Claimant},
    condition::{self, Condition},
    kinds, names,
    parts::Parts,
    pod::Pod,
};
use crate::fields;

/// The component its Events name.
const COMPONENT: &str = "replicaset-controller";

/// How many pods one plan creates or deletes at most.
const BURST: usize = 500;

/// A ReplicaSet as the controllers read it.
#[derive(Clone, Debug)]
pub(crate) struct ReplicaSet {
    pub(crate) object: Arc<Object>,
    pub(crate) selector: Selector,
    pub(crate) spec: Spec,
    pub(crate) status: Status,
    pub(crate) annotations: Annotations,
}

/// The fields of its spec that matter here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Spec {
    pub(crate) replicas: i64,
    pub(crate) min_ready_seconds: i64,
    pub(crate) template: Value,
    selector: Value,
}

/// Its status, as stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Status {
    pub(crate) replicas: i64,
    #[serde(skip_serializing_if = "is_zero")]
    fully_labeled_replicas: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) ready_replicas: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) available_replicas: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) observed_generation: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) terminating_replicas: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) conditions: Vec<Condition>,
}

/// What its Deployment notes on it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Annotations {
    #[serde(rename = "deployment.kubernetes.io/revision")]
    pub(crate) revision: Option<String>,
    #[serde(rename = "deployment.kubernetes.io/desired-replicas")]
    pub(crate) desired: Option<String>,
    #[serde(rename = "deployment.kubernetes.io/max-replicas")]
    pub(crate) max: Option<String>,
}

/// What a plan is made from.
pub(crate) struct Observed<'a> {
    pub(crate) set: &'a ReplicaSet,
    /// The pods it owns or might adopt.
    pub(crate) pods: Vec<&'a Pod>,
    /// The store's revision, from which the names of new pods are made.
    pub(crate) revision: u64,
    pub(crate) now: Timestamp,
}

impl ReplicaSet {
    /// Reads a ReplicaSet, unless its shape is unexpected.
    pub(crate) fn read(object: Arc<Object>) -> Option<Self> {
        let Parts { metadata, spec, status } = Parts::<Spec, Status, Annotations>::read(&object)?;
        let selector = Selector::from_label_selector(&spec.selector).ok()?;
        let annotations = metadata.annotations.unwrap_or_default();
        Some(Self { object, selector, spec, status, annotations })
    }

    /// Returns how it claims pods.
    pub(crate) fn claimant(&self) -> Claimant<'_> {
        let resource = &kinds::REPLICA_SETS;
        Claimant { resource, object: &self.object, selector: &self.selector }
    }

    /// Returns the revision of its Deployment that it stands for.
    pub(crate) fn revision(&self) -> i64 {
        let revision = self.annotations.revision.as_deref();
        revision.and_then(|revision| revision.parse().ok()).unwrap_or(0)
    }

    /// Returns its name.
    pub(crate) fn name(&self) -> &str {
        &self.object.meta().name
    }

    /// Names the ReplicaSet.
    pub(crate) fn target(&self) -> Target {
        Target::of(&kinds::REPLICA_SETS, &self.object)
    }
}

/// Plans what is missing between the pods there are and the pods there should be.
///
/// The status waits until the number of pods is right, so that it is not written for each step.
pub(crate) fn plan(observed: &Observed<'_>) -> Plan {
    let mut plan = Plan::default();
    let claimant = observed.set.claimant();
    plan.actions
        .extend(observed.pods.iter().filter_map(|pod| claimant.settle(&kinds::PODS, &pod.object)));
    if !plan.is_idle() {
        return plan;
    }
    let active = active(observed);
    if !observed.set.object.meta().is_deleting() {
        replace(observed, &active, &mut plan);
    }
    if plan.is_idle() {
        report(observed, &active, None, &mut plan);
    }
    plan
}

/// Plans to tell that a pod could not be created.
pub(crate) fn failed(observed: &Observed<'_>, error: &str) -> Plan {
    let mut plan = Plan::default();
    let about = observed.set.target();
    plan.push(Action::Note(Note {
        about,
        severity: Severity::Warning,
        component: COMPONENT,
        reason: "FailedCreate",
        message: format!("Error creating: {error}"),
    }));
    report(observed, &active(observed), Some(error), &mut plan);
    plan
}

/// Returns the pods of the set that count as replicas.
fn active<'a>(observed: &Observed<'a>) -> Vec<&'a Pod> {
    mine(observed).filter(|pod| pod.is_active()).collect()
}

fn mine<'a>(observed: &Observed<'a>) -> impl Iterator<Item = &'a Pod> {
    let claimant = observed.set.claimant();
    let pods = observed.pods.iter().copied();
    pods.filter(move |pod| claimant.claim(pod.object.meta()) == Claim::Mine)
}

/// Creates what is missing, deletes what is too much.
fn replace(observed: &Observed<'_>, active: &[&Pod], plan: &mut Plan) {
    let wanted = usize::try_from(observed.set.spec.replicas).unwrap_or(0);
    for ordinal in 0..wanted.saturating_sub(active.len()).min(BURST) {
        let pod = new_pod(observed, ordinal);
        let name = fields::text(&pod, "/metadata/name").to_owned();
        plan.push(Action::Create { resource: kinds::PODS.clone(), object: pod });
        plan.push(note(observed.set, "SuccessfulCreate", format!("Created pod: {name}")));
    }
    for pod in surplus(active, active.len().saturating_sub(wanted).min(BURST)) {
        plan.push(Action::Delete { target: pod.target(), how: Deletion::Background });
        let message = format!("Deleted pod: {}", pod.object.meta().name);
        plan.push(note(observed.set, "SuccessfulDelete", message));
    }
}

/// Chooses the pods that are missed least.
fn surplus<'a>(active: &[&'a Pod], count: usize) -> Vec<&'a Pod> {
    let mut pods = active.to_vec();
    pods.sort_by_cached_key(|pod| {
        let phase = match pod.phase.as_str() {
            "Running" => 2,
            "Unknown" => 1,
            _ => 0,
        };
        let meta = pod.object.meta();
        (
            !pod.node.is_empty(),
            phase,
            pod.ready_since.is_some(),
            pod.deletion_cost,
            pod.ready_since.map(|since| -since.as_second()),
            -pod.restarts,
            std::cmp::Reverse(meta.creation_timestamp.clone()),
            std::cmp::Reverse(meta.revision()),
        )
    });
    pods.truncate(count);
    pods
}

fn new_pod(observed: &Observed<'_>, ordinal: usize) -> Value {
    let (set, template) = (observed.set, &observed.set.spec.template);
    let meta = set.object.meta();
    // A plan knows no chance: the store's revision makes the name a new one.
    let suffix = names::suffix(&(&meta.uid, observed.revision, ordinal));
    let prefix = format!("{}-", meta.name.get(..MAX_BASE).unwrap_or(&meta.name));
    let mut metadata = json!({
        "name": format!("{prefix}{suffix}"), "generateName": prefix, "namespace": meta.namespace,
        "ownerReferences": [set.claimant().reference()],
    });
    for name in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template["metadata"].get(name) {
            fields::set(&mut metadata, &[name], value.clone());
        }
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
}

/// How much of the name of a set stands in the names of its pods: with a hyphen and the suffix, it is as
/// long as the value of a label may be.
const MAX_BASE: usize = 57;

/// Writes the status if it changed.
fn report(observed: &Observed<'_>, active: &[&Pod], failure: Option<&str>, plan: &mut Plan) {
    let set = observed.set;
    let labels = &set.spec.template["metadata"]["labels"];
    let labelled = active.iter().filter(|pod| carries(pod, labels)).count();
    let ready: Vec<_> = active.iter().filter_map(|pod| pod.ready_since).collect();
    let wait = SignedDuration::from_secs(set.spec.min_ready_seconds);
    let due = ready.iter().map(|since| since.saturating_add(wait).unwrap_or(Timestamp::MAX));
    let (available, waiting): (Vec<_>, Vec<_>) =
        due.partition(|due| wait.is_zero() || *due <= observed.now);
    let status = Status {
        replicas: count(active.len()),
        fully_labeled_replicas: count(labelled),
        ready_replicas: count(ready.len()),
        available_replicas: count(available.len()),
        observed_generation: set.object.meta().generation,
        terminating_replicas: Some(count(mine(observed).filter(|pod| pod.is_ending()).count())),
        conditions: conditions(observed, failure),
    };
    if status != set.status {
        let mut object = set.object.to_value();
        fields::set(&mut object, &["status"], json!(status));
        plan.push(Action::Status { resource: kinds::REPLICA_SETS.clone(), object });
    }
    if let Some(next) = waiting.into_iter().min() {
        plan.look_at(next);
    }
}

fn conditions(observed: &Observed<'_>, failure: Option<&str>) -> Vec<Condition> {
    let mut conditions = observed.set.status.conditions.clone();
    match failure {
        Some(failure) if condition::find(&conditions, "ReplicaFailure").is_none() => {
            let failed = Condition::new("ReplicaFailure", "True", observed.now);
            conditions.push(failed.because("FailedCreate", failure));
        }
        Some(_) => (),
        None => conditions.retain(|condition| condition.kind != "ReplicaFailure"),
    }
    conditions
}

fn carries(pod: &Pod, labels: &Value) -> bool {
    let mut labels = labels.as_object().into_iter().flatten();
    labels.all(|(name, value)| {
        pod.object.meta().labels.get(name).map(String::as_str) == value.as_str()
    })
}

fn note(set: &ReplicaSet, reason: &'static str, message: String) -> Action {
    let about = set.target();
    Action::Note(Note { about, severity: Severity::Normal, component: COMPONENT, reason, message })
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Returns whether a number is left out of a status.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn is_zero(number: &i64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::rfc3339;

    /// Returns a pod of the set: `NAME PHASE [ready] [cost=N] [ending]`, older ones first.
    fn pod(age: i64, line: &str) -> Pod {
        let mut words = line.split_whitespace();
        let (name, phase) = (words.next().unwrap(), words.next().unwrap());
        let created = rfc3339(Timestamp::from_second(age).unwrap());
        let mut value = json!({
            "metadata": {"name": name, "namespace": "a", "uid": name, "labels": {"app": "web"},
                "creationTimestamp": created, "ownerReferences": [{"uid": "set", "controller": true}]},
            "spec": {"nodeName": "windlass-0"},
            "status": {"phase": phase, "conditions": []},
        });
        for word in words {
            if let Some(cost) = word.strip_prefix("cost=") {
                let key = "controller.kubernetes.io/pod-deletion-cost";
                fields::set(&mut value, &["metadata", "annotations", key], cost);
            } else if word == "ready" {
                value["status"]["conditions"] = json!([{"type": "Ready", "status": "True",
                    "lastTransitionTime": created}]);
            } else {
                value["metadata"]["deletionTimestamp"] = json!(created);
            }
        }
        Pod::read(Arc::new(Object::from_value(&value).unwrap()))
    }

    fn plan_text(replicas: i64, pods: &[&str]) -> String {
        let text = planned(replicas, pods, plan);
        let lines = text.lines().filter(|line| !line.starts_with("event"));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn planned(replicas: i64, pods: &[&str], plan: impl Fn(&Observed<'_>) -> Plan) -> String {
        let set = ReplicaSet::read(Arc::new(
            Object::from_value(&json!({
                "metadata": {"name": "web", "namespace": "a", "uid": "set"},
                "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
                    "template": {"metadata": {"labels": {"app": "web"}}}},
            }))
            .unwrap(),
        ));
        let (set, ages) = (set.unwrap(), 1..);
        let pods: Vec<_> = ages.zip(pods).map(|(age, line)| pod(age, line)).collect();
        let pods = pods.iter().collect();
        let now = Timestamp::UNIX_EPOCH;
        plan(&Observed { set: &set, pods, revision: 1, now }).to_string()
    }

    #[test]
    fn what_is_missing_is_created() {
        let plan = plan_text(2, &["a Running ready", "b Failed", "c Running ending"]);
        assert!(plan.starts_with("create Pod a/web-"), "{plan}");
        assert_eq!(plan.lines().count(), 1);
    }

    #[test]
    fn the_pods_that_are_missed_least_go_first() {
        for (pods, gone) in [
            (["a Running ready", "b Running", "c Running ready"], "b"),
            (["a Running", "b Pending", "c Running"], "b"),
            (["a Running ready", "b Running ready", "c Running ready"], "c"),
            (["a Running ready", "b Running ready cost=-1", "c Running ready"], "b"),
            (["a Running", "b Running", "c Running"], "c"),
        ] {
            assert_eq!(
                plan_text(2, &pods),
                format!("delete Pod a/{gone} (background)"),
                "{pods:?}"
            );
        }
    }

    #[test]
    fn what_could_not_be_created_is_told() {
        assert_eq!(
            planned(1, &[], |observed| failed(observed, "no room")),
            "event Warning FailedCreate: Error creating: no room\nstatus ReplicaSet a/web\n"
        );
    }

    #[test]
    fn the_status_is_written_when_the_number_is_right() {
        assert_eq!(plan_text(1, &["a Running ready"]), "status ReplicaSet a/web");
    }
}
