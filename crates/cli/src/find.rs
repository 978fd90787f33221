//! Finds the type that a person means.

use k8s::{GroupVersion, GroupVersionKind, Resource, ResourceScope};
use runtime::{ApiError, Client};
use serde_json::Value;
use thiserror::Error;

/// How alike two names are to be taken for one another.
const ALIKE: f64 = 0.7;

/// A type that the API server offers.
#[derive(Clone, Debug, PartialEq)]
pub struct Offered {
    /// The type.
    pub resource: Resource,
    /// All names it is known by, in lower case.
    names: Vec<String>,
    /// Whether its objects can be listed.
    can_list: bool,
}

/// Why a type was not found.
#[derive(Debug, Error)]
pub enum FindError {
    /// The API server cannot be asked.
    #[error("failed to ask which resources there are")]
    Call(#[from] ApiError),
    /// The API server does not offer it.
    #[error("there is no resource `{name}`")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What was probably meant.
        meant: Option<String>,
    },
}

impl FindError {
    /// Returns what the user can do about it, if that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { meant: Some(meant), .. } => Some(format!("did you mean `{meant}`?")),
            Self::Unknown { meant: None, .. } => {
                Some("is its CustomResourceDefinition installed?".to_owned())
            }
            Self::Call(_) => None,
        }
    }
}

/// Returns the type that is known by a name: its kind, plural, singular or a short name, in any case, with
/// or without its group.
pub async fn find(client: &Client, name: &str) -> Result<Resource, FindError> {
    let offered = offered(client).await?;
    choose(&offered, name).cloned()
}

/// Returns the types whose objects can be listed.
pub async fn listable(client: &Client) -> Result<Vec<Resource>, ApiError> {
    let offered = offered(client).await?.into_iter().filter(|each| each.can_list);
    Ok(offered.map(|each| each.resource).collect())
}

/// Asks for all types, in the version that each group prefers, the core group first.
async fn offered(client: &Client) -> Result<Vec<Offered>, ApiError> {
    let groups = value(client, "/apis").await?;
    let groups = groups["groups"].as_array().cloned().unwrap_or_default();
    let preferred =
        groups.iter().filter_map(|group| group.pointer("/preferredVersion/groupVersion")?.as_str());
    let mut offered = Vec::new();
    for version in std::iter::once("v1").chain(preferred) {
        let version = GroupVersion::parse(version);
        let list = value(client, &version.path()).await?;
        let resources = list["resources"].as_array().into_iter().flatten();
        offered.extend(resources.filter_map(|resource| read(&version, resource)));
    }
    Ok(offered)
}

async fn value(client: &Client, path: &str) -> Result<Value, ApiError> {
    let body = client.get_raw(path).await?;
    k8s::json::parse(&body)
        .map_err(|source| ApiError::Decode { path: path.to_owned(), source: Box::new(source) })
}

/// Reads a type; subresources are none.
fn read(version: &GroupVersion, resource: &Value) -> Option<Offered> {
    let text = |field: &str| resource[field].as_str();
    let (plural, kind) = (text("name")?, text("kind")?);
    if plural.contains('/') {
        return None;
    }
    let short = resource["shortNames"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let names = [plural, kind].into_iter().chain(text("singularName")).chain(short);
    let names = names.filter(|name| !name.is_empty()).map(str::to_lowercase).collect();
    let namespaced = resource["namespaced"].as_bool().unwrap_or_default();
    let verbs = resource["verbs"].as_array().into_iter().flatten();
    let can_list = verbs.into_iter().any(|verb| verb == "list");
    let api_version = match version.group.as_str() {
        "" => version.version.clone(),
        group => format!("{group}/{}", version.version),
    };
    let gvk = GroupVersionKind::new(&api_version, kind);
    let scope = if namespaced { ResourceScope::Namespaced } else { ResourceScope::Cluster };
    Some(Offered { resource: Resource { gvk, plural: plural.to_owned(), scope }, names, can_list })
}

fn choose<'a>(offered: &'a [Offered], name: &str) -> Result<&'a Resource, FindError> {
    let wanted = name.to_lowercase();
    let (short, group) = wanted.split_once('.').unwrap_or((&wanted, ""));
    let found = offered.iter().find(|each| {
        let in_group = group.is_empty() || each.resource.gvk.group == group;
        in_group && each.names.iter().any(|name| name == short)
    });
    if let Some(found) = found {
        return Ok(&found.resource);
    }
    let alike = offered.iter().flat_map(|each| {
        each.names.iter().map(move |name| (strsim::jaro_winkler(name, short), each))
    });
    let best = alike.filter(|(alike, _)| ALIKE < *alike).max_by(|a, b| a.0.total_cmp(&b.0));
    let meant = best.map(|(_, each)| each.resource.gvk.kind.to_lowercase());
    Err(FindError::Unknown { name: name.to_owned(), meant })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_type_has_many_names_and_typos_are_seen() {
        let (core, example) = (GroupVersion::parse("v1"), GroupVersion::parse("example.com/v1"));
        let offered: Vec<_> = [
            read(
                &core,
                &json!({"name": "pods", "kind": "Pod", "shortNames": ["po"],
                "singularName": "pod", "namespaced": true, "verbs": ["list"]}),
            ),
            read(&core, &json!({"name": "pods/status", "kind": "Pod", "verbs": ["get"]})),
            read(
                &example,
                &json!({"name": "uselesspods", "kind": "UselessPod", "shortNames": ["up"],
                "namespaced": true, "verbs": ["list"]}),
            ),
        ]
        .into_iter()
        .flatten()
        .collect();
        for (name, found) in [
            ("po", "pods"),
            ("Pods", "pods"),
            ("UselessPod", "uselesspods"),
            ("up.example.com", "uselesspods"),
            ("uselesspdo", "did you mean `uselesspod`?"),
            ("zzz", "is its CustomResourceDefinition installed?"),
        ] {
            let told = match choose(&offered, name) {
                Ok(resource) => resource.plural.clone(),
                Err(error) => error.hint().unwrap(),
            };
            assert_eq!(told, found, "{name}");
        }
    }
}
