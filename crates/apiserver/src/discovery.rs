//! Pure: the documents from which clients learn what the server offers.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use k8s::{GroupVersion, GroupVersionKind};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::registry::Registered;

const SUBRESOURCE_VERBS: [&str; 3] = ["get", "patch", "update"];

/// Which half of the API an aggregated document describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    /// The core group, under `/api`.
    Core,
    /// The named groups, under `/apis`.
    Groups,
}

/// Returns the document under `/api`.
pub(crate) fn core_versions(server_address: &str) -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [
        {"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}]})
}

/// Returns the document under `/apis`.
pub(crate) fn groups(all: &[Arc<Registered>]) -> Value {
    let groups: Vec<Value> = group_names(all).iter().map(|name| described(all, name)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// Returns the document under `/apis/GROUP`, nothing if the group is not served.
pub(crate) fn group(all: &[Arc<Registered>], name: &str) -> Option<Value> {
    if !group_names(all).iter().any(|each| each == name) {
        return None;
    }
    let mut group = described(all, name);
    group["kind"] = json!("APIGroup");
    group["apiVersion"] = json!("v1");
    Some(group)
}

/// Returns the document of one group and version, nothing if it is not served.
pub(crate) fn resources(all: &[Arc<Registered>], version: &GroupVersion) -> Option<Value> {
    let resources: Vec<Value> = in_version(all, version).flat_map(listed).collect();
    if resources.is_empty() {
        return None;
    }
    let mut list = json!({"kind": "APIResourceList", "groupVersion": version.to_string(),
        "resources": resources});
    if !version.group.is_empty() {
        list["apiVersion"] = json!("v1");
    }
    Some(list)
}

/// Returns everything below one root as a single document, `version` being `v2` or `v2beta1`.
pub(crate) fn aggregated(all: &[Arc<Registered>], root: Root, version: &str) -> Value {
    let names = match root {
        Root::Core => vec![String::new()],
        Root::Groups => group_names(all),
    };
    let items: Vec<Value> = names
        .iter()
        .map(|name| {
            let metadata = if name.is_empty() { json!({}) } else { json!({"name": name}) };
            let versions: Vec<Value> = versions(all, name)
                .iter()
                .map(|version| aggregated_version(all, version))
                .collect();
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "metadata": {}, "items": items,
        "apiVersion": format!("apidiscovery.k8s.io/{version}")})
}

/// Returns the hash by which clients see that the stored form of a kind has changed.
pub(crate) fn storage_version_hash(gvk: &GroupVersionKind) -> String {
    // The reference keeps definitions in their first version to this day.
    let version = match (&*gvk.group, &*gvk.kind) {
        ("apiextensions.k8s.io", "CustomResourceDefinition") => "v1beta1",
        _ => &*gvk.version,
    };
    let text = format!("{}/{version}/{}", gvk.group, gvk.kind);
    let hash = Sha256::digest(text.as_bytes());
    BASE64_STANDARD.encode(hash.get(..8).unwrap_or_default())
}

/// Returns the named groups: the built-in ones in their order, then the others by name.
fn group_names(all: &[Arc<Registered>]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut custom: Vec<String> = Vec::new();
    for each in all {
        let group = &each.resource.gvk.group;
        let names = if each.is_custom() { &mut custom } else { &mut names };
        if !group.is_empty() && !names.contains(group) {
            names.push(group.clone());
        }
    }
    custom.retain(|name| !names.contains(name));
    custom.sort_unstable();
    names.extend(custom);
    names
}

/// Returns the versions of a group, the preferred one first.
fn versions(all: &[Arc<Registered>], group: &str) -> Vec<GroupVersion> {
    let mut versions: Vec<GroupVersion> = all
        .iter()
        .map(|each| each.resource.gvk.group_version())
        .filter(|version| version.group == group)
        .collect();
    versions.sort_by(|a, b| rank(&b.version).cmp(&rank(&a.version)).then(a.cmp(b)));
    versions.dedup();
    versions
}

/// Returns what versions are compared by: stable ones first, then beta, alpha and others.
pub(crate) fn rank(version: &str) -> (u8, u32, u32) {
    let parse = || {
        let rest = version.strip_prefix('v')?;
        for (level, name) in [(2, "beta"), (1, "alpha")] {
            if let Some((major, minor)) = rest.split_once(name) {
                return Some((level, major.parse().ok()?, minor.parse().ok()?));
            }
        }
        Some((3, rest.parse().ok()?, 0))
    };
    parse().unwrap_or_default()
}

fn in_version<'a>(
    all: &'a [Arc<Registered>],
    version: &'a GroupVersion,
) -> impl Iterator<Item = &'a Registered> {
    all.iter().map(Arc::as_ref).filter(|each| each.resource.gvk.group_version() == *version)
}

fn described(all: &[Arc<Registered>], name: &str) -> Value {
    let versions: Vec<Value> = versions(all, name)
        .iter()
        .map(|version| json!({"groupVersion": version.to_string(), "version": version.version}))
        .collect();
    json!({"name": name, "preferredVersion": versions.first(), "versions": versions})
}

/// A subresource as discovery describes it.
struct Subresource<'a> {
    name: &'a str,
    /// The kind it takes and gives; its group and version are left out where they are the resource's.
    kind: GroupVersionKind,
    verbs: &'a [&'a str],
}

