//! Pure: a version of a parent, as ControllerRevisions keep it.

use std::{collections::BTreeMap, sync::Arc};

use api::{
    names,
    revision::{ControllerRevision, RevisionChildren},
};
use k8s::{Object, Resource, apply, json::same};
use serde_json::{Map, Value, json};
use sha1::{Digest, Sha1};
use thiserror::Error;

use crate::selector::{Ownership, owner_reference};

/// The longest name of an object.
const LONGEST_NAME: usize = 253;
/// The length of a hash in hexadecimal digits, with the hyphen before it.
const HASH: usize = 41;

/// The group and kind of children, whatever their version.
pub(crate) type GroupKind = (String, String);

/// A version of a parent, and the children that follow it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Revision {
    /// The ControllerRevision as it was observed; nothing if it must be created.
    pub(crate) observed: Option<Arc<Object>>,
    /// Its name.
    pub(crate) name: String,
    /// The values of the parent's fields in this version.
    pub(crate) patch: Value,
    /// The names of the children that follow it, relative to the parent's namespace.
    pub(crate) claims: BTreeMap<GroupKind, Vec<String>>,
}

/// Why the versions of a parent cannot be told.
#[derive(Debug, Error)]
pub(crate) enum RevisionError {
    /// A path leads through something that has no fields.
    #[error("revisionHistory.fieldPaths: `{0}` leads through a value that is no object")]
    Path(String),
    /// A ControllerRevision cannot be read.
    #[error("invalid ControllerRevision {name}")]
    Decode {
        /// Its name.
        name: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Revision {
    /// Reads a ControllerRevision.
    pub(crate) fn observed(object: Arc<Object>) -> Result<Self, RevisionError> {
        let name = object.meta().name.clone();
        let read = serde_json::from_slice(object.json());
        let read: ControllerRevision =
            read.map_err(|source| RevisionError::Decode { name: name.clone(), source })?;
        let claims = read.children.into_iter();
        let claims = claims.map(|each| ((each.api_group, each.kind), each.names)).collect();
        Ok(Self { observed: Some(object), name, patch: read.parent_patch, claims })
    }

    /// Returns the version of a parent that has no ControllerRevision yet.
    pub(crate) fn new(parents: &Resource, parent: &Object, patch: Value) -> Self {
        let name = name(parents, &parent.meta().uid, &patch);
        Self { observed: None, name, patch, claims: BTreeMap::new() }
    }

    /// Returns whether any children follow the version.
    pub(crate) fn is_followed(&self) -> bool {
        !self.claims.is_empty()
    }

    /// Notes that a child follows the version from now on.
    pub(crate) fn claim(&mut self, kind: &GroupKind, name: &str) {
        let names = self.claims.entry(kind.clone()).or_default();
        if !names.iter().any(|other| other == name) {
            names.push(name.to_owned());
        }
    }

    /// Notes that a child follows the version no longer.
    pub(crate) fn release(&mut self, kind: &GroupKind, name: &str) {
        if let Some(names) = self.claims.get_mut(kind) {
            names.retain(|other| other != name);
        }
        self.claims.retain(|_, names| !names.is_empty());
    }

    /// Returns the object to create for the version.
    pub(crate) fn object(&self, parent: &Object, labels: &Value, namespace: &str) -> Value {
        json!({
            "apiVersion": names::API_VERSION, "kind": "ControllerRevision",
            "metadata": {"name": self.name, "namespace": namespace, "labels": labels,
                "ownerReferences": [owner_reference(parent, Ownership::Controller)]},
            "parentPatch": self.patch, "children": self.children()})
    }

    /// Returns an observed object with the claims of the version, or nothing if it has them.
    pub(crate) fn updated(&self, observed: &Object) -> Option<Value> {
        let mut value = observed.to_value();
        let children = json!(self.children());
        let before = value.get("children").filter(|children| !children.is_null());
        if before.map_or(self.claims.is_empty(), |before| same(before, &children)) {
            return None;
        }
        value["children"] = children;
        Some(value)
    }

    fn children(&self) -> Vec<RevisionChildren> {
        let children = self.claims.iter().map(|((group, kind), names)| RevisionChildren {
            api_group: group.clone(),
            kind: kind.clone(),
            names: names.clone(),
        });
        children.collect()
    }
}

/// Returns the values of a parent at some paths; those that are absent are left out.
pub(crate) fn patch(parent: &Value, paths: &[String]) -> Result<Value, RevisionError> {
    let mut patch = json!({});
    for path in paths {
        let mut found = Some(parent);
        for name in path.split('.') {
            found = match found {
                Some(Value::Object(fields)) => fields.get(name),
                Some(_) => return Err(RevisionError::Path(path.clone())),
                None => None,
            };
        }
        if let Some(value) = found {
            put(&mut patch, path, Some(value));
        }
    }
    Ok(patch)
}

/// Returns a parent in the version of a patch: at each path the patch's value, or none if it has none.
pub(crate) fn in_version(parent: &Value, version: &Value, paths: &[String]) -> Value {
    let mut parent = parent.clone();
    for path in paths {
        let value = version.pointer(&format!("/{}", path.replace('.', "/")));
        put(&mut parent, path, value);
    }
    parent
}

/// Puts a value at a path, or takes away what is there.
fn put(target: &mut Value, path: &str, value: Option<&Value>) {
    let (parents, last) = path.rsplit_once('.').unwrap_or(("", path));
    let mut place = target;
    for name in parents.split('.').filter(|name| !name.is_empty()) {
        if value.is_none() && place.get(name).is_none() {
            return;
        }
        if !place[name].is_object() {
            place[name] = json!({});
        }
        place = &mut place[name];
    }
    match value {
        Some(value) => place[last] = value.clone(),
        None => drop(place.as_object_mut().and_then(|fields| fields.remove(last))),
    }
}

/// Returns the name that Metacontroller gives a version: the parent's type, and a hash of the parent's UID
/// and the patch.
fn name(parents: &Resource, uid: &str, patch: &Value) -> String {
    let group = if parents.gvk.group.is_empty() { "core" } else { &parents.gvk.group };
    let mut prefix = format!("{}.{group}", parents.plural);
    prefix.truncate(LONGEST_NAME - HASH);
    let mut hasher = Sha1::new();
    hasher.update(uid.as_bytes());
    hasher.update(apply::last_applied(patch).as_bytes());
    let hash =
        hasher.finalize().iter().fold(String::new(), |hash, byte| hash + &format!("{byte:02x}"));
    format!("{prefix}-{hash}")
}

/// Returns the labels of a parent's ControllerRevisions: those that its children are told by, and its type.
pub(crate) fn labels(parents: &Resource, parent: &Value, generated: bool) -> Value {
    let mut labels = Map::new();
    if generated {
        labels.insert(names::CONTROLLER_UID.to_owned(), parent["metadata"]["uid"].clone());
    } else {
        for path in ["/spec/template/metadata/labels", "/spec/selector/matchLabels"] {
            labels.extend(
                parent.pointer(path).and_then(Value::as_object).cloned().unwrap_or_default(),
            );
        }
    }
    labels.insert(names::REVISION_API_GROUP.to_owned(), json!(parents.gvk.group));
    labels.insert(names::REVISION_RESOURCE.to_owned(), json!(parents.plural));
    labels.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(paths: &[&str]) -> Vec<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    #[test]
    fn a_patch_has_the_values_at_the_paths_that_are_there() {
        let parent = json!({"spec": {"a": {"b": 1, "c": 2}}, "kind": "X"});
        let made =
            |given: &[&str]| patch(&parent, &paths(given)).map_err(|error| error.to_string());
        assert_eq!(
            made(&["spec.a.b", "spec.none", "none.x"]).unwrap(),
            json!({"spec": {"a": {"b": 1}}})
        );
        assert_eq!(made(&["spec"]).unwrap(), json!({"spec": {"a": {"b": 1, "c": 2}}}));
        assert!(made(&["kind.a"]).unwrap_err().contains("`kind.a`"));
    }

    #[test]
    fn an_older_version_has_its_own_values_at_the_paths_and_nothing_where_it_had_none() {
        let parent = json!({"spec": {"image": "2", "new": true, "replicas": 3}});
        let version = json!({"spec": {"image": "1"}});
        let paths = paths(&["spec.image", "spec.new", "spec.deep.er"]);
        let older = in_version(&parent, &version, &paths);
        assert_eq!(older, json!({"spec": {"image": "1", "replicas": 3}}));
    }

    #[test]
    fn names_are_those_that_the_original_gives() {
        let things = Resource::namespaced("example.com/v1", "Thing", "things");
        // printf 'u{"spec":{"a":"\\u003cb\\u003e"}}' | sha1sum
        assert_eq!(
            name(&things, "u", &json!({"spec": {"a": "<b>"}})),
            "things.example.com-30fd84e3f2ba368676d1d65e5c83cb92a94f4673"
        );
        let core = Resource::cluster("v1", "Node", &"n".repeat(300));
        assert_eq!(name(&core, "u", &json!({})).len(), LONGEST_NAME);
    }

    #[test]
    fn claims_are_written_only_if_they_changed() {
        let object = json!({"metadata": {"name": "r"}, "parentPatch": {},
            "children": [{"apiGroup": "", "kind": "Pod", "names": ["a", "b"]}]});
        let object = Arc::new(Object::from_value(&object).unwrap());
        let mut revision = Revision::observed(Arc::clone(&object)).unwrap();
        assert_eq!(revision.updated(&object), None);
        let pods = (String::new(), "Pod".to_owned());
        revision.release(&pods, "a");
        revision.claim(&pods, "c");
        let names = revision.updated(&object).unwrap()["children"][0]["names"].clone();
        assert_eq!(names, json!(["b", "c"]));
        revision.release(&pods, "b");
        revision.release(&pods, "c");
        assert_eq!(revision.updated(&object).unwrap()["children"], json!([]));
    }
}
