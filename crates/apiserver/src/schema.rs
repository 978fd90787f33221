//! Pure: the structural schema of a custom resource: reads it, prunes, fills in defaults, validates.

mod check;
mod fill;
mod format;
mod keywords;
mod lists;
mod ownership;
mod pattern;
mod prune;
mod rules;
mod structural;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    field::{FieldError, FieldPath},
    schema::{pattern::Pattern, rules::Rule},
};

/// What the objects of one version of a custom resource look like, or one node of that.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent keyword of schemas")]
pub(crate) struct Schema {
    #[serde(rename = "type", deserialize_with = "nullable")]
    kind: String,
    #[serde(deserialize_with = "nullable")]
    format: String,
    #[serde(deserialize_with = "nullable")]
    title: String,
    #[serde(deserialize_with = "nullable")]
    description: String,
    #[serde(deserialize_with = "nullable")]
    nullable: bool,
    default: Option<Value>,
    #[serde(rename = "enum", deserialize_with = "nullable")]
    allowed: Vec<Value>,
    maximum: Option<f64>,
    #[serde(deserialize_with = "nullable")]
    exclusive_maximum: bool,
    minimum: Option<f64>,
    #[serde(deserialize_with = "nullable")]
    exclusive_minimum: bool,
    multiple_of: Option<f64>,
    #[serde(deserialize_with = "count")]
    max_length: Option<u64>,
    #[serde(deserialize_with = "count")]
    min_length: Option<u64>,
    pattern: Option<Pattern>,
    #[serde(deserialize_with = "count")]
    max_items: Option<u64>,
    #[serde(deserialize_with = "count")]
    min_items: Option<u64>,
    #[serde(deserialize_with = "count")]
    max_properties: Option<u64>,
    #[serde(deserialize_with = "count")]
    min_properties: Option<u64>,
    #[serde(deserialize_with = "nullable")]
    required: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    properties: BTreeMap<String, Schema>,
    additional_properties: Option<Additional>,
    items: Option<Box<Schema>>,
    #[serde(deserialize_with = "nullable")]
    all_of: Vec<Schema>,
    #[serde(deserialize_with = "nullable")]
    any_of: Vec<Schema>,
    #[serde(deserialize_with = "nullable")]
    one_of: Vec<Schema>,
    not: Option<Box<Schema>>,
    #[serde(rename = "x-kubernetes-preserve-unknown-fields", deserialize_with = "nullable")]
    preserve_unknown: bool,
    #[serde(rename = "x-kubernetes-embedded-resource", deserialize_with = "nullable")]
    embedded: bool,
    #[serde(rename = "x-kubernetes-int-or-string", deserialize_with = "nullable")]
    int_or_string: bool,
    #[serde(rename = "x-kubernetes-list-type")]
    list_type: Option<String>,
    #[serde(rename = "x-kubernetes-list-map-keys", deserialize_with = "nullable")]
    list_map_keys: Vec<String>,
    #[serde(rename = "x-kubernetes-map-type")]
    map_type: Option<String>,
    #[serde(rename = "x-kubernetes-validations", deserialize_with = "nullable")]
    rules: Vec<Rule>,
}

/// What a map may hold under keys that are no named property.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Additional {
    /// Anything, or nothing.
    Allowed(bool),
    /// Values of one form.
    Schema(Box<Schema>),
}

impl Schema {
    /// Reads the schema that stands at `path` of a definition and checks that it is structural.
    pub(crate) fn parse(path: &FieldPath, value: &Value) -> Result<Self, Vec<FieldError>> {
        let broken_keywords = keywords::check(path, value);
        let mut schema = match Self::deserialize(value) {
            Ok(schema) => schema,
            // A list of schemas under `items` and the like were told already, in better words.
            Err(_) if !broken_keywords.is_empty() => return Err(broken_keywords),
            Err(error) => {
                return Err(vec![FieldError::invalid_without_value(path, error.to_string())]);
            }
        };
        let mut errors = Vec::new();
        // Of a schema with what no structural one can have, nothing is said of its structure.
        if !keywords::is_unstructural(&broken_keywords) {
            errors = structural::check(path, &schema);
            if errors.is_empty() {
                errors = structural::check_defaults(path, &schema);
            }
        }
        errors.extend(broken_keywords);
        if errors.is_empty() {
            errors = rules::compile(path, &mut schema);
        }
        if errors.is_empty() { Ok(schema) } else { Err(errors) }
    }

    /// Removes what the schema does not know and returns the paths of what was removed, sorted.
    ///
    /// `apiVersion`, `kind` and `metadata` of the object and of embedded resources stay.
    pub(crate) fn prune(&self, object: &mut Value) -> Vec<String> {
        prune::prune(self, object)
    }

    /// Fills in the defaults of missing fields and drops nulls where none may stand.
    pub(crate) fn apply_defaults(&self, object: &mut Value) {
        fill::drop_nulls(self, object);
        fill::fill(self, object);
    }

    /// Returns what is wrong with an object.
    pub(crate) fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = check::check(self, object);
        errors.extend(lists::check(self, object));
        errors
    }

    /// Returns what is wrong with the status of an object, whatever the rest looks like.
    pub(crate) fn validate_status(&self, object: &Value) -> Vec<FieldError> {
        let (Some(schema), Some(status)) = (self.property("status"), object.get("status")) else {
            return Vec::new();
        };
        let mut errors = check::check_at(&FieldPath::new("status"), schema, status);
        errors.extend(lists::check_at(&FieldPath::new("status"), schema, status));
        errors
    }

    /// Returns which validation rules an object breaks; `old` is what it replaces.
    ///
    /// The rules are for objects that have the form the schema says: given `found`, which says that this one has
    /// not, there is one more error instead.
    pub(crate) fn check_rules(
        &self,
        object: &Value,
        old: Option<&Value>,
        found: &[FieldError],
    ) -> Vec<FieldError> {
        if !self.has_rules() {
            return Vec::new();
        }
        if found.iter().any(|error| error.reason.blocks_rules()) {
            let detail = "some validation rules were not checked because the object was invalid; \
                          correct the existing errors to complete validation";
            return vec![FieldError::invalid(FieldPath::root(), Value::Null, detail)];
        }
        rules::check(self, object, old)
    }

    /// Returns the schema of a named property.
    pub(crate) fn property(&self, name: &str) -> Option<&Self> {
        self.properties.get(name)
    }

    /// Returns the schema of what stands under a key that is no named property.
    pub(crate) fn additional(&self) -> Option<&Self> {
        match &self.additional_properties {
            Some(Additional::Schema(schema)) => Some(schema),
            _ => None,
        }
    }

    /// Returns the schema of list items.
    pub(crate) fn items(&self) -> Option<&Self> {
        self.items.as_deref()
    }

    /// Returns the JSON type, empty if none is declared.
    pub(crate) fn json_type(&self) -> &str {
        &self.kind
    }

    /// Returns the schema of the field or map entry `name`.
    fn child(&self, name: &str) -> Option<&Self> {
        self.property(name).or_else(|| self.additional())
    }
}

/// Returns whether the field belongs to every object, whatever the schema says.
fn is_meta(name: &str) -> bool {
    matches!(name, "apiVersion" | "kind" | "metadata")
}

/// Reads a bound of a length, which nobody keeps from being negative; no length is below zero.
fn count<'de, D>(deserializer: D) -> Result<Option<u64>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    let bound = Option::<i64>::deserialize(deserializer)?;
    Ok(bound.map(|bound| u64::try_from(bound).unwrap_or(0)))
}

/// Reads `null` as the default, as Go's decoder does.
fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
