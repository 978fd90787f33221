//! Carries out what was planned: deletes first, then the rest, a few at a time, in order.

use bytes::Bytes;
use futures::{StreamExt, stream};
use k8s::{Object, ObjectKey, Resource};

use crate::{ApiError, Client, Part};

/// How many writes of one plan are under way at once.
const AT_ONCE: usize = 8;

/// What is to be done to one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The resource.
    pub resource: Resource,
    /// The object.
    pub key: ObjectKey,
    /// What is done.
    pub kind: WriteKind,
}

/// A way to change an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteKind {
    /// Create it with this text.
    Create(Bytes),
    /// Replace it by this text, which carries the resourceVersion that was observed.
    Update(Bytes),
    /// Create it by an apply, unless it is there.
    ApplyNew {
        /// The manager that applies.
        manager: String,
        /// The text.
        body: Bytes,
    },
    /// Apply this text to it, which carries the UID that was observed.
    Apply {
        /// The manager that applies.
        manager: String,
        /// The text.
        body: Bytes,
    },
    /// Delete it, if it still has this UID.
    Delete {
        /// The UID that was observed.
        uid: String,
    },
}

impl WriteKind {
    /// Returns what is done in one word: `create`, `update` or `delete`.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Create(_) | Self::ApplyNew { .. } => "create",
            Self::Update(_) | Self::Apply { .. } => "update",
            Self::Delete { .. } => "delete",
        }
    }
}

/// What came of a write that succeeded.
#[derive(Clone, Debug)]
pub struct Applied {
    /// What it left behind.
    pub written: Written,
    /// The object as the server stored it; nothing if it was deleted.
    pub object: Option<Object>,
}

/// What a write left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// The object was stored at this version.
    Stored {
        /// The resource.
        resource: Resource,
        /// The object.
        key: ObjectKey,
        /// Its UID.
        uid: String,
        /// The resourceVersion it has now.
        version: String,
    },
    /// The object was deleted, or its deletion began.
    Deleted {
        /// The resource.
        resource: Resource,
        /// The object.
        key: ObjectKey,
        /// The UID it had.
        uid: String,
    },
}

impl Written {
    /// Returns the note of an object as the server stored it.
    pub fn stored(resource: &Resource, object: &Object) -> Self {
        Self::Stored {
            resource: resource.clone(),
            key: object.key(),
            uid: object.meta().uid.clone(),
            version: object.meta().resource_version.clone(),
        }
    }

    /// Returns the resource.
    pub fn resource(&self) -> &Resource {
        match self {
            Self::Stored { resource, .. } | Self::Deleted { resource, .. } => resource,
        }
    }

    /// Returns the object's key.
    pub fn key(&self) -> &ObjectKey {
        match self {
            Self::Stored { key, .. } | Self::Deleted { key, .. } => key,
        }
    }
}

/// Carries out writes through a client.
#[derive(Clone, Debug)]
pub struct Applier {
    client: Client,
}

impl Applier {
    /// Returns an applier that writes through `client`.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Carries out the writes and returns each result, in the order of the writes. One that fails does
    /// not stop the others; nothing is created or updated before all deletes are answered.
    pub async fn apply(&self, writes: &[Write]) -> Vec<Result<Applied, ApiError>> {
        let is_delete = |write: &&Write| matches!(write.kind, WriteKind::Delete { .. });
        let deletes = self.all(writes.iter().filter(is_delete)).await;
        let others = self.all(writes.iter().filter(|write| !is_delete(write))).await;
        let (mut deletes, mut others) = (deletes.into_iter(), others.into_iter());
        let result = |write: &Write| match write.kind {
            WriteKind::Delete { .. } => deletes.next(),
            WriteKind::Create(_)
            | WriteKind::Update(_)
            | WriteKind::ApplyNew { .. }
            | WriteKind::Apply { .. } => others.next(),
        };
        writes.iter().filter_map(result).collect()
    }

    async fn all(&self, writes: impl Iterator<Item = &Write>) -> Vec<Result<Applied, ApiError>> {
        let calls: Vec<_> = writes.map(|write| self.one(write)).collect();
        stream::iter(calls).buffered(AT_ONCE).collect().await
    }

    async fn one(&self, write: &Write) -> Result<Applied, ApiError> {
        let Write { resource, key, kind } = write;
        let object = match kind {
            WriteKind::Create(body) => {
                self.client.create(resource, &key.namespace, body.clone()).await?
            }
            WriteKind::Update(body) => {
                self.client.update(resource, key, Part::Main, body.clone()).await?
            }
            WriteKind::ApplyNew { manager, body } => {
                self.client.apply_new(resource, key, manager, body.clone()).await?
            }
            WriteKind::Apply { manager, body } => {
                self.client.apply(resource, key, manager, body.clone()).await?
            }
            WriteKind::Delete { uid } => {
                match self.client.delete(resource, key, uid).await {
                    Err(error) if !error.is_not_found() => return Err(error),
                    _ => {}
                }
                let (resource, key) = (resource.clone(), key.clone());
                let written = Written::Deleted { resource, key, uid: uid.clone() };
                return Ok(Applied { written, object: None });
            }
        };
        Ok(Applied { written: Written::stored(resource, &object), object: Some(object) })
    }
}
