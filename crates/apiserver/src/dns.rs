//! Pure: which texts are DNS names, as most names in the API must be.

use crate::field::{FieldError, FieldPath};

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters \
    or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or \
    '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or \
    '-', start with an alphabetic character, and end with an alphanumeric character (e.g. \
    'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
    characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
    'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// Returns why a text is no DNS-1123 label.
pub(crate) fn label(text: &str) -> Vec<String> {
    let why = if text.split('.').all(is_label) { "must not contain dots" } else { LABEL };
    too_long(text, 63).into_iter().chain(wrong(!is_label(text), why)).collect()
}

/// Returns why a text is no DNS-1035 label.
pub(crate) fn label_1035(text: &str) -> Vec<String> {
    let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase());
    too_long(text, 63)
        .into_iter()
        .chain(wrong(!is_label(text) || !starts_well, LABEL_1035))
        .collect()
}

/// Returns why a text is no DNS-1123 subdomain.
pub(crate) fn subdomain(text: &str) -> Vec<String> {
    let good = text.split('.').all(is_label);
    too_long(text, 253).into_iter().chain(wrong(!good, SUBDOMAIN)).collect()
}

/// Returns why a text is no DNS-1123 subdomain whose labels may start with and hold underscores.
pub(crate) fn subdomain_with_underscores(text: &str) -> Vec<String> {
    const UNDERSCORES: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
        characters, '_', '-' or '.', and must start and end with an alphanumeric character (e.g. \
        'example.com', regex used for validation is \
        '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')";
    let is_good = |label: &str| {
        let label = label.strip_prefix('_').unwrap_or(label);
        !label.starts_with('_') && is_label(&label.replace('_', "-"))
    };
    let good = text.split('.').all(is_good);
    too_long(text, 253).into_iter().chain(wrong(!good, UNDERSCORES)).collect()
}

/// Returns why a text is no DNS-1123 subdomain below any name.
pub(crate) fn wildcard(text: &str) -> Vec<String> {
    const WILDCARD: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid \
        DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end \
        with an alphanumeric character (e.g. '*.example.com', regex used for validation is \
        '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    let good = text.strip_prefix("*.").is_some_and(|rest| rest.split('.').all(is_label));
    too_long(text, 253).into_iter().chain(wrong(!good, WILDCARD)).collect()
}

/// Returns what is wrong with a kind.
pub(crate) fn kind(path: &FieldPath, kind: &str) -> Option<FieldError> {
    let errors = label_1035(&kind.to_lowercase());
    (!errors.is_empty()).then(|| {
        let detail =
            format!("may have mixed case, but should otherwise match: {}", errors.join(","));
        FieldError::invalid(path, kind, detail)
    })
}

fn is_label(text: &str) -> bool {
    let ends_well = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(ends_well)
        && text.ends_with(ends_well)
        && text.chars().all(|c| ends_well(c) || c == '-')
}

fn too_long(text: &str, max: usize) -> Option<String> {
    (text.len() > max).then(|| format!("must be no more than {max} characters"))
}

fn wrong(wrong: bool, why: &str) -> Option<String> {
    wrong.then(|| why.to_owned())
}
