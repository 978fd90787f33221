//! Pure: the versions of a definition as the reference holds them, which is how its errors show them.

use serde_json::{Map, Value, json};

use crate::fields::list;

/// The fields of a schema: what the reference calls them, what they are called, and what they are if missing.
const FIELDS: &[(&str, &str, Missing)] = &[
    ("ID", "id", Missing::Text),
    ("Schema", "$schema", Missing::Text),
    ("Ref", "$ref", Missing::Null),
    ("Description", "description", Missing::Text),
    ("Type", "type", Missing::Text),
    ("Nullable", "nullable", Missing::No),
    ("Format", "format", Missing::Text),
    ("Title", "title", Missing::Text),
    ("Default", "default", Missing::Null),
    ("Maximum", "maximum", Missing::Null),
    ("ExclusiveMaximum", "exclusiveMaximum", Missing::No),
    ("Minimum", "minimum", Missing::Null),
    ("ExclusiveMinimum", "exclusiveMinimum", Missing::No),
    ("MaxLength", "maxLength", Missing::Null),
    ("MinLength", "minLength", Missing::Null),
    ("Pattern", "pattern", Missing::Text),
    ("MaxItems", "maxItems", Missing::Null),
    ("MinItems", "minItems", Missing::Null),
    ("UniqueItems", "uniqueItems", Missing::No),
    ("MultipleOf", "multipleOf", Missing::Null),
    ("Enum", "enum", Missing::Null),
    ("MaxProperties", "maxProperties", Missing::Null),
    ("MinProperties", "minProperties", Missing::Null),
    ("Required", "required", Missing::Null),
    ("Items", "items", Missing::Null),
    ("AllOf", "allOf", Missing::Null),
    ("OneOf", "oneOf", Missing::Null),
    ("AnyOf", "anyOf", Missing::Null),
    ("Not", "not", Missing::Null),
    ("Properties", "properties", Missing::Null),
    ("AdditionalProperties", "additionalProperties", Missing::Null),
    ("PatternProperties", "patternProperties", Missing::Null),
    ("Dependencies", "dependencies", Missing::Null),
    ("AdditionalItems", "additionalItems", Missing::Null),
    ("Definitions", "definitions", Missing::Null),
    ("ExternalDocs", "externalDocs", Missing::Null),
    ("Example", "example", Missing::Null),
    ("XPreserveUnknownFields", "x-kubernetes-preserve-unknown-fields", Missing::Null),
    ("XEmbeddedResource", "x-kubernetes-embedded-resource", Missing::No),
    ("XIntOrString", "x-kubernetes-int-or-string", Missing::No),
    ("XListMapKeys", "x-kubernetes-list-map-keys", Missing::Null),
    ("XListType", "x-kubernetes-list-type", Missing::Null),
    ("XMapType", "x-kubernetes-map-type", Missing::Null),
    ("XValidations", "x-kubernetes-validations", Missing::Null),
];

/// What stands for a field that is not given.
#[derive(Clone, Copy)]
enum Missing {
    Null,
    Text,
    No,
}

impl Missing {
    fn value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Text => json!(""),
            Self::No => json!(false),
        }
    }
}

/// Returns the versions of a definition.
pub(super) fn versions(crd: &Value) -> Value {
    let all = list(crd, "/spec/versions");
    let version = |version: &Value| {
        // What all versions have in common stands above them.
        let own = |field: &str| {
            let first = all.first().and_then(|first| first.get(field));
            let is_shared = all.iter().all(|it| it.get(field) == first);
            version.get(field).filter(|_| !is_shared)
        };
        let or = |field: &str, missing: Missing| {
            version.get(field).cloned().unwrap_or_else(|| missing.value())
        };
        let items = |field| own(field).map_or(Value::Null, structs);
        json!({
            "Name": or("name", Missing::Text),
            "Served": or("served", Missing::No),
            "Storage": or("storage", Missing::No),
            "Deprecated": or("deprecated", Missing::No),
            "DeprecationWarning": or("deprecationWarning", Missing::Null),
            "Schema": own("schema").map(|it| {
                let schema = it.get("openAPIV3Schema").map_or(Value::Null, schema);
                json!({"OpenAPIV3Schema": schema})
            }),
            "Subresources": own("subresources").map(subresources),
            "AdditionalPrinterColumns": items("additionalPrinterColumns"),
            "SelectableFields": items("selectableFields"),
        })
    };
    all.iter().map(version).collect()
}

