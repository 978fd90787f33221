//! Pure: normalises, defaults and validates what is about to be written, by the rules of its kind.

use serde_json::Value;

use crate::{
    backend::FieldValidation,
    error::ApiError,
    field::FieldError,
    lifecycle::{self, metadata},
    registry::Registered,
};

/// Normalises a decoded body and returns warnings about what was dropped.
pub(crate) fn normalise(
    registered: &Registered,
    value: &mut Value,
    validation: FieldValidation,
) -> Result<Vec<String>, ApiError> {
    let unknown = lifecycle::tidy(registered, value)?;
    let mut warnings = metadata::warnings(registered, value);
    match validation {
        FieldValidation::Strict if !unknown.is_empty() => {
            let fields: Vec<_> = unknown.iter().map(|it| format!("unknown field \"{it}\"")).collect();
            let why = format!("strict decoding error: {}", fields.join(", "));
            return Err(lifecycle::undecodable(registered, &why));
        }
        FieldValidation::Warn => {
            warnings.extend(unknown.iter().map(|it| format!("unknown field \"{it}\"")));
        }
        FieldValidation::Strict | FieldValidation::Ignore => {}
    }
    Ok(warnings)
}

/// Returns everything that is wrong with an object that is about to be written.
pub(crate) fn validate(registered: &Registered, value: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = metadata::validate(registered, value);
    errors.extend(old.and_then(|old| lifecycle::update::finalizers(old, value)));
    errors
}
