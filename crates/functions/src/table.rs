//! Pure: the runtimes that a cluster offers: those that windlass knows, under those that its configuration adds.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::runtimes::{Language, Version};

/// One version of a runtime, and the images that run its programs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Runtime {
    /// What it is called, before its version.
    pub id: String,
    /// The version.
    pub version: Version,
    /// The language, if windlass serves its programs; otherwise the image does that by itself.
    pub language: Option<Language>,
    /// The suffix of the file of a module.
    pub suffix: String,
    /// The name of the file of dependencies, if there is one.
    pub deps: Option<String>,
    /// How to tell that it lives, if not in the usual way.
    pub liveness: Option<Value>,
    /// What runs the program.
    pub runs: Image,
    /// What installs its dependencies.
    pub installs: Option<Image>,
    /// What compiles it.
    pub compiles: Option<Image>,
    /// The secrets that its images are pulled with.
    pub pull_secrets: Vec<String>,
}

/// An image and what it is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image {
    /// Its name; nothing means that of windlass itself.
    pub name: Option<String>,
    /// What a shell does there; nothing means that windlass knows what to do.
    pub command: Option<String>,
    /// The variables it gets.
    pub env: Vec<(String, String)>,
    /// The secrets that are mounted.
    pub secrets: Vec<String>,
}

impl Image {
    fn named(image: String) -> Self {
        Self { name: Some(image), ..Self::default() }
    }
}

impl Runtime {
    /// Returns a version of a language as windlass knows it, with the official image of the language.
    pub(crate) fn built_in(language: Language, version: &Version) -> Self {
        let facts = language.facts();
        let official = match language {
            Language::Python => Some(Image::named(format!("python:{version}-slim"))),
            Language::Nodejs => Some(Image::named(format!("node:{version}-slim"))),
            Language::Go | Language::Jsonnet => None,
        };
        let compiles =
            (language == Language::Go).then(|| Image::named(format!("golang:{version}")));
        Self {
            id: facts.id.to_owned(),
            version: version.clone(),
            language: Some(language),
            suffix: facts.suffix.to_owned(),
            deps: facts.deps.map(ToOwned::to_owned),
            liveness: None,
            runs: official.clone().unwrap_or_default(),
            installs: official,
            compiles,
            pull_secrets: Vec::new(),
        }
    }

    /// Returns its name with its version.
    pub(crate) fn name(&self) -> String {
        format!("{}{}", self.id, self.version)
    }
}

/// Returns all runtimes of a cluster: the configured ones stand over those of the same name, and the environment
/// may name other images that run programs, such as `PYTHON3.12_RUNTIME`.
pub(crate) fn table(
    configured: &[Runtime],
    environment: &BTreeMap<String, String>,
) -> Vec<Runtime> {
    let mut all = configured.to_vec();
    for language in Language::ALL {
        let versions = language.facts().versions.iter().filter_map(|text| Version::parse(text));
        let mut versions: Vec<_> = versions.collect();
        if versions.is_empty() {
            versions.push(Version::default());
        }
        for version in versions {
            let own = Runtime::built_in(language, &version);
            if !configured.iter().any(|it| it.id == own.id && it.version == own.version) {
                all.push(own);
            }
        }
    }
    for runtime in &mut all {
        let variable = format!("{}{}_RUNTIME", runtime.id.to_uppercase(), runtime.version);
        if let Some(image) = environment.get(&variable).filter(|image| !image.is_empty()) {
            runtime.runs.name = Some(image.clone());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn what_is_configured_stands_over_what_is_built_in() {
        let mut own = Runtime::built_in(Language::Python, &version("3.11"));
        own.runs.name = Some("mine".to_owned());
        let other = Runtime { id: "ballerina".to_owned(), ..own.clone() };
        let all = table(&[own, other], &BTreeMap::new());
        let images = |id: &str, text: &str| {
            let version = version(text);
            let found = all.iter().filter(|it| it.id == id && it.version == version);
            found.filter_map(|it| it.runs.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(images("python", "3.11"), ["mine"]);
        assert_eq!(images("python", "3.12"), ["python:3.12-slim"]);
        assert_eq!(images("ballerina", "3.11"), ["mine"]);
    }

    #[test]
    fn the_environment_names_images_of_single_versions() {
        let environment = BTreeMap::from([("PYTHON3.12_RUNTIME".to_owned(), "other".to_owned())]);
        let all = table(&[], &environment);
        let images = all.iter().filter(|it| it.id == "python");
        let changed: Vec<_> = images
            .filter(|it| it.runs.name.as_deref() == Some("other"))
            .map(Runtime::name)
            .collect();
        assert_eq!(changed, ["python3.12"]);
    }
}
