//! `windlass hook test`: runs hook programs on requests that were kept, and compares what they answer.
//!
//! A case is a file `NAME/CASE.request.json` beside the program `NAME.jsonnet`, with `CASE.response.json` or
//! `CASE.error.txt` for what is expected.

mod verdict;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use jsonnet::{Form, Runtime, RuntimeOptions};
use serde_json::Value;
use thiserror::Error;

use self::verdict::{Expected, judge};

const REQUEST: &str = ".request.json";

/// What is tested, and how.
pub struct CasesOptions {
    /// The directory of programs with their cases.
    pub dir: PathBuf,
    /// Whether what is expected is made what is answered.
    pub update: bool,
    /// How programs are run.
    pub runtime: RuntimeOptions,
}

/// What became of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The program and the case, as `NAME/CASE`.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The answer is what is expected.
    Passed,
    /// It was not, and what is expected was written anew.
    Updated,
    /// It is not; the text says how.
    Failed(String),
}

/// Why cases were not run.
#[derive(Debug, Error)]
pub enum CasesError {
    /// The directory is not there.
    #[error("no such directory: `{}`", .0.display())]
    NoDirectory(PathBuf),
    /// There is nothing to run.
    #[error("there is no case in `{}`", .0.display())]
    NoCase(PathBuf),
    /// A file cannot be read.
    #[error("failed to read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("failed to write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl CasesError {
    /// Returns whether the command line is to blame.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::NoDirectory(_) | Self::NoCase(_) => true,
            Self::Read { .. } | Self::Write { .. } => false,
        }
    }

    /// Returns what the user can do about it, if that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoDirectory(_) => Some("give the directory of NAME.jsonnet"),
            Self::NoCase(_) => {
                Some("put a request into NAME/CASE.request.json beside NAME.jsonnet")
            }
            Self::Read { .. } | Self::Write { .. } => None,
        }
    }
}

/// Runs all cases of a directory, in order.
pub async fn run(options: CasesOptions) -> Result<Vec<Case>, CasesError> {
    let CasesOptions { dir, update, runtime } = options;
    if !dir.is_dir() {
        return Err(CasesError::NoDirectory(dir));
    }
    let mut found = BTreeMap::new();
    find(&dir, "", &mut found)?;
    if found.is_empty() {
        return Err(CasesError::NoCase(dir));
    }
    let runtime = Runtime::new(runtime);
    let mut cases = Vec::new();
    for (program, stems) in found {
        // One that does not load says so whenever it is called.
        let _ = runtime.load(&program, &dir.join(format!("{program}.jsonnet"))).await;
        for (name, stem) in stems {
            let outcome = case(&runtime, &program, &stem, update).await?;
            cases.push(Case { name: format!("{program}/{name}"), outcome });
        }
    }
    Ok(cases)
}

/// Finds the cases below a directory: for each program their names, with the paths up to the first dot.
fn find(
    dir: &Path,
    program: &str,
    found: &mut BTreeMap<String, BTreeMap<String, PathBuf>>,
) -> Result<(), CasesError> {
    let failed = |source| CasesError::Read { path: dir.to_owned(), source };
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() {
            let below = if program.is_empty() { name } else { format!("{program}/{name}") };
            find(&entry.path(), &below, found)?;
        } else if let Some(case) = name.strip_suffix(REQUEST).filter(|_| !program.is_empty()) {
            let cases = found.entry(program.to_owned()).or_default();
            cases.insert(case.to_owned(), dir.join(case));
        }
    }
    Ok(())
}

async fn case(
    runtime: &Runtime,
    program: &str,
    stem: &Path,
    update: bool,
) -> Result<Outcome, CasesError> {
    let file = |end: &str| PathBuf::from(format!("{}{end}", stem.display()));
    let [request, response, error] = [REQUEST, ".response.json", ".error.txt"].map(file);
    let body = read(&request)?.unwrap_or_default();
    if let Err(error) = k8s::json::parse(body.as_bytes()) {
        return Ok(Outcome::Failed(format!("{} is not JSON: {error}", request.display())));
    }
    let expected = match (read(&response)?, read(&error)?) {
        (Some(text), None) => Expected::Answer(text),
        (None, Some(text)) => Expected::Error(text),
        (None, None) => Expected::Nothing,
        (Some(_), Some(_)) => Expected::Both,
    };
    let got = runtime.call_in(program, Bytes::from(body), None, Form::Pretty).await;
    let got = match &got {
        Ok(answer) => k8s::json::parse(&answer.json).map_err(|error| error.to_string()),
        Err(error) => Err(error.text.clone()),
    };
    let Some(problem) = judge(&expected, &got) else { return Ok(Outcome::Passed) };
    if !update {
        return Ok(Outcome::Failed(problem));
    }
    let (right, text, wrong) = match got {
        Ok(answer) => (response, format!("{}\n", pretty(&answer)), error),
        Err(text) => (error, format!("{}\n", text.lines().next().unwrap_or_default()), response),
    };
    fs::write(&right, text).map_err(|source| CasesError::Write { path: right, source })?;
    match fs::remove_file(&wrong) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(CasesError::Write { path: wrong, source })
        }
        _ => Ok(Outcome::Updated),
    }
}

fn read(path: &Path) -> Result<Option<String>, CasesError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CasesError::Read { path: path.to_owned(), source }),
    }
}

fn pretty(value: &Value) -> String {
    format!("{value:#}")
}
