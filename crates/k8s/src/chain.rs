//! Pure: errors with their causes.

use std::error::Error;

/// Returns an error and its causes in one line, separated by colons.
pub fn in_one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_follow_their_error() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read the file")]
        struct Outer(#[source] std::fmt::Error);
        assert_eq!(
            in_one_line(&Outer(std::fmt::Error)),
            "cannot read the file: an error occurred when formatting an argument"
        );
    }
}
