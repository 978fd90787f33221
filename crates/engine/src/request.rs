//! Pure: the text that is sent to a hook.
//!
//! Objects are put in as the bytes the cache holds; nothing is parsed.

use std::{collections::BTreeMap, sync::Arc};

use api::controller::HookVersion;
use bytes::Bytes;
use k8s::{GroupVersionKind, Object, Resource};

use crate::{controller::Form, plan::ObservedType, related::RelatedType};

/// What a hook is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'a> {
    /// Which kind the controller is of; it decides about names.
    pub(crate) form: Form,
    /// The controller object.
    pub(crate) controller: &'a Object,
    /// The parent.
    pub(crate) parent: &'a Object,
    /// The observed children, a list for each declared type, empty ones too.
    pub(crate) children: &'a [ObservedType],
    /// The objects that its customize hook asked for.
    pub(crate) related: &'a [RelatedType],
    /// Whether the parent is going away.
    pub(crate) finalizing: bool,
}

/// Returns the request for a sync or finalize hook.
pub(crate) fn body(told: Told<'_>, version: HookVersion) -> Bytes {
    let mut text = Vec::with_capacity(
        told.controller.json().len()
            + told.parent.json().len()
            + told
                .children
                .iter()
                .flat_map(|each| &each.objects)
                .map(|object| object.json().len() + 64)
                .sum::<usize>()
            + 256,
    );
    text.extend_from_slice(b"{\"controller\":");
    text.extend_from_slice(told.controller.json());
    let (parent, children) = match told.form {
        Form::Composite { .. } => ("parent", "children"),
        Form::Decorator => ("object", "attachments"),
    };
    text.extend_from_slice(format!(",\"{parent}\":").as_bytes());
    text.extend_from_slice(told.parent.json());
    text.extend_from_slice(format!(",\"{children}\":").as_bytes());
    let observed = told.children.iter().map(|each| (&each.resource, &each.objects));
    put_types(&mut text, told.parent, version, observed);
    text.extend_from_slice(b",\"related\":");
    let related = told.related.iter().map(|each| (&each.resource, &each.objects));
    put_types(&mut text, told.parent, version, related);
    text.extend_from_slice(b",\"finalizing\":");
    text.extend_from_slice(if told.finalizing { b"true}" } else { b"false}" });
    text.into()
}

/// Returns the request for a customize hook.
pub(crate) fn customize_body(controller: &Object, parent: &Object) -> Bytes {
    let mut text = Vec::with_capacity(controller.json().len() + parent.json().len() + 32);
    text.extend_from_slice(b"{\"controller\":");
    text.extend_from_slice(controller.json());
    text.extend_from_slice(b",\"parent\":");
    text.extend_from_slice(parent.json());
    text.push(b'}');
    text.into()
}

/// Returns the key under which objects of a type are found: `Kind.version` or `Kind.group/version`.
pub(crate) fn type_key(gvk: &GroupVersionKind) -> String {
    format!("{}.{}", gvk.kind, gvk.api_version())
}

/// Returns the key under which a hook finds an object, or nothing if the hook may not see it.
pub(crate) fn object_key(version: HookVersion, parent: &Object, object: &Object) -> Option<String> {
    let (parent, key) = (&parent.meta().namespace, object.key());
    match version {
        HookVersion::V2 => Some(key.to_string()),
        HookVersion::V1 if parent.is_empty() => Some(key.to_string()),
        HookVersion::V1 => (key.namespace == *parent).then_some(key.name),
    }
}

fn put_types<'a>(
    text: &mut Vec<u8>,
    parent: &Object,
    version: HookVersion,
    found: impl Iterator<Item = (&'a Resource, &'a Vec<Arc<Object>>)>,
) {
    let mut types: BTreeMap<String, Vec<(String, &Arc<Object>)>> = BTreeMap::new();
    for (resource, objects) in found {
        let keyed = |object: &'a Arc<Object>| Some((object_key(version, parent, object)?, object));
        types.entry(type_key(&resource.gvk)).or_default().extend(objects.iter().filter_map(keyed));
    }
    put_map(text, types.into_iter(), |text, objects| {
        put_map(text, objects.into_iter(), |text, object| text.extend_from_slice(object.json()));
    });
}

/// Writes a JSON object. Its keys are escaped: names of roles and their kin may hold any character.
fn put_map<T>(
    text: &mut Vec<u8>,
    entries: impl Iterator<Item = (String, T)>,
    mut put: impl FnMut(&mut Vec<u8>, T),
) {
    text.push(b'{');
    for (position, (key, value)) in entries.enumerate() {
        if 0 < position {
            text.push(b',');
        }
        serde_json::to_writer(&mut *text, &key).expect("text is written to memory");
        text.push(b':');
        put(text, value);
    }
    text.push(b'}');
}

#[cfg(test)]
mod tests {
    use api::controller::UpdateMethod;
    use serde_json::{Value, json};

    use super::*;

    fn object(namespace: &str, name: &str) -> Object {
        Object::from_value(&json!({"metadata": {"namespace": namespace, "name": name}})).unwrap()
    }

    fn observed(resource: Resource, objects: Vec<Arc<Object>>) -> ObservedType {
        ObservedType {
            resource,
            method: UpdateMethod::InPlace,
            status_checks: Arc::default(),
            objects,
        }
    }

    /// Returns what a composite's hook is sent about a parent of this namespace.
    fn sent(parent_namespace: &str, children: &[ObservedType], version: HookVersion) -> Value {
        let told = Told {
            form: Form::Composite { generate_selector: false },
            controller: &object("", "c"),
            parent: &object(parent_namespace, "p"),
            children,
            related: &[],
            finalizing: false,
        };
        serde_json::from_slice(&body(told, version)).unwrap()
    }

    fn children(version: HookVersion, parent_namespace: &str) -> Vec<String> {
        let pods = vec![Arc::new(object("ns1", "web-0")), Arc::new(object("ns2", "web-1"))];
        let children = [
            observed(Resource::namespaced("v1", "Pod", "pods"), pods),
            observed(Resource::namespaced("apps/v1", "ReplicaSet", "replicasets"), Vec::new()),
        ];
        let sent = sent(parent_namespace, &children, version);
        assert_eq!(sent["related"], json!({}));
        assert_eq!(sent["finalizing"], json!(false));
        assert_eq!(sent["children"]["ReplicaSet.apps/v1"], json!({}));
        sent["children"]["Pod.v1"].as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn names_are_escaped() {
        let role = Resource::cluster("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles");
        let children = [observed(role, vec![Arc::new(object("", "a\"b\\"))])];
        let sent = sent("", &children, HookVersion::V2);
        let roles = &sent["children"]["ClusterRole.rbac.authorization.k8s.io/v1"];
        assert!(roles.get("a\"b\\").is_some(), "{sent}");
    }

    #[test]
    fn the_hook_s_version_picks_the_keys() {
        assert_eq!(children(HookVersion::V1, "ns1"), ["web-0"]);
        assert_eq!(children(HookVersion::V2, "ns1"), ["ns1/web-0", "ns2/web-1"]);
        assert_eq!(children(HookVersion::V1, ""), ["ns1/web-0", "ns2/web-1"]);
        let node = object("", "node");
        for (version, parent, key) in [
            (HookVersion::V1, object("ns1", "p"), None),
            (HookVersion::V1, object("", "p"), Some("node")),
            (HookVersion::V2, object("ns1", "p"), Some("node")),
            (HookVersion::V2, object("", "p"), Some("node")),
        ] {
            assert_eq!(object_key(version, &parent, &node).as_deref(), key, "{version:?}");
        }
    }
}