fn subresources(registered: &Registered) -> Vec<Subresource<'_>> {
    let own = &registered.resource.gvk;
    let relative = |kind: GroupVersionKind| {
        if kind.group_version() == own.group_version() {
            GroupVersionKind { kind: kind.kind, ..GroupVersionKind::default() }
        } else {
            kind
        }
    };
    let mut found: Vec<_> = registered
        .extra
        .iter()
        .map(|extra| Subresource {
            name: extra.name,
            kind: relative(GroupVersionKind::new(extra.api_version, extra.kind)),
            verbs: extra.verbs,
        })
        .collect();
    if registered.status {
        found.push(Subresource {
            name: "status",
            kind: relative(own.clone()),
            verbs: &SUBRESOURCE_VERBS,
        });
    }
    if registered.scale.is_some() {
        let kind = GroupVersionKind::new("autoscaling/v1", "Scale");
        found.push(Subresource { name: "scale", kind, verbs: &SUBRESOURCE_VERBS });
    }
    found.sort_by_key(|each| each.name);
    found
}

/// Returns the entries of a resource and its subresources.
fn listed(registered: &Registered) -> Vec<Value> {
    let plural = &registered.resource.plural;
    let namespaced = registered.resource.is_namespaced();
    let mut own = json!({"name": plural, "singularName": registered.singular, "namespaced": namespaced,
        "kind": registered.resource.gvk.kind, "verbs": registered.verbs});
    set_names(&mut own, registered);
    if registered.is_stored() {
        own["storageVersionHash"] = json!(storage_version_hash(&registered.storage.gvk));
    }
    let mut entries = vec![own];
    for Subresource { name, kind, verbs } in subresources(registered) {
        let mut entry = json!({"name": format!("{plural}/{name}"), "singularName": "",
            "namespaced": namespaced, "kind": kind.kind, "verbs": verbs});
        if !kind.version.is_empty() {
            entry["group"] = json!(kind.group);
            entry["version"] = json!(kind.version);
        }
        entries.push(entry);
    }
    entries
}

