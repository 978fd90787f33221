//! Pure: manifests, the objects that files ask for, and the order to apply them in.

mod decode;
mod load;

pub use decode::decode;
pub use load::load;

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use k8s::{GroupVersionKind, ObjectKey, json::JsonError, yaml::YamlError};
use serde_json::Value;
use thiserror::Error;

/// Where a manifest stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// The file.
    pub file: PathBuf,
    /// Which document of the file, counted from 1.
    pub document: usize,
    /// The line the document starts at, counted from 1.
    pub line: usize,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, document, line } = self;
        write!(f, "document {document} of `{}` (line {line})", file.display())
    }
}

/// An object that a file asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Where it stands.
    pub source: Source,
    /// The object.
    pub value: Value,
    /// Its kind, with group and version.
    pub gvk: GroupVersionKind,
    /// Its namespace, empty if the file names none, and its name.
    pub key: ObjectKey,
}

/// Why a path gives no manifest.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// There is nothing at the path.
    #[error("no such file or directory: `{}`", path.display())]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// The file or directory cannot be read.
    #[error("failed to read `{}`", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// Why it cannot be read.
        source: io::Error,
    },
    /// The file is of a language that manifests cannot be written in yet.
    #[error("manifests in jsonnet are not supported yet: `{}`", path.display())]
    Unsupported {
        /// The path.
        path: PathBuf,
    },
    /// A document is not YAML.
    #[error("failed to parse document {document} of `{}`", file.display())]
    Yaml {
        /// The file.
        file: PathBuf,
        /// Which document of the file, counted from 1.
        document: usize,
        /// What is wrong, and where.
        source: YamlError,
    },
    /// The file is not JSON.
    #[error("failed to parse document 1 of `{}`", file.display())]
    Json {
        /// The file.
        file: PathBuf,
        /// What is wrong, and where.
        source: JsonError,
    },
    /// A document is not a Kubernetes object.
    #[error("{at} {flaw}")]
    Invalid {
        /// Where it stands.
        at: Source,
        /// What is wrong with it.
        flaw: String,
    },
}

impl ManifestError {
    /// Returns the file or directory that is to blame.
    pub fn path(&self) -> &Path {
        match self {
            Self::Missing { path } | Self::Read { path, .. } | Self::Unsupported { path } => path,
            Self::Yaml { file, .. } | Self::Json { file, .. } => file,
            Self::Invalid { at, .. } => &at.file,
        }
    }

    /// Returns whether the command line named something that is not there.
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Missing { .. } => true,
            Self::Read { .. }
            | Self::Unsupported { .. }
            | Self::Yaml { .. }
            | Self::Json { .. }
            | Self::Invalid { .. } => false,
        }
    }
}

/// Puts first what others need: CustomResourceDefinitions, namespaces, controllers, then the rest.
///
/// Within each of them, the order of the files is kept.
pub fn order(mut manifests: Vec<Manifest>) -> Vec<Manifest> {
    manifests.sort_by_key(|manifest| rank(&manifest.gvk));
    manifests
}

fn rank(gvk: &GroupVersionKind) -> u8 {
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("apiextensions.k8s.io", "CustomResourceDefinition") => 0,
        ("", "Namespace") => 1,
        ("metacontroller.k8s.io" | "kubeless.io", _) => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_need_comes_first() {
        let text = "\
{apiVersion: v1, kind: Pod, metadata: {name: a}}
---
{apiVersion: metacontroller.k8s.io/v1alpha1, kind: DecoratorController, metadata: {name: b}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: c}}
---
{apiVersion: example.com/v1, kind: Namespace, metadata: {name: d}}
---
{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: e}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: f}}
";
        let (manifests, errors) = decode("a.yaml".as_ref(), text);
        assert!(errors.is_empty(), "{errors:?}");
        let names: Vec<_> =
            order(manifests).into_iter().map(|manifest| manifest.key.name).collect();
        assert_eq!(names, ["e", "c", "f", "b", "a", "d"]);
    }
}
