//! Pure: regular expressions by RE2's syntax, on the crate `regex`.

use std::borrow::Cow;

use regex::{Captures, Regex, RegexBuilder};

/// The largest compiled expression.
const SIZE_LIMIT: usize = 10 << 20;

/// Puts a backslash before every character that means something in an expression.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// Returns whether the expression is found anywhere in `text`.
pub(super) fn is_match(pattern: &str, text: &str) -> Result<bool, String> {
    Ok(compile(pattern)?.is_match(text))
}

/// Replaces every match; `$1`, `${1}` and `$name` stand for groups.
pub(super) fn replace_all(pattern: &str, text: &str, replacement: &str) -> Result<String, String> {
    let regex = compile(pattern)?;
    let expand = |captures: &Captures<'_>| {
        let mut expanded = String::new();
        captures.expand(replacement, &mut expanded);
        expanded
    };
    Ok(regex.replace_all(text, expand).into_owned())
}

fn compile(pattern: &str) -> Result<Regex, String> {
    let translated = translate(pattern);
    RegexBuilder::new(&translated).size_limit(SIZE_LIMIT).build().map_err(|error| {
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default();
        format!("error parsing regexp: {}: `{pattern}`", reason.trim_start_matches("error: "))
    })
}

/// Rewrites what RE2 reads in another way: classes are ASCII, `\Q..\E` quotes, and inside brackets
/// neither `[` nor `&&`, `--` and `~~` mean anything.
fn translate(pattern: &str) -> Cow<'_, str> {
    if !pattern.contains(['\\', '[']) {
        return Cow::Borrowed(pattern);
    }
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    let mut in_class = false;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        rest = match c {
            '\\' => translate_escape(after, &mut out),
            '[' if !in_class => {
                in_class = true;
                start_class(after, &mut out)
            }
            '[' => nested(after, &mut out),
            ']' => {
                in_class = false;
                out.push(']');
                after
            }
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
                after
            }
            c => {
                out.push(c);
                after
            }
        };
    }
    Cow::Owned(out)
}

/// Writes one escape and returns what follows it.
fn translate_escape<'a>(after: &'a str, out: &mut String) -> &'a str {
    if let Some(quoted) = after.strip_prefix('Q') {
        let (quoted, rest) = quoted.split_once("\\E").unwrap_or((quoted, ""));
        out.push_str(&regex::escape(quoted));
        return rest;
    }
    let Some(c) = after.chars().next() else {
        out.push('\\');
        return after;
    };
    match c {
        'd' => out.push_str("[0-9]"),
        'D' => out.push_str("[^0-9]"),
        'w' => out.push_str("[0-9A-Za-z_]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        's' => out.push_str(r"[\t\n\f\r ]"),
        'S' => out.push_str(r"[^\t\n\f\r ]"),
        'b' => out.push_str(r"(?-u:\b)"),
        // Between two bytes of one character nothing may match, so the plain form is not allowed.
        'B' => out.push_str(r"\B"),
        c => {
            out.push('\\');
            out.push(c);
        }
    }
    after.get(c.len_utf8()..).unwrap_or_default()
}

/// Writes the start of a bracket expression, in which a leading `]` is a character.
fn start_class<'a>(after: &'a str, out: &mut String) -> &'a str {
    out.push('[');
    let negated = after.strip_prefix('^');
    if negated.is_some() {
        out.push('^');
    }
    let after = negated.unwrap_or(after);
    match after.strip_prefix(']') {
        Some(rest) => {
            out.push_str(r"\]");
            rest
        }
        None => after,
    }
}

/// Writes a `[` inside brackets: the start of a named class or a character.
fn nested<'a>(after: &'a str, out: &mut String) -> &'a str {
    let named = after.strip_prefix(':').and_then(|name| name.split_once(":]"));
    if let Some((name, rest)) = named {
        out.push_str("[:");
        out.push_str(name);
        out.push_str(":]");
        return rest;
    }
    out.push_str(r"\[");
    after
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn groups_are_substituted() {
        let replace = |replacement| replace_all("a(x*)b", "-ab-axxb-", replacement).unwrap();
        assert_eq!(replace("${1}W"), "-W-xxW-");
        assert_eq!(replace("$1W"), "---");
        assert_eq!(replace("$0$$"), "-ab$-axxb$-");
    }

    #[test]
    fn only_special_characters_are_escaped() {
        assert_eq!(escape("a-b.c"), r"a-b\.c");
        assert_eq!(escape("#&~ {x}"), r"#&~ \{x\}");
    }

    #[test]
    fn classes_are_ascii_and_brackets_are_plain() {
        for (pattern, text, matches) in [
            (r"^\d$", "٣", false),
            (r"^[\d[]$", "[", true),
            (r"^[a&&b]$", "&", true),
            (r"^\Qa.b\E$", "axb", false),
            (r"^[]x]+$", "]x", true),
            (r"^[[:alpha:]]$", "a", true),
            (r"^\pL$", "ä", true),
            (r"(?P<n>a)(?i)B", "ab", true),
        ] {
            assert_eq!(is_match(pattern, text), Ok(matches), "{pattern}");
        }
    }

    #[test]
    fn look_around_is_an_error() {
        assert!(is_match("(?=x)", "x").unwrap_err().starts_with("error parsing regexp: "));
        assert!(is_match(r"(a)\1", "aa").is_err());
        assert!(is_match("(", "").is_err());
    }

    proptest! {
        #[test]
        fn any_pattern_is_survived(pattern in r"[\\\[\]^a-c:QE&~(){}*+?|$.dDwWsSbB-]{0,30}") {
            let _ = is_match(&pattern, "abc");
        }
    }
}
