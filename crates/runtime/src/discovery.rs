//! Which resources the API server offers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use k8s::{GroupVersion, GroupVersionKind, Resource, ResourceScope, SignedDuration, Timestamp};
use serde::Deserialize;
use thiserror::Error;
use tracing::trace;

use crate::{ApiError, Client};

/// How long an answer counts unless something else is asked for.
const INTERVAL: Duration = Duration::from_secs(30);
/// How long an answer counts that lacks what is looked for.
const MISS: Duration = Duration::from_secs(1);

/// Why a resource was not found.
#[derive(Debug, Error)]
pub enum DiscoveryError {
    /// The server does not offer it.
    #[error("can't find resource {resource} in apiVersion {api_version}")]
    NotFound {
        /// The resource's plural, or its kind.
        resource: String,
        /// The group and version.
        api_version: String,
    },
    /// The server could not be asked.
    #[error("failed to discover {api_version}")]
    Call {
        /// The group and version.
        api_version: String,
        /// What the server said.
        source: ApiError,
    },
}

/// A resource and what can be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovered {
    /// The resource.
    pub resource: Resource,
    /// Whether its status is a subresource.
    pub has_status: bool,
}

/// Asks which resources there are, by group and version, when somebody wants to know: answers count for a
/// while, and what is missing is asked for again, at most once a second.
#[derive(Clone, Debug)]
pub struct Discovery {
    client: Client,
    interval: Duration,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// How often everything was forgotten: an answer that was asked for before is too old to be kept.
    round: u64,
    found: HashMap<GroupVersion, Answer>,
}

/// What a group and version offered when it was asked; nothing if it was not there.
#[derive(Clone, Debug)]
struct Answer {
    at: Timestamp,
    all: Arc<Vec<Discovered>>,
}

impl Discovery {
    /// Returns a discovery that has asked nothing yet.
    pub fn new(client: Client) -> Self {
        Self { client, interval: INTERVAL, known: Arc::default() }
    }

    /// Lets answers count for as long as this.
    #[must_use]
    pub fn refreshed_every(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }

    /// Forgets what was found, because the server's resources changed.
    pub fn forget(&self) {
        let mut known = self.known();
        known.round += 1;
        known.found.clear();
    }

    /// Finds a resource by its plural.
    pub async fn by_plural(
        &self,
        api_version: &str,
        plural: &str,
    ) -> Result<Discovered, DiscoveryError> {
        self.find(api_version, plural, |found| found.resource.plural == plural).await
    }

    /// Finds a resource by the kind of its objects.
    pub async fn by_kind(&self, gvk: &GroupVersionKind) -> Result<Discovered, DiscoveryError> {
        self.find(&gvk.api_version(), &gvk.kind, |found| found.resource.gvk.kind == gvk.kind).await
    }

    async fn find(
        &self,
        api_version: &str,
        wanted: &str,
        matches: impl Fn(&Discovered) -> bool,
    ) -> Result<Discovered, DiscoveryError> {
        let group_version = GroupVersion::parse(api_version);
        let (round, known) = {
            let known = self.known();
            (known.round, known.found.get(&group_version).cloned())
        };
        let now = self.client.clock().now();
        let counts = |answer: &Answer, wait: Duration| {
            now.duration_since(answer.at) < SignedDuration::try_from(wait).unwrap_or_default()
        };
        if let Some(answer) = known.filter(|answer| counts(answer, self.interval.max(MISS))) {
            let found = answer.all.iter().find(|each| matches(each)).cloned();
            if found.is_some() || counts(&answer, MISS) {
                return found.ok_or_else(|| not_found(api_version, wanted));
            }
        }
        let all = self.ask(&group_version, round).await.map_err(|source| DiscoveryError::Call {
            api_version: api_version.to_owned(),
            source,
        })?;
        let found = all.iter().find(|each| matches(each)).cloned();
        found.ok_or_else(|| not_found(api_version, wanted))
    }

    async fn ask(
        &self,
        group_version: &GroupVersion,
        round: u64,
    ) -> Result<Arc<Vec<Discovered>>, ApiError> {
        let path = group_version.path();
        let found = match self.client.get_raw(&path).await {
            // A group that is not there offers nothing.
            Err(error) if error.is_not_found() => Vec::new(),
            body => parse(group_version, &body?)
                .map_err(|source| ApiError::Decode { path, source: Box::new(source) })?,
        };
        trace!(path = group_version.path(), resources = found.len(), "discovered");
        let found = Arc::new(found);
        let mut known = self.known();
        if known.round == round {
            let answer = Answer { at: self.client.clock().now(), all: Arc::clone(&found) };
            known.found.insert(group_version.clone(), answer);
        }
        Ok(found)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("the discovery lock is never poisoned")
    }
}

fn not_found(api_version: &str, resource: &str) -> DiscoveryError {
    let (resource, api_version) = (resource.to_owned(), api_version.to_owned());
    DiscoveryError::NotFound { resource, api_version }
}

#[derive(Deserialize)]
struct ResourceList {
    #[serde(default)]
    resources: Vec<ApiResource>,
}

#[derive(Deserialize)]
struct ApiResource {
    name: String,
    namespaced: bool,
    kind: String,
}

fn parse(group_version: &GroupVersion, body: &[u8]) -> Result<Vec<Discovered>, serde_json::Error> {
    let list: ResourceList = serde_json::from_slice(body)?;
    let has_status = |name: &str| {
        let status = format!("{name}/status");
        list.resources.iter().any(|each| each.name == status)
    };
    let objects = list.resources.iter().filter(|each| !each.name.contains('/'));
    Ok(objects
        .map(|each| {
            let gvk = GroupVersionKind::new(&group_version.to_string(), &each.kind);
            let scope =
                if each.namespaced { ResourceScope::Namespaced } else { ResourceScope::Cluster };
            let resource = Resource { gvk, plural: each.name.clone(), scope };
            Discovered { resource, has_status: has_status(&each.name) }
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subresources_are_facts_about_their_resource() {
        let body = br#"{"resources":[{"name":"things","namespaced":true,"kind":"Thing"},
            {"name":"things/status","namespaced":true,"kind":"Thing"},
            {"name":"rooms","namespaced":false,"kind":"Room"}]}"#;
        let found = parse(&GroupVersion::parse("example.com/v1"), body).unwrap();
        let told: Vec<_> = found
            .iter()
            .map(|each| (each.resource.to_string(), each.resource.is_namespaced(), each.has_status))
            .collect();
        assert_eq!(
            told,
            [
                ("example.com/v1 things".to_owned(), true, true),
                ("example.com/v1 rooms".to_owned(), false, false)
            ]
        );
    }
}
