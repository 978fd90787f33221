//! Pure: reads JSON text that others wrote, with bounds, and compares values by meaning.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::{Map, Number, Value, value::RawValue};
use thiserror::Error;

/// How deep objects and arrays may be nested in text that others wrote.
pub const MAX_DEPTH: usize = 512;

/// Why a text is not JSON that we take, and where that shows.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{reason} at line {line} column {column}")]
pub struct JsonError {
    /// The line, counted from 1.
    pub line: usize,
    /// The column in bytes, counted from 1; 0 if the line has just begun.
    pub column: usize,
    /// What is wrong.
    pub reason: String,
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        // The decoder writes the position into its message, where it would be said twice.
        let reason = text.strip_suffix(&format!(" at line {line} column {column}"));
        Self { line, column, reason: reason.unwrap_or(&text).to_owned() }
    }
}

/// Parses JSON text; of keys that occur twice, the last counts.
pub fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    parse_with(bytes, Duplicates::LastCounts)
}

/// Parses JSON text as RFC 8259 has it; a key that occurs twice is an error, one leading BOM is not.
pub fn parse_strict(bytes: &[u8]) -> Result<Value, JsonError> {
    parse_with(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes), Duplicates::Refused)
}

/// Returns whether two values mean the same: equal, with numbers compared by value.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => same_number(a, b),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        _ => a == b,
    }
}

/// Returns the text of an object without `metadata.managedFields`; the other values keep their text.
pub fn without_managed_fields(bytes: &[u8]) -> Result<Vec<u8>, JsonError> {
    let object: Fields<'_> = serde_json::from_slice(bytes)?;
    let mut metadata_text = None;
    for (key, value) in &object.0 {
        if key == "metadata" && value.get().starts_with('{') {
            let mut metadata: Fields<'_> = serde_json::from_str(value.get())?;
            metadata.0.retain(|(key, _)| key != "managedFields");
            metadata_text = Some(serde_json::value::to_raw_value(&metadata)?);
        }
    }
    let fields = object.0.iter().map(|(key, value)| match &metadata_text {
        Some(text) if key == "metadata" => (key.clone(), &**text),
        _ => (key.clone(), *value),
    });
    let mut lean = serde_json::to_vec(&Fields(fields.collect()))?;
    // It is kept as long as the object, and the encoder doubles its room whenever it needs some.
    lean.shrink_to_fit();
    Ok(lean)
}

/// Refuses text that nests more deeply than [`parse`] reads, without decoding it.
pub(crate) fn check_depth(bytes: &[u8]) -> Result<(), JsonError> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (position, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if MAX_DEPTH < depth {
            let before = bytes.get(..position).unwrap_or_default();
            let newline = before.iter().rposition(|byte| *byte == b'\n');
            return Err(JsonError {
                line: before.split(|byte| *byte == b'\n').count(),
                column: 1 + position - newline.map_or(0, |newline| newline + 1),
                reason: format!("nested deeper than {MAX_DEPTH} levels"),
            });
        }
    }
    Ok(())
}

/// Returns whether objects and arrays are nested deeper than text of ours may be.
pub fn is_too_deep(value: &Value) -> bool {
    exceeds(value, MAX_DEPTH)
}

/// Writes a float as Go's encoder does: the shortest digits, and an exponent only for extremes.
pub(crate) fn go_float(float: f64) -> String {
    let size = float.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return float.to_string();
    }
    let text = format!("{float:e}");
    if size >= 1e21 { text.replace('e', "e+") } else { text }
}

fn exceeds(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => depth == 0 || items.iter().any(|item| exceeds(item, depth - 1)),
        Value::Object(fields) => depth == 0 || fields.values().any(|item| exceeds(item, depth - 1)),
        _ => false,
    }
}

fn same_number(a: &Number, b: &Number) -> bool {
    a == b || a.is_f64() != b.is_f64() && a.as_f64() == b.as_f64()
}

fn parse_with(bytes: &[u8], duplicates: Duplicates) -> Result<Value, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    // The seed counts the depth itself: the decoder's own limit is 128.
    deserializer.disable_recursion_limit();
    let value = Bounded { duplicates, depth: MAX_DEPTH }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// What becomes of a key that occurs twice in one object.
#[derive(Clone, Copy, PartialEq)]
enum Duplicates {
    LastCounts,
    Refused,
}

