//! Pure: which children belong to a parent, and which of them must be taken or let go.

use std::{collections::BTreeMap, sync::Arc};

use api::names;
use k8s::{
    Object,
    selector::{Selector, SelectorError},
};
use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;

/// Why the children of a parent cannot be told.
#[derive(Debug, Error)]
pub(crate) enum ChildSelectorError {
    /// The parent says nothing of its children.
    #[error(".spec.selector must have either matchLabels, matchExpressions, or both")]
    Missing,
    /// The parent's selector does not parse.
    #[error("invalid .spec.selector")]
    Invalid(#[from] SelectorError),
}

/// How a parent owns its children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ownership {
    /// As their controller, which an object has only one of.
    #[default]
    Controller,
    /// As one owner beside a controller that may be somebody else.
    Owner,
}

/// How the children of a parent are told from other objects.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ChildSelector {
    /// By the label `controller-uid`, which children get if they lack it.
    Generated {
        /// The parent's UID.
        uid: String,
    },
    /// By the parent's own `.spec.selector`.
    Own(Selector),
    /// By the annotation that names their DecoratorController, whatever their labels.
    Attached {
        /// The controller's name.
        controller: String,
    },
}

impl ChildSelector {
    /// Returns whether an object with these labels may be a child.
    pub(crate) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Generated { uid } => labels.get(names::CONTROLLER_UID) == Some(uid),
            Self::Own(selector) => selector.matches(labels),
            Self::Attached { .. } => true,
        }
    }

    /// Puts on a child what it is told by: the generated label, if it lacks it, or the annotation.
    pub(crate) fn mark(&self, child: &mut Value) {
        let (field, key, value) = match self {
            Self::Own(_) => return,
            Self::Generated { uid } => ("labels", names::CONTROLLER_UID, uid),
            Self::Attached { controller } => {
                ("annotations", names::DECORATOR_CONTROLLER, controller)
            }
        };
        let entries = &mut child["metadata"][field];
        if !entries.is_object() {
            *entries = json!({});
        }
        // A label that the hook set itself is checked against the selector, not mended.
        if field == "annotations" || entries.get(key).is_none_or(Value::is_null) {
            entries[key] = json!(value);
        }
    }

    /// Returns a label that all children carry, with its value, if it is known.
    pub(crate) fn required_label(&self) -> Option<(String, String)> {
        match self {
            Self::Generated { uid } => Some((names::CONTROLLER_UID.to_owned(), uid.clone())),
            Self::Own(selector) => {
                let (key, value) = selector.required_label()?;
                Some((key.to_owned(), value.to_owned()))
            }
            Self::Attached { .. } => None,
        }
    }

    /// Returns whether a parent is among the owners of a child of its own.
    pub(crate) fn owns(&self, parent: &Object, object: &Object) -> bool {
        let mut owners = object.meta().owner_references.iter();
        owners.any(|owner| owner.uid == parent.meta().uid) && self.knows(object)
    }

    /// Returns whether an object that the parent owns is one of the children at all.
    fn knows(&self, object: &Object) -> bool {
        let Self::Attached { controller } = self else { return true };
        object.annotations().get(names::DECORATOR_CONTROLLER) == Some(controller)
    }
}

#[derive(Deserialize)]
struct WithSelector {
    #[serde(default)]
    spec: SelectorSpec,
}

#[derive(Default, Deserialize)]
struct SelectorSpec {
    selector: Option<Value>,
}

/// Returns how the children of `parent` are told.
///
/// With `generateSelector` the parent's own `.spec.selector` does not count; without, it must be there.
pub(crate) fn child_selector(
    generate: bool,
    parent: &Object,
) -> Result<ChildSelector, ChildSelectorError> {
    if generate {
        return Ok(ChildSelector::Generated { uid: parent.meta().uid.clone() });
    }
    let parsed = serde_json::from_slice::<WithSelector>(parent.json());
    let selector = parsed.ok().and_then(|parent| parent.spec.selector);
    let selector = Selector::from_label_selector(&selector.ok_or(ChildSelectorError::Missing)?)?;
    if selector.is_empty() {
        return Err(ChildSelectorError::Missing);
    }
    Ok(ChildSelector::Own(selector))
}

