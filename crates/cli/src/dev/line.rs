//! Pure: one line for each thing that happened.

use std::{fmt, time::Duration};

use k8s::{GroupVersionKind, ObjectKey};

/// A line of `windlass dev`: what happened to what, and what that means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// `applied`, `ready`, `synced`, `failed`, `deleted`.
    pub(super) verb: &'static str,
    /// The kind and name of the thing.
    pub(super) subject: String,
    /// What was done, or why it failed; may be empty.
    pub(super) detail: String,
    /// How long it took, where that is of interest.
    pub(super) took: Option<Duration>,
}

impl Line {
    pub(super) fn new(verb: &'static str, subject: String, detail: impl Into<String>) -> Self {
        Self { verb, subject, detail: detail.into(), took: None }
    }
}

/// Returns the name of a thing as lines show it.
pub(super) fn subject(gvk: &GroupVersionKind, key: &ObjectKey) -> String {
    format!("{} {key}", gvk.kind)
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, subject, detail, took } = self;
        if detail.is_empty() {
            return write!(f, "{verb:<8} {subject}");
        }
        // A cause over several lines stays below its line.
        let detail = detail.trim_end().replace('\n', "\n         ");
        write!(f, "{verb:<8} {subject:<38}   {detail}")?;
        match took {
            Some(took) => write!(f, "   {:.1} ms", took.as_secs_f64() * 1000.0),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut line = Line::new("synced", "UselessPod default/test1".to_owned(), "created X");
        line.took = Some(Duration::from_micros(2149));
        assert_eq!(
            line.to_string(),
            "synced   UselessPod default/test1                 created X   2.1 ms"
        );
        let line = Line::new("applied", "Namespace a".to_owned(), "");
        assert_eq!(line.to_string(), "applied  Namespace a");
    }
}
