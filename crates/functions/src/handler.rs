//! Pure: which function of which module a Function calls.

use thiserror::Error;

/// A function in a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handler {
    /// The module: a file without its suffix, perhaps in a directory or a package.
    pub module: String,
    /// The function.
    pub function: String,
}

/// How many letters a module may have: it becomes a key of a ConfigMap, with a suffix.
const LONGEST: usize = 240;

/// Why a text names no function in a module.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum HandlerError {
    /// One of the two is missing.
    #[error("`{0}` is no handler. It should be module_name.handler_name")]
    Form(String),
    /// The module is none of the function's own files.
    #[error("the module of `{0}` lies outside the function")]
    Outside(String),
    /// The module cannot be stored.
    #[error(
        "the module of `{0}` cannot be stored: it may have at most {LONGEST} letters of ASCII, \
         digits, `-`, `_`, `.` and `/`, and not begin with `..`"
    )]
    Module(String),
}

impl Handler {
    /// Reads `module.function`; the last dot counts, so that a module may be a dotted package.
    pub(crate) fn parse(text: &str) -> Result<Self, HandlerError> {
        let form = || HandlerError::Form(text.to_owned());
        let (module, function) = text.rsplit_once('.').ok_or_else(form)?;
        if module.starts_with('/') || module.split('/').any(|part| part == "..") {
            return Err(HandlerError::Outside(text.to_owned()));
        }
        // Names of one place must be one name.
        let parts: Vec<_> =
            module.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        let module = parts.join("/");
        if module.is_empty() || function.is_empty() {
            return Err(form());
        }
        let is_usual = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
        if LONGEST < module.len() || module.starts_with("..") || !module.chars().all(is_usual) {
            return Err(HandlerError::Module(text.to_owned()));
        }
        Ok(Self { module, function: function.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_dot_parts_module_and_function() {
        for (text, module, function) in [
            ("hooks.sync", "hooks", "sync"),
            ("a.b.c", "a.b", "c"),
            ("dir/a.b", "dir/a", "b"),
            ("./dir//a.b", "dir/a", "b"),
        ] {
            let handler = Handler::parse(text).unwrap();
            assert_eq!((handler.module.as_str(), handler.function.as_str()), (module, function));
        }
    }

    #[test]
    fn what_names_no_function_is_told() {
        for text in ["", "a", ".b", "a.", "./.b", "..b"] {
            let error = Handler::parse(text).unwrap_err().to_string();
            assert!(error.contains("It should be module_name.handler_name"), "{error}");
        }
        for text in ["/etc/a.b", "../a.b", "x/../../a.b", "...b"] {
            assert_eq!(Handler::parse(text), Err(HandlerError::Outside(text.to_owned())));
        }
        for text in ["größe.b", "a b.c", "a\\b.c", "..a.b", &format!("{}.b", "x".repeat(241))] {
            assert_eq!(Handler::parse(text), Err(HandlerError::Module(text.to_owned())));
        }
    }

    proptest! {
        /// Breaks when `parse` lets a module pass that is empty, or leads up.
        #[test]
        fn a_module_is_a_file_below_the_function(text in "[ab./é]{0,9}") {
            let Ok(Handler { module, function }) = Handler::parse(&text) else { return Ok(()) };
            let end = format!(".{function}");
            prop_assert!(text.ends_with(&end) && 1 < end.len() && !function.contains('.'));
            prop_assert!(module.split('/').all(|part| !["", ".", ".."].contains(&part)), "{module}");
            let again = Handler::parse(&format!("{module}{end}"));
            prop_assert_eq!(again, Ok(Handler { module, function }));
        }
    }
}