/// Decodes one value that may nest `depth` levels.
#[derive(Clone, Copy)]
struct Bounded {
    duplicates: Duplicates,
    depth: usize,
}

impl Bounded {
    fn below<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth, ..self }),
            None => Err(E::custom(format_args!("nested deeper than {MAX_DEPTH} levels"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Bounded {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let seed = self.below()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(seed)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let seed = self.below()?;
        let mut fields = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if self.duplicates == Duplicates::Refused && fields.contains_key(&key) {
                return Err(A::Error::custom(format_args!("duplicate key `{key}`")));
            }
            fields.insert(key, access.next_value_seed(seed)?);
        }
        Ok(Value::Object(fields))
    }
}

/// The fields of an object in the order of its text, with those that come again, their values unparsed.
#[derive(Clone, Debug)]
pub struct Fields<'a>(pub Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = access.next_entry()? {
            fields.push(field);
        }
        Ok(Fields(fields))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn strict_error(text: &str) -> String {
        parse_strict(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn strict_text_is_refused_with_its_place() {
        assert_eq!(strict_error(""), "EOF while parsing a value at line 1 column 0");
        assert_eq!(strict_error("{}\n{}"), "trailing characters at line 2 column 1");
        assert_eq!(strict_error("[1e400]"), "number out of range at line 1 column 6");
        assert_eq!(
            strict_error("{\"a\": {\"b\": 1,\n \"b\": 2}}"),
            "duplicate key `b` at line 2 column 4"
        );
        assert!(parse_strict(b"\xEF\xBB\xBF\xEF\xBB\xBF1").is_err());
        assert_eq!(parse_strict(b"\xEF\xBB\xBF1").unwrap(), json!(1));
    }

    #[test]
    fn plain_text_takes_the_last_duplicate() {
        assert_eq!(
            parse(br#"{"a": 1, "a": [18446744073709551616]}"#).unwrap(),
            json!({"a": [1.844_674_407_370_955_2e19]})
        );
    }

    #[test]
    fn depth_is_checked_without_decoding() {
        let nested =
            |levels: usize| format!("{}\"[[\\\"{{\"{}", "[".repeat(levels), "]".repeat(levels));
        assert!(check_depth(nested(MAX_DEPTH).as_bytes()).is_ok());
        let error = check_depth(nested(MAX_DEPTH + 1).as_bytes()).unwrap_err();
        assert_eq!((error.line, error.column), (1, MAX_DEPTH + 1));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(512).as_bytes()).is_ok());
        let error = parse(nested(513).as_bytes()).unwrap_err();
        assert_eq!(error.reason, "nested deeper than 512 levels");
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
        assert!(parse("{\"a\":".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn numbers_are_the_same_by_value() {
        assert!(same(&json!({"a": [1, 2.5]}), &json!({"a": [1.0, 2.5]})));
        assert!(!same(&json!(1), &json!(1.5)));
        assert!(!same(&json!(u64::MAX), &json!(u64::MAX - 1)));
        assert!(!same(&json!({"a": 1}), &json!({"b": 1})));
        assert!(!same(&json!([1]), &json!([1, 2])));
    }

    #[test]
    fn managed_fields_are_cut_out() {
        let cut = |text: &str| String::from_utf8(without_managed_fields(text.as_bytes()).unwrap());
        assert_eq!(
            cut(r#"{ "b": 1.0, "metadata": {"name": "x", "managedFields": [{}], "a": [ 1 ]}, "a": {}}"#).unwrap(),
            r#"{"b":1.0,"metadata":{"name":"x","a":[ 1 ]},"a":{}}"#
        );
        assert_eq!(cut(r#"{"metadata": null}"#).unwrap(), r#"{"metadata":null}"#);
        assert!(without_managed_fields(b"[]").is_err());
    }

    #[test]
    fn floats_are_written_as_go_writes_them() {
        for (float, text) in
            [(1.0, "1"), (1e21, "1e+21"), (1.5e-7, "1.5e-7"), (0.25, "0.25"), (0.0, "0")]
        {
            assert_eq!(go_float(float), text);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes: Vec<u8>, text in r#"[]\[{}":,0-9eE.+ a\\-]*"#) {
            let _ = (parse(&bytes), parse_strict(&bytes), without_managed_fields(&bytes));
            prop_assert_eq!(
                parse(text.as_bytes()).ok(),
                serde_json::from_str::<Value>(&text).ok()
            );
        }
    }
}
