//! Pure: the parameters of a query, and which of them go together.

use crate::{
    backend::{FieldValidation, Ownership, WriteOptions},
    error::ApiError,
    field::FieldError,
    managed::Author,
};

/// The parameters of a query in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

/// The longest name of a manager of fields.
const MAX_MANAGER: usize = 128;

/// Which revision a read asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revision {
    /// The newest.
    Unset,
    /// Any, which is the newest here.
    Any,
    /// This one or a newer one.
    NotOlderThan(u64),
    /// Exactly this one.
    Exact(u64),
}

impl Query {
    /// Parses the text after the question mark.
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name, true), decode(value, true))
        });
        Self(pairs.collect())
    }

    /// Returns the first value of a parameter, empty if there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|pair| pair.0 == name).map_or("", |pair| &pair.1)
    }

    /// Returns whether a parameter is given and not denied.
    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.flag(name) == Some(true)
    }

    /// Returns what a switch says: a parameter without a value is on.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        let value = self.0.iter().find(|pair| pair.0 == name).map(|pair| pair.1.as_str())?;
        Some(!matches!(value, "false" | "0" | "F" | "f" | "FALSE" | "False"))
    }

    /// Returns a number, nothing if it is not given.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        match self.get(name) {
            "" => Ok(None),
            text => text
                .parse()
                .map(Some)
                .map_err(|_| ApiError::bad_request(no_number("ParseInt", text))),
        }
    }

    /// Returns the options of a write; `kind` names them in errors.
    ///
    /// Who does not say as what they manage fields is known by the name of their program.
    pub(crate) fn write_options<'a>(
        &'a self,
        kind: &str,
        user_agent: &'a str,
    ) -> Result<WriteOptions<'a>, ApiError> {
        let mut errors = vec![];
        let dry_run = self.dry_run().unwrap_or_else(|error| {
            errors.push(error);
            false
        });
        let validation = match self.get("fieldValidation") {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            other => {
                let known = ["", "Ignore", "Strict", "Warn"];
                errors.push(FieldError::not_supported("fieldValidation", other, &known));
                FieldValidation::Warn
            }
        };
        let manager = self.get("fieldManager");
        if MAX_MANAGER < manager.len() {
            errors.push(FieldError::too_long("fieldManager", MAX_MANAGER as u64));
        } else if manager.contains(|c: char| c.is_control()) {
            let why = "should only contain printable characters";
            errors.push(FieldError::invalid("fieldManager", manager, why));
        }
        match errors.as_slice() {
            [] => {
                let name = if manager.is_empty() { program(user_agent) } else { manager };
                let ownership = Ownership::Take(Author { name, subresource: "" });
                Ok(WriteOptions { dry_run, validation, ownership, ..WriteOptions::default() })
            }
            errors => Err(ApiError::invalid_kind(kind, "meta.k8s.io", "", errors)),
        }
    }

    /// Returns whether nothing shall be committed.
    pub(crate) fn dry_run(&self) -> Result<bool, FieldError> {
        match self.get("dryRun") {
            "" => Ok(false),
            "All" => Ok(true),
            other => Err(FieldError::not_supported("dryRun", vec![other], &["All"])),
        }
    }

    /// Returns which revision a list asks for.
    pub(crate) fn list_revision(&self) -> Result<Revision, ApiError> {
        let (revision, matching) = (self.get("resourceVersion"), self.get("resourceVersionMatch"));
        let mut errors = vec![];
        let field = "resourceVersionMatch";
        let mut forbid = |field, why| errors.push(FieldError::forbidden(field, why));
        if !matching.is_empty() {
            if revision.is_empty() {
                let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
                forbid(field, why);
            }
            if !self.get("continue").is_empty() {
                forbid(field, "resourceVersionMatch is forbidden when continue is provided");
            }
            if (revision, matching) == ("0", "Exact") {
                let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                forbid(field, why);
            }
        }
        if !self.get("sendInitialEvents").is_empty() {
            forbid("sendInitialEvents", "sendInitialEvents is forbidden for list");
        }
        if !["", "Exact", "NotOlderThan"].contains(&matching) {
            let known = ["Exact", "NotOlderThan", ""];
            errors.push(FieldError::not_supported(field, matching, &known));
        }
        if !errors.is_empty() {
            return Err(list_options(&errors));
        }
        if !self.get("continue").is_empty() && !matches!(revision, "" | "0") {
            return Err(ApiError::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        let limited = self.number("limit")?.unwrap_or(0) > 0;
        Ok(match (parse_revision(revision)?, matching) {
            (None, _) => Revision::Unset,
            (Some(0), _) => Revision::Any,
            (Some(exact), "Exact") => Revision::Exact(exact),
            // A limit alone meant exactness before there was a way to say so.
            (Some(exact), "") if limited => Revision::Exact(exact),
            (Some(least), _) => Revision::NotOlderThan(least),
        })
    }
}

/// Returns the name of the program in a `User-Agent`, cut to what a manager may be called.
fn program(user_agent: &str) -> &str {
    let name = user_agent.split('/').next().unwrap_or_default();
    name.get(..MAX_MANAGER).unwrap_or(name)
}

/// Reads a resourceVersion, nothing if it is empty.
pub(crate) fn parse_revision(text: &str) -> Result<Option<u64>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        let error = FieldError::invalid("resourceVersion", text, no_number("ParseUint", text));
        ApiError::bad_request(format!("invalid resource version: {error}"))
    })
}