fn aggregated_version(all: &[Arc<Registered>], version: &GroupVersion) -> Value {
    let resources: Vec<Value> = in_version(all, version)
        .map(|each| {
            let kind = &each.resource.gvk.kind;
            let scope = if each.resource.is_namespaced() { "Namespaced" } else { "Cluster" };
            let mut entry = json!({"resource": each.resource.plural, "scope": scope,
                "responseKind": {"group": "", "version": "", "kind": kind},
                "singularResource": each.singular, "verbs": each.verbs});
            set_names(&mut entry, each);
            let subresources: Vec<Value> = subresources(each)
                .into_iter()
                .map(|Subresource { name, kind, verbs }| {
                    json!({"subresource": name, "responseKind": kind, "verbs": verbs})
                })
                .collect();
            if !subresources.is_empty() {
                entry["subresources"] = Value::Array(subresources);
            }
            entry
        })
        .collect();
    json!({"version": version.version, "resources": resources, "freshness": "Current"})
}

fn set_names(entry: &mut Value, registered: &Registered) {
    for (name, texts) in
        [("shortNames", &registered.short_names), ("categories", &registered.categories)]
    {
        if !texts.is_empty() {
            entry[name] = json!(texts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    fn all() -> Vec<Arc<Registered>> {
        Registry::new(vec![]).all().to_vec()
    }

    #[test]
    fn hashes_are_those_of_a_real_server() {
        for (api_version, kind, hash) in
            [("v1", "ConfigMap", "qFsyl6wFWjQ="), ("apps/v1", "DaemonSet", "dd7pWHUlMKQ=")]
        {
            assert_eq!(storage_version_hash(&GroupVersionKind::new(api_version, kind)), hash);
        }
    }

    #[test]
    fn versions_are_ordered_by_maturity() {
        let mut versions = ["v1alpha1", "v1", "v10", "v2", "foo", "v1beta2", "v1beta10"];
        versions.sort_by_key(|version| std::cmp::Reverse(rank(version)));
        assert_eq!(versions, ["v10", "v2", "v1", "v1beta10", "v1beta2", "v1alpha1", "foo"]);
    }

    #[test]
    fn a_group_lists_resources_with_their_subresources() {
        let list = resources(&all(), &GroupVersion::new("apps", "v1")).unwrap();
        let deployment: Vec<&Value> = list["resources"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|each| each["name"].as_str().unwrap().starts_with("deployments"))
            .collect();
        assert_eq!(
            *deployment[1],
            json!({"name": "deployments/scale", "singularName": "", "namespaced": true, "group": "autoscaling",
                "version": "v1", "kind": "Scale", "verbs": ["get", "patch", "update"]})
        );
        assert_eq!(deployment[0]["shortNames"], json!(["deploy"]));
        assert_eq!(deployment[0]["categories"], json!(["all"]));
        assert_eq!(deployment[2]["name"], "deployments/status");
        assert!(resources(&all(), &GroupVersion::new("nope", "v1")).is_none());
    }

    #[test]
    fn groups_name_their_preferred_version() {
        let apps = group(&all(), "apps").unwrap();
        assert_eq!(apps["preferredVersion"], json!({"groupVersion": "apps/v1", "version": "v1"}));
        assert!(group(&all(), "").is_none());
        let list = groups(&all());
        assert_eq!(list["groups"][0]["name"], "apps");
    }

    #[test]
    fn aggregated_documents_hold_everything_once() {
        let core = aggregated(&all(), Root::Core, "v2");
        assert_eq!(core["apiVersion"], "apidiscovery.k8s.io/v2");
        let resources = core["items"][0]["versions"][0]["resources"].as_array().unwrap();
        let pods = resources.iter().find(|each| each["resource"] == "pods").unwrap();
        assert_eq!(pods["scope"], "Namespaced");
        let eviction = pods["subresources"].as_array().unwrap();
        let eviction = eviction.iter().find(|each| each["subresource"] == "eviction").unwrap();
        assert_eq!(
            eviction["responseKind"],
            json!({"group": "policy", "version": "v1", "kind": "Eviction"})
        );
        let groups = aggregated(&all(), Root::Groups, "v2beta1");
        assert!(
            groups["items"].as_array().unwrap().iter().all(|each| each["metadata"]["name"] != "")
        );
    }
}
