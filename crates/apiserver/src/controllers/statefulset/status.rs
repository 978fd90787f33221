//! Pure: the status of a StatefulSet.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Ranks, revisions};
use crate::{
    controllers::{
        action::{Action, Plan},
        kinds,
        pod::Pod,
        replicaset::is_zero,
    },
    fields,
};

/// The status, as stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    #[serde(skip_serializing_if = "is_zero")]
    observed_generation: i64,
    replicas: i64,
    #[serde(skip_serializing_if = "is_zero")]
    ready_replicas: i64,
    available_replicas: i64,
    #[serde(skip_serializing_if = "is_zero")]
    current_replicas: i64,
    #[serde(skip_serializing_if = "is_zero")]
    updated_replicas: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) current_revision: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    update_revision: String,
    collision_count: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conditions: Vec<Value>,
}

impl Ranks<'_, '_> {
    /// Writes the status if it changed.
    pub(super) fn report(&self, plan: &mut Plan) {
        let status = self.status(plan);
        if status != self.set.status {
            let mut object = self.set.object.to_value();
            fields::set(&mut object, &["status"], json!(status));
            plan.push(Action::Status { resource: kinds::STATEFUL_SETS.clone(), object });
        }
    }

    fn status(&self, plan: &mut Plan) -> Status {
        let (current, update) = (self.revisions.current, self.revisions.update);
        let wanted = self.wanted.iter().filter_map(|(_, pod)| *pod);
        let pods: Vec<&Pod> = wanted.chain(self.condemned.iter().map(|(_, pod)| *pod)).collect();
        let count = |counts: &dyn Fn(&&&Pod) -> bool| {
            i64::try_from(pods.iter().filter(counts).count()).unwrap_or(i64::MAX)
        };
        let made_from =
            |name: &str| count(&|pod| pod.is_active() && revisions::of_pod(pod) == name);
        let mut available = 0;
        for pod in pods.iter().filter(|pod| pod.is_active()) {
            available += i64::from(self.is_available(pod, plan));
        }
        let mut status = Status {
            observed_generation: self.set.object.meta().generation,
            replicas: count(&|_| true),
            ready_replicas: count(&|pod| pod.is_active() && pod.ready_since.is_some()),
            available_replicas: available,
            current_replicas: made_from(&current.meta().name),
            updated_replicas: made_from(&update.meta().name),
            current_revision: current.meta().name.clone(),
            update_revision: update.meta().name.clone(),
            ..self.set.status.clone()
        };
        let Status { replicas, ready_replicas, updated_replicas, .. } = status;
        let is_whole = [replicas, ready_replicas, updated_replicas] == [self.set.spec.replicas; 3];
        if is_whole && self.set.spec.update_strategy.r#type != "OnDelete" {
            status.current_revision.clone_from(&status.update_revision);
            status.current_replicas = updated_replicas;
        }
        status
    }
}
