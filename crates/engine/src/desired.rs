//! Pure: the children a hook asked for, each checked and completed.

use std::collections::BTreeMap;

use api::names::{self, reasons};
use k8s::{GroupVersionKind, Object, ObjectKey, Resource, apply};
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::selector::{ChildSelector, Ownership};

/// A child as it should be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Desired {
    /// Its resource.
    pub(crate) resource: Resource,
    /// Where it should be.
    pub(crate) key: ObjectKey,
    /// The object, with namespace and generated label, without owner reference.
    pub(crate) value: Value,
    /// Its position in the hook's answer.
    pub(crate) position: usize,
    /// How the parent owns it.
    pub(crate) ownership: Ownership,
}

/// Something that is wrong with one child and leaves the others alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The reason of the event that tells it.
    pub(crate) reason: &'static str,
    /// What is wrong with which child.
    pub(crate) message: String,
}

impl Problem {
    /// Returns whether the sync counts as failed.
    pub(crate) fn is_failure(&self) -> bool {
        self.reason == reasons::INVALID_CHILD
    }
}

/// A child that the parent's selector would not find again.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("labels on desired child {kind} {key} don't match parent selector")]
pub(crate) struct LabelMismatch {
    kind: String,
    key: ObjectKey,
}

/// The types that children may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Types<'a> {
    /// Those of the controller's rules, and how their objects are owned.
    pub(crate) declared: &'a [(Resource, Ownership)],
    /// Others that the hook used, as far as the API server has them.
    pub(crate) others: &'a BTreeMap<GroupVersionKind, Resource>,
}

/// Returns the type of a child that has a kind.
pub(crate) fn gvk(child: &Value) -> GroupVersionKind {
    let text = |field: &str| child.get(field).and_then(Value::as_str).unwrap_or_default();
    GroupVersionKind::new(text("apiVersion"), text("kind"))
}

/// Checks and completes what the hook asked for, in the order in which it will be written.
///
/// # Errors
///
/// [`LabelMismatch`] if the selector would not find a child again: nothing of the sync may be written.
pub(crate) fn check(
    parent: &Object,
    selector: &ChildSelector,
    types: Types<'_>,
    children: Vec<Value>,
) -> Result<(Vec<Desired>, Vec<Problem>), LabelMismatch> {
    let mut desired = BTreeMap::new();
    let mut problems = Vec::new();
    for (position, mut child) in children.into_iter().enumerate() {
        let gvk = gvk(&child);
        let checked = find(types, &gvk).and_then(|(resource, declared)| {
            Ok((place(parent, resource, &mut child)?, resource, declared))
        });
        let (key, resource, declared) = match checked {
            Ok(checked) => checked,
            Err(cause) => {
                let message = format!("child {} {}: {cause}", gvk.kind, name(&child));
                problems.push(Problem { reason: reasons::INVALID_CHILD, message });
                continue;
            }
        };
        strip(parent, &mut child);
        selector.mark(&mut child);
        if !selector.matches(&labels(&child)) {
            // Later syncs would not find it and try to create it again and again.
            return Err(LabelMismatch { kind: gvk.kind, key });
        }
        if declared.is_none() {
            let message = format!("child {} {key}: its type is not among childResources", gvk.kind);
            problems.push(Problem { reason: reasons::UNDECLARED_CHILD, message });
        }
        let (resource, ownership) = (resource.clone(), declared.unwrap_or_default());
        let each = Desired { resource, key: key.clone(), value: child, position, ownership };
        if desired.insert((gvk.clone(), key.clone()), each).is_some() {
            let message = format!("child {} {key}: desired twice, the last one counts", gvk.kind);
            problems.push(Problem { reason: reasons::DUPLICATE_CHILD, message });
        }
    }
    Ok((desired.into_values().collect(), problems))
}

