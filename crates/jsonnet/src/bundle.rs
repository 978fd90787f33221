//! Pure: a program with all it imports, as it travels to the workers.

use std::{fmt, path::PathBuf, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The name of one state of a program: its text, its imports, its variables and limits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(Arc<str>);

impl Revision {
    /// Returns the twelve hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An external variable or an extra top-level argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The name the program knows it by.
    pub name: String,
    /// What it holds.
    pub value: VariableValue,
}

/// What a variable holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VariableValue {
    /// A string.
    Text(String),
    /// A Jsonnet expression, which may import; JSON text is one.
    Code(String),
    /// The text of a file.
    TextFile(PathBuf),
    /// The Jsonnet expression in a file.
    CodeFile(PathBuf),
}

/// A program with everything it needs: workers read no files.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Bundle {
    /// The main program comes first.
    pub(crate) files: Vec<File>,
    pub(crate) imports: Vec<Import>,
    pub(crate) ext_vars: Vec<Binding>,
    pub(crate) tlas: Vec<Binding>,
    pub(crate) max_stack: usize,
}

/// One file of a bundle.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct File {
    /// How errors name it.
    pub(crate) name: String,
    /// What `std.thisFile` says.
    pub(crate) url: String,
    /// Whether it is evaluated, not only read.
    pub(crate) code: bool,
    length: usize,
    #[serde(skip)]
    pub(crate) content: Bytes,
}

impl File {
    pub(crate) fn new(name: String, url: String, content: Bytes) -> Self {
        Self { name, url, code: false, length: content.len(), content }
    }
}

/// Where one import of one file leads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Import {
    pub(crate) from: usize,
    pub(crate) path: String,
    pub(crate) target: Target,
}

/// What an import found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Target {
    /// The file with this index.
    File(usize),
    /// Nothing, with the message of the error.
    Failed(String),
}

/// A variable whose code, if it is code, is a file of the bundle.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Binding {
    pub(crate) name: String,
    pub(crate) value: Bound,
}

/// What a variable of a bundle is bound to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Bound {
    Text(String),
    Code(usize),
}

impl Bundle {
    /// Returns the contents of all files, one after the other.
    pub(crate) fn contents(&self) -> Vec<u8> {
        let mut contents = Vec::with_capacity(self.files.iter().map(|file| file.length).sum());
        for file in &self.files {
            contents.extend_from_slice(&file.content);
        }
        contents
    }

    /// Gives the files of a description their contents back; nothing if there are too few.
    pub(crate) fn with_contents(mut self, mut contents: Bytes) -> Option<Self> {
        for file in &mut self.files {
            if contents.len() < file.length {
                return None;
            }
            file.content = contents.split_to(file.length);
        }
        Some(self)
    }

    /// Returns the name of this state of the program.
    pub(crate) fn revision(&self) -> Revision {
        let head = serde_json::to_vec(self).expect("a bundle has a JSON form");
        let hash = Sha256::new().chain_update(head).chain_update(self.contents()).finalize();
        Revision(hex(&hash).get(..12).unwrap_or_default().into())
    }

    /// Returns the messages of the imports that lead nowhere.
    pub(crate) fn failed_imports(&self) -> impl Iterator<Item = &str> {
        self.imports.iter().filter_map(|import| match &import.target {
            Target::Failed(message) => Some(message.as_str()),
            Target::File(_) => None,
        })
    }
}

/// Writes `bytes` in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(content: &'static str) -> Bundle {
        let main =
            File::new("a.jsonnet".to_owned(), "file:///a.jsonnet".to_owned(), content.into());
        let data = File::new("b".to_owned(), "file:///b".to_owned(), Bytes::from_static(b"\xff\0"));
        Bundle { files: vec![main, data], ..Bundle::default() }
    }

    #[test]
    fn a_bundle_survives_its_encoding() {
        let head = serde_json::to_vec(&bundle("{}")).unwrap();
        let decoded: Bundle = serde_json::from_slice(&head).unwrap();
        let decoded = decoded.with_contents(bundle("{}").contents().into()).unwrap();
        assert_eq!(decoded.files[1].content, &b"\xff\0"[..]);
        assert_eq!(decoded.revision(), bundle("{}").revision());
    }

    #[test]
    fn the_revision_follows_the_text() {
        assert_eq!(bundle("{}").revision().as_str().len(), 12);
        assert_ne!(bundle("{}").revision(), bundle("[]").revision());
    }
}
