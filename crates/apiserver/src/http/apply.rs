//! Server-side apply: reading what is applied, and by whom.

use http::header;
use k8s::{GroupVersionKind, ObjectKey};
use serde_json::Value;

use crate::{
    backend::{FieldValidation, Modify, Part, WriteOptions},
    error::ApiError,
    field::FieldError,
    http::{
        Call,
        body::{self, Decoded},
        media::Encoding,
        respond::Answer,
        write,
    },
    managed::Author,
    registry::Registered,
};

/// What is applied, and how.
pub(crate) struct Apply<'a> {
    pub(crate) wanted: Value,
    pub(crate) manager: &'a str,
    pub(crate) force: bool,
    pub(crate) options: WriteOptions<'a>,
}

pub(crate) fn apply(
    call: &Call,
    registered: &Registered,
    key: &ObjectKey,
    part: Part,
) -> Result<Answer, ApiError> {
    let Apply { wanted, manager, force, options } = read(call, &registered.resource.gvk)?;
    let modify = Modify { registered, key, part, options };
    let author = Author { name: manager, subresource: part.subresource() };
    let written = call.backend().apply(modify, author, (&wanted, force))?;
    write::written_answer(call, registered, &written)
}

/// Reads the body and the options of an apply of an object of this kind.
pub(crate) fn read<'a>(call: &'a Call, gvk: &GroupVersionKind) -> Result<Apply<'a>, ApiError> {
    let options = call.write_options("PatchOptions")?;
    let manager = call.query.get("fieldManager");
    if manager.is_empty() {
        let error = FieldError::required("fieldManager", "is required for apply patch");
        return Err(ApiError::invalid_kind("PatchOptions", "meta.k8s.io", "", &[error]));
    }
    let Decoded { value: wanted, text } = decode(call)?;
    if let (FieldValidation::Strict, Some(flaw)) = (options.validation, text.flaws.first()) {
        let why = format!("error strict decoding YAML: error converting YAML to JSON: {flaw}");
        return Err(ApiError::bad_request(why));
    }
    // What is unknown is no matter here: what is applied must fit the schema.
    options.warn(text.sent().warnings(options.validation));
    check_type(&wanted, gvk)?;
    check_metadata(&wanted)?;
    let force = call.query.is_true("force");
    Ok(Apply { wanted, manager, force, options })
}

fn decode(call: &Call) -> Result<Decoded<'_>, ApiError> {
    debug_assert!(!call.header(header::CONTENT_TYPE).is_empty(), "an apply is known by its type");
    let decoded = body::decode(&call.body, Encoding::Yaml)
        .map_err(|error| ApiError::bad_request(format!("error decoding YAML: {error}")))?;
    if decoded.value.is_object() {
        Ok(decoded)
    } else {
        let found = match decoded.value {
            Value::Array(_) => "array",
            Value::String(_) => "string",
            Value::Bool(_) => "bool",
            _ => "number",
        };
        Err(ApiError::bad_request(format!(
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal \
             {found} into Go value of type map[string]interface {{}}"
        )))
    }
}

fn check_type(wanted: &Value, gvk: &GroupVersionKind) -> Result<(), ApiError> {
    let text = |name: &str| wanted.get(name).and_then(Value::as_str).unwrap_or_default();
    let (version, kind) = (text("apiVersion"), text("kind"));
    if version == gvk.api_version() && kind == gvk.kind {
        return Ok(());
    }
    let slash = if version.contains('/') { "" } else { "/" };
    Err(ApiError::bad_request(format!("invalid object type: {slash}{version}, Kind={kind}")))
}

fn check_metadata(wanted: &Value) -> Result<(), ApiError> {
    match wanted.get("metadata") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Object(metadata)) => match metadata.get("managedFields") {
            None | Some(Value::Null) => Ok(()),
            Some(_) => Err(ApiError::bad_request("metadata.managedFields must be nil")),
        },
        Some(_) => Err(ApiError::bad_request("metadata is not an object")),
    }
}
