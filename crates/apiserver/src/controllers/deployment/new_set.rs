//! Pure: the ReplicaSet of the present template, and the revision it stands for.

use serde_json::{Value, json};

use super::{HASH_LABEL, Rollout, bounds::Strategy};
use crate::{
    controllers::{
        action::{Action, Plan},
        kinds, names,
        replicaset::ReplicaSet,
    },
    fields,
};

/// The revision of the template, on the Deployment and on its sets.
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";

/// The revisions a set stood for before its template was returned to.
const HISTORY: &str = "deployment.kubernetes.io/revision-history";

/// Annotations of a Deployment that its sets do not share.
const NOT_SHARED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    super::DESIRED,
    super::MAX,
    "deprecated.deployment.rollback.to",
];

impl Rollout<'_> {
    /// Creates the set of the present template, notes its revision and tells so in the status.
    pub(super) fn create(&self, plan: &mut Plan) {
        let size = match self.deployment.spec.strategy {
            Strategy::Recreate => self.deployment.spec.replicas,
            Strategy::RollingUpdate { .. } => self.room_for(None),
        };
        let (name, set) = self.new_set(size);
        if (self.observed.is_taken)(&name) {
            return self.report_collision(plan);
        }
        plan.push(Action::Create { resource: kinds::REPLICA_SETS.clone(), object: set });
        if size > 0 {
            plan.push(self.note_scaled(&name, 0, size));
        }
        self.note_revision(&self.next_revision().to_string(), plan);
        let created = format!("Created new replica set \"{name}\"");
        let condition = self.condition("Progressing", "True");
        self.report_created(condition.because("NewReplicaSetCreated", created), size, plan);
    }

    /// Brings the annotations of the present set and the revision of the Deployment up to date.
    pub(super) fn keep_up(&self, new: &ReplicaSet, plan: &mut Plan) {
        let mut object = new.object.to_value();
        let before = object.clone();
        self.annotate(&mut object);
        fields::set(
            &mut object,
            &["spec", "minReadySeconds"],
            self.deployment.spec.min_ready_seconds,
        );
        if self.deployment.spec.min_ready_seconds == new.spec.min_ready_seconds {
            object["spec"] = before["spec"].clone();
        }
        if object != before {
            let (resource, what) = (kinds::REPLICA_SETS.clone(), "annotations".to_owned());
            plan.push(Action::Update { resource, object, what });
        }
        let revision = new.revision().max(self.next_revision());
        self.note_revision(&revision.to_string(), plan);
    }

    fn new_set(&self, size: i64) -> (String, Value) {
        let (deployment, spec) = (self.deployment, &self.deployment.spec);
        let hash =
            names::template_hash(&spec.template, deployment.status.collision_count.unwrap_or(0));
        let name = format!("{}-{hash}", deployment.name());
        let mut template = spec.template.clone();
        fields::set(&mut template, &["metadata", "labels", HASH_LABEL], hash.clone());
        let mut selector = spec.selector.clone();
        fields::set(&mut selector, &["matchLabels", HASH_LABEL], hash);
        let mut set = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": name, "namespace": deployment.object.meta().namespace,
                "labels": template["metadata"]["labels"],
                "ownerReferences": [deployment.claimant().reference()],
            },
            "spec": {"replicas": size, "selector": selector, "template": template},
        });
        if spec.min_ready_seconds != 0 {
            fields::set(&mut set, &["spec", "minReadySeconds"], spec.min_ready_seconds);
        }
        self.annotate(&mut set);
        self.note_sizes(&mut set);
        (name, set)
    }

    /// Sets the annotations that the Deployment shares with its present set, and the revision.
    fn annotate(&self, set: &mut Value) {
        let shared = self.deployment.object.to_value();
        let shared = shared.pointer("/metadata/annotations").and_then(Value::as_object);
        for (name, value) in shared.into_iter().flatten() {
            if !NOT_SHARED.contains(&name.as_str()) {
                fields::set(set, &["metadata", "annotations", name], value.clone());
            }
        }
        let next = self.next_revision();
        let path = ["metadata", "annotations", REVISION];
        let before = set["metadata"]["annotations"][REVISION].as_str().map(str::to_owned);
        let number = before.as_deref().and_then(|before| before.parse::<i64>().ok());
        if number.is_some_and(|number| next <= number) {
            return;
        }
        fields::set(set, &path, next.to_string());
        if let Some(before) = before {
            let history = set["metadata"]["annotations"][HISTORY].as_str().map(str::to_owned);
            let history = history.map_or(before.clone(), |history| format!("{history},{before}"));
            fields::set(set, &["metadata", "annotations", HISTORY], history);
        }
    }

    fn next_revision(&self) -> i64 {
        self.old.iter().map(|set| set.revision()).max().unwrap_or(0) + 1
    }

    /// Notes on the Deployment which revision its template is: the reference writes that with the status.
    fn note_revision(&self, revision: &str, plan: &mut Plan) {
        let mut object = self.deployment.object.to_value();
        if object["metadata"]["annotations"][REVISION] == *revision {
            return;
        }
        fields::set(&mut object, &["metadata", "annotations", REVISION], revision);
        plan.push(Action::Status { resource: kinds::DEPLOYMENTS.clone(), object });
    }
}
