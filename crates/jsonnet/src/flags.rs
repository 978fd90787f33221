//! Pure: what the values of command-line flags mean.

use std::{
    collections::BTreeSet, ffi::OsStr, os::unix::ffi::OsStrExt, path::PathBuf, time::Duration,
};

use k8s::parse_duration;
use thiserror::Error;

use crate::bundle::{Variable, VariableValue};

/// The environment variable with directories to look for imports in.
pub const JPATH_VARIABLE: &str = "KUBECFG_JPATH";

/// The longest deadline of a call.
const MAX_TIMEOUT: Duration = Duration::from_mins(10);

/// How a flag gives the value of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableFlag {
    /// `--ext-str` and `--tla-str`.
    Text,
    /// `--ext-code` and `--tla-code`.
    Code,
    /// `--ext-str-file` and `--tla-str-file`.
    TextFile,
    /// `--ext-code-file` and `--tla-code-file`.
    CodeFile,
}

/// Why the value of a flag means nothing.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum FlagError {
    /// A file flag lacks the file.
    #[error("{flag}: missing `=` in `{value}`")]
    NoFile {
        /// The flag as it is written.
        flag: String,
        /// Its value.
        value: String,
    },
    /// The value is to come from an environment variable that is not set.
    #[error("Missing environment variable: {0}")]
    NoVariable(String),
    /// A variable is given twice.
    #[error("{flag}: variable `{name}` is given twice")]
    Twice {
        /// The group of flags.
        flag: String,
        /// The variable.
        name: String,
    },
    /// The request is no extra argument.
    #[error("{0}: `request` is the hook's request and cannot be set")]
    Request(String),
    /// The value is no duration, or out of range.
    #[error("{flag}: `{value}` is not a duration above 0 and up to 10m")]
    Duration {
        /// The flag as it is written.
        flag: String,
        /// Its value.
        value: String,
    },
    /// The value is no number of bytes.
    #[error("{flag}: `{value}` is not a number of bytes such as 512Mi")]
    Bytes {
        /// The flag as it is written.
        flag: String,
        /// Its value.
        value: String,
    },
}

