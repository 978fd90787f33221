//! Pure: what the server offers: the built-in resources and those that CustomResourceDefinitions add.

mod builtin;

use std::{collections::BTreeMap, sync::Arc};

use k8s::{GroupVersion, GroupVersionKind, Resource};

use crate::{
    crd::CustomVersion,
    openapi::OpenApi,
    swagger::{Forms, Swagger},
};

/// One resource in one version, as it is served.
#[derive(Clone, Debug)]
pub(crate) struct Registered {
    /// What stands in its paths and what its objects are called.
    pub(crate) resource: Resource,
    /// The resource whose collection keeps the objects: another version or group may be served from it.
    pub(crate) storage: Arc<Resource>,
    pub(crate) singular: String,
    pub(crate) list_kind: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) verbs: &'static [&'static str],
    /// Whether `/status` is served and the main resource leaves status alone.
    pub(crate) status: bool,
    pub(crate) scale: Option<ScalePaths>,
    /// Subresources besides `status` and `scale`.
    pub(crate) extra: &'static [Extra],
    /// Whether `metadata.generation` is kept.
    pub(crate) generation: bool,
    /// What is special about updates.
    pub(crate) update: UpdateRule,
    /// What is special about custom resources of this version; nothing for built-ins.
    pub(crate) custom: Option<Arc<CustomVersion>>,
}

/// How a resource differs from others when it is updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpdateRule {
    /// An update without a resourceVersion overwrites.
    Plain,
    /// An update must name the resourceVersion.
    Versioned,
    /// An update of a missing object creates it.
    Creates,
    /// An update of a missing object creates it, one of an existing must name the resourceVersion.
    CreatesVersioned,
}

/// Where `/scale` finds its numbers, as dotted paths such as `.spec.replicas`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScalePaths {
    pub(crate) spec_replicas: String,
    pub(crate) status_replicas: String,
    /// The path of the selector: a string for custom resources, a label selector for built-ins.
    pub(crate) label_selector: String,
}

/// A subresource besides `status` and `scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extra {
    pub(crate) name: &'static str,
    pub(crate) api_version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) verbs: &'static [&'static str],
}

/// Everything the server offers, in the order of discovery. Built anew when a CRD changes.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    all: Vec<Arc<Registered>>,
    by_path: BTreeMap<(GroupVersion, String), Arc<Registered>>,
    by_kind: BTreeMap<GroupVersionKind, Arc<Registered>>,
    openapi: OpenApi,
    swagger: Swagger,
}

/// The verbs of ordinary resources.
pub(crate) const ALL_VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// The verbs of custom resources, in the order in which discovery shows them.
const CUSTOM_VERBS: &[&str] =
    &["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];

impl Registry {
    /// Returns the registry of the built-ins and, after them, of these custom resources.
    pub(crate) fn new(custom: Vec<Registered>) -> Self {
        let mut registry = Self::default();
        for registered in builtin::resources().into_iter().chain(custom) {
            let registered = Arc::new(registered);
            let resource = &registered.resource;
            let path = (resource.gvk.group_version(), resource.plural.clone());
            registry.by_path.insert(path, registered.clone());
            registry.by_kind.insert(resource.gvk.clone(), registered.clone());
            registry.all.push(registered);
        }
        registry.openapi = OpenApi::new(&registry.all);
        registry
    }

    /// Returns every resource in the order of discovery.
    pub(crate) fn all(&self) -> &[Arc<Registered>] {
        &self.all
    }

    /// Returns the documents that describe all of it.
    pub(crate) fn openapi(&self) -> &OpenApi {
        &self.openapi
    }

    /// Returns one document that describes all of it in the older form.
    pub(crate) fn swagger(&self) -> &Forms {
        self.swagger.forms(&self.openapi)
    }

    /// Returns the resource served under this group, version and plural.
    pub(crate) fn by_path(&self, version: &GroupVersion, plural: &str) -> Option<&Arc<Registered>> {
        self.by_path.get(&(version.clone(), plural.to_owned()))
    }

    /// Returns the resource whose objects are of this kind.
    pub(crate) fn by_kind(&self, gvk: &GroupVersionKind) -> Option<&Arc<Registered>> {
        self.by_kind.get(gvk)
    }

    /// Returns whether the group is not one of custom resources only.
    pub(crate) fn is_built_in(&self, group: &str) -> bool {
        let mut all = self.all().iter();
        all.any(|it| !it.is_custom() && it.resource.gvk.group == group)
    }
}

impl Registered {
    /// Returns one version of a custom resource.
    pub(crate) fn custom(version: CustomVersion, storage: Arc<Resource>) -> Self {
        Self {
            resource: version.resource.clone(),
            storage,
            singular: version.singular.clone(),
            list_kind: version.list_kind.clone(),
            short_names: version.short_names.clone(),
            categories: version.categories.clone(),
            verbs: CUSTOM_VERBS,
            status: version.status,
            scale: version.scale.clone(),
            extra: &[],
            generation: true,
            update: UpdateRule::Versioned,
            custom: Some(Arc::new(version)),
        }
    }

    /// Returns the plural with the group, as error messages name the resource.
    pub(crate) fn qualified(&self) -> String {
        let Resource { gvk, plural, .. } = &self.resource;
        if gvk.group.is_empty() { plural.clone() } else { format!("{plural}.{}", gvk.group) }
    }

    /// Returns whether the verb is offered.
    pub(crate) fn offers(&self, verb: &str) -> bool {
        self.verbs.contains(&verb)
    }

    /// Returns whether objects are kept, or only answered.
    pub(crate) fn is_stored(&self) -> bool {
        self.offers("get")
    }

    /// Returns whether this is a custom resource.
    pub(crate) fn is_custom(&self) -> bool {
        self.custom.is_some()
    }

    /// Returns whether this is the built-in of the group and plural.
    pub(crate) fn is(&self, group: &str, plural: &str) -> bool {
        self.resource.gvk.group == group && self.resource.plural == plural
    }

    /// Returns the subresource of the name besides `status` and `scale`.
    pub(crate) fn extra(&self, name: &str) -> Option<&Extra> {
        self.extra.iter().find(|extra| extra.name == name)
    }
}

impl UpdateRule {
    /// Returns whether an update of a missing object creates it.
    pub(crate) fn creates(self) -> bool {
        matches!(self, Self::Creates | Self::CreatesVersioned)
    }

    /// Returns whether an update must name the resourceVersion.
    pub(crate) fn is_versioned(self) -> bool {
        matches!(self, Self::Versioned | Self::CreatesVersioned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_found_by_path_and_kind() {
        let registry = Registry::new(vec![]);
        let apps = GroupVersion::new("apps", "v1");
        let deployments = registry.by_path(&apps, "deployments").unwrap();
        assert_eq!(deployments.qualified(), "deployments.apps");
        let kind = GroupVersionKind::new("apps/v1", "Deployment");
        assert_eq!(registry.by_kind(&kind).unwrap().resource, deployments.resource);
        assert!(registry.by_path(&apps, "pods").is_none());
    }

    #[test]
    fn events_are_kept_once() {
        let registry = Registry::new(vec![]);
        let new = registry.by_path(&GroupVersion::new("events.k8s.io", "v1"), "events").unwrap();
        assert_eq!(*new.storage, Resource::namespaced("v1", "Event", "events"));
    }
}
