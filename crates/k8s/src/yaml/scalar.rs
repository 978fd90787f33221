//! Pure: what the text of a scalar means by Go's rules.

use saphyr_parser::{ScalarStyle, Tag};
use serde_json::Value;

use crate::json;

/// Returns the value of a scalar as it stands in a document.
pub(super) fn resolve(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let tag = match tag {
        None if style == ScalarStyle::Plain => return plain(text),
        Some(tag) if tag.is_yaml_core_schema() => tag.suffix.as_str(),
        // Tags of applications say nothing about JSON.
        _ => return Ok(text.into()),
    };
    let fits: fn(&Value) -> bool = match tag {
        "int" => |value| value.is_i64() || value.is_u64(),
        "float" => Value::is_number,
        "bool" => Value::is_boolean,
        "null" => Value::is_null,
        "binary" => return Err("tag `!!binary` is not supported".to_owned()),
        _ => return Ok(text.into()),
    };
    let value = plain(text)?;
    if fits(&value) { Ok(value) } else { Err(format!("`{text}` is not of type `!!{tag}`")) }
}

/// Returns the value of a scalar without quotes and tags.
pub(super) fn plain(text: &str) -> Result<Value, String> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => true.into(),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => false.into(),
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF"
        | "-.inf" | "-.Inf" | "-.INF" => return Err(format!("`{text}` does not exist in JSON")),
        _ => number(text).unwrap_or_else(|| text.into()),
    })
}

/// Returns the text that a value has as the key of a mapping.
pub(super) fn key(value: Value) -> Result<String, &'static str> {
    match value {
        Value::String(text) => Ok(text),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(number) if number.is_f64() => {
            Ok(json::go_float(number.as_f64().unwrap_or_default()))
        }
        Value::Number(number) => Ok(number.to_string()),
        Value::Null => Err("`null` cannot be a key"),
        Value::Array(_) | Value::Object(_) => Err("a list or mapping cannot be a key"),
    }
}

fn number(text: &str) -> Option<Value> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        return None;
    }
    let text = text.replace('_', "");
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(&text);
    let negative = text.starts_with('-');
    integer(unsigned, negative).or_else(|| float(unsigned, negative))
}

fn integer(unsigned: &str, negative: bool) -> Option<Value> {
    let (radix, digits) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, unsigned.get(2..)?),
        [b'0', b'o' | b'O', ..] => (8, unsigned.get(2..)?),
        [b'0', b'b' | b'B', ..] => (2, unsigned.get(2..)?),
        [b'0', _, ..] => (8, unsigned.get(1..)?),
        _ => (10, unsigned),
    };
    // The standard library would take a second sign.
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let size = u64::from_str_radix(digits, radix).ok()?;
    if negative { 0i64.checked_sub_unsigned(size).map(Value::from) } else { Some(size.into()) }
}

fn float(unsigned: &str, negative: bool) -> Option<Value> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let is_float = digits(whole)
        && digits(fraction)
        && digits(exponent)
        && !exponent.is_empty()
        && (!whole.is_empty() || !fraction.is_empty());
    let size = unsigned.parse::<f64>().ok().filter(|size| is_float && size.is_finite())?;
    Some(whole_or_float(if negative { -size } else { size }))
}

/// Keeps a float only if it has a fraction, as floats become JSON on their way.
#[expect(clippy::cast_possible_truncation, reason = "whole numbers in range lose nothing")]
fn whole_or_float(float: f64) -> Value {
    if float.fract() == 0.0 && float.abs() < 9.2e18 { (float as i64).into() } else { float.into() }
}
