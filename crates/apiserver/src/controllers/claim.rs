//! Pure: which objects a controller owns, adopts and releases.

use std::collections::BTreeMap;

use k8s::{Meta, Object, selector::Selector};
use serde_json::{Value, json};

use super::{action::Action, kinds::Shared};
use crate::fields;

/// Who claims: a controller that selects by labels.
pub(crate) struct Claimant<'a> {
    pub(crate) resource: &'a Shared,
    pub(crate) object: &'a Object,
    pub(crate) selector: &'a Selector,
}

/// What a claimant has to do with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    Mine,
    Adopt,
    Release,
    Foreign,
}

impl Claimant<'_> {
    /// Decides whether `other` belongs to the claimant.
    pub(crate) fn claim(&self, other: &Meta) -> Claim {
        let me = self.object.meta();
        let ending = me.is_deleting() || other.is_deleting();
        match other.controller() {
            Some(owner) if owner.uid != me.uid => Claim::Foreign,
            Some(_) if me.is_deleting() || self.selects(&other.labels) => Claim::Mine,
            Some(_) if ending => Claim::Foreign,
            Some(_) => Claim::Release,
            None if !ending && self.selects(&other.labels) => Claim::Adopt,
            None => Claim::Foreign,
        }
    }

    /// Returns the update that adopts or releases `other`, if its claim asks for one.
    pub(crate) fn settle(&self, resource: &Shared, other: &Object) -> Option<Action> {
        let me = &self.object.meta().uid;
        let mut object = other.to_value();
        let owners = fields::list(&object, "/metadata/ownerReferences").to_vec();
        let (owners, what) = match self.claim(other.meta()) {
            Claim::Adopt => {
                // It may name us already, though not as its controller.
                let owners = owners.into_iter().filter(|owner| owner["uid"] != me.as_str());
                (owners.chain([self.reference()]).collect(), "adopt")
            }
            Claim::Release => {
                let owners = owners.into_iter().filter(|owner| owner["uid"] != me.as_str());
                (owners.collect::<Vec<_>>(), "release")
            }
            Claim::Mine | Claim::Foreign => return None,
        };
        fields::set(&mut object, &["metadata", "ownerReferences"], owners);
        Some(Action::Update { resource: resource.clone(), object, what: what.to_owned() })
    }

    /// Returns the reference that dependents carry.
    pub(crate) fn reference(&self) -> Value {
        let (gvk, meta) = (&self.resource.gvk, self.object.meta());
        json!({
            "apiVersion": gvk.api_version(), "kind": gvk.kind, "name": meta.name, "uid": meta.uid,
            "controller": true, "blockOwnerDeletion": true,
        })
    }

    /// An empty selector claims nothing, as it would claim everything.
    fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.selector.is_empty() && self.selector.matches(labels)
    }
}
