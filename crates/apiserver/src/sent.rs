//! Pure: what a request sent, in its own words, for what is said about it.

use std::borrow::Cow;

use serde_json::Value;

use crate::{
    backend::FieldValidation,
    duplicates,
    error::ApiError,
    field::{FieldError, quote},
    http::media::PatchKind,
    lifecycle,
    registry::Registered,
    typed::TypedError,
};

/// What a request sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Sent<'a> {
    /// Nothing that anybody would be told about: the server itself writes.
    #[default]
    Nothing,
    /// An object.
    Object {
        /// The object as JSON text, which has the order of its fields.
        json: &'a [u8],
        /// What a strict decoder minds besides unknown fields.
        flaws: &'a [String],
    },
    /// A patch.
    Patch {
        /// The patch.
        patch: &'a Value,
        /// How it is written.
        kind: PatchKind,
        /// What a strict decoder minds in the patch.
        flaws: &'a [String],
        /// The object after the patch, once it is known.
        patched: Option<&'a Value>,
    },
}

/// Why what was sent cannot be read as an object of its kind.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// A value does not fit its type.
    Typed(TypedError),
    /// A whole sentence says why.
    Said(String),
}

impl<'a> Sent<'a> {
    /// Returns whether a patch was sent.
    pub(crate) fn is_patch(self) -> bool {
        matches!(self, Self::Patch { .. })
    }

    /// Returns whether a strategic merge patch was sent.
    pub(crate) fn is_strategic(self) -> bool {
        matches!(self, Self::Patch { kind: PatchKind::Strategic, .. })
    }

    /// Adds the object that the patch made.
    pub(crate) fn into(self, patched: Option<&'a Value>) -> Self {
        match self {
            Self::Patch { patch, kind, flaws, .. } => Self::Patch { patch, kind, flaws, patched },
            other => other,
        }
    }

    /// Returns the warnings about what was sent but for unknown fields.
    pub(crate) fn warnings(self, validation: FieldValidation) -> Vec<String> {
        match (self, validation) {
            (Self::Object { flaws, .. } | Self::Patch { flaws, .. }, FieldValidation::Warn) => {
                flaws.iter().flat_map(|flaw| as_warnings(flaw)).collect()
            }
            _ => vec![],
        }
    }

    /// Returns the warnings about what was sent, or refuses it, as the request wants.
    pub(crate) fn judge(
        self,
        registered: &Registered,
        unknown: &[String],
        validation: FieldValidation,
    ) -> Result<Vec<String>, ApiError> {
        let flaws = match validation {
            FieldValidation::Ignore => return Ok(vec![]),
            FieldValidation::Warn | FieldValidation::Strict => self.flaws(registered, unknown),
        };
        if validation == FieldValidation::Warn || flaws.is_empty() {
            return Ok(flaws.iter().flat_map(|flaw| as_warnings(flaw)).collect());
        }
        let why = format!("strict decoding error: {}", flaws.join(", "));
        Err(self.refuse(registered, &Unreadable::Said(why)))
    }

    /// Returns the error of something sent that cannot be read as an object of the resource.
    pub(crate) fn refuse(self, registered: &Registered, why: &Unreadable) -> ApiError {
        let Self::Patch { patch, kind, patched, .. } = self else {
            return lifecycle::undecodable(registered, &why.in_json());
        };
        let (shown, why) = if kind == PatchKind::Strategic {
            (lifecycle::go_text(patch), why.in_map())
        } else {
            (patched.map(ToString::to_string).unwrap_or_default(), why.in_json())
        };
        ApiError::invalid_kind("", "", "", &[FieldError::invalid("patch", shown, why)])
    }

    /// Returns everything a strict decoder minds, in its order.
    fn flaws(self, registered: &Registered, unknown: &[String]) -> Vec<String> {
        let (json, flaws) = match self {
            Self::Nothing => (Cow::default(), [].as_slice()),
            Self::Object { json, flaws } => (Cow::Borrowed(json), flaws),
            Self::Patch { flaws, patched, .. } => {
                let text = patched.filter(|_| !unknown.is_empty()).map(ToString::to_string);
                (Cow::Owned(text.unwrap_or_default().into_bytes()), flaws)
            }
        };
        let said = |path: &String| format!("unknown field {}", quote(path));
        if unknown.is_empty() || registered.is_custom() || json.is_empty() {
            return flaws.iter().cloned().chain(unknown.iter().map(said)).collect();
        }
        // One decoder finds both as it goes through a JSON text; what else is read is read before.
        let (together, before): (Vec<&String>, Vec<&String>) = flaws
            .iter()
            .partition(|flaw| matches!(self, Self::Object { .. }) && !flaw.starts_with(YAML));
        let found = duplicates::in_order(&json, unknown, !together.is_empty());
        before.into_iter().cloned().chain(found).collect()
    }
}

/// How the flaws of a YAML text begin.
pub(crate) const YAML: &str = "yaml: unmarshal errors:\n";

/// A flaw of a YAML text tells of all its lines at once; each makes a warning.
fn as_warnings(flaw: &str) -> Vec<String> {
    match flaw.strip_prefix(YAML) {
        Some(lines) => lines.lines().map(|line| line.trim().to_owned()).collect(),
        None => vec![flaw.to_owned()],
    }
}

impl Unreadable {
    /// Returns the reason in the words of a decoder of JSON.
    fn in_json(&self) -> String {
        match self {
            Self::Typed(error) => error.to_string(),
            Self::Said(why) => why.clone(),
        }
    }

    /// Returns the reason in the words of a converter of maps, which reads strategic merge patches.
    fn in_map(&self) -> String {
        match self {
            Self::Typed(error) => error.in_map(),
            Self::Said(why) => why.clone(),
        }
    }
}
