//! Pure: the OpenAPI v3 documents that describe what the server offers, one per group and version.

mod paths;
mod schemas;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use k8s::GroupVersion;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

use crate::registry::Registered;

/// The documents of everything that is served; each is made when it is first asked for.
#[derive(Debug, Default)]
pub(crate) struct OpenApi {
    groups: BTreeMap<String, Group>,
}

/// The text of a document and its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) json: Bytes,
    /// The uppercase hexadecimal SHA-512 of the text.
    pub(crate) hash: String,
}

#[derive(Debug, Default)]
struct Group {
    resources: Vec<Arc<Registered>>,
    document: OnceLock<Document>,
}

impl OpenApi {
    /// Returns the documents of these resources.
    pub(crate) fn new(all: &[Arc<Registered>]) -> Self {
        let mut groups = BTreeMap::<String, Group>::new();
        for each in all {
            let path = document_path(&each.resource.gvk.group_version());
            groups.entry(path).or_default().resources.push(each.clone());
        }
        Self { groups }
    }

    /// Returns the document under `/openapi/v3`, which names the others with their hashes.
    pub(crate) fn index(&self) -> Value {
        let paths: BTreeMap<&str, Value> = self
            .groups
            .iter()
            .map(|(path, group)| {
                let hash = &group.document().hash;
                let url = format!("/openapi/v3/{path}?hash={hash}");
                (path.as_str(), json!({"serverRelativeURL": url}))
            })
            .collect();
        json!({"paths": paths})
    }

    /// Returns the document under `/openapi/v3/PATH`, such as `apis/apps/v1`.
    pub(crate) fn document(&self, path: &str) -> Option<&Document> {
        Some(self.groups.get(path)?.document())
    }
}

impl Group {
    fn document(&self) -> &Document {
        self.document.get_or_init(|| {
            let json = Bytes::from(document(&self.resources).to_string());
            let hash = hash(&json);
            Document { json, hash }
        })
    }
}

/// Returns the uppercase hexadecimal SHA-512 of a text.
pub(crate) fn hash(text: &[u8]) -> String {
    let digest = Sha512::digest(text);
    digest.iter().fold(String::with_capacity(128), |mut hex, byte| {
        let _ = write!(hex, "{byte:02X}");
        hex
    })
}

fn document_path(version: &GroupVersion) -> String {
    version.path().trim_start_matches('/').to_owned()
}

fn document(resources: &[Arc<Registered>]) -> Value {
    let mut schemas = schemas::Schemas::default();
    let mut paths = BTreeMap::new();
    for registered in resources {
        let name = schemas.add(registered);
        paths::add(registered, &name, &mut paths);
    }
    json!({"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.36.0"}, "paths": paths,
        "components": {"schemas": schemas.into_map()}})
}
