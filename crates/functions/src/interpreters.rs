//! What this machine can run: interpreters and compilers in the directories of `PATH`.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    env,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, SystemTime},
};

use futures::stream::{self, StreamExt};
use k8s::{SharedClock, SignedDuration, Timestamp};
use tokio::{
    process::Command,
    sync::{Mutex, Notify},
};

use crate::runtimes::{Language, Version};

/// How often the directories are looked through.
const FRESH: SignedDuration = SignedDuration::from_secs(60);
/// How long a program may take to say its version; wrappers that choose among versions are slow.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many programs are asked at once.
const AT_ONCE: usize = 4;

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

/// Finds interpreters. A program is asked for its version when somebody wants its language, and not again
/// before it changes.
#[derive(Debug)]
pub struct Interpreters {
    clock: SharedClock,
    /// What runs languages that need nothing: this executable.
    own: PathBuf,
    known: Mutex<Known>,
    again: Notify,
}

#[derive(Debug, Default)]
struct Known {
    answers: HashMap<Candidate, Option<Interpreter>>,
    listed: BTreeMap<Language, (Timestamp, Vec<Candidate>)>,
}

/// A file that may be an interpreter, as it was when it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Candidate {
    path: PathBuf,
    changed: Option<SystemTime>,
    /// The version in its name, if there is one.
    named: String,
}

impl Interpreters {
    /// Returns a finder that has not looked yet; `own` is the executable of windlass.
    pub fn new(clock: SharedClock, own: PathBuf) -> Self {
        Self { clock, own, known: Mutex::default(), again: Notify::new() }
    }

    /// Returns the interpreters of a language: all of them, or at least those of exactly the wanted version.
    pub async fn of(&self, language: Language, wanted: &Version) -> Vec<Interpreter> {
        if language == Language::Jsonnet {
            let (version, path) = (Version::default(), self.own.clone());
            return vec![Interpreter { language, version, path }];
        }
        // Who comes second waits for what the first one asks.
        let mut known = self.known.lock().await;
        let candidates = self.candidates(language, &mut known);
        if facts(language).numbers <= wanted.len() {
            // Nobody else needs to be asked if the program that has the version in its name has it in fact.
            let named = |it: &&Candidate| {
                is_whole(it, facts(language)) && it.version().is_some_and(|it| wanted.matches(&it))
            };
            let named: Vec<_> = candidates.iter().filter(named).cloned().collect();
            let found = self.asked(language, &named, &mut known).await;
            if found.iter().any(|it| wanted.matches(&it.version)) {
                return found;
            }
        }
        self.asked(language, &candidates, &mut known).await
    }

    /// Returns the interpreters of all languages: of each one, those that are named by their version first.
    pub async fn all(&self) -> Vec<Interpreter> {
        let mut all = Vec::new();
        for language in Language::ALL {
            all.extend(self.of(language, &Version::default()).await);
        }
        all
    }

    /// Has programs asked again even if they have not changed: wrappers choose among others that may have.
    pub fn look_again(&self) {
        self.again.notify_one();
    }

    /// Waits until other interpreters are there than before, of the languages that somebody asked for.
    pub async fn news(&self) {
        loop {
            let due = self.clock.after(FRESH.unsigned_abs());
            let is_told = tokio::select! {
                () = self.clock.sleep_until(due) => false,
                () = self.again.notified() => true,
            };
            let mut known = self.known.lock().await;
            if self.renew(&mut known, is_told).await {
                return;
            }
        }
    }

    /// Looks through the directories again, and returns whether that changed what there is.
    async fn renew(&self, known: &mut Known, is_told: bool) -> bool {
        let before = known.answers.clone();
        if is_told {
            known.answers.clear();
        }
        let languages: Vec<_> = known.listed.keys().copied().collect();
        known.listed.clear();
        let mut changed = false;
        for language in languages {
            let candidates = self.candidates(language, known);
            let old = candidates.iter().filter_map(|it| before.get(it)?.clone());
            let old = apart(old);
            // Those that were not asked before, because another one was enough, count as new once.
            changed |= self.asked(language, &candidates, known).await != old;
        }
        changed
    }

