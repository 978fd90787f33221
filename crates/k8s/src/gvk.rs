//! Pure: names of API groups, versions, kinds and resources.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An API group and version, as `apps/v1` or `v1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupVersion {
    /// The group, empty for the core group.
    pub group: String,
    /// The version, such as `v1`.
    pub version: String,
}

impl GroupVersion {
    /// Returns the group and version of these names.
    pub fn new(group: &str, version: &str) -> Self {
        Self { group: group.to_owned(), version: version.to_owned() }
    }

    /// Parses an `apiVersion`: `GROUP/VERSION`, or `VERSION` alone for the core group.
    pub fn parse(api_version: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self::new(group, version)
    }

    /// Returns the path under which the group version is served, such as `/apis/apps/v1`.
    pub fn path(&self) -> String {
        if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        }
    }
}

impl fmt::Display for GroupVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            f.write_str(&self.version)
        } else {
            write!(f, "{}/{}", self.group, self.version)
        }
    }
}

/// The type of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupVersionKind {
    /// The group, empty for the core group.
    pub group: String,
    /// The version, such as `v1`.
    pub version: String,
    /// The kind, such as `Deployment`.
    pub kind: String,
}

impl GroupVersionKind {
    /// Returns the kind of an object from its `apiVersion` and `kind`.
    pub fn new(api_version: &str, kind: &str) -> Self {
        let GroupVersion { group, version } = GroupVersion::parse(api_version);
        Self { group, version, kind: kind.to_owned() }
    }

    /// Returns the group and version.
    pub fn group_version(&self) -> GroupVersion {
        GroupVersion::new(&self.group, &self.version)
    }

    /// Returns the `apiVersion` that objects of this kind carry.
    pub fn api_version(&self) -> String {
        self.group_version().to_string()
    }
}

impl fmt::Display for GroupVersionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.group_version(), self.kind)
    }
}

/// Whether objects of a resource live in namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ResourceScope {
    /// Objects belong to the cluster.
    Cluster,
    /// Objects belong to a namespace.
    Namespaced,
}

/// A resource that an API server offers: what stands in its paths, and what its objects are called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Resource {
    /// The kind of its objects, with group and version.
    pub gvk: GroupVersionKind,
    /// The lower-case plural that stands in paths.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub scope: ResourceScope,
}

impl Resource {
    /// Returns a namespaced resource.
    pub fn namespaced(api_version: &str, kind: &str, plural: &str) -> Self {
        Self {
            gvk: GroupVersionKind::new(api_version, kind),
            plural: plural.to_owned(),
            scope: ResourceScope::Namespaced,
        }
    }

    /// Returns a cluster-scoped resource.
    pub fn cluster(api_version: &str, kind: &str, plural: &str) -> Self {
        Self { scope: ResourceScope::Cluster, ..Self::namespaced(api_version, kind, plural) }
    }

    /// Returns whether its objects live in namespaces.
    pub fn is_namespaced(&self) -> bool {
        self.scope == ResourceScope::Namespaced
    }

    /// Returns the path of the collection, over all namespaces if `namespace` is empty.
    pub fn collection_path(&self, namespace: &str) -> String {
        let base = self.gvk.group_version().path();
        if self.is_namespaced() && !namespace.is_empty() {
            format!("{base}/namespaces/{namespace}/{}", self.plural)
        } else {
            format!("{base}/{}", self.plural)
        }
    }

    /// Returns the path of one object.
    pub fn object_path(&self, namespace: &str, name: &str) -> String {
        format!("{}/{name}", self.collection_path(namespace))
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.gvk.group_version(), self.plural)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_and_named_groups_have_their_own_roots() {
        let pods = Resource::namespaced("v1", "Pod", "pods");
        assert_eq!(pods.object_path("a", "b"), "/api/v1/namespaces/a/pods/b");
        let deployments = Resource::namespaced("apps/v1", "Deployment", "deployments");
        assert_eq!(deployments.collection_path(""), "/apis/apps/v1/deployments");
        assert_eq!(deployments.gvk.to_string(), "apps/v1 Deployment");
    }
}