fn schema(value: &Value) -> Value {
    let Value::Object(fields) = value else { return Value::Null };
    let shown = FIELDS.iter().map(|(name, json_name, missing)| {
        let given = fields.get(*json_name).filter(|given| !given.is_null());
        let shown = given.map_or_else(|| missing.value(), |given| field(name, given));
        ((*name).to_owned(), shown)
    });
    Value::Object(shown.collect())
}

fn field(name: &str, value: &Value) -> Value {
    match (name, value) {
        ("Items", value) => json!({"Schema": schema(value), "JSONSchemas": null}),
        ("Not", value) => schema(value),
        ("AllOf" | "OneOf" | "AnyOf", Value::Array(all)) => all.iter().map(schema).collect(),
        ("Properties" | "PatternProperties" | "Definitions", Value::Object(all)) => {
            all.iter().map(|(name, value)| (name.clone(), schema(value))).collect()
        }
        ("AdditionalProperties" | "AdditionalItems", Value::Bool(allows)) => {
            json!({"Allows": allows, "Schema": null})
        }
        ("AdditionalProperties" | "AdditionalItems", value) => {
            json!({"Allows": true, "Schema": schema(value)})
        }
        ("XValidations", Value::Array(rules)) => rules.iter().map(rule).collect(),
        (_, value) => value.clone(),
    }
}

fn rule(value: &Value) -> Value {
    let or = |field: &str, missing: Missing| {
        value.get(field).cloned().unwrap_or_else(|| missing.value())
    };
    json!({
        "Rule": or("rule", Missing::Text),
        "Message": or("message", Missing::Text),
        "MessageExpression": or("messageExpression", Missing::Text),
        "Reason": or("reason", Missing::Null),
        "FieldPath": or("fieldPath", Missing::Text),
        "OptionalOldSelf": or("optionalOldSelf", Missing::Null),
    })
}

fn subresources(value: &Value) -> Value {
    let scale = value.get("scale").filter(|it| !it.is_null()).map(|scale| {
        let path = |field: &str| scale.get(field).cloned();
        json!({
            "SpecReplicasPath": path("specReplicasPath").unwrap_or_else(|| json!("")),
            "StatusReplicasPath": path("statusReplicasPath").unwrap_or_else(|| json!("")),
            "LabelSelectorPath": path("labelSelectorPath"),
        })
    });
    json!({"Status": value.get("status"), "Scale": scale})
}

/// Returns columns or selectable fields.
fn structs(value: &Value) -> Value {
    let one = |item: &Value| -> Value {
        let Value::Object(fields) = item else { return Value::Null };
        if !fields.contains_key("name") {
            return json!({"JSONPath": fields.get("jsonPath")});
        }
        let mut shown = Map::new();
        for (name, json_name) in [
            ("Name", "name"),
            ("Type", "type"),
            ("Format", "format"),
            ("Description", "description"),
            ("JSONPath", "jsonPath"),
        ] {
            let text = fields.get(json_name).cloned().unwrap_or_else(|| json!(""));
            shown.insert(name.to_owned(), text);
        }
        let priority = fields.get("priority").cloned().unwrap_or_else(|| json!(0));
        shown.insert("Priority".to_owned(), priority);
        Value::Object(shown)
    };
    value.as_array().into_iter().flatten().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_versions_share_stands_elsewhere() {
        let schema = |kind: &str| json!({"openAPIV3Schema": {"type": kind}});
        let version = |name: &str, kind: &str| json!({"name": name, "schema": schema(kind)});
        let shown = |versions: Value| versions_text(&json!({"spec": {"versions": versions}}));
        assert_eq!(shown(json!([version("v1", "object")])), "v1 null");
        assert_eq!(
            shown(json!([version("v1", "object"), version("v2", "string")])),
            "v1 \"object\", v2 \"string\""
        );
    }

    fn versions_text(crd: &Value) -> String {
        let one = |it: &Value| {
            let kind = it.pointer("/Schema/OpenAPIV3Schema/Type").cloned().unwrap_or_default();
            format!("{} {kind}", it["Name"].as_str().unwrap_or_default())
        };
        let all = versions(crd);
        all.as_array().unwrap().iter().map(one).collect::<Vec<_>>().join(", ")
    }
}
