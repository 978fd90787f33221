//! Patches: reading them and applying them to a value.

use k8s::patch::PatchError;
use serde_json::Value;

use crate::{
    error::ApiError,
    field::FieldError,
    http::{Call, body, media::PatchKind},
    registry::Registered,
    strategic::{self, StrategicError},
};

/// A patch that was read.
#[derive(Clone, Debug)]
pub(crate) struct Patch {
    kind: PatchKind,
    value: Value,
}

/// How many operations a JSON patch may have.
const MAX_OPERATIONS: usize = 10_000;

pub(crate) fn parse(call: &Call, kind: PatchKind) -> Result<Patch, ApiError> {
    if call.query.flag("force").is_some() {
        let why = "may not be specified for non-apply patch";
        let error = FieldError::forbidden("force", why);
        return Err(ApiError::invalid_kind("PatchOptions", "meta.k8s.io", "", &[error]));
    }
    let value = k8s::json::parse(&call.body).map_err(|error| {
        let why = body::unread(&error, &call.body);
        ApiError::bad_request(format!("error decoding patch: {why}"))
    })?;
    let well_formed = match (&value, kind) {
        (Value::Array(operations), PatchKind::Json) if MAX_OPERATIONS < operations.len() => {
            let message = format!(
                "Request entity too large: The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
                operations.len()
            );
            return Err(ApiError::too_many_operations(message));
        }
        (Value::Array(_), PatchKind::Json) => true,
        (Value::Object(_), kind) => kind != PatchKind::Json,
        _ => false,
    };
    if well_formed {
        Ok(Patch { kind, value })
    } else {
        let target = match kind {
            PatchKind::Json => "[]handlers.jsonPatchOp",
            _ => "map[string]interface {}",
        };
        let why = body::unfit(&value, target);
        Err(ApiError::bad_request(format!("error decoding patch: {why}")))
    }
}

/// Returns a value as a patch changes it.
pub(crate) fn apply(
    registered: &Registered,
    old: &Value,
    patch: &Patch,
) -> Result<Value, ApiError> {
    let mut value = old.clone();
    match patch.kind {
        PatchKind::Merge => k8s::patch::merge(&mut value, &patch.value),
        PatchKind::Json => {
            k8s::patch::json(&mut value, &patch.value).map_err(|error| json_patch_error(&error))?;
        }
        PatchKind::Strategic | PatchKind::Apply => {
            strategic::merge(&registered.resource.gvk, &mut value, &patch.value)
                .map_err(|error| strategic_error(&error))?;
        }
    }
    Ok(value)
}

/// A patch may change everything but what the object is called.
pub(crate) fn check_identity(old: &Value, new: &Value) -> Result<(), ApiError> {
    let text = |object: &Value, field: &str| {
        object["metadata"][field].as_str().unwrap_or_default().to_owned()
    };
    for field in ["apiVersion", "kind"] {
        if new.get(field) != old.get(field) {
            let what = format!("{field} of the object may not be patched");
            return Err(ApiError::bad_request(what));
        }
    }
    let (name, given) = (text(old, "name"), text(new, "name"));
    let why = if given.is_empty() {
        format!(
            "the name of the object ({name} based on URL) was undeterminable: name must be provided"
        )
    } else if given != name {
        format!("the name of the object ({given}) does not match the name on the URL ({name})")
    } else if text(new, "namespace") != text(old, "namespace") {
        "the namespace of the provided object does not match the namespace sent on the request"
            .to_owned()
    } else {
        return Ok(());
    };
    Err(ApiError::bad_request(why))
}

fn json_patch_error(error: &PatchError) -> ApiError {
    if error.is_syntax() {
        ApiError::bad_request(error.to_string())
    } else {
        ApiError::inapplicable()
    }
}

fn strategic_error(error: &StrategicError) -> ApiError {
    match error {
        StrategicError::UnknownList(_) => ApiError::not_implemented(error.to_string()),
        _ => ApiError::bad_request(error.to_string()),
    }
}
