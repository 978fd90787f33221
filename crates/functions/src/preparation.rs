//! Pure: how a program gets from the ConfigMap of its Function to the files that run.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    content::{self, Archive, ContentType, Digest, Source, decode_base64},
    needs::NeedError,
};

/// The name of the container that prepares a pod.
pub(crate) const PREPARE: &str = "prepare";

/// How many bytes of the last words of a container are kept.
const LONGEST: usize = 4096;

/// What a pod must know to prepare itself. Its text is JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Preparation {
    /// The version of the program.
    pub hash: String,
    /// The [`sources`] that the ConfigMap must hold: a kubelet may show old ones for a while.
    pub sources: String,
    /// What the source holds.
    pub content_type: String,
    /// The digest that the source must have; empty if it may have any.
    pub checksum: String,
    /// Where the source stands in the ConfigMap.
    pub key: String,
    /// The file that the source becomes, unless it is packed.
    pub file: String,
    /// The file of dependencies, if the runtime has one.
    pub deps: Option<String>,
}

/// What is to be done to prepare a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    /// Where the bytes come from.
    pub bytes: Origin,
    /// The digest they must have.
    pub checksum: Option<Digest>,
    /// What they are packed in.
    pub archive: Option<Archive>,
    /// The file they become if they are not packed.
    pub file: String,
    /// The file of dependencies and its text, if it is to be written.
    pub deps: Option<(String, String)>,
    /// Whether the file of dependencies is one of those that were packed.
    pub deps_packed: bool,
}

/// Where the bytes of a program come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// They are here.
    Given(Vec<u8>),
    /// They are at a URL.
    Url(String),
}

/// Why a program did not get to its place.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PrepareError {
    /// The ConfigMap is that of another version.
    #[error("the ConfigMap does not hold the program yet")]
    Stale,
    /// The source cannot be read.
    #[error("{0}")]
    Fetch(String),
    /// The source is not what its checksum says.
    #[error("the checksum is {wanted}, but the program has {found}")]
    Checksum {
        /// The digest of the Function.
        wanted: String,
        /// The digest of the source.
        found: String,
    },
    /// The archive cannot be unpacked.
    #[error("{0}")]
    Archive(String),
    /// The dependencies cannot be installed.
    #[error("{0}")]
    Dependencies(String),
    /// The program cannot be compiled.
    #[error("{0}")]
    Compile(String),
    /// What would run the program is not here any more.
    #[error("{0}")]
    Runtime(String),
    /// Something that the pod refers to cannot be had.
    #[error("{message}")]
    Need {
        /// The reason of the condition that tells it.
        reason: &'static str,
        /// What it is.
        message: String,
    },
    /// The files cannot be written.
    #[error("failed to write {what}: {cause}")]
    Write {
        /// The file.
        what: String,
        /// What the system said.
        cause: String,
    },
}

impl From<NeedError> for PrepareError {
    fn from(error: NeedError) -> Self {
        Self::Need { reason: error.reason(), message: error.to_string() }
    }
}

impl PrepareError {
    /// Returns the reason of the condition that tells it.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Stale => "Fetching",
            Self::Fetch(_) | Self::Write { .. } => "FetchFailed",
            Self::Checksum { .. } => "ChecksumMismatch",
            Self::Archive(_) => "BadArchive",
            Self::Need { reason, .. } => reason,
            Self::Dependencies(_) => "DependencyInstallFailed",
            Self::Compile(_) => "CompileFailed",
            Self::Runtime(_) => "RuntimeUnavailable",
        }
    }

    /// Returns what a container leaves behind, from which the reason is read again.
    ///
    /// Of a long text the end counts: that is where commands say what went wrong.
    pub(crate) fn last_words(&self) -> String {
        let (reason, text) = (self.reason(), self.to_string());
        let rest = LONGEST.saturating_sub(reason.len() + ": ".len());
        let from = text.ceil_char_boundary(text.len().saturating_sub(rest));
        format!("{reason}: {}", text.get(from..).unwrap_or_default())
    }
}

impl Preparation {
    /// The variable that holds it in the container that prepares a pod.
    pub(crate) const VARIABLE: &str = "WINDLASS_PREPARATION";

