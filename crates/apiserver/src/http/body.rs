//! Reading request bodies.

use std::fmt::Write as _;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use k8s::json::JsonError;
use serde_json::{Map, Value};
use tower::BoxError;

use crate::{
    backend::FieldValidation, duplicates, error::ApiError, http::media::Encoding, lifecycle,
    registry::Registered,
};

/// How much of a body that cannot be read is shown.
const SHOWN: usize = 1024;

/// A decoded body and what was odd about it.
pub(crate) struct Decoded {
    pub(crate) value: Value,
    /// What a strict decoder would refuse, such as a key that occurs twice.
    pub(crate) flaws: Vec<String>,
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
pub(crate) fn decode(bytes: &[u8], encoding: Encoding) -> Result<Decoded, ApiError> {
    match encoding {
        Encoding::Json => json(bytes),
        Encoding::Yaml => yaml(bytes),
        Encoding::Protobuf => crate::protobuf::decode(bytes)
            .map(|value| Decoded { value, flaws: vec![] })
            .map_err(|error| ApiError::bad_request(error.to_string())),
    }
}

/// Decodes a body that is an object of the resource.
///
/// # Errors
///
/// In the words of the reference, which looks at the body's kind before all else and tells of its bytes.
pub(crate) fn decode_as(
    registered: &Registered,
    bytes: &[u8],
    encoding: Encoding,
) -> Result<Decoded, ApiError> {
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
    if encoding != Encoding::Json {
        return decode(bytes, encoding);
    }
    let unversioned = |why: String, shown: String| {
        refused(format!("couldn't get version/kind; json parse error: {why} ({shown})"))
    };
    if let Err(error) = k8s::json::parse(bytes) {
        let shown = match bytes {
            [] => "<empty>".to_owned(),
            bytes => String::from_utf8_lossy(bytes).into_owned(),
        };
        return Err(unversioned(unread(&error, bytes), shown.chars().take(SHOWN).collect()));
    }
    let mut decoded = json(bytes)?;
    match &decoded.value {
        Value::Object(_) => {}
        Value::Null => decoded.value = Value::Object(Map::new()),
        other => {
            let target = r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
            return Err(unversioned(unfit(other, target), hex(bytes)));
        }
    }
    Ok(decoded)
}

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

/// Returns the flaws as warnings, or refuses them, as the request wants.
pub(crate) fn judge(
    registered: &Registered,
    flaws: Vec<String>,
    validation: FieldValidation,
) -> Result<Vec<String>, ApiError> {
    match validation {
        FieldValidation::Ignore => Ok(vec![]),
        FieldValidation::Warn => Ok(flaws),
        FieldValidation::Strict if flaws.is_empty() => Ok(flaws),
        FieldValidation::Strict => {
            let why = format!("strict decoding error: {}", flaws.join(", "));
            Err(lifecycle::undecodable(registered, &why))
        }
    }
}

fn json(bytes: &[u8]) -> Result<Decoded, ApiError> {
    if let Ok(value) = k8s::json::parse_strict(bytes) {
        return Ok(Decoded { value, flaws: vec![] });
    }
    let value =
        k8s::json::parse(bytes).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let twice = duplicates::find(bytes);
    let flaws = twice.iter().map(|path| format!("duplicate field \"{path}\"")).collect();
    Ok(Decoded { value, flaws })
}

fn yaml(bytes: &[u8]) -> Result<Decoded, ApiError> {
    // The YAML parser follows no more than 255 brackets; most of what uses more is JSON under another name.
    if let Ok(value) = k8s::json::parse_strict(bytes) {
        return Ok(Decoded { value, flaws: vec![] });
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|_| ApiError::bad_request("the body is not UTF-8 text"))?;
    let mut documents =
        k8s::yaml::documents(text).map_err(|error| ApiError::bad_request(error.to_string()))?;
    if 1 < documents.len() {
        return Err(ApiError::bad_request("the body holds more than one document"));
    }
    let value = documents.pop().map_or(Value::Null, |document| document.value);
    Ok(Decoded { value, flaws: vec![] })
}
