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

/// Why a text names no function in a module.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum HandlerError {
    /// One of the two is missing.
    #[error("`{0}` is no handler. It should be module_name.handler_name")]
    Form(String),
    /// The module is none of the function's own files.
    #[error("the module of `{0}` lies outside the function")]
    Outside(String),
}

impl Handler {
    /// Reads `module.function`; the last dot counts, so that a module may be a dotted package.
    pub(crate) fn parse(text: &str) -> Result<Self, HandlerError> {
        let (module, function) = text
            .rsplit_once('.')
            .filter(|(module, function)| !module.is_empty() && !function.is_empty())
            .ok_or_else(|| HandlerError::Form(text.to_owned()))?;
        if module.starts_with('/') || module.split('/').any(|part| part == "..") {
            return Err(HandlerError::Outside(text.to_owned()));
        }
        Ok(Self { module: module.to_owned(), function: function.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_dot_parts_module_and_function() {
        for (text, module, function) in
            [("hooks.sync", "hooks", "sync"), ("a.b.c", "a.b", "c"), ("dir/a.b", "dir/a", "b")]
        {
            let handler = Handler::parse(text).unwrap();
            assert_eq!((handler.module.as_str(), handler.function.as_str()), (module, function));
        }
    }

    #[test]
    fn what_names_no_function_is_told() {
        for text in ["", "a", ".b", "a."] {
            let error = Handler::parse(text).unwrap_err().to_string();
            assert!(error.contains("It should be module_name.handler_name"), "{error}");
        }
        for text in ["/etc/a.b", "../a.b", "x/../../a.b"] {
            assert_eq!(Handler::parse(text), Err(HandlerError::Outside(text.to_owned())));
        }
    }
}
