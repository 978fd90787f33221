//! Pure: chooses the node of a pod.

use k8s::Timestamp;
use serde_json::{Value, json};

use super::{
    action::{Action, Note, Plan, Severity},
    kinds,
    node::{Node, Taint},
    pod::Pod,
    requests::Amounts,
};
use crate::{fields, lifecycle::rfc3339};

/// The scheduler whose pods this is.
const NAME: &str = "default-scheduler";

/// What a plan is made from.
pub(crate) struct Observed<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) nodes: Vec<Candidate<'a>>,
    pub(crate) now: Timestamp,
}

/// A node, how many pods are on it and what they ask of it.
pub(crate) struct Candidate<'a> {
    pub(crate) node: &'a Node,
    pub(crate) pods: usize,
    pub(crate) requests: Amounts,
}

/// Why a node does not take a pod, in the order it is checked and reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Obstacle {
    Cordoned,
    NotReady,
    Selector,
    Taint,
    Full,
    Cpu,
    Memory,
}

impl Obstacle {
    fn as_str(self) -> &'static str {
        match self {
            Self::Cordoned => "were unschedulable",
            Self::NotReady => "were not ready",
            Self::Selector => "didn't match Pod's node affinity/selector",
            Self::Taint => "had untolerated taint(s)",
            Self::Full => "Too many pods",
            Self::Cpu => "Insufficient cpu",
            Self::Memory => "Insufficient memory",
        }
    }
}

/// Plans to bind the pod to the emptiest node that takes it, or says why none does.
pub(crate) fn plan(observed: &Observed<'_>) -> Plan {
    let mut plan = Plan::default();
    let pod = observed.pod.object.to_value();
    let foreign = !matches!(fields::text(&pod, "/spec/schedulerName"), NAME | "");
    if foreign || !observed.pod.node.is_empty() || !observed.pod.is_active() {
        return plan;
    }
    if !fields::list(&pod, "/spec/schedulingGates").is_empty() {
        let message = "Scheduling is blocked due to non-empty scheduling gates";
        refuse(observed, pod, ("SchedulingGated", message), &mut plan);
        return plan;
    }
    let needs = observed.pod.requests;
    let fitting = observed.nodes.iter().filter(|it| obstacle(&pod, needs, it).is_none());
    let Some(Candidate { node, .. }) = fitting.min_by_key(|it| it.pods) else {
        let message = explanation(&pod, needs, &observed.nodes);
        refuse(observed, pod, ("Unschedulable", &message), &mut plan);
        return plan;
    };
    let (target, name) = (observed.pod.target(), node.name().to_owned());
    let message = format!("Successfully assigned {} to {name}", target.key);
    plan.push(Action::Bind { pod: target, node: name });
    plan.push(note(observed.pod, Severity::Normal, "Scheduled", message));
    plan
}

/// Says in the status, and but for gates in an Event, why the pod has no node.
fn refuse(observed: &Observed<'_>, mut pod: Value, why: (&str, &str), plan: &mut Plan) {
    let (reason, message) = why;
    let conditions = fields::list(&pod, "/status/conditions");
    let scheduled = |condition: &&Value| condition["type"] == "PodScheduled";
    let current = conditions.iter().find(scheduled);
    if current.is_some_and(|it| it["reason"] == reason && it["message"] == message) {
        return;
    }
    let mut conditions: Vec<_> = conditions.iter().filter(|it| !scheduled(it)).cloned().collect();
    conditions.push(json!({
        "type": "PodScheduled", "status": "False", "reason": reason, "message": message,
        "lastTransitionTime": rfc3339(observed.now),
    }));
    fields::set(&mut pod, &["status", "conditions"], conditions);
    plan.push(Action::Status { resource: kinds::PODS.clone(), object: pod });
    if reason == "Unschedulable" {
        let message = message.to_owned();
        plan.push(note(observed.pod, Severity::Warning, "FailedScheduling", message));
    }
}

