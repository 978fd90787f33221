//! Pure: a pod as the workload controllers read it.

use std::sync::Arc;

use k8s::{Object, Timestamp};
use serde::Deserialize;

use super::{
    action::Target,
    condition::{self, Condition},
    kinds,
    parts::Parts,
    requests::Amounts,
};

/// What the controllers need to know of a pod.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) object: Arc<Object>,
    /// Empty while it is bound to no node.
    pub(crate) node: String,
    pub(crate) phase: String,
    pub(crate) ip: String,
    pub(crate) restarts: i64,
    pub(crate) deletion_cost: i64,
    /// What it asks of its node.
    pub(crate) requests: Amounts,
    /// When it last became ready, if it is.
    pub(crate) ready_since: Option<Timestamp>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireAnnotations {
    #[serde(rename = "controller.kubernetes.io/pod-deletion-cost")]
    deletion_cost: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSpec {
    node_name: String,
    containers: Vec<WireNeeds>,
    init_containers: Vec<WireNeeds>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireNeeds {
    resources: WireResources,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireResources {
    requests: Amounts,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireStatus {
    phase: String,
    #[serde(rename = "podIP")]
    pod_ip: String,
    conditions: Vec<Condition>,
    container_statuses: Vec<WireContainer>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireContainer {
    restart_count: i64,
}

impl Pod {
    /// Reads a pod; what has an unexpected shape counts as absent.
    pub(crate) fn read(object: Arc<Object>) -> Self {
        let Parts { metadata, spec, status } =
            Parts::<WireSpec, WireStatus, WireAnnotations>::read(&object).unwrap_or_default();
        let annotations = metadata.annotations.unwrap_or_default();
        let ready = condition::find(&status.conditions, "Ready").filter(|ready| ready.is_true());
        let restarts = status.container_statuses.iter().map(|status| status.restart_count);
        Self {
            requests: requests(&spec),
            node: spec.node_name,
            ip: status.pod_ip,
            restarts: restarts.max().unwrap_or(0),
            deletion_cost: annotations.deletion_cost.parse().unwrap_or(0),
            ready_since: ready.map(|ready| {
                let since = ready.last_transition_time.as_deref().unwrap_or_default();
                since.parse().unwrap_or(Timestamp::UNIX_EPOCH)
            }),
            phase: status.phase,
            object,
        }
    }

    /// Returns whether it ran to its end.
    pub(crate) fn is_terminal(&self) -> bool {
        matches!(self.phase.as_str(), "Succeeded" | "Failed")
    }

    /// Returns whether it counts as a replica: neither ended nor being deleted.
    pub(crate) fn is_active(&self) -> bool {
        !self.is_terminal() && !self.object.meta().is_deleting()
    }

    /// Returns whether it is being deleted and has not ended yet.
    pub(crate) fn is_ending(&self) -> bool {
        !self.is_terminal() && self.object.meta().is_deleting()
    }

    /// Names the pod.
    pub(crate) fn target(&self) -> Target {
        Target::of(&kinds::PODS, &self.object)
    }
}

/// Returns what the containers ask for together, but at least what any init container asks for.
fn requests(spec: &WireSpec) -> Amounts {
    let mut sum = Amounts::default();
    for container in &spec.containers {
        sum += container.resources.requests;
    }
    let init = spec.init_containers.iter().map(|container| container.resources.requests);
    init.fold(sum, Amounts::max)
}