    fn candidates(&self, language: Language, known: &mut Known) -> Vec<Candidate> {
        let now = self.clock.now();
        if let Some((at, listed)) = known.listed.get(&language)
            && now.duration_since(*at) < FRESH
        {
            return listed.clone();
        }
        let listed = candidates(&env::var_os("PATH").unwrap_or_default(), facts(language));
        known.listed.insert(language, (now, listed.clone()));
        listed
    }

    /// Returns what candidates say, one interpreter of each version. Those that have not said it are asked.
    async fn asked(
        &self,
        language: Language,
        candidates: &[Candidate],
        known: &mut Known,
    ) -> Vec<Interpreter> {
        let new = candidates.iter().filter(|it| !known.answers.contains_key(it)).cloned();
        let ask = |candidate: Candidate| async move {
            let answer = self.ask(language, &candidate.path).await;
            (candidate, answer)
        };
        let new: Vec<_> = new.map(ask).collect();
        let answers: Vec<_> = stream::iter(new).buffer_unordered(AT_ONCE).collect().await;
        known.answers.extend(answers);
        apart(candidates.iter().filter_map(|it| known.answers.get(it)?.clone()))
    }

    /// Asks a program for its version.
    async fn ask(&self, language: Language, path: &Path) -> Option<Interpreter> {
        let Facts { version, place, .. } = facts(language);
        let version = version_of(language, &self.output(path, &[version]).await?)?;
        let mut path = path.to_owned();
        if let Some(place) = place
            && is_script(&path)
        {
            // A wrapper would take its time at each start of a worker.
            let real = self.output(&path, place).await.map(|real| PathBuf::from(real.trim()));
            path = real.filter(|real| real.is_file()).unwrap_or(path);
        }
        Some(Interpreter { language, version, path })
    }

    async fn output(&self, program: &Path, arguments: &[&str]) -> Option<String> {
        let mut command = Command::new(program);
        let output = command.args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
        let due = self.clock.after(PATIENCE);
        let output = tokio::select! {
            output = output => output.ok()?,
            () = self.clock.sleep_until(due) => return None,
        };
        output.status.success().then(|| String::from_utf8(output.stdout).ok()).flatten()
    }
}

impl Candidate {
    fn version(&self) -> Option<Version> {
        Version::parse(&self.named)
    }
}

/// How programs of a language are found and asked.
#[derive(Clone, Copy)]
struct Facts {
    /// How their names begin; what follows is a version.
    stem: &'static str,
    /// How many numbers of a version matter for a program.
    numbers: usize,
    /// What makes them say their version.
    version: &'static str,
    /// What makes them say where they are.
    place: Option<&'static [&'static str]>,
}

fn facts(language: Language) -> Facts {
    match language {
        Language::Python => Facts {
            stem: "python",
            numbers: 2,
            version: "--version",
            place: Some(&["-c", "import sys; print(sys.executable)"]),
        },
        Language::Nodejs => Facts {
            stem: "node",
            numbers: 1,
            version: "--version",
            place: Some(&["-p", "process.execPath"]),
        },
        Language::Go => Facts { stem: "go", numbers: 2, version: "version", place: None },
        Language::Jsonnet => Facts { stem: "", numbers: 0, version: "", place: None },
    }
}

/// Returns the programs of some directories that may be interpreters: those with a whole version in their name
/// before the others.
fn candidates(path: &OsStr, facts: Facts) -> Vec<Candidate> {
    let mut seen = HashSet::new();
    // Distributions have several names for one directory.
    let dirs = env::split_paths(path).filter(|dir| seen.insert(fs::canonicalize(dir).ok()));
    let mut found: Vec<_> = dirs.flat_map(|dir| in_dir(&dir, facts.stem)).collect();
    // The order of the directories is kept.
    found.sort_by_key(|candidate| !is_whole(candidate, facts));
    found
}

/// Returns whether the name of a program says all numbers that matter.
fn is_whole(candidate: &Candidate, facts: Facts) -> bool {
    candidate.version().is_some_and(|named| facts.numbers <= named.len())
}