fn obstacle(pod: &Value, needs: Amounts, candidate: &Candidate<'_>) -> Option<Obstacle> {
    let Candidate { node, pods, requests } = candidate;
    let (all, room) = (needs + *requests, node.allocatable);
    let tolerations = fields::list(pod, "/spec/tolerations");
    let tolerated = |taint: &Taint| tolerations.iter().any(|it| tolerates(it, taint));
    let cordon = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        value: String::new(),
        effect: "NoSchedule".to_owned(),
    };
    if node.is_cordoned && !tolerated(&cordon) {
        Some(Obstacle::Cordoned)
    } else if !node.is_ready {
        Some(Obstacle::NotReady)
    } else if !is_selected(pod, node) {
        Some(Obstacle::Selector)
    } else if !node.taints.iter().all(|it| it.effect == "PreferNoSchedule" || tolerated(it)) {
        Some(Obstacle::Taint)
    } else if node.pods <= *pods {
        Some(Obstacle::Full)
    // Who asks for nothing fits on a node that others ask too much of.
    } else if needs.cpu > 0 && room.cpu < all.cpu {
        Some(Obstacle::Cpu)
    } else if needs.memory > 0 && room.memory < all.memory {
        Some(Obstacle::Memory)
    } else {
        None
    }
}

fn is_selected(pod: &Value, node: &Node) -> bool {
    let labels = &node.object.meta().labels;
    let wanted = pod.pointer("/spec/nodeSelector").and_then(Value::as_object);
    let plain = wanted
        .into_iter()
        .flatten()
        .all(|(name, value)| labels.get(name).map(String::as_str) == value.as_str());
    let required = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution";
    let terms = fields::list(pod, &format!("{required}/nodeSelectorTerms"));
    plain && (pod.pointer(required).is_none() || terms.iter().any(|term| is_met(term, node)))
}

/// Returns whether a node meets a term; one that asks for nothing is met by none.
fn is_met(term: &Value, node: &Node) -> bool {
    let expressions = fields::list(term, "/matchExpressions");
    let names = fields::list(term, "/matchFields");
    let meta = node.object.meta();
    let label = |key: &str| meta.labels.get(key).map(String::as_str);
    let field = |key: &str| (key == "metadata.name").then_some(meta.name.as_str());
    !(expressions.is_empty() && names.is_empty())
        && expressions.iter().all(|it| holds(it, label(fields::text(it, "/key"))))
        && names.iter().all(|it| holds(it, field(fields::text(it, "/key"))))
}

fn holds(requirement: &Value, actual: Option<&str>) -> bool {
    let values = fields::list(requirement, "/values");
    let among = actual.is_some_and(|actual| values.iter().any(|value| value == actual));
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<i64>().ok());
    let bound = number(values.first().and_then(Value::as_str));
    let compare = |by: fn(&i64, &i64) -> bool| {
        number(actual).zip(bound).is_some_and(|(actual, bound)| by(&actual, &bound))
    };
    match fields::text(requirement, "/operator") {
        "In" => among,
        "NotIn" => !among,
        "Exists" => actual.is_some(),
        "DoesNotExist" => actual.is_none(),
        "Gt" => compare(i64::gt),
        "Lt" => compare(i64::lt),
        _ => false,
    }
}

fn tolerates(toleration: &Value, taint: &Taint) -> bool {
    let field = |name: &str| toleration.get(name).and_then(Value::as_str).unwrap_or_default();
    let (key, effect) = (field("key"), field("effect"));
    let any_value = field("operator") == "Exists";
    (effect.is_empty() || effect == taint.effect)
        && (key == taint.key || key.is_empty() && any_value)
        && (any_value || field("value") == taint.value)
}

/// Says how many nodes do not take the pod, and why.
fn explanation(pod: &Value, needs: Amounts, nodes: &[Candidate<'_>]) -> String {
    if nodes.is_empty() {
        return "no nodes available to schedule pods".to_owned();
    }
    let mut obstacles: Vec<_> = nodes.iter().filter_map(|it| obstacle(pod, needs, it)).collect();
    obstacles.sort();
    let reasons = obstacles.chunk_by(|one, two| one == two);
    let reasons: Vec<_> = reasons
        .filter_map(|equal| Some(format!("{} {}", equal.len(), equal.first()?.as_str())))
        .collect();
    format!("0/{} nodes are available: {}.", nodes.len(), reasons.join(", "))
}

fn note(pod: &Pod, severity: Severity, reason: &'static str, message: String) -> Action {
    Action::Note(Note { about: pod.target(), severity, component: NAME, reason, message })
}
