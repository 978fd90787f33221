//! Patches: reading them and applying them to a value.

use serde_json::Value;

use crate::{
    error::ApiError,
    field::FieldError,
    http::{
        Call,
        body::{self, Decoded},
        media::PatchKind,
    },
    lifecycle,
    registry::Registered,
    sent::Sent,
    strategic::{self, StrategicError},
};

/// A patch that was read.
#[derive(Clone, Debug)]
pub(crate) struct Patch {
    kind: PatchKind,
    value: Value,
    /// What a strict decoder minds in it.
    flaws: Vec<String>,
}

impl Patch {
    /// Returns the patch as what was sent.
    pub(crate) fn sent(&self) -> Sent<'_> {
        Sent::Patch { patch: &self.value, kind: self.kind, flaws: &self.flaws, patched: None }
    }
}

/// How many operations a JSON patch may have.
const MAX_OPERATIONS: usize = 10_000;

pub(crate) fn parse(call: &Call, kind: PatchKind) -> Result<Patch, ApiError> {
    if call.query.flag("force").is_some() {
        let why = "may not be specified for non-apply patch";
        let error = FieldError::forbidden("force", why);
        return Err(ApiError::invalid_kind("PatchOptions", "meta.k8s.io", "", &[error]));
    }
    let Decoded { value, text } = body::json(&call.body).map_err(|error| {
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
        (Value::Array(operations), PatchKind::Json) => {
            operations.iter().try_for_each(check_operation)?;
            true
        }
        (Value::Object(_), kind) => kind != PatchKind::Json,
        _ => false,
    };
    if well_formed {
        let flaw =
            |it: String| if kind == PatchKind::Json { format!("json patch {it}") } else { it };
        Ok(Patch { kind, value, flaws: text.flaws.into_iter().map(flaw).collect() })
    } else {
        let target = match kind {
            PatchKind::Json => "[]handlers.jsonPatchOp",
            _ => "map[string]interface {}",
        };
        let why = body::unfit(&value, target);
        Err(ApiError::bad_request(format!("error decoding patch: {why}")))
    }
}

/// Checks the types that a decoder of operations looks at; what is missing shows later.
fn check_operation(operation: &Value) -> Result<(), ApiError> {
    let broken = |why: String| Err(ApiError::bad_request(format!("error decoding patch: {why}")));
    if !matches!(operation, Value::Object(_) | Value::Null) {
        return broken(body::unfit(operation, "handlers.jsonPatchOp"));
    }
    for field in ["op", "path", "from"] {
        match operation.get(field) {
            None | Some(Value::Null | Value::String(_)) => {}
            Some(other) => {
                let found = lifecycle::go_type(other);
                return broken(format!(
                    "json: cannot unmarshal {found} into Go struct field jsonPatchOp.{field} of \
                     type string"
                ));
            }
        }
    }
    Ok(())
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
            k8s::patch::json(&mut value, &patch.value).map_err(|_| ApiError::inapplicable())?;
            if !value.is_object() {
                return Err(ApiError::inapplicable());
            }
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

fn strategic_error(error: &StrategicError) -> ApiError {
    match error {
        StrategicError::UnknownList(_) => ApiError::not_implemented(error.to_string()),
        _ => ApiError::bad_request(error.to_string()),
    }
}
