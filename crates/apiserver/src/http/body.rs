//! Reading request bodies.

use std::{borrow::Cow, fmt::Write as _};

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use k8s::{
    GroupVersionKind,
    json::JsonError,
    yaml::{Document, RepeatedKey, YamlError},
};
use serde_json::{Map, Value};
use tower::BoxError;

use crate::{
    duplicates,
    error::ApiError,
    field::quote,
    http::media::Encoding,
    lifecycle,
    registry::Registered,
    sent::{Sent, YAML},
    typed,
};

/// How much of a body that cannot be read is shown.
const SHOWN: usize = 1024;

/// A decoded body and what was odd about it.
pub(crate) struct Decoded<'b> {
    pub(crate) value: Value,
    pub(crate) text: Text<'b>,
}

/// What a body says word by word.
#[derive(Default)]
pub(crate) struct Text<'b> {
    /// The body as JSON.
    json: Cow<'b, [u8]>,
    /// What a strict decoder would refuse, such as a key that occurs twice.
    pub(crate) flaws: Vec<String>,
}

impl Text<'_> {
    /// Returns the body as what was sent.
    pub(crate) fn sent(&self) -> Sent<'_> {
        Sent::Object { json: &self.json, flaws: &self.flaws }
    }
}

/// Reads a whole body of at most `limit` bytes.
pub(crate) async fn read<B>(body: B, limit: usize) -> Result<Bytes, ApiError>
where
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::too_large(limit)),
        Err(error) => Err(ApiError::bad_request(format!("error reading the body: {error}"))),
    }
}

/// Decodes a body.
pub(crate) fn decode(bytes: &[u8], encoding: Encoding) -> Result<Decoded<'_>, ApiError> {
    match encoding {
        Encoding::Json => json(bytes).map_err(|error| ApiError::bad_request(error.to_string())),
        Encoding::Yaml => yaml(bytes).map_err(ApiError::bad_request),
        Encoding::Protobuf => crate::protobuf::decode(bytes)
            .map(|value| Decoded { value, text: Text::default() })
            .map_err(|error| ApiError::bad_request(error.to_string())),
    }
}

/// Decodes a body that is an object of the resource.
///
/// # Errors
///
/// In the words of the reference, which looks at the body's kind before all else and tells of its bytes.
pub(crate) fn decode_as<'b>(
    registered: &Registered,
    bytes: &'b [u8],
    encoding: Encoding,
) -> Result<Decoded<'b>, ApiError> {
    let refused = |why: String| {
        let kind = &registered.resource.gvk.kind;
        let what = format!("the object provided is unrecognized (must be of type {kind})");
        ApiError::bad_request(format!("{what}: {why}"))
    };
    if encoding == Encoding::Protobuf && !bytes.starts_with(b"k8s\0") {
        let why = "provided data does not appear to be a protobuf message, expected prefix [107 56 \
                   115 0]";
        return Err(refused(format!("{why} ({})", hex(bytes))));
    }
    if encoding == Encoding::Protobuf {
        return decode(bytes, encoding);
    }
    let unversioned = |why: String, shown: String| {
        refused(format!("couldn't get version/kind; json parse error: {why} ({shown})"))
    };
    let decoded = match encoding {
        Encoding::Yaml => {
            yaml(bytes).map_err(|error| refused(format!("{error} ({})", hex(bytes))))?
        }
        _ => json(bytes).map_err(|error| {
            let shown = match bytes {
                [] => "<empty>".to_owned(),
                bytes => String::from_utf8_lossy(bytes).into_owned(),
            };
            unversioned(unread(&error, bytes), shown.chars().take(SHOWN).collect())
        })?,
    };
    let mut decoded = decoded;
    match &decoded.value {
        Value::Object(_) => {}
        Value::Null => decoded.value = Value::Object(Map::new()),
        other => {
            return Err(unversioned(unfit(other, TYPE_META), hex(bytes)));
        }
    }
    Ok(decoded)
}

