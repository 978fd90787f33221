//! Pure: what can go wrong with a hook program, and what its caller is told.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What kind of failure a call ended in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorKind {
    /// The request is not JSON.
    Request,
    /// The program does not parse, or a static check failed.
    Load,
    /// An import cannot be read.
    Import,
    /// The program failed while it was evaluated.
    Runtime,
    /// The result has no JSON form, or is too large.
    Manifest,
    /// The program called itself too deeply.
    Stack,
    /// The program needed more memory than a worker may have.
    Memory,
    /// The deadline passed.
    Timeout,
    /// Too many calls wait already.
    Overload,
}

impl ErrorKind {
    /// Returns the word that headers, logs and metrics use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Load => "load",
            Self::Import => "import",
            Self::Runtime => "runtime",
            Self::Manifest => "manifest",
            Self::Stack => "stack",
            Self::Memory => "memory",
            Self::Timeout => "timeout",
            Self::Overload => "overload",
        }
    }
}

/// Why a call gave no value.
///
/// The text is what the caller is shown: one line, or an error line with a stack trace below it.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[error("{text}")]
pub struct CallError {
    /// What kind of failure it is.
    pub kind: ErrorKind,
    /// What the caller is shown, without a newline at the end.
    pub text: String,
}

impl CallError {
    /// Describes a failure.
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// Returns the text up to the stack trace.
    pub fn message(&self) -> &str {
        self.text.split_once("\n\t").map_or(self.text.as_str(), |(message, _)| message)
    }

    /// Returns the lines of the stack trace, innermost first.
    pub fn trace(&self) -> impl Iterator<Item = &str> {
        self.text.strip_prefix(self.message()).unwrap_or_default().lines().map(str::trim).skip(1)
    }
}

/// Why a program could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LoadError {
    /// The program's file or directory cannot be read.
    #[error("cannot read \"{path}\": {reason}")]
    Read {
        /// The path as it was given.
        path: String,
        /// What the operating system said.
        reason: String,
    },
    /// A file does not parse, or fails a static check; the text starts with `file:line:col`.
    #[error("{0}")]
    Invalid(String),
    /// An import that used to be there is gone.
    #[error("{0}")]
    Import(String),
    /// No worker could look at the program.
    #[error("cannot check the program: {0}")]
    Unchecked(CallError),
}

impl LoadError {
    /// Returns what a call of the program answers as long as it is broken.
    pub fn as_call_error(&self) -> CallError {
        let kind = match self {
            Self::Read { .. } | Self::Invalid(_) => ErrorKind::Load,
            Self::Import(_) => ErrorKind::Import,
            Self::Unchecked(error) => error.kind,
        };
        CallError::new(kind, self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trace_is_what_follows_the_message() {
        let error =
            CallError::new(ErrorKind::Runtime, "RUNTIME ERROR: a\nb\n\tf:1:2\tx\n\tg:3:4\t");
        assert_eq!(error.message(), "RUNTIME ERROR: a\nb");
        assert_eq!(error.trace().collect::<Vec<_>>(), ["f:1:2\tx", "g:3:4"]);
        assert_eq!(CallError::new(ErrorKind::Timeout, "late").trace().count(), 0);
    }
}
