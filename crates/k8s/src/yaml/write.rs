//! Pure: writes values as YAML in block style.

use serde_json::{Map, Value};

use super::scalar;
use crate::json;

/// How long a key may be before it needs the `? ` form.
const MAX_SIMPLE_KEY: usize = 1000;

/// Writes a value as a YAML document: keys sorted, lists flush with their key, long lines left alone.
pub fn to_string(value: &Value) -> String {
    let mut writer = Writer { text: String::new() };
    match value {
        Value::Object(fields) if !fields.is_empty() => writer.mapping(fields, 0, Start::OwnLine),
        Value::Array(items) if !items.is_empty() => writer.list(items, 0, Start::OwnLine),
        leaf => {
            writer.leaf(leaf, 2);
            writer.text.push('\n');
        }
    }
    writer.text
}

/// Where the first entry of a list or mapping goes.
#[derive(Clone, Copy, PartialEq)]
enum Start {
    OwnLine,
    BehindDash,
}

struct Writer {
    text: String,
}

impl Writer {
    fn mapping(&mut self, fields: &Map<String, Value>, indent: usize, start: Start) {
        let mut fields: Vec<_> = fields.iter().collect();
        fields.sort_by_key(|(key, _)| *key);
        for (index, (key, value)) in fields.into_iter().enumerate() {
            if index > 0 || start == Start::OwnLine {
                self.indent(indent);
            }
            let key = one_line(key);
            if key.len() > MAX_SIMPLE_KEY {
                self.text.push_str("? ");
                self.text.push_str(&key);
                self.text.push('\n');
                self.indent(indent);
            } else {
                self.text.push_str(&key);
            }
            self.text.push(':');
            self.field(value, indent);
        }
    }

    fn field(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                self.text.push('\n');
                self.mapping(fields, indent + 2, Start::OwnLine);
            }
            Value::Array(items) if !items.is_empty() => {
                self.text.push('\n');
                self.list(items, indent, Start::OwnLine);
            }
            leaf => {
                self.text.push(' ');
                self.leaf(leaf, indent + 2);
                self.text.push('\n');
            }
        }
    }

    fn list(&mut self, items: &[Value], indent: usize, start: Start) {
        for (index, item) in items.iter().enumerate() {
            if index > 0 || start == Start::OwnLine {
                self.indent(indent);
            }
            self.text.push_str("- ");
            match item {
                Value::Object(fields) if !fields.is_empty() => {
                    self.mapping(fields, indent + 2, Start::BehindDash);
                }
                Value::Array(items) if !items.is_empty() => {
                    self.list(items, indent + 2, Start::BehindDash);
                }
                leaf => {
                    self.leaf(leaf, indent + 2);
                    self.text.push('\n');
                }
            }
        }
    }

    fn leaf(&mut self, value: &Value, indent: usize) {
        match value {
            Value::String(text) if fits_block(text) => self.block(text, indent),
            Value::String(text) => self.text.push_str(&one_line(text)),
            Value::Number(number) if number.is_f64() => {
                self.text.push_str(&json::go_float(number.as_f64().unwrap_or_default()));
            }
            // Null, booleans, integers and what is empty read as in JSON.
            other => self.text.push_str(&other.to_string()),
        }
    }

    fn block(&mut self, text: &str, indent: usize) {
        let (lines, header) = match text.strip_suffix('\n') {
            None => (text, "|-"),
            Some(lines) if lines.ends_with('\n') => (lines, "|+"),
            Some(lines) => (lines, "|"),
        };
        self.text.push_str(header);
        for line in lines.split('\n') {
            self.text.push('\n');
            if !line.is_empty() {
                self.indent(indent);
                self.text.push_str(line);
            }
        }
    }

    fn indent(&mut self, indent: usize) {
        self.text.extend(std::iter::repeat_n(' ', indent));
    }
}

/// Returns whether a text reads well, and the same, as a literal block.
fn fits_block(text: &str) -> bool {
    text.trim_end_matches('\n').contains('\n')
        && !text.starts_with([' ', '\t', '\n'])
        && !text.trim_end_matches('\n').ends_with([' ', '\t'])
        && text.chars().all(|c| c == '\n' || c == '\t' || is_printable(c))
}

/// Writes a text on one line, with the quotes it needs.
fn one_line(text: &str) -> String {
    if !text.chars().all(is_printable) || is_ambiguous(text) {
        double_quoted(text)
    } else if is_plain(text) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

/// Returns whether a text without quotes would be, or once was, read as something else.
fn is_ambiguous(text: &str) -> bool {
    let starts_like_a_number = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    let like_a_date = text.as_bytes().get(4) == Some(&b'-')
        && text.bytes().take(4).all(|byte| byte.is_ascii_digit());
    let like_base_60 = starts_like_a_number
        && text.contains(':')
        && text.bytes().all(|byte| byte.is_ascii_digit() || b":+-._".contains(&byte));
    matches!(text, "y" | "Y" | "n" | "N" | "<<" | "=")
        || like_a_date
        || like_base_60
        || !scalar::plain(text).is_ok_and(|value| value.is_string())
}

/// Returns whether the syntax lets a text stand without quotes.
fn is_plain(text: &str) -> bool {
    let mut chars = text.chars();
    let (first, second) = (chars.next(), chars.next());
    let starts_well = match first {
        Some('-' | '?' | ':') => second.is_some_and(|c| c != ' '),
        Some(c) => !" ,[]{}#&*!|>'\"%@`".contains(c),
        None => false,
    };
    starts_well
        && !text.starts_with("---")
        && !text.starts_with("...")
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
}

fn double_quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if is_printable(c) => quoted.push(c),
            c => quoted.push_str(&escaped(u32::from(c))),
        }
    }
    quoted.push('"');
    quoted
}

fn escaped(code: u32) -> String {
    match code {
        0..=0xff => format!("\\x{code:02X}"),
        0x100..=0xffff => format!("\\u{code:04X}"),
        _ => format!("\\U{code:08X}"),
    }
}

fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}
