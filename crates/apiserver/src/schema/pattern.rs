//! Pure: regular expressions in Go's syntax.

use regex::Regex;
use serde::Deserialize;

/// A regular expression in Go's syntax, compiled if it is one.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "String")]
pub(super) struct Pattern {
    source: String,
    compiled: Result<Regex, String>,
}

impl Pattern {
    /// Returns the text as it was written.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// Returns why the text is no regular expression.
    pub(super) fn error(&self) -> Option<&str> {
        self.compiled.as_ref().err().map(String::as_str)
    }

    /// Returns whether `text` contains a match.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.compiled.as_ref().is_ok_and(|regex| regex.is_match(text))
    }
}

impl From<String> for Pattern {
    fn from(source: String) -> Self {
        let compiled = Regex::new(&translate(&source)).map_err(|error| {
            // The last line says what is wrong, those before it show where.
            let text = error.to_string();
            let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            go_error(&source, why)
        });
        Self { source, compiled }
    }
}

/// Returns what Go says of the most frequent mistakes.
fn go_error(source: &str, why: &str) -> String {
    let from = |c: char| source.rfind(c).and_then(|at| source.get(at..)).unwrap_or(source);
    let (said, shown) = match why {
        "unclosed group" => ("missing closing )", source),
        "unopened group" => ("unexpected )", source),
        "unclosed character class" => ("missing closing ]", from('[')),
        "repetition operator missing expression" => {
            let at = source.find(['*', '+', '?']).unwrap_or(0);
            let operator = source.get(at..=at).unwrap_or(source);
            ("missing argument to repetition operator", operator)
        }
        other => (other, source),
    };
    format!("error parsing regexp: {said}: `{shown}`")
}

/// Rewrites what Go reads differently: its classes know ASCII only, and its brackets do not nest.
fn translate(source: &str) -> String {
    let mut translated = String::with_capacity(source.len() + 16);
    let mut chars = source.chars().peekable();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('Q') if !in_class => quote_until_end(&mut chars, &mut translated),
                Some(escaped) => translated.push_str(&escape(escaped, in_class)),
                None => translated.push('\\'),
            },
            '[' if in_class && chars.peek() != Some(&':') => translated.push_str("\\["),
            '[' => {
                translated.push('[');
                if in_class {
                    // A POSIX class such as `[:alpha:]`; its bracket closes below.
                    for c in chars.by_ref() {
                        translated.push(c);
                        if c == ']' {
                            break;
                        }
                    }
                    continue;
                }
                in_class = true;
                if let Some(negation) = chars.next_if_eq(&'^') {
                    translated.push(negation);
                }
                if chars.next_if_eq(&']').is_some() {
                    translated.push_str("\\]");
                }
            }
            ']' if in_class => {
                in_class = false;
                translated.push(']');
            }
            '&' | '~' if in_class => {
                translated.push('\\');
                translated.push(c);
            }
            c => translated.push(c),
        }
    }
    translated
}

fn escape(escaped: char, in_class: bool) -> String {
    let (set, negated) = match escaped {
        'd' => ("0-9", false),
        'D' => ("0-9", true),
        'w' => ("0-9A-Za-z_", false),
        'W' => ("0-9A-Za-z_", true),
        's' => (r"\t\n\f\r ", false),
        'S' => (r"\t\n\f\r ", true),
        'b' if !in_class => return r"(?-u:\b)".to_owned(),
        '<' | '>' => return escaped.to_string(),
        other => return format!("\\{other}"),
    };
    match (negated, in_class) {
        (true, _) => format!("[^{set}]"),
        (false, true) => set.to_owned(),
        (false, false) => format!("[{set}]"),
    }
}

fn quote_until_end(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    while let Some(c) = chars.next() {
        if c == '\\' && chars.next_if_eq(&'E').is_some() {
            return;
        }
        out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_go() {
        for (pattern, text, matches) in [
            (r"^\d+$", "12", true),
            (r"^\d+$", "١٢", false),
            (r"^[\w-]+$", "a_b-1", true),
            (r"^[[]x$", "[x", true),
            (r"^[]a]+$", "]a", true),
            (r"^[a&&b]+$", "a&b", true),
            (r"^[[:alpha:]_]+$", "ab_", true),
            (r"^[^\s\W]+$", "a1", true),
            (r"\Qa.b\E$", "xa.b", true),
            (r"\Qa.b\E$", "xaxb", false),
            (r"^\<a\>$", "<a>", true),
            (r"^.{3}$", "äöü", true),
            (r"\bb", "a b", true),
        ] {
            let pattern = Pattern::from(pattern.to_owned());
            assert_eq!(pattern.error(), None, "{}", pattern.source());
            assert_eq!(pattern.matches(text), matches, "{} on {text}", pattern.source());
        }
        for (pattern, error) in [
            ("a(", "error parsing regexp: missing closing ): `a(`"),
            ("a)", "error parsing regexp: unexpected ): `a)`"),
            ("x[a-", "error parsing regexp: missing closing ]: `[a-`"),
            ("*a", "error parsing regexp: missing argument to repetition operator: `*`"),
        ] {
            assert_eq!(Pattern::from(pattern.to_owned()).error(), Some(error));
        }
    }
}
