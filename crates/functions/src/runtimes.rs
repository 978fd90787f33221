//! Pure: the runtimes there are, and which version runs a function that asks for another.

use std::{cmp::Ordering, fmt};

/// A language whose programs windlass serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    /// CPython.
    Python,
    /// Node.js.
    Nodejs,
    /// Go, compiled before it runs.
    Go,
    /// Jsonnet, interpreted by windlass itself.
    Jsonnet,
}

/// The facts about a language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What runtimes of the language are called, before their version.
    pub id: &'static str,
    /// The versions that a cluster can run, oldest first; empty if there are no versions.
    pub versions: &'static [&'static str],
    /// The name of the file of dependencies, if there is one.
    pub deps: Option<&'static str>,
    /// The suffix of the file of a module.
    pub suffix: &'static str,
}

/// What runtimes are called that Kubeless or a later release knows.
const LATER: [&str; 6] = ["js", "ruby", "php", "java", "wasm", "exec"];

/// The name of a runtime: a language and perhaps a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuntimeName {
    /// The part before the version.
    pub id: String,
    /// The version.
    pub version: Version,
}

/// A version as numbers between dots; a missing number matches any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Version(Vec<u32>);

/// Whether another version than the one that was asked for will do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// The next higher one, or else the highest.
    #[default]
    Nearest,
    /// No.
    Exact,
}

/// The version that runs a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// The version.
    pub version: Version,
    /// Whether it is another one than was asked for.
    pub is_substitute: bool,
}

impl Language {
    /// Every language.
    pub const ALL: [Self; 4] = [Self::Python, Self::Nodejs, Self::Go, Self::Jsonnet];

    /// Returns the language of a runtime's name.
    pub fn of_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.facts().id == id)
    }

    /// Returns the facts about it.
    pub const fn facts(self) -> Facts {
        match self {
            Self::Python => Facts {
                id: "python",
                versions: &["3.9", "3.10", "3.11", "3.12", "3.13", "3.14"],
                deps: Some("requirements.txt"),
                suffix: ".py",
            },
            Self::Nodejs => Facts {
                id: "nodejs",
                versions: &["18", "20", "22", "24"],
                deps: Some("package.json"),
                suffix: ".js",
            },
            Self::Go => Facts {
                id: "go",
                versions: &["1.24", "1.25", "1.26"],
                deps: Some("go.mod"),
                suffix: ".go",
            },
            Self::Jsonnet => Facts { id: "jsonnet", versions: &[], deps: None, suffix: ".jsonnet" },
        }
    }
}

/// Returns the names of the runtimes that a cluster can run, with their versions.
pub fn built_in_runtimes() -> Vec<String> {
    let names = |language: Language| {
        let Facts { id, versions, .. } = language.facts();
        // A language without versions is named alone.
        let versions = if versions.is_empty() { &[""] } else { versions };
        versions.iter().map(move |version| format!("{id}{version}"))
    };
    Language::ALL.into_iter().flat_map(names).collect()
}

impl Policy {
    /// Returns the policy of a name; nothing if there is none of that name.
    pub(crate) fn of(name: &str) -> Option<Self> {
        match name {
            "Nearest" => Some(Self::Nearest),
            "Exact" => Some(Self::Exact),
            _ => None,
        }
    }
}

impl RuntimeName {
    /// Parts a runtime's name from its version: `python3.11`, `nodejs20`, `jsonnet`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let end =
            text.find(|letter: char| !(letter.is_ascii_alphabetic() || "_-".contains(letter)));
        let (id, version) = text.split_at(end.unwrap_or(text.len()));
        let version = Version::parse(version)?;
        (!id.is_empty()).then(|| Self { id: id.to_owned(), version })
    }

    /// Returns whether windlass is to serve it one day.
    pub(crate) fn is_for_later(&self) -> bool {
        LATER.contains(&self.id.as_str())
    }
}

impl Version {
    /// Reads numbers between dots; an empty text matches any version.
    pub fn parse(text: &str) -> Option<Self> {
        // A sign would be taken for part of the number.
        let is_plain = text.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit());
        let parts = text.split('.').filter(|part| is_plain && !part.is_empty());
        let parts = parts.map(|part| part.parse().ok()).collect::<Option<_>>().map(Self);
        parts.filter(|_| is_plain)
    }

    /// Returns of how many numbers it is.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether the numbers that both have are the same.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(one, other)| one == other)
    }

    /// Compares number by number; numbers that one of them lacks do not count.
    fn compare(&self, other: &Self) -> Ordering {
        let pairs = self.0.iter().zip(&other.0);
        pairs.map(|(one, other)| one.cmp(other)).find(|it| it.is_ne()).unwrap_or(Ordering::Equal)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, number) in self.0.iter().enumerate() {
            let dot = if position == 0 { "" } else { "." };
            write!(f, "{dot}{number}")?;
        }
        Ok(())
    }
}