/// Reads `NAME`, `NAME=VALUE` or `NAME=FILE`; `env` looks up an environment variable.
///
/// # Errors
///
/// [`FlagError::NoFile`] and [`FlagError::NoVariable`].
pub fn variable(
    flag: &str,
    kind: VariableFlag,
    value: &str,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Variable, FlagError> {
    let (name, text) = match value.split_once('=') {
        Some((name, text)) => (name, Some(text.to_owned())),
        None => (value, None),
    };
    let from_env = || env(name).ok_or_else(|| FlagError::NoVariable(name.to_owned()));
    let no_file = || FlagError::NoFile { flag: flag.to_owned(), value: value.to_owned() };
    let value = match kind {
        VariableFlag::Text => VariableValue::Text(text.map_or_else(from_env, Ok)?),
        VariableFlag::Code => VariableValue::Code(text.map_or_else(from_env, Ok)?),
        VariableFlag::TextFile => VariableValue::TextFile(text.ok_or_else(no_file)?.into()),
        VariableFlag::CodeFile => VariableValue::CodeFile(text.ok_or_else(no_file)?.into()),
    };
    Ok(Variable { name: name.to_owned(), value })
}

/// Checks that each external variable is given once.
///
/// # Errors
///
/// [`FlagError::Twice`].
pub fn check_ext_vars(variables: &[Variable]) -> Result<(), FlagError> {
    check_once("--ext-*", variables)
}

/// Checks that each extra argument is given once and none is the request.
///
/// # Errors
///
/// [`FlagError::Twice`] and [`FlagError::Request`].
pub fn check_tlas(variables: &[Variable]) -> Result<(), FlagError> {
    if variables.iter().any(|variable| variable.name == "request") {
        return Err(FlagError::Request("--tla-*".to_owned()));
    }
    check_once("--tla-*", variables)
}

fn check_once(flag: &str, variables: &[Variable]) -> Result<(), FlagError> {
    let mut names = BTreeSet::new();
    match variables.iter().find(|variable| !names.insert(&variable.name)) {
        None => Ok(()),
        Some(Variable { name, .. }) => {
            Err(FlagError::Twice { flag: flag.to_owned(), name: name.clone() })
        }
    }
}

/// Returns the directories to look for imports in, best first: the environment's, then the flags'.
pub fn jpath(environment: Option<&OsStr>, flags: &[PathBuf]) -> Vec<PathBuf> {
    let listed = environment.map(OsStr::as_bytes).unwrap_or_default().split(|byte| *byte == b':');
    let listed = listed.filter(|dir| !dir.is_empty()).map(|dir| OsStr::from_bytes(dir).into());
    listed.chain(flags.iter().cloned()).collect()
}

/// Reads a deadline such as `10s`, `1m30s` or `500ms`.
///
/// # Errors
///
/// [`FlagError::Duration`].
pub fn timeout(flag: &str, value: &str) -> Result<Duration, FlagError> {
    parse_duration(value)
        .ok()
        .filter(|timeout| !timeout.is_zero() && *timeout <= MAX_TIMEOUT)
        .ok_or_else(|| FlagError::Duration { flag: flag.to_owned(), value: value.to_owned() })
}

/// Reads a number of bytes such as `1024`, `512Mi` or `1G`.
///
/// # Errors
///
/// [`FlagError::Bytes`].
pub fn bytes(flag: &str, value: &str) -> Result<u64, FlagError> {
    const UNITS: [(&str, u64); 6] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
    ];
    let (number, unit) = UNITS
        .iter()
        .find_map(|(suffix, unit)| Some((value.strip_suffix(suffix)?, *unit)))
        .unwrap_or((value, 1));
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    bytes
        .filter(|bytes| 0 < *bytes)
        .ok_or_else(|| FlagError::Bytes { flag: flag.to_owned(), value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ext_str(value: &str) -> Result<VariableValue, FlagError> {
        let env = |name: &str| (name == "HOME").then(|| "/root".to_owned());
        Ok(variable("--ext-str", VariableFlag::Text, value, env)?.value)
    }

    /// Sabotage: an empty value in place of the error.
    #[test]
    fn acceptance_14_a_variable_that_is_not_set_is_an_error() {
        assert_eq!(ext_str("X").unwrap_err().to_string(), "Missing environment variable: X");
        assert_eq!(ext_str("HOME"), Ok(VariableValue::Text("/root".to_owned())));
        assert_eq!(ext_str("X=a=b"), Ok(VariableValue::Text("a=b".to_owned())));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let file = variable("--tla-str-file", VariableFlag::TextFile, "x", |_| None);
        assert_eq!(file.unwrap_err().to_string(), "--tla-str-file: missing `=` in `x`");
        let twice = |name: &str| Variable {
            name: name.to_owned(),
            value: VariableValue::Text(String::new()),
        };
        assert!(matches!(check_ext_vars(&[twice("a"), twice("a")]), Err(FlagError::Twice { .. })));
        assert!(matches!(check_tlas(&[twice("request")]), Err(FlagError::Request(_))));
    }

    #[test]
    fn durations_and_bytes() {
        assert_eq!(timeout("--timeout", "1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(timeout("--timeout", "1.5s"), Ok(Duration::from_millis(1500)));
        for bad in ["0s", "11m", "10", "x", "", "-1s"] {
            assert!(timeout("--timeout", bad).is_err(), "{bad}");
        }
        assert_eq!(bytes("--max-memory", "512Mi"), Ok(512 << 20));
        assert_eq!(bytes("--max-memory", "7"), Ok(7));
        assert!(bytes("--max-memory", "1.5Gi").is_err());
    }

    #[test]
    fn directories_of_the_environment_come_first() {
        let dirs = jpath(Some(OsStr::new("/a::/b")), &["/c".into()]);
        assert_eq!(dirs, [PathBuf::from("/a"), "/b".into(), "/c".into()]);
    }
}
