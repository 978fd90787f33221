//! Pure: the one form that times, quantities, binary data and numbers are written in.

use base64::{
    DecodeError, Engine, alphabet,
    engine::{GeneralPurpose, GeneralPurposeConfig},
};
use jiff::Timestamp;
use serde_json::Value;

use crate::{field::quote, pack::Leaf, quantity};

/// Decodes as Go does, which ignores stray bits in the last letter.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Brings a value into its one form; false if it is of the wrong JSON type.
pub(super) fn normalise(leaf: Leaf, value: &mut Value) -> Result<bool, String> {
    let in_form = match (leaf, &*value) {
        (leaf, _) if leaf.is_free() => return Ok(true),
        (Leaf::IntOrString, Value::String(_)) => return Ok(true),
        (Leaf::String | Leaf::Duration, value) => return Ok(value.is_string()),
        (Leaf::Bool, value) => return Ok(value.is_boolean()),
        (Leaf::Float, Value::Number(number)) => match number.as_f64() {
            Some(float) if number.is_f64() => self::float(float),
            _ => return Ok(true),
        },
        (Leaf::Int64, value) => match whole(value) {
            Some(number) => number.into(),
            None => return Ok(false),
        },
        (Leaf::Int32, value) => match whole(value).and_then(|number| i32::try_from(number).ok()) {
            Some(number) => number.into(),
            None => return Ok(false),
        },
        (Leaf::IntOrString, value) => match whole(value).map(i32::try_from) {
            Some(Ok(number)) => number.into(),
            _ => return Ok(false),
        },
        (Leaf::Quantity, Value::String(text)) => quantity::canonical(text)?.into(),
        (Leaf::Quantity, Value::Number(number)) => quantity::canonical(&number.to_string())?.into(),
        (Leaf::Bytes, Value::String(text)) => canonical_base64(text)?.into(),
        (Leaf::Time, Value::String(text)) => moment(text)?.into(),
        (Leaf::MicroTime, Value::String(text)) => micro_moment(text)?.into(),
        _ => return Ok(false),
    };
    *value = in_form;
    Ok(true)
}

/// Returns a JSON number that is whole, whichever way it was written.
fn whole(value: &Value) -> Option<i64> {
    value.as_i64()
}

/// Returns a number as Go writes it: one that is whole has no point.
pub(crate) fn float(number: f64) -> Value {
    /// Beyond this, not every whole number has a float of its own.
    const EXACT: f64 = 9e15;
    if number.fract() == 0.0 && number.abs() < EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole, and in range")]
        let whole = number as i64;
        return whole.into();
    }
    number.into()
}

fn canonical_base64(text: &str) -> Result<String, String> {
    let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    match BASE64.decode(&text) {
        Ok(bytes) => Ok(BASE64.encode(bytes)),
        Err(error) => {
            let at = match error {
                DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => at,
                DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => text.len() / 4 * 4,
            };
            Err(format!("illegal base64 data at input byte {at}"))
        }
    }
}

/// Returns a moment in whole seconds, UTC.
fn moment(text: &str) -> Result<String, String> {
    let at = parse(text)?;
    Ok(Timestamp::from_second(at.as_second()).unwrap_or(at).to_string())
}

/// Returns a moment with six digits after the point, UTC.
fn micro_moment(text: &str) -> Result<String, String> {
    Ok(format!("{:.6}", parse(text)?))
}

fn parse(text: &str) -> Result<Timestamp, String> {
    // The parser also takes a space and other separators, which are no RFC 3339.
    let is_plain = text.get(10..11) == Some("T");
    text.parse::<Timestamp>().ok().filter(|_| is_plain).ok_or_else(|| {
        format!(
            "parsing time {text} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text} as \"2006\"",
            text = quote(text)
        )
    })
}
