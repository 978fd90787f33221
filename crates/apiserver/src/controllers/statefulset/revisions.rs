//! Pure: the templates a StatefulSet had, each kept as a ControllerRevision.

use k8s::Object;
use serde_json::{Value, json};

use super::{Observed, REVISION_LABEL, StatefulSet};
use crate::{
    controllers::{action::Action, kinds, names, pod::Pod},
    fields,
};

/// The revisions of a set.
pub(super) struct Revisions<'a> {
    /// All, oldest first.
    all: Vec<&'a Object>,
    /// The one of most pods, until an update is complete.
    pub(super) current: &'a Object,
    /// The one of the present template.
    pub(super) update: &'a Object,
}

impl<'a> Revisions<'a> {
    /// Returns the revisions, or what must be written before there are all.
    pub(super) fn of(observed: &Observed<'a>) -> Result<Self, Box<Action>> {
        let set = observed.set;
        let mut all = observed.revisions.clone();
        all.sort_by_key(|revision| (number(revision), revision.meta().name.clone()));
        let last = all.last().map_or(0, |revision| number(revision));
        let found = all.iter().rfind(|revision| template(revision) == set.spec.template).copied();
        let Some(update) = found else {
            return Err(Box::new(create(observed, last + 1)));
        };
        if number(update) < last {
            let mut object = update.to_value();
            fields::set(&mut object, &["revision"], last + 1);
            let (resource, what) = (kinds::CONTROLLER_REVISIONS.clone(), "revision".to_owned());
            return Err(Box::new(Action::Update { resource, object, what }));
        }
        let current = set.status.current_revision.as_str();
        let current = all.iter().find(|it| it.meta().name == current).copied().unwrap_or(update);
        Ok(Self { all, current, update })
    }

    /// Returns the revisions that nothing refers to, oldest first.
    pub(super) fn unused(&self, live: &[&str]) -> impl Iterator<Item = &'a Object> {
        let kept = [&self.current.meta().name, &self.update.meta().name];
        self.all.iter().copied().filter(move |it| {
            let name = &it.meta().name;
            !kept.contains(&name) && !live.contains(&name.as_str())
        })
    }
}

/// Returns the name of the revision that a pod was made from.
pub(super) fn of_pod(pod: &Pod) -> &str {
    pod.object.meta().labels.get(REVISION_LABEL).map_or("", String::as_str)
}

/// Returns the template that a revision keeps.
pub(super) fn template(revision: &Object) -> Value {
    let value = revision.to_value();
    let mut template = value.pointer("/data/spec/template").cloned().unwrap_or_default();
    fields::remove(&mut template, &["$patch"]);
    template
}

fn number(revision: &Object) -> i64 {
    revision.to_value()["revision"].as_i64().unwrap_or(0)
}

/// Creates the revision of the present template, under a name that is free.
fn create(observed: &Observed<'_>, number: i64) -> Action {
    let StatefulSet { object, spec, .. } = observed.set;
    let meta = object.meta();
    let hashes = (0..).map(|collisions| names::template_hash(&spec.template, collisions));
    let mut hashes = hashes.map(|hash| (format!("{}-{hash}", meta.name), hash));
    let is_free = |name: &str| (observed.find)(&kinds::CONTROLLER_REVISIONS, name).is_none();
    let (name, hash) =
        hashes.find(|(name, _)| is_free(name)).expect("some name of an endless row is free");
    let mut data = json!({"spec": {"template": spec.template}});
    fields::set(&mut data, &["spec", "template", "$patch"], "replace");
    let mut labels = spec.template["metadata"]["labels"].clone();
    fields::set(&mut labels, &["controller.kubernetes.io/hash"], hash);
    let revision = json!({
        "apiVersion": "apps/v1", "kind": "ControllerRevision",
        "metadata": {
            "name": name, "namespace": meta.namespace, "labels": labels,
            "ownerReferences": [observed.set.claimant().reference()],
        },
        "data": data, "revision": number,
    });
    Action::Create { resource: kinds::CONTROLLER_REVISIONS.clone(), object: revision }
}