/// Chooses among the offered versions: the one that was asked for, else the smallest above it, else the
/// greatest. Manifests name versions that nobody offers any more, and their programs mostly still run.
pub(crate) fn resolve(wanted: &Version, offered: &[&Version], policy: Policy) -> Option<Resolved> {
    let mut offered = offered.to_vec();
    offered.sort_by(|one, other| one.0.cmp(&other.0));
    // Of several that match a version without a minor number, the newest.
    let exact = offered.iter().rev().find(|version| wanted.matches(version));
    let found =
        |version: &Version, is_substitute| Resolved { version: version.clone(), is_substitute };
    if let Some(exact) = exact {
        return Some(found(exact, false));
    }
    if policy == Policy::Exact {
        return None;
    }
    let above = offered.iter().find(|version| version.compare(wanted).is_gt());
    above.or(offered.last()).map(|version| found(version, true))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chosen(wanted: &str, offered: &[&str], policy: Policy) -> String {
        let wanted = RuntimeName::parse(wanted).unwrap().version;
        let offered: Vec<_> = offered.iter().filter_map(|text| Version::parse(text)).collect();
        let resolved = resolve(&wanted, &offered.iter().collect::<Vec<_>>(), policy);
        resolved.map_or_else(
            || "none".to_owned(),
            |it| format!("{}{}", it.version, if it.is_substitute { "!" } else { "" }),
        )
    }

    #[test]
    fn the_nearest_version_at_or_above_is_chosen() {
        let python = ["3.9", "3.11", "3.14"];
        for (wanted, expected) in [
            ("python3.11", "3.11"),
            ("python3.10", "3.11!"),
            ("python2.7", "3.9!"),
            ("python3", "3.14"),
            ("python", "3.14"),
            ("python4.0", "3.14!"),
            ("python3.11.4", "3.11"),
        ] {
            assert_eq!(chosen(wanted, &python, Policy::Nearest), expected, "{wanted}");
        }
        assert_eq!(chosen("go1.9", &["1.24", "1.10"], Policy::Nearest), "1.10!");
        assert_eq!(chosen("python3.11", &[], Policy::Nearest), "none");
    }

    #[test]
    fn an_exact_policy_takes_no_substitute() {
        assert_eq!(chosen("python2.7", &["3.11"], Policy::Exact), "none");
        assert_eq!(chosen("python3.11", &["3.11"], Policy::Exact), "3.11");
    }

    #[test]
    fn names_part_where_the_version_begins() {
        let parsed = |text| RuntimeName::parse(text).map(|it| (it.id, it.version.to_string()));
        let name = |id: &str, version: &str| Some((id.to_owned(), version.to_owned()));
        assert_eq!(parsed("nodejs_distroless8"), name("nodejs_distroless", "8"));
        assert_eq!(parsed("jsonnet"), name("jsonnet", ""));
        assert_eq!(parsed("3.11"), None);
        assert_eq!(parsed("python3.x"), None);
        assert_eq!(parsed("python99999999999"), None);
        assert_eq!(parsed("python3.+11"), None);
    }

    fn version() -> impl Strategy<Value = Version> {
        proptest::collection::vec(0u32..4, 0..4).prop_map(Version)
    }

    proptest! {
        #[test]
        fn names_are_read_as_they_are_written(id in "[A-Za-z_-]{1,9}", version in version()) {
            let name = RuntimeName::parse(&format!("{id}{version}"));
            prop_assert_eq!(name, Some(RuntimeName { id, version }));
        }

        /// Breaks when `parse` takes signs for parts of numbers.
        #[test]
        fn what_is_no_name_is_refused(text in "[a-z]{0,2}[-+0-9. a_é]{0,4}") {
            let end = text.trim_start_matches(|it: char| it.is_ascii_alphabetic() || "_-".contains(it));
            let is_name = end.len() < text.len()
                && end.chars().all(|it| it == '.' || it.is_ascii_digit());
            prop_assert_eq!(RuntimeName::parse(&text).is_some(), is_name);
        }

        /// Breaks when `resolve` takes the greatest version above instead of the smallest.
        #[test]
        fn no_other_version_would_be_nearer(
            wanted in version(),
            offered in proptest::collection::vec(version(), 0..6),
        ) {
            let offered: Vec<_> = offered.iter().collect();
            let exact = resolve(&wanted, &offered, Policy::Exact);
            prop_assert!(exact.iter().all(|it| !it.is_substitute && wanted.matches(&it.version)));
            prop_assert_eq!(exact.is_some(), offered.iter().any(|it| wanted.matches(it)));
            let Some(nearest) = resolve(&wanted, &offered, Policy::Nearest) else {
                prop_assert!(offered.is_empty());
                return Ok(());
            };
            prop_assert!(offered.contains(&&nearest.version));
            if let Some(exact) = exact {
                prop_assert_eq!(nearest, exact);
                return Ok(());
            }
            prop_assert!(nearest.is_substitute);
            let found = nearest.version.compare(&wanted);
            for other in &offered {
                let (is_above, is_nearer) =
                    (other.compare(&wanted).is_gt(), other.0 < nearest.version.0);
                let is_better = is_above && (is_nearer || !found.is_gt());
                prop_assert!(!is_better, "{} for {}", nearest.version, wanted);
            }
        }
    }
}
