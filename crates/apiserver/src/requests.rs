//! The last requests, for assertions such as "the controller wrote nothing".

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
};

use k8s::Timestamp;
use serde::Serialize;

/// How many requests are remembered.
const KEPT: usize = 10_000;

/// What a request was and how it was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestRecord {
    /// When it was answered.
    pub time: Timestamp,
    /// The verb as authorisation knows it; the lower-case method where no resource is meant.
    pub verb: String,
    /// The plural of the resource, or the path where no resource is meant.
    pub resource: String,
    /// The group of the resource.
    pub group: String,
    /// The version of the group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// The subresource.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
    /// The namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The name of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The name of the user, empty if nobody said who asks.
    pub user: String,
    /// Whether everything but the write itself was to be done.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The status code of the answer.
    pub code: u16,
    /// The user agent.
    pub user_agent: String,
    /// The content type of a patch.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub patch_type: String,
    /// How long the answer took, in microseconds; of a body that comes in pieces only its beginning.
    #[serde(skip)]
    pub latency_us: u64,
}

/// The ring of the last requests.
#[derive(Debug, Default)]
pub(crate) struct RequestLog(Mutex<VecDeque<RequestRecord>>);

impl RequestLog {
    pub(crate) fn push(&self, record: RequestRecord) {
        let mut ring = self.ring();
        if ring.len() == KEPT {
            ring.pop_front();
        }
        ring.push_back(record);
    }

    /// Returns the remembered requests, oldest first.
    pub(crate) fn all(&self) -> Vec<RequestRecord> {
        self.ring().iter().cloned().collect()
    }

    fn ring(&self) -> MutexGuard<'_, VecDeque<RequestRecord>> {
        self.0.lock().expect("the request log lock is never poisoned")
    }
}
