//! Pure: JSON text as Go's encoder writes it.

use serde_json::Value;

/// Writes `value` over several lines, `indent` spaces per level, with a newline at the end.
pub(super) fn manifest(value: &Value, indent: usize) -> String {
    let mut text = String::new();
    write(value, indent, 0, &mut text);
    text.push('\n');
    text
}

fn write(value: &Value, indent: usize, level: usize, out: &mut String) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                start_item(index, indent * (level + 1), out);
                write(item, indent, level + 1, out);
            }
            newline(indent * level, out);
            out.push(']');
        }
        Value::Object(fields) if !fields.is_empty() => {
            out.push('{');
            for (index, (name, value)) in fields.iter().enumerate() {
                start_item(index, indent * (level + 1), out);
                write_string(name, out);
                out.push_str(": ");
                write(value, indent, level + 1, out);
            }
            newline(indent * level, out);
            out.push('}');
        }
        Value::String(text) => write_string(text, out),
        Value::Number(number) => out.push_str(&number_text(number.as_f64().unwrap_or_default())),
        scalar => out.push_str(&scalar.to_string()),
    }
}

fn start_item(index: usize, spaces: usize, out: &mut String) {
    if index != 0 {
        out.push(',');
    }
    newline(spaces, out);
}

fn newline(spaces: usize, out: &mut String) {
    out.push('\n');
    out.extend(std::iter::repeat_n(' ', spaces));
}

/// Writes a string with the characters escaped that are unsafe inside HTML.
fn write_string(text: &str, out: &mut String) {
    for c in Value::from(text).to_string().chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
}

/// Writes very large and very small numbers with an exponent of at least a sign and one digit.
fn number_text(number: f64) -> String {
    let magnitude = number.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = format!("{number:e}");
        return match text.split_once('e') {
            Some((digits, power)) if !power.starts_with('-') => format!("{digits}e+{power}"),
            _ => text,
        };
    }
    number.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn containers_are_indented_unless_empty() {
        let text = manifest(&json!({"b": [1, {}], "a": [], "c": "<&>\u{2028}\n"}), 2);
        let expected = "{\n  \"a\": [],\n  \"b\": [\n    1,\n    {}\n  ],\n  \
                        \"c\": \"\\u003c\\u0026\\u003e\\u2028\\n\"\n}\n";
        assert_eq!(text, expected);
        assert_eq!(manifest(&json!([1]), 0), "[\n1\n]\n");
    }

    #[test]
    fn extreme_numbers_have_exponents() {
        let numbers = [1e21, 1e-7, 1e20, 0.5, -2.5e30, 0.0].map(number_text);
        assert_eq!(numbers, ["1e+21", "1e-7", "100000000000000000000", "0.5", "-2.5e+30", "0"]);
    }
}
