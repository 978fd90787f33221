//! Pure: a Kubernetes object as JSON bytes with an index of its metadata.

use std::{collections::BTreeMap, fmt, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::{
    GroupVersionKind,
    json::{self, JsonError},
};

/// Why bytes are no Kubernetes object.
#[derive(Debug, Error)]
pub enum ObjectError {
    /// The text is not JSON, or its metadata has fields of wrong types.
    #[error("not a Kubernetes object")]
    Decode(#[from] serde_json::Error),
    /// The text is nested more deeply than the product reads.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The text is JSON, but not an object.
    #[error("not a JSON object")]
    NotAnObject,
}

/// Where an object lives within its resource; sorts by namespace, then name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// The namespace, empty for cluster-scoped objects.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ObjectKey {
    /// Returns the key of these names.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// A reference from a dependent to its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    /// The owner's `apiVersion`.
    pub api_version: String,
    /// The owner's kind.
    pub kind: String,
    /// The owner's name.
    pub name: String,
    /// The owner's UID.
    pub uid: String,
    /// Whether the owner is the one that manages the dependent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    /// Whether foreground deletion of the owner waits for the dependent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
}

impl OwnerReference {
    /// Returns whether the owner is the one that manages the dependent.
    pub fn is_controller(&self) -> bool {
        self.controller == Some(true)
    }
}

/// What is looked up often in an object's metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// The name.
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    /// The namespace, empty for cluster-scoped objects.
    #[serde(deserialize_with = "nullable")]
    pub namespace: String,
    /// The UID.
    #[serde(deserialize_with = "nullable")]
    pub uid: String,
    /// The resourceVersion as the server gave it.
    #[serde(deserialize_with = "nullable")]
    pub resource_version: String,
    /// The generation, 0 for kinds without one.
    #[serde(deserialize_with = "nullable")]
    pub generation: i64,
    /// The labels.
    #[serde(deserialize_with = "nullable")]
    pub labels: BTreeMap<String, String>,
    /// The finalizers, in order.
    #[serde(deserialize_with = "nullable")]
    pub finalizers: Vec<String>,
    /// The owner references, in order.
    #[serde(deserialize_with = "nullable")]
    pub owner_references: Vec<OwnerReference>,
    /// When the object was created, RFC 3339.
    pub creation_timestamp: Option<String>,
    /// When deletion was asked for, RFC 3339.
    pub deletion_timestamp: Option<String>,
}

impl Meta {
    /// Returns where the object lives within its resource.
    pub fn key(&self) -> ObjectKey {
        ObjectKey::new(&self.namespace, &self.name)
    }

    /// Returns the resourceVersion as a number, if it is one.
    pub fn revision(&self) -> Option<u64> {
        self.resource_version.parse().ok()
    }

    /// Returns whether deletion was asked for.
    pub fn is_deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// Returns the reference to the owner that manages the object.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|owner| owner.is_controller())
    }

    /// Returns whether the object carries this finalizer.
    pub fn has_finalizer(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|each| each == finalizer)
    }
}

/// A Kubernetes object: its JSON text, its type and an index of its metadata.
///
/// The text is kept as it came and shared between clones; everything but the metadata is parsed only when
/// asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct Object {
    gvk: Arc<GroupVersionKind>,
    meta: Meta,
    json: Bytes,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Envelope {
    #[serde(deserialize_with = "nullable")]
    api_version: String,
    #[serde(deserialize_with = "nullable")]
    kind: String,
    #[serde(deserialize_with = "nullable")]
    metadata: Meta,
}

impl Object {
    /// Indexes the JSON text of an object.
    pub fn parse(json: impl Into<Bytes>) -> Result<Self, ObjectError> {
        let json = json.into();
        // A derived decoder would take an array for the fields in order.
        if json.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
            return Err(ObjectError::NotAnObject);
        }
        json::check_depth(&json)?;
        let Envelope { api_version, kind, metadata } = serde_json::from_slice(&json)?;
        let gvk = Arc::new(GroupVersionKind::new(&api_version, &kind));
        Ok(Self { gvk, meta: metadata, json })
    }

    /// Indexes a value whose text is known, under a kind that many objects share.
    ///
    /// # Errors
    ///
    /// [`ObjectError::Decode`] if the metadata has fields of wrong types.
    pub fn of_parts(
        gvk: Arc<GroupVersionKind>,
        value: &Value,
        json: impl Into<Bytes>,
    ) -> Result<Self, ObjectError> {
        let meta = value.get("metadata").map(Meta::deserialize).transpose()?.unwrap_or_default();
        Ok(Self { gvk, meta, json: json.into() })
    }

    /// Serialises and indexes an object.
    pub fn from_value(value: &Value) -> Result<Self, ObjectError> {
        Self::parse(serde_json::to_vec(value)?)
    }

    /// Returns the object for keeping: without room that is not used, its kind shared with others if it is this.
    #[must_use]
    pub fn compact(mut self, kind: &Arc<GroupVersionKind>) -> Self {
        if *self.gvk == **kind {
            self.gvk = Arc::clone(kind);
        }
        // Decoders make room for several where there is mostly one.
        self.meta.owner_references.shrink_to_fit();
        self.meta.finalizers.shrink_to_fit();
        self
    }

    /// Returns the kind with group and version.
    pub fn gvk(&self) -> &GroupVersionKind {
        &self.gvk
    }

    /// Returns the index of the metadata.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Returns where the object lives within its resource.
    pub fn key(&self) -> ObjectKey {
        self.meta.key()
    }

    /// Returns the annotations.
    ///
    /// They are read from the text each time: few ask for them, and they are the longest part of the metadata.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        #[derive(Default, Deserialize)]
        struct Annotated {
            #[serde(default)]
            metadata: Annotations,
        }
        #[derive(Default, Deserialize)]
        struct Annotations {
            annotations: Option<BTreeMap<String, String>>,
        }
        let read = serde_json::from_slice::<Annotated>(&self.json).unwrap_or_default();
        read.metadata.annotations.unwrap_or_default()
    }

    /// Returns the texts that a ConfigMap holds by name.
    pub fn texts(&self) -> BTreeMap<String, String> {
        #[derive(Default, Deserialize)]
        struct Texts {
            data: Option<BTreeMap<String, String>>,
        }
        serde_json::from_slice::<Texts>(&self.json).unwrap_or_default().data.unwrap_or_default()
    }

    /// Returns the JSON text.
    pub fn json(&self) -> &Bytes {
        &self.json
    }

    /// Parses the whole object.
    pub fn to_value(&self) -> Value {
        json::parse(&self.json).expect("an indexed object is valid JSON")
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.gvk, self.key())
    }
}

/// Reads `null` as the default, as Go's decoder does.
fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metadata_is_indexed_and_the_text_is_kept() {
        let value = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {
            "name": "a", "namespace": "b", "resourceVersion": "7", "labels": null, "finalizers": ["f"],
            "ownerReferences": [{"kind": "X", "uid": "u", "controller": true}]}});
        let object = Object::from_value(&value).unwrap();
        assert_eq!(object.key().to_string(), "b/a");
        assert_eq!(object.meta().revision(), Some(7));
        assert_eq!(object.meta().controller().unwrap().uid, "u");
        assert!(object.meta().has_finalizer("f"));
        assert_eq!(object.to_value(), value);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(Object::parse("[]").is_err());
        assert!(Object::parse("{\"metadata\": 3}").is_err());
    }
}