/// Returns the type of a child, and how it is owned if the controller's rules name it.
fn find<'a>(
    types: Types<'a>,
    gvk: &GroupVersionKind,
) -> Result<(&'a Resource, Option<Ownership>), String> {
    if let Some((resource, ownership)) = types.declared.iter().find(|(it, _)| it.gvk == *gvk) {
        return Ok((resource, Some(*ownership)));
    }
    let other = types.others.get(gvk).map(|resource| (resource, None));
    other.ok_or_else(|| format!("can't find kind {} in apiVersion {}", gvk.kind, gvk.api_version()))
}

/// Says where the child goes, and writes its namespace where it was left out.
fn place(parent: &Object, resource: &Resource, child: &mut Value) -> Result<ObjectKey, String> {
    let metadata = child.get_mut("metadata").and_then(Value::as_object_mut);
    let metadata = metadata.ok_or("`metadata` is missing or not an object")?;
    for field in ["labels", "annotations"] {
        if metadata.get(field).is_some_and(|value| !value.is_object() && !value.is_null()) {
            return Err(format!("`metadata.{field}` is not an object"));
        }
    }
    let text = |metadata: &Map<String, Value>, field: &str| {
        metadata.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let (name, given) = (text(metadata, "name"), text(metadata, "namespace"));
    if name.is_empty() {
        return Err("`metadata.name` is empty".to_owned());
    }
    let home = &parent.meta().namespace;
    if !resource.is_namespaced() {
        if !home.is_empty() {
            return Err("a namespaced parent cannot own a cluster-scoped child".to_owned());
        }
        // A server refuses an object whose namespace is not that of the path, and the path has none.
        metadata.remove("namespace");
        return Ok(ObjectKey::new("", &name));
    }
    let namespace = if given.is_empty() { home.clone() } else { given };
    if namespace.is_empty() {
        return Err("`metadata.namespace` is empty, and the parent has none".to_owned());
    }
    if !home.is_empty() && namespace != *home {
        return Err(format!("namespace `{namespace}` is not the parent's namespace `{home}`"));
    }
    metadata.insert("namespace".to_owned(), json!(namespace));
    Ok(ObjectKey { namespace, name })
}

/// Takes out what the server and the engine write, for hooks that answer with children as they saw them:
/// it would change with every write, and every change of it would be a write.
fn strip(parent: &Object, child: &mut Value) {
    apply::strip_server_metadata(child);
    let Some(Value::Object(metadata)) = child.get_mut("metadata") else { return };
    if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
        annotations.remove(names::LAST_APPLIED);
    }
    if let Some(Value::Array(owners)) = metadata.get_mut("ownerReferences") {
        owners.retain(|owner| owner["uid"] != parent.meta().uid.as_str());
        if owners.is_empty() {
            metadata.remove("ownerReferences");
        }
    }
}

fn name(child: &Value) -> String {
    let name = child.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    if name.is_empty() { "without a name".to_owned() } else { format!("`{name}`") }
}