fn in_dir(dir: &Path, stem: &str) -> Vec<Candidate> {
    let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    let candidate = |path: PathBuf| {
        let named = path.file_name()?.to_str()?.strip_prefix(stem)?.to_owned();
        let is_version = named.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit());
        // `python` is whatever it was long ago, or nothing.
        if !is_version || (stem == "python" && !named.starts_with('3')) {
            return None;
        }
        let changed = fs::metadata(&path).and_then(|metadata| metadata.modified()).ok();
        Some(Candidate { path, changed, named })
    };
    let mut found: Vec<_> = entries.filter_map(|entry| candidate(entry.path())).collect();
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// Returns the first interpreter of each version.
fn apart(all: impl Iterator<Item = Interpreter>) -> Vec<Interpreter> {
    let mut apart: Vec<Interpreter> = Vec::new();
    for interpreter in all {
        if !apart.iter().any(|it| it.version == interpreter.version) {
            apart.push(interpreter);
        }
    }
    apart
}

fn is_script(path: &Path) -> bool {
    let start = fs::File::open(path).and_then(|mut file| {
        let mut start = [0; 2];
        io::Read::read_exact(&mut file, &mut start).map(|()| start)
    });
    start.is_ok_and(|start| start == *b"#!")
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
    let short: Vec<_> = word.split('.').take(facts(language).numbers).collect();
    Version::parse(&short.join("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use k8s::SystemClock;

    use super::*;

    /// Writes a wrapper that says its version, and adds a line to a file each time it is asked.
    fn wrapper(dir: &Path, name: &str, version: &str) {
        let path = dir.join(name);
        let said = format!("echo {name} >> {0}/asked; echo Python {version}", dir.display());
        fs::write(&path, format!("#!/bin/sh\n[ \"$1\" = --version ] || exit 1\n{said}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn asked(dir: &Path) -> Vec<String> {
        let text = fs::read_to_string(dir.join("asked")).unwrap_or_default();
        let mut asked: Vec<_> = text.lines().map(ToOwned::to_owned).collect();
        asked.sort();
        asked
    }

    fn finder(dir: &Path) -> (Interpreters, Known) {
        let finder = Interpreters::new(std::sync::Arc::new(SystemClock), PathBuf::new());
        let listed = candidates(dir.as_os_str(), facts(Language::Python));
        let listed = BTreeMap::from([(Language::Python, (finder.clock.now(), listed))]);
        (finder, Known { listed, ..Known::default() })
    }

    /// Breaks when all programs are asked whatever is wanted, or asked twice.
    #[tokio::test]
    async fn only_who_must_be_is_asked_and_once() {
        let dir = tempfile::tempdir().unwrap();
        for (name, version) in
            [("python3", "3.9.1"), ("python3.8", "3.8.2"), ("python3.11", "3.11.7")]
        {
            wrapper(dir.path(), name, version);
        }
        let (finder, known) = finder(dir.path());
        *finder.known.lock().await = known;
        let of = |version: &'static str| {
            let finder = &finder;
            async move {
                let found = finder.of(Language::Python, &Version::parse(version).unwrap()).await;
                found.into_iter().map(|it| it.version.to_string()).collect::<Vec<_>>()
            }
        };
        assert_eq!(of("3.11").await, ["3.11"]);
        assert_eq!(asked(dir.path()), ["python3.11"]);
        assert_eq!(of("3.11").await, ["3.11"]);
        assert_eq!(of("2.7").await, ["3.11", "3.8", "3.9"]);
        assert_eq!(asked(dir.path()), ["python3", "python3.11", "python3.8"]);
        assert_eq!(of("").await.len(), 3);
        assert_eq!(asked(dir.path()).len(), 3);
    }

    #[test]
    fn whole_versions_come_first_in_the_order_of_the_directories() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (dir, name) in [
            (&one, "python3"),
            (&one, "python3-config"),
            (&one, "python2.7"),
            (&one, "python3.9"),
            (&two, "python3.11"),
            (&two, "python"),
        ] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let path = env::join_paths([one.path(), two.path(), one.path()]).unwrap();
        let found = candidates(&path, facts(Language::Python)).into_iter();
        let names: Vec<_> = found.map(|it| it.named).collect();
        assert_eq!(names, ["3.9", "3.11", "3"]);
    }

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