    /// Says what is to be done, from the data of the ConfigMap.
    ///
    /// # Errors
    ///
    /// [`PrepareError`] if the ConfigMap is another one, or its texts cannot be what they should be.
    pub(crate) fn plan(&self, data: &BTreeMap<String, String>) -> Result<Work, PrepareError> {
        let text = |key: &str| data.get(key).map_or("", String::as_str);
        let (handler, function) = (text("handler"), text(&self.key));
        let deps = self.deps.as_ref().map_or("", |name| text(name));
        if sources(handler, function, deps) != self.sources {
            return Err(PrepareError::Stale);
        }
        let unreadable = |error: &dyn fmt::Display| PrepareError::Fetch(error.to_string());
        let content = ContentType::parse(&self.content_type).map_err(|error| unreadable(&error))?;
        let bytes = match content.source {
            Source::Text => Origin::Given(function.as_bytes().to_vec()),
            Source::Base64 => {
                Origin::Given(decode_base64(function).map_err(|error| unreadable(&error))?)
            }
            Source::Url => Origin::Url(function.trim().to_owned()),
        };
        let checksum = Some(&self.checksum).filter(|text| !text.is_empty());
        let checksum = checksum.map(|text| Digest::parse(text)).transpose();
        // What is packed may bring a file of dependencies, which an empty text must not replace; and Node.js
        // takes an empty `package.json` for a broken one.
        let is_written = !content.deps && !deps.trim().is_empty();
        let file = self.deps.clone().filter(|_| is_written);
        Ok(Work {
            bytes,
            checksum: checksum.map_err(|error| unreadable(&error))?,
            archive: content.archive,
            file: self.file.clone(),
            deps: file.map(|name| (name, deps.to_owned())),
            deps_packed: content.deps,
        })
    }
}

/// Returns what tells the texts of a ConfigMap from others. Those of dependencies are empty where the runtime has
/// no file for them.
pub(crate) fn sources(handler: &str, function: &str, deps: &str) -> String {
    content::hash(&[handler, function, deps])
}

impl fmt::Display for Preparation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

impl Work {
    /// Checks the digest of the source.
    ///
    /// # Errors
    ///
    /// [`PrepareError::Checksum`] if it is another one.
    pub(crate) fn verify(&self, bytes: &[u8]) -> Result<(), PrepareError> {
        let found = Digest::of(bytes);
        match self.checksum {
            Some(wanted) if wanted != found => {
                Err(PrepareError::Checksum { wanted: wanted.to_string(), found: found.to_string() })
            }
            _ => Ok(()),
        }
    }

    /// Returns whether there are dependencies to install.
    pub(crate) fn has_deps(&self) -> bool {
        self.deps_packed || self.deps.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
    }

    fn python(content_type: &str, function: &str, checksum: &str, deps: &str) -> Preparation {
        Preparation {
            hash: "h".to_owned(),
            sources: sources("a.b", function, deps),
            content_type: content_type.to_owned(),
            checksum: checksum.to_owned(),
            key: "a.py".to_owned(),
            file: "a.py".to_owned(),
            deps: Some("requirements.txt".to_owned()),
        }
    }

    #[test]
    fn an_old_config_map_is_waited_out() {
        let preparation = python("", "new", "", "");
        let texts =
            |source| data(&[("handler", "a.b"), ("a.py", source), ("requirements.txt", "")]);
        assert_eq!(preparation.plan(&texts("old")), Err(PrepareError::Stale));
        let work = preparation.plan(&texts("new")).unwrap();
        assert_eq!(work.bytes, Origin::Given(b"new".to_vec()));
        assert_eq!(work.deps, None);
        assert!(!work.has_deps());
        // The text of what a runtime has no file for is in no ConfigMap.
        let jsonnet = Preparation { deps: None, ..preparation };
        assert_eq!(jsonnet.plan(&texts("old")), Err(PrepareError::Stale));
        assert_eq!(jsonnet.plan(&texts("new")).unwrap().deps, None);
    }

    #[test]
    fn an_empty_text_replaces_no_packed_file() {
        let texts = data(&[("handler", "a.b"), ("a.py", "eA==")]);
        let work = python("base64+zip", "eA==", "", "").plan(&texts).unwrap();
        assert_eq!((work.deps, work.bytes), (None, Origin::Given(b"x".to_vec())));
    }

    #[test]
    fn a_wrong_digest_names_both() {
        let wanted = Digest::of(b"other").to_string();
        let texts = data(&[("handler", "a.b"), ("a.py", "x")]);
        let work = python("", "x", &wanted, "").plan(&texts).unwrap();
        let error = work.verify(b"x").unwrap_err();
        assert!(error.to_string().contains(&wanted));
        assert!(error.to_string().contains(&Digest::of(b"x").to_string()));
        assert!(error.last_words().starts_with("ChecksumMismatch: "));
    }

    #[test]
    fn of_long_words_the_last_are_left_behind() {
        let words = PrepareError::Compile("é".repeat(5000) + "end").last_words();
        assert!(words.len() <= LONGEST && LONGEST < words.len() + 4, "{}", words.len());
        assert!(words.starts_with("CompileFailed: é") && words.ends_with("éend"));
    }

    #[test]
    fn a_preparation_is_read_from_its_text() {
        let preparation = python("url", "http://h/x", "", "y");
        assert_eq!(
            serde_json::from_str::<Preparation>(&preparation.to_string()).unwrap(),
            preparation
        );
    }
}