/// Returns what Go says of a text that is no number.
fn no_number(function: &str, text: &str) -> String {
    format!("strconv.{function}: parsing {}: invalid syntax", crate::field::quote(text))
}

/// Returns the error of list options that do not go together.
pub(crate) fn list_options(errors: &[FieldError]) -> ApiError {
    ApiError::invalid_kind("ListOptions", "meta.k8s.io", "", errors)
}

/// Undoes percent-encoding; what is no escape stays as it is.
pub(crate) fn decode(text: &str, plus_is_space: bool) -> String {
    if !text.contains(['%', '+']) {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'%' if let Some(byte) = after.get(..2).and_then(hex) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            b'+' if plus_is_space => bytes.push(b' '),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(digits).ok()?;
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u8::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = Query::parse("labelSelector=app%3Dweb,a+in+(b)&watch&x=%zz&limit=5");
        assert_eq!(query.get("labelSelector"), "app=web,a in (b)");
        assert!(query.is_true("watch"));
        assert_eq!(query.get("x"), "%zz");
        assert_eq!(query.number("limit").unwrap(), Some(5));
    }

    #[test]
    fn revisions_are_read_with_their_match() {
        for (query, expected) in [
            ("", Revision::Unset),
            ("resourceVersion=0", Revision::Any),
            ("resourceVersion=7", Revision::NotOlderThan(7)),
            ("resourceVersion=7&limit=2", Revision::Exact(7)),
            ("resourceVersion=7&resourceVersionMatch=Exact", Revision::Exact(7)),
        ] {
            assert_eq!(Query::parse(query).list_revision().unwrap(), expected, "{query}");
        }
    }

    #[test]
    fn parameters_that_do_not_go_together_are_refused() {
        for (query, code) in [
            ("resourceVersionMatch=Exact", 422),
            ("resourceVersion=0&resourceVersionMatch=Exact", 422),
            ("resourceVersion=1&resourceVersionMatch=Odd", 422),
            ("continue=x&resourceVersionMatch=Exact&resourceVersion=1", 422),
            ("sendInitialEvents=true", 422),
            ("continue=x&resourceVersion=1", 400),
            ("resourceVersion=x", 400),
            ("limit=x", 400),
        ] {
            assert_eq!(Query::parse(query).list_revision().unwrap_err().code(), code, "{query}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_read_or_refused(text in ".{0,60}") {
            let query = Query::parse(&text);
            let _ = (query.list_revision(), query.write_options("CreateOptions", &text));
        }
    }
}
