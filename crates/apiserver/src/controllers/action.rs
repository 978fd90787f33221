//! Pure: what a controller wants written, and how a plan reads as text.

use std::fmt;

use k8s::{Object, ObjectKey, Timestamp};
use serde_json::Value;

use super::kinds::Shared;
use crate::fields;

/// What must happen, in order, and when to look again.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Plan {
    pub(crate) actions: Vec<Action>,
    pub(crate) look_again: Option<Timestamp>,
}

/// One write. An update carries the resourceVersion it was planned from, and what changes in words.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    Create {
        resource: Shared,
        object: Value,
    },
    Update {
        resource: Shared,
        object: Value,
        what: String,
    },
    Status {
        resource: Shared,
        object: Value,
    },
    /// Writes the finalizers of a namespace's spec.
    Finalize {
        namespace: Value,
    },
    Bind {
        pod: Target,
        node: String,
    },
    Delete {
        target: Target,
        how: Deletion,
    },
    Note(Note),
}

/// One object, as it was when it was observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) resource: Shared,
    pub(crate) key: ObjectKey,
    pub(crate) uid: String,
    /// The resourceVersion it had: what became of it since is not to be overlooked.
    pub(crate) version: String,
}

impl Target {
    /// Names an observed object.
    pub(crate) fn of(resource: &Shared, object: &Object) -> Self {
        let (uid, version) = (object.meta().uid.clone(), object.meta().resource_version.clone());
        Self { resource: resource.clone(), key: object.key(), uid, version }
    }
}

/// What becomes of the dependents of what is deleted, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deletion {
    Background,
    Foreground,
    Orphan,
    /// Without any grace, as the node does once the containers are gone.
    Now,
}

/// An Event to be written about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) about: Target,
    pub(crate) severity: Severity,
    pub(crate) component: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// Whether an Event tells of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    Normal,
    Warning,
}

impl Plan {
    /// Returns whether nothing is to be written.
    pub(crate) fn is_idle(&self) -> bool {
        self.actions.is_empty()
    }

    /// Adds a write.
    pub(crate) fn push(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Looks again at `at`, unless that is to happen earlier anyway.
    pub(crate) fn look_at(&mut self, at: Timestamp) {
        self.look_again = Some(self.look_again.map_or(at, |before| before.min(at)));
    }
}

impl Severity {
    /// Returns the `type` of the Event.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for action in &self.actions {
            writeln!(f, "{action}")?;
        }
        self.look_again.map_or(Ok(()), |at| writeln!(f, "look again at {at}"))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { resource, object } => write!(f, "create {}", named(resource, object)),
            Self::Update { resource, object, what } => {
                write!(f, "update {}: {what}", named(resource, object))
            }
            Self::Status { resource, object } => write!(f, "status {}", named(resource, object)),
            Self::Finalize { namespace } => {
                write!(f, "finalize {}", fields::text(namespace, "/metadata/name"))
            }
            Self::Bind { pod, node } => write!(f, "bind {pod} to {node}"),
            Self::Delete { target, how } => write!(f, "delete {target} ({how})"),
            Self::Note(note) => {
                write!(f, "event {} {}: {}", note.severity.as_str(), note.reason, note.message)
            }
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.resource.gvk.kind, self.key)
    }
}

impl fmt::Display for Deletion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Background => "background",
            Self::Foreground => "foreground",
            Self::Orphan => "orphan",
            Self::Now => "now",
        })
    }
}

fn named(resource: &Shared, object: &Value) -> String {
    let namespace = fields::text(object, "/metadata/namespace");
    let key = ObjectKey::new(namespace, fields::text(object, "/metadata/name"));
    format!("{} {key}", resource.gvk.kind)
}