/// Decodes the options of a deletion.
pub(crate) fn options(bytes: &[u8], encoding: Encoding) -> Result<Value, ApiError> {
    let unversioned =
        |why| ApiError::bad_request(format!("couldn't get version/kind; json parse error: {why}"));
    let mut value = match encoding {
        Encoding::Json => json(bytes).map_err(|error| unversioned(unread(&error, bytes)))?.value,
        other => decode(bytes, other)?.value,
    };
    if !value.is_object() {
        return Err(unversioned(unfit(&value, TYPE_META)));
    }
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let (version, kind) = (text("apiVersion"), text("kind"));
    if !["", "DeleteOptions"].contains(&kind) {
        return Err(ApiError::bad_request(lifecycle::unregistered(version, kind)));
    }
    let gvk = GroupVersionKind::new("meta.k8s.io/v1", "DeleteOptions");
    typed::normalise(&gvk, &mut value).map_err(|error| ApiError::bad_request(error.to_string()))?;
    Ok(value)
}

const TYPE_META: &str = r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;

/// Returns what Go says of bytes that are not JSON.
pub(crate) fn unread(error: &JsonError, bytes: &[u8]) -> String {
    let why = error.to_string();
    if why.starts_with("EOF") || bytes.is_empty() {
        "unexpected end of JSON input".to_owned()
    } else {
        why
    }
}

/// Returns what Go says of a value of another type than its variable.
pub(crate) fn unfit(value: &Value, target: &str) -> String {
    let kind = lifecycle::go_type(value);
    format!("json: cannot unmarshal {kind} into Go value of type {target}")
}

fn hex(bytes: &[u8]) -> String {
    let pair = |mut text: String, byte: &u8| {
        let _ = write!(text, "{byte:02x}");
        text
    };
    bytes.iter().take(SHOWN).fold(String::new(), pair)
}

/// Decodes JSON.
pub(crate) fn json(bytes: &[u8]) -> Result<Decoded<'_>, JsonError> {
    if let Ok(value) = k8s::json::parse_strict(bytes) {
        return Ok(Decoded { value, text: Text { json: bytes.into(), flaws: vec![] } });
    }
    let value = k8s::json::parse(bytes)?;
    let text = Text { json: bytes.into(), flaws: duplicates::find(bytes) };
    Ok(Decoded { value, text })
}

fn yaml(bytes: &[u8]) -> Result<Decoded<'_>, String> {
    // The YAML parser follows no more than 255 brackets; most of what uses more is JSON under another name.
    if let Ok(value) = k8s::json::parse_strict(bytes) {
        return Ok(Decoded { value, text: Text { json: bytes.into(), flaws: vec![] } });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "yaml: invalid UTF-8 text".to_owned())?;
    // What follows the first document is not read, but must be YAML.
    let documents = k8s::yaml::documents(text).map_err(|error| said(&error, text))?;
    let Some(Document { value, repeated, .. }) = documents.into_iter().next() else {
        return Ok(Decoded { value: Value::Null, text: Text::default() });
    };
    let flaw = |it: &RepeatedKey| {
        let key = if it.is_text { quote(&it.key) } else { it.key.clone() };
        format!("  line {}: key {key} already set in map", it.line)
    };
    let lines: Vec<_> = repeated.iter().map(flaw).collect();
    let flaws = match lines.as_slice() {
        [] => vec![],
        lines => vec![format!("{YAML}{}", lines.join("\n"))],
    };
    let json = serde_json::to_vec(&value).unwrap_or_default().into();
    Ok(Decoded { value, text: Text { json, flaws } })
}

/// Returns what Go's parser says of the most frequent ways to break YAML.
fn said(error: &YamlError, text: &str) -> String {
    let why = if error.reason.starts_with("while parsing a flow sequence") {
        "did not find expected ',' or ']'"
    } else if error.reason.starts_with("while parsing a flow mapping") {
        "did not find expected ',' or '}'"
    } else {
        &error.reason
    };
    // Its lines are counted from the start of what it could not finish.
    let line = error.line.min(text.lines().count().max(1));
    format!("yaml: line {line}: {why}")
}
