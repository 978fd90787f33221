//! Pure: what clients are told of selectors that cannot be read, in the words of the reference.

use k8s::selector::{FieldSelectorError, SelectorError};

use crate::{
    field::{FieldError, FieldPath},
    lifecycle::metadata,
};

/// Returns what is told of a label selector.
pub(crate) fn labels(error: &SelectorError) -> String {
    let requirement = |why: String| format!("unable to parse requirement: {why}");
    match error {
        SelectorError::Unexpected { found, expected } => match *expected {
            "`,` or the end" => format!("found '{found}', expected: ',' or 'end of string'"),
            "a label key or `!`" => {
                format!("found '{found}', expected: !, identifier, or 'end of string'")
            }
            "a label key after `,`" => format!("found '{found}', expected: identifier after ','"),
            "`(`" => requirement(format!("found '{found}' expected: '('")),
            "`,`, `)` or a value" => {
                requirement(format!("found '{found}', expected: ',', ')' or identifier"))
            }
            "`,` or `)`" => requirement(format!("found '{found}', expected: ',' or ')'")),
            "an operator" => {
                requirement(format!("found '{found}', expected: in, notin, =, ==, !=, gt, lt"))
            }
            _ => requirement(format!("found '{found}', expected: identifier")),
        },
        SelectorError::Key { key, .. } => {
            let why = metadata::qualified_name(key).join("; ");
            requirement(FieldError::invalid(FieldPath::root(), key.as_str(), why).to_string())
        }
        SelectorError::LabelValue { key, value, .. } => {
            let path = FieldPath::new("values").index(0).key(key);
            let why = metadata::label_value(value).join("; ");
            requirement(FieldError::invalid(path, value.as_str(), why).to_string())
        }
        SelectorError::NoInteger { value, .. } => {
            let why = "for 'Gt', 'Lt' operators, the value must be an integer";
            let path = FieldPath::new("values").index(0);
            requirement(FieldError::invalid(path, value.as_str(), why).to_string())
        }
        SelectorError::Values { .. }
        | SelectorError::Operator { .. }
        | SelectorError::Type { .. } => requirement(error.to_string()),
    }
}

/// Returns what is told of the field selector `text`.
pub(crate) fn fields(text: &str, error: &FieldSelectorError) -> String {
    match error {
        FieldSelectorError::NoOperator { term } => {
            format!("invalid selector: '{text}'; can't understand '{term}'")
        }
        FieldSelectorError::Escape { value } => {
            format!("invalid field selector: {}", escape(value).unwrap_or_default())
        }
    }
}

/// Returns what is wrong with the escapes of a value.
fn escape(value: &str) -> Option<String> {
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if c == '\\' {
            let next = chars.next();
            if !next.is_some_and(|next| "\\,=".contains(next)) {
                let sequence: String = [Some(c), next].into_iter().flatten().collect();
                return Some(format!("invalid escape sequence: {sequence}"));
            }
        } else if ",=".contains(c) {
            return Some(format!("unescaped character in value: {}", u32::from(c)));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use k8s::selector::{FieldSelector, Selector};

    use super::*;

    #[test]
    fn label_selectors_are_refused_in_the_words_of_the_reference() {
        for (text, expected) in [
            ("x in", "unable to parse requirement: found '' expected: '('"),
            ("x in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
            ("x in (a", "unable to parse requirement: found '', expected: ',' or ')'"),
            (
                "x in (=)",
                "unable to parse requirement: found '=', expected: ',', ')' or identifier",
            ),
            ("x=a b", "found 'b', expected: ',' or 'end of string'"),
            ("!x=1", "found '=', expected: ',' or 'end of string'"),
            (",", "found ',', expected: !, identifier, or 'end of string'"),
            ("(", "found '(', expected: !, identifier, or 'end of string'"),
            ("x,,y", "found ',', expected: identifier after ','"),
            ("x=a,", "found '', expected: identifier after ','"),
            (
                "x foo",
                "unable to parse requirement: found 'foo', expected: in, notin, =, ==, !=, gt, lt",
            ),
            (
                "x!",
                "unable to parse requirement: found '!', expected: in, notin, =, ==, !=, gt, lt",
            ),
            ("x>>1", "unable to parse requirement: found '>', expected: identifier"),
            ("!", "unable to parse requirement: found '', expected: identifier"),
            (
                "x>a",
                "unable to parse requirement: values[0]: Invalid value: \"a\": for 'Gt', 'Lt' \
                 operators, the value must be an integer",
            ),
        ] {
            assert_eq!(labels(&Selector::parse(text).unwrap_err()), expected, "{text}");
        }
    }

    #[test]
    fn field_selectors_are_refused_in_the_words_of_the_reference() {
        for (text, expected) in [
            ("a=b,,c", "invalid selector: 'a=b,,c'; can't understand 'c'"),
            ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
            ("a=b\\x", "invalid field selector: invalid escape sequence: \\x"),
            ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        ] {
            assert_eq!(fields(text, &FieldSelector::parse(text).unwrap_err()), expected, "{text}");
        }
    }
}