fn labels(child: &Value) -> BTreeMap<String, String> {
    let labels = child.pointer("/metadata/labels").and_then(Value::as_object);
    let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    labels.into_iter().flatten().filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(parent_namespace: &str, children: &Value) -> String {
        let parent = json!({"metadata": {"name": "p", "namespace": parent_namespace, "uid": "u"}});
        let parent = Object::from_value(&parent).unwrap();
        let declared =
            [Resource::namespaced("v1", "Pod", "pods"), Resource::cluster("v1", "Node", "nodes")]
                .map(|resource| (resource, Ownership::Controller));
        let secret = Resource::namespaced("v1", "Secret", "secrets");
        let others = BTreeMap::from([(secret.gvk.clone(), secret)]);
        let types = Types { declared: &declared, others: &others };
        let selector = ChildSelector::Generated { uid: "u".to_owned() };
        let children = children.as_array().unwrap().clone();
        match check(&parent, &selector, types, children) {
            Err(error) => error.to_string(),
            Ok((desired, problems)) => {
                let desired =
                    desired.iter().map(|each| format!("{} {}", each.resource.gvk.kind, each.key));
                let problems =
                    problems.iter().map(|each| format!("{}: {}", each.reason, each.message));
                desired.chain(problems).collect::<Vec<_>>().join("\n")
            }
        }
    }

    fn child(kind: &str, metadata: &Value) -> Value {
        json!({"apiVersion": "v1", "kind": kind, "metadata": metadata})
    }

    #[test]
    fn children_get_the_parent_s_namespace_and_come_in_order() {
        let children =
            json!([child("Pod", &json!({"name": "b"})), child("Pod", &json!({"name": "a"}))]);
        assert_eq!(checked("n", &children), "Pod n/a\nPod n/b");
    }

    #[test]
    fn a_child_without_a_namespace_loses_one_that_it_is_given() {
        let node = child("Node", &json!({"name": "x", "namespace": "n"}));
        assert_eq!(checked("", &json!([node])), "Node x");
        let parent = Object::from_value(&json!({"metadata": {"name": "p"}})).unwrap();
        let (mut node, kind) = (node, Resource::cluster("v1", "Node", "nodes"));
        assert_eq!(place(&parent, &kind, &mut node), Ok(ObjectKey::new("", "x")));
        assert_eq!(node["metadata"], json!({"name": "x"}));
    }

    #[test]
    fn a_bad_child_is_refused_and_the_others_proceed() {
        for (namespace, metadata, kind, cause) in [
            ("n", json!({}), "Pod", "child Pod without a name: `metadata.name` is empty"),
            (
                "n",
                json!(3),
                "Pod",
                "child Pod without a name: `metadata` is missing or not an object",
            ),
            (
                "n",
                json!({"name": "x", "namespace": "m"}),
                "Pod",
                "child Pod `x`: namespace `m` is not the parent's namespace `n`",
            ),
            (
                "",
                json!({"name": "x"}),
                "Pod",
                "child Pod `x`: `metadata.namespace` is empty, and the parent has none",
            ),
            (
                "n",
                json!({"name": "x"}),
                "Node",
                "child Node `x`: a namespaced parent cannot own a cluster-scoped child",
            ),
            (
                "n",
                json!({"name": "x"}),
                "Fog",
                "child Fog `x`: can't find kind Fog in apiVersion v1",
            ),
        ] {
            let good = child("Pod", &json!({"name": "good", "namespace": "n"}));
            let expected = format!("Pod n/good\nInvalidChild: {cause}");
            assert_eq!(checked(namespace, &json!([child(kind, &metadata), good])), expected);
        }
    }

    #[test]
    fn twice_desired_and_undeclared_children_are_told() {
        let pod = child("Pod", &json!({"name": "a"}));
        assert_eq!(
            checked("n", &json!([pod, pod])),
            "Pod n/a\nDuplicateChild: child Pod n/a: desired twice, the last one counts"
        );
        assert_eq!(
            checked("n", &json!([child("Secret", &json!({"name": "s"}))])),
            "Secret n/s\nUndeclaredChild: child Secret n/s: its type is not among childResources"
        );
    }

    #[test]
    fn a_child_as_it_was_seen_loses_what_was_not_the_hook_s() {
        let parent = Object::from_value(&json!({"metadata": {"name": "p", "uid": "u"}})).unwrap();
        let mut child = child(
            "Pod",
            &json!({"name": "a", "uid": "x", "resourceVersion": "7", "generation": 2,
                "annotations": {"metacontroller.k8s.io/last-applied-configuration": "{}", "b": "c"},
                "ownerReferences": [{"uid": "u", "controller": true}]}),
        );
        strip(&parent, &mut child);
        assert_eq!(child["metadata"], json!({"name": "a", "annotations": {"b": "c"}}));
    }

    #[test]
    fn a_label_that_the_selector_would_not_find_stops_everything() {
        let pod = child("Pod", &json!({"name": "a", "labels": {"controller-uid": "other"}}));
        assert_eq!(
            checked("n", &json!([pod])),
            "labels on desired child Pod n/a don't match parent selector"
        );
    }
}
