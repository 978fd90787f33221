//! Reading request bodies.

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::Value;
use tower::BoxError;

use crate::{
    backend::FieldValidation, duplicates, error::ApiError, http::media::Encoding, lifecycle,
    registry::Registered,
};

/// The largest request body.
pub(crate) const LIMIT: usize = 3_145_728;

/// A decoded body and what was odd about it.
pub(crate) struct Decoded {
    pub(crate) value: Value,
    /// What a strict decoder would refuse, such as a key that occurs twice.
    pub(crate) flaws: Vec<String>,
}

/// Reads a whole body.
pub(crate) async fn read<B>(body: B) -> Result<Bytes, ApiError>
where
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    match Limited::new(body, LIMIT).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::too_large(LIMIT)),
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
