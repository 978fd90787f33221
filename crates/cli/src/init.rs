//! `windlass init`: writes a controller to start from.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// How the hook is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// As a Jsonnet program.
    Jsonnet,
    /// As a server in JavaScript.
    Js,
    /// As a server in Python.
    Python,
    /// By somebody else, in any language.
    Http,
}

/// Why nothing was written.
#[derive(Debug, Error)]
pub enum InitError {
    /// The name does not do for what is named after it.
    #[error("`{0}` is no name for a controller")]
    Name(String),
    /// There is something already.
    #[error("`{}` is there already", .0.display())]
    Exists(PathBuf),
    /// A file cannot be written.
    #[error("failed to write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl InitError {
    /// Returns whether the command line is to blame.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Name(_) | Self::Exists(_) => true,
            Self::Write { .. } => false,
        }
    }

    /// Returns what the user can do about it, if that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Name(_) => Some("give lower-case letters, digits and dashes, a letter first"),
            Self::Exists(_) => Some("give a directory that is not there"),
            Self::Write { .. } => None,
        }
    }
}

/// Writes a directory with a CustomResourceDefinition, a controller, its hook, an object and a README, and
/// returns the files.
pub fn write(dir: &Path, hook: Hook) -> Result<Vec<PathBuf>, InitError> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    if !is_name(&name) {
        return Err(InitError::Name(name.into_owned()));
    }
    if dir.exists() {
        return Err(InitError::Exists(dir.to_owned()));
    }
    let mut written = Vec::new();
    for (file, text) in files(&name, &dir.display().to_string(), hook) {
        let path = dir.join(file);
        let failed = |source| InitError::Write { path: path.clone(), source };
        fs::create_dir_all(path.parent().unwrap_or(dir)).map_err(failed)?;
        fs::write(&path, text).map_err(failed)?;
        written.push(path);
    }
    Ok(written)
}

/// Tells whether a controller, a finalizer and a type can be named so.
fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= 43
        && name.bytes().all(is_part)
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-')
}

/// Returns the files and what is in them.
fn files(name: &str, dir: &str, hook: Hook) -> Vec<(&'static str, String)> {
    let url = match hook {
        // The host means nothing: `dev` answers such paths from the directory of hooks.
        Hook::Jsonnet => format!("http://{name}.default/sync"),
        Hook::Js | Hook::Python | Hook::Http => "http://127.0.0.1:8099/sync".to_owned(),
    };
    let kind: String = name.split('-').map(capitalized).collect();
    let singular = kind.to_lowercase();
    let plural = format!("{singular}s");
    let (run, file) = if hook == Hook::Js { ("node", "hook.js") } else { ("python3", "hook.py") };
    let names = [
        ("PLURAL", &*plural),
        ("SINGULAR", &singular),
        ("KIND", &kind),
        ("NAME", name),
        ("URL", &url),
        ("DIR", dir),
        ("RUN", run),
        ("HOOK", file),
    ];
    let filled = |(file, text): (&'static str, &str)| {
        (file, names.iter().fold(text.to_owned(), |text, (mark, name)| text.replace(mark, name)))
    };
    let (programs, readme): (&[(&str, &str)], _) = match hook {
        Hook::Jsonnet => (
            &[
                ("hooks/sync.jsonnet", include_str!("init/sync.jsonnet")),
                ("hooks/sync/example.request.json", include_str!("init/example.request.json")),
                ("hooks/sync/example.response.json", include_str!("init/example.response.json")),
            ],
            include_str!("init/jsonnet.md"),
        ),
        Hook::Js => (&[("hook.js", include_str!("init/hook.js"))], include_str!("init/server.md")),
        Hook::Python => {
            (&[("hook.py", include_str!("init/hook.py"))], include_str!("init/server.md"))
        }
        Hook::Http => (&[], include_str!("init/http.md")),
    };
    let manifests = [
        ("crd.yaml", include_str!("init/crd.yaml")),
        ("controller.yaml", include_str!("init/controller.yaml")),
        ("example.yaml", include_str!("init/example.yaml")),
    ];
    manifests.iter().chain(programs).copied().chain([("README.md", readme)]).map(filled).collect()
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_named_after_the_directory() {
        for hook in [Hook::Jsonnet, Hook::Js, Hook::Python, Hook::Http] {
            let files = files("web-app", "x/web-app", hook);
            let text: String = files.iter().map(|(_, text)| text.as_str()).collect();
            for mark in ["PLURAL", "SINGULAR", "KIND", "NAME", "URL", "DIR", "RUN", "HOOK"] {
                assert!(!text.contains(mark), "{mark} in {text}");
            }
            assert!(text.contains("kind: WebApp\n") && text.contains("webapps.example.com"));
        }
    }

    #[test]
    fn a_name_must_do_for_what_is_named_after_it() {
        for (name, good) in [
            ("web", true),
            ("a-1", true),
            ("Web", false),
            ("1a", false),
            ("", false),
            ("a-", false),
        ] {
            assert_eq!(is_name(name), good, "{name}");
        }
    }
}
