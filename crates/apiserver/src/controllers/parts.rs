//! Pure: the parts of a stored object, each read into what its reader needs of it.

use k8s::Object;
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};

/// The spec, the status and the annotations of an object; a part that nobody names is skipped.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Parts<S = IgnoredAny, T = IgnoredAny, A = IgnoredAny> {
    pub(super) metadata: Metadata<A>,
    pub(super) spec: S,
    pub(super) status: T,
}

#[derive(Default, Deserialize)]
pub(super) struct Metadata<A> {
    pub(super) annotations: Option<A>,
}

impl<S, T, A> Parts<S, T, A> {
    /// Reads an object, unless its shape is unexpected.
    pub(super) fn read(object: &Object) -> Option<Self>
    where
        Self: DeserializeOwned,
    {
        serde_json::from_slice(object.json()).ok()
    }
}
