//! Pure: what a schema says about who may own the parts of a value.

use serde_json::Value;

use crate::schema::{Additional, Schema};

impl Schema {
    /// Returns how the items of a list are told apart, nothing if nobody said.
    pub(crate) fn list_type(&self) -> Option<&str> {
        self.list_type.as_deref()
    }

    /// Returns the fields that tell the items of a list apart.
    pub(crate) fn list_keys(&self) -> &[String] {
        &self.list_map_keys
    }

    /// Returns whether a map has one owner.
    pub(crate) fn has_atomic_map(&self) -> bool {
        self.map_type.as_deref() == Some("atomic")
    }

    /// Returns whether the value is an object with a type and metadata of its own.
    pub(crate) fn is_embedded(&self) -> bool {
        self.embedded
    }

    /// Returns whether the value is a number or a text.
    pub(crate) fn is_int_or_string(&self) -> bool {
        self.int_or_string
    }

    /// Returns whether fields that are no named properties may stand in the value.
    pub(crate) fn admits_more(&self) -> bool {
        self.preserve_unknown
            || matches!(
                self.additional_properties,
                Some(Additional::Schema(_) | Additional::Allowed(true))
            )
    }

    /// Returns what the value is where it is missing.
    pub(crate) fn default(&self) -> Option<&Value> {
        self.default.as_ref()
    }
}