/// What becomes of the objects that may be a parent's children.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Claims {
    /// Controlled by the parent.
    pub(crate) owned: Vec<Arc<Object>>,
    /// Without a controller, but selected: the parent becomes it.
    pub(crate) adopt: Vec<Arc<Object>>,
    /// Controlled by the parent, but no longer selected: the reference goes.
    pub(crate) release: Vec<Arc<Object>>,
}

/// Sorts the objects of one type by what becomes of them; those of other controllers are left out.
pub(crate) fn claim(
    parent: &Object,
    selector: &ChildSelector,
    candidates: impl IntoIterator<Item = Arc<Object>>,
) -> Claims {
    let mut claims = Claims::default();
    for object in candidates {
        let matches = selector.matches(&object.meta().labels);
        match object.meta().controller() {
            Some(owner) if owner.uid != parent.meta().uid => {}
            // One parent may be the target of several DecoratorControllers.
            Some(_) if !selector.knows(&object) => {}
            Some(_) if matches => claims.owned.push(object),
            // As in Kubernetes, a parent that is going neither lets go nor adopts: its children go with it.
            Some(_) if parent.meta().is_deleting() => {}
            Some(_) => claims.release.push(object),
            None if !matches || parent.meta().is_deleting() || object.meta().is_deleting() => {}
            None => claims.adopt.push(object),
        }
    }
    claims
}

/// Returns the reference that makes `parent` an owner of a child.
pub(crate) fn owner_reference(parent: &Object, ownership: Ownership) -> Value {
    json!({
        "apiVersion": parent.gvk().api_version(), "kind": parent.gvk().kind,
        "name": parent.meta().name, "uid": parent.meta().uid,
        "controller": ownership == Ownership::Controller, "blockOwnerDeletion": true})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, labels: &Value, controller: Option<&str>, deleting: bool) -> Arc<Object> {
        let owners = controller.map(|uid| json!([{"uid": uid, "controller": true}]));
        let deleted = deleting.then_some("2026-01-01T00:00:00Z");
        let value = json!({"metadata": {"name": name, "uid": name, "labels": labels,
            "ownerReferences": owners, "deletionTimestamp": deleted},
            "spec": {"selector": {"matchLabels": {"a": "b"}}}});
        Arc::new(Object::from_value(&value).unwrap())
    }

    fn claimed(parent_deleting: bool) -> [Vec<String>; 3] {
        let parent = object("p", &json!({}), None, parent_deleting);
        let selector = child_selector(false, &parent).unwrap();
        let (yes, no) = (json!({"a": "b"}), json!({"a": "c"}));
        let claims = claim(
            &parent,
            &selector,
            [
                object("owned", &yes, Some("p"), false),
                object("owned-going", &yes, Some("p"), true),
                object("mismatch", &no, Some("p"), false),
                object("orphan", &yes, None, false),
                object("orphan-going", &yes, None, true),
                object("stranger", &no, None, false),
                object("foreign", &yes, Some("q"), false),
            ],
        );
        let names = |objects: Vec<Arc<Object>>| {
            objects.iter().map(|object| object.meta().name.clone()).collect()
        };
        [names(claims.owned), names(claims.adopt), names(claims.release)]
    }

    #[test]
    fn a_living_parent_keeps_adopts_and_releases() {
        assert_eq!(
            claimed(false),
            [vec!["owned", "owned-going"], vec!["orphan"], vec!["mismatch"]]
        );
    }

    #[test]
    fn a_parent_that_is_going_away_only_keeps() {
        assert_eq!(claimed(true), [vec!["owned", "owned-going"], vec![], vec![]]);
    }

    #[test]
    fn a_parent_must_say_what_it_selects() {
        let parent = Object::from_value(&json!({"spec": {"selector": {}}})).unwrap();
        let error = child_selector(false, &parent).unwrap_err();
        assert_eq!(
            error.to_string(),
            ".spec.selector must have either matchLabels, matchExpressions, or both"
        );
    }
}
