//! How a command that failed says so.

use std::{
    error::Error,
    fmt::Write as _,
    io::{self, Write as _},
    process::ExitCode,
};

/// Prints an error, its causes and what can be done about it, and returns the exit code.
pub(crate) fn print(error: &dyn Error, hint: Option<&str>, code: u8) -> ExitCode {
    // Nobody can be told that standard error is closed.
    let _ = io::stderr().write_all(text(error, hint).as_bytes());
    ExitCode::from(code)
}

/// Prints a line that is not part of the answer.
pub(crate) fn note(line: &str) {
    // Nobody can be told that standard error is closed.
    let _ = writeln!(io::stderr(), "{line}");
}

fn text(error: &dyn Error, hint: Option<&str>) -> String {
    let mut text = format!("error: {error}\n");
    let (mut cause, mut last) = (error.source(), error.to_string());
    while let Some(error) = cause {
        let line = error.to_string();
        // Some libraries repeat their cause in their own message.
        if !last.ends_with(&line) {
            let _ = writeln!(text, "  {line}");
        }
        (cause, last) = (error.source(), line);
    }
    if let Some(hint) = hint {
        let _ = write!(text, "\nhint: {hint}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_indented_and_the_hint_stands_apart() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read `a`")]
        struct Outer(#[source] std::fmt::Error);
        let text = text(&Outer(std::fmt::Error), Some("try `b`"));
        assert_eq!(
            text,
            "error: cannot read `a`\n  an error occurred when formatting an argument\n\nhint: try `b`\n"
        );
    }
}
