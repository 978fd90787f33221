//! Pure: the pods that a Job creates.

use serde_json::{Value, json};

use super::{Job, tracking};
use crate::{controllers::names, fields};

/// The label and annotation that says which index a pod works on.
pub(super) const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// How much of the name of a Job stands in the names of its pods.
const MAX_BASE: usize = 57;

/// Returns a pod for an index, or the pod of this number among those created at once.
pub(super) fn new_pod(job: &Job, place: i64, revision: u64) -> Value {
    let (meta, template) = (job.object.meta(), &job.spec.template);
    let base = if job.is_indexed() { format!("{}-{place}", meta.name) } else { meta.name.clone() };
    let suffix = names::suffix(&(&meta.uid, revision, place));
    let prefix = format!("{}-", base.get(..MAX_BASE).unwrap_or(&base));
    let mut metadata = json!({
        "name": format!("{prefix}{suffix}"), "generateName": prefix, "namespace": meta.namespace,
        "ownerReferences": [job.claimant().reference()],
    });
    for name in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template["metadata"].get(name) {
            fields::set(&mut metadata, &[name], value.clone());
        }
    }
    let finalizers = fields::list(&metadata, "/finalizers").iter().cloned();
    let finalizers: Vec<_> = finalizers.chain([json!(tracking::FINALIZER)]).collect();
    fields::set(&mut metadata, &["finalizers"], finalizers);
    let mut spec = template["spec"].clone();
    if job.is_indexed() {
        for name in ["labels", "annotations"] {
            fields::set(&mut metadata, &[name, INDEX], place.to_string());
        }
        if fields::text(&spec, "/hostname").is_empty() {
            fields::set(&mut spec, &["hostname"], base);
        }
        tell_index(&mut spec);
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
}

/// Tells the containers of a pod the index by their environment.
fn tell_index(spec: &mut Value) {
    let path = format!("metadata.labels['{INDEX}']");
    let variable = json!({"name": "JOB_COMPLETION_INDEX",
        "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}});
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let mut env = fields::list(container, "/env").to_vec();
            if env.iter().all(|it| it["name"] != variable["name"]) {
                env.push(variable.clone());
                fields::set(container, &["env"], env);
            }
        }
    }
}
