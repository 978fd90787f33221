//! Pure: custom resource definitions, made from the types that read the resources.

use k8s::Resource;
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value, json};

use crate::{
    composite, controller::ControllerStatus, decorator, function, names, revision, trigger,
};

/// Returns the resource of custom resource definitions.
pub fn definitions() -> Resource {
    let api_version = "apiextensions.k8s.io/v1";
    Resource::cluster(api_version, "CustomResourceDefinition", "customresourcedefinitions")
}

/// Returns the definitions of all resources that the engine works with.
pub fn all() -> [Value; 3] {
    [composite::definition(), decorator::definition(), revision::definition()]
}

/// Returns the definitions of functions and of what calls them.
pub fn of_functions() -> Vec<Value> {
    [function::definition()].into_iter().chain(trigger::definitions()).collect()
}

/// Returns the definition of a kind of controllers, whose spec has the form `S`.
pub(crate) fn of_controller<S: JsonSchema>(resource: &Resource, short_names: &[&str]) -> Value {
    let ready = |field: &str| format!(".status.conditions[?(@.type==\"Ready\")].{field}");
    let properties = json!({"spec": schema::<S>(), "status": schema::<ControllerStatus>()});
    let mut definition = definition(resource, &["metadata", "spec"], properties);
    definition["spec"]["names"]["shortNames"] = json!(short_names);
    definition["spec"]["versions"][0]["additionalPrinterColumns"] = json!([
        {"name": "Ready", "type": "string", "jsonPath": ready("status")},
        {"name": "Reason", "type": "string", "jsonPath": ready("reason")},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]);
    definition
}

/// Returns the definition of a kind with a spec of the form `S` and a status of the form `T`.
pub(crate) fn of_resource<S: JsonSchema, T: JsonSchema>(resource: &Resource) -> Value {
    let properties = json!({"spec": schema::<S>(), "status": schema::<T>()});
    definition(resource, &[], properties)
}

/// Returns the definition of a kind whose fields stand beside its metadata, as those of `T`.
pub(crate) fn of_revision<T: JsonSchema>(resource: &Resource) -> Value {
    let mut schema = schema::<T>();
    let required = schema["required"].take();
    let required = required.as_array().into_iter().flatten().filter_map(Value::as_str);
    let required: Vec<_> = required.chain(["metadata"]).collect();
    definition(resource, &required, schema["properties"].take())
}

/// Returns the schema of any object, whatever its fields.
pub(crate) fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

fn definition(resource: &Resource, required: &[&str], properties: Value) -> Value {
    let (kind, plural) = (&resource.gvk.kind, &resource.plural);
    let scope = if resource.is_namespaced() { "Namespaced" } else { "Cluster" };
    let mut all = json!({"apiVersion": {"type": "string"}, "kind": {"type": "string"},
        "metadata": {"type": "object"}});
    if let (Some(all), Value::Object(properties)) = (all.as_object_mut(), properties) {
        all.extend(properties);
    }
    let group = &resource.gvk.group;
    let mut metadata = json!({"name": format!("{plural}.{group}")});
    // The API server asks for it in groups of Kubernetes itself.
    if group == names::GROUP {
        metadata["annotations"] =
            json!({"api-approved.kubernetes.io": "unapproved, request not yet submitted"});
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": {
            "group": group, "scope": scope,
            "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind,
                "listKind": format!("{kind}List")},
            "versions": [{"name": resource.gvk.version, "served": true, "storage": true,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {
                    "type": "object", "required": required, "properties": all}}}]}})
}

fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    structural(settings.into_generator().into_root_schema_for::<T>().to_value())
}

/// Returns a schema in the form that definitions ask for: one type for each node, and no `null`, which
/// API servers read as an absent field.
///
/// Defaults are left out: they would be written into the objects that people apply.
fn structural(schema: Value) -> Value {
    let Value::Object(mut schema) = schema else {
        return json!({"x-kubernetes-preserve-unknown-fields": true});
    };
    if let Some(Value::Array(choices)) = schema.remove("anyOf") {
        let choice = choices.into_iter().find(|choice| choice["type"] != "null");
        merge(&mut schema, choice.unwrap_or_default());
    }
    if let Some(Value::Array(names)) = schema.remove("oneOf") {
        let names: Vec<_> = names.into_iter().map(|mut name| name["const"].take()).collect();
        schema.insert("type".to_owned(), json!("string"));
        schema.insert("enum".to_owned(), names.into());
    }
    if let Some(Value::Array(types)) = schema.get("type") {
        let own = types.iter().find(|own| *own != "null").cloned();
        schema.insert("type".to_owned(), own.unwrap_or_default());
    }
    for key in ["$schema", "title", "default"] {
        schema.remove(key);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(below) = schema.get_mut(key) {
            *below = structural(below.take());
        }
    }
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for property in properties.into_iter().flat_map(Map::values_mut) {
        *property = structural(property.take());
    }
    Value::Object(schema)
}

/// Adds the keys of a chosen schema; what is said beside the choice, its description, stays.
fn merge(schema: &mut Map<String, Value>, choice: Value) {
    let Value::Object(choice) = choice else { return };
    for (key, value) in choice {
        schema.entry(key).or_insert(value);
    }
}

#[cfg(test)]
mod tests;
