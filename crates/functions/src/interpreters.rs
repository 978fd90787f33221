//! What this machine can run: interpreters and compilers in the directories of `PATH`.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Mutex,
};

use k8s::{SharedClock, SignedDuration, Timestamp};
use tokio::process::Command;

use crate::runtimes::{Language, Version};

/// For how long what was found counts.
const FRESH: SignedDuration = SignedDuration::from_secs(60);

/// A program that runs a language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// The language.
    pub language: Language,
    /// Its version.
    pub version: Version,
    /// Where it is.
    pub path: PathBuf,
}

/// Finds interpreters, and remembers them for a minute.
#[derive(Debug)]
pub struct Interpreters {
    clock: SharedClock,
    /// What runs languages that need nothing: this executable.
    own: PathBuf,
    found: Mutex<Option<(Timestamp, Vec<Interpreter>)>>,
}

impl Interpreters {
    /// Returns a finder that has not looked yet; `own` is the executable of windlass.
    pub fn new(clock: SharedClock, own: PathBuf) -> Self {
        Self { clock, own, found: Mutex::default() }
    }

    /// Returns all interpreters of a language.
    pub async fn of(&self, language: Language) -> Vec<Interpreter> {
        let mut all = self.all().await;
        all.retain(|interpreter| interpreter.language == language);
        all
    }

    async fn all(&self) -> Vec<Interpreter> {
        let now = self.clock.now();
        let known = self.found.lock().expect("the lock of interpreters is never poisoned").clone();
        if let Some((at, found)) = known
            && now.duration_since(at) < FRESH
        {
            return found;
        }
        let mut found = vec![Interpreter {
            language: Language::Jsonnet,
            version: Version::default(),
            path: self.own.clone(),
        }];
        for path in candidates() {
            if let Some(interpreter) = ask(&path).await
                && !found.iter().any(|it| {
                    it.version == interpreter.version && it.language == interpreter.language
                })
            {
                found.push(interpreter);
            }
        }
        *self.found.lock().expect("the lock of interpreters is never poisoned") =
            Some((now, found.clone()));
        found
    }
}

/// Returns the programs that may be interpreters: those with a version in their name before the others.
fn candidates() -> Vec<PathBuf> {
    let dirs = env::var_os("PATH").unwrap_or_default();
    let dirs: Vec<_> = env::split_paths(&dirs).collect();
    let mut exact = Vec::new();
    let mut plain = Vec::new();
    for dir in &dirs {
        let files = std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
        for file in files.map(|file| file.path()) {
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let rest = ["python3", "node", "go"].iter().find_map(|stem| name.strip_prefix(stem));
            match rest {
                Some("") => plain.push(file),
                Some(rest) if rest.bytes().all(|it| it == b'.' || it.is_ascii_digit()) => {
                    exact.push(file);
                }
                _ => {}
            }
        }
    }
    exact.sort();
    exact.into_iter().chain(plain).collect()
}

/// Asks a program for its version.
async fn ask(path: &Path) -> Option<Interpreter> {
    let name = path.file_name()?.to_str()?;
    let (language, argument) = match name {
        _ if name.starts_with("python") => (Language::Python, "--version"),
        _ if name.starts_with("node") => (Language::Nodejs, "--version"),
        _ => (Language::Go, "version"),
    };
    let output = Command::new(path).arg(argument).stdin(Stdio::null()).output().await;
    let output = output.and_then(|output| {
        if output.status.success() { Ok(output.stdout) } else { Err(io::ErrorKind::Other.into()) }
    });
    let text = String::from_utf8(output.ok()?).ok()?;
    Some(Interpreter { language, version: version_of(language, &text)?, path: path.to_owned() })
}

/// Reads what a program says of its version: `Python 3.11.7`, `v20.20.2`, `go version go1.26.0 linux/amd64`.
fn version_of(language: Language, text: &str) -> Option<Version> {
    let word = match language {
        Language::Python => text.split_whitespace().nth(1)?,
        Language::Nodejs => text.trim().strip_prefix('v')?,
        Language::Go => text.split_whitespace().nth(2)?.strip_prefix("go")?,
        Language::Jsonnet => "",
    };
    // Runtimes are named by the numbers that matter for a program.
    let numbers = if language == Language::Nodejs { 1 } else { 2 };
    let short: Vec<_> = word.split('.').take(numbers).collect();
    Version::parse(&short.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_say_their_version_in_their_own_ways() {
        for (language, text, expected) in [
            (Language::Python, "Python 3.11.7\n", "3.11"),
            (Language::Nodejs, "v20.20.2\n", "20"),
            (Language::Go, "go version go1.26.0 linux/amd64\n", "1.26"),
        ] {
            assert_eq!(version_of(language, text).unwrap().to_string(), expected);
        }
        assert_eq!(version_of(Language::Nodejs, "garbage"), None);
    }
}
