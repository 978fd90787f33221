//! Pure: the OpenAPI v2 document, made from those of version 3, as JSON and as the protobuf clients ask for.

mod encode;

use std::sync::OnceLock;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::openapi::OpenApi;

/// The document in both forms, made when it is first asked for.
#[derive(Debug, Default)]
pub(crate) struct Swagger(OnceLock<Forms>);

/// One document as JSON and as protobuf.
#[derive(Debug)]
pub(crate) struct Forms {
    pub(crate) json: Bytes,
    pub(crate) protobuf: Bytes,
}

impl Swagger {
    /// Returns the document of everything that these documents describe.
    pub(crate) fn forms(&self, openapi: &OpenApi) -> &Forms {
        self.0.get_or_init(|| {
            let document = document(openapi);
            Forms {
                json: document.to_string().into(),
                protobuf: encode::document(&document).into(),
            }
        })
    }
}

fn document(openapi: &OpenApi) -> Value {
    let (mut paths, mut definitions) = (Map::new(), Map::new());
    let index = openapi.index();
    for path in index["paths"].as_object().into_iter().flatten().map(|it| it.0) {
        let Some(document) = openapi.document(path) else { continue };
        let document: Value = serde_json::from_slice(&document.json).unwrap_or_default();
        for (path, item) in fields(&document["paths"]) {
            paths.insert(path.clone(), path_item(item));
        }
        for (name, schema) in fields(&document["components"]["schemas"]) {
            definitions.insert(name.clone(), self::schema(schema));
        }
    }
    json!({"swagger": "2.0", "info": {"title": "Kubernetes", "version": "v1.36.0"},
        "paths": paths, "definitions": definitions})
}

fn path_item(item: &Value) -> Value {
    let operations = fields(item).map(|(method, value)| {
        let value = if method == "parameters" { parameters(value) } else { operation(value) };
        (method.clone(), value)
    });
    operations.collect::<Map<_, _>>().into()
}

fn operation(operation: &Value) -> Value {
    let kept = fields(operation)
        .filter(|(name, _)| *name == "operationId" || name.starts_with("x-"))
        .map(|(name, value)| (name.clone(), value.clone()));
    let mut kept: Value = kept.collect::<Map<_, _>>().into();
    let mut all = parameters(&operation["parameters"]);
    if let (Some(all), Some(content)) =
        (all.as_array_mut(), operation.pointer("/requestBody/content"))
    {
        let schema = fields(content).next().map(|(_, content)| schema(&content["schema"]));
        all.push(json!({"name": "body", "in": "body", "required": true, "schema": schema}));
        kept["consumes"] = fields(content).map(|(kind, _)| kind.as_str()).collect();
    }
    kept["parameters"] = all;
    let answer = operation.pointer("/responses/200/content/application~1json/schema");
    kept["responses"] = json!({"200": {"description": "OK", "schema": answer.map(schema)}});
    kept
}

fn parameters(parameters: &Value) -> Value {
    let parameter = |it: &Value| {
        let mut parameter = it.clone();
        if let Some(fields) = parameter.as_object_mut()
            && let Some(Value::Object(schema)) = fields.remove("schema")
        {
            fields.extend(schema);
        }
        parameter
    };
    parameters.as_array().into_iter().flatten().map(parameter).collect()
}

/// Turns a schema of version 3 into one of version 2, which knows no alternatives.
fn schema(value: &Value) -> Value {
    match value {
        Value::Object(all) => {
            let mut schema: Map<String, Value> = all
                .iter()
                .filter(|(name, _)| !["oneOf", "anyOf", "not", "nullable"].contains(&name.as_str()))
                .map(|(name, value)| (name.clone(), keyword(name, value)))
                .collect();
            if schema.get("format") == Some(&json!("int-or-string")) {
                schema.insert("type".to_owned(), json!("string"));
            }
            schema.into()
        }
        other => other.clone(),
    }
}

fn keyword(name: &str, value: &Value) -> Value {
    match name {
        "$ref" => {
            let target = value.as_str().unwrap_or_default();
            json!(target.replace("#/components/schemas/", "#/definitions/"))
        }
        "properties" => {
            let all = fields(value).map(|(name, value)| (name.clone(), schema(value)));
            all.collect::<Map<_, _>>().into()
        }
        "allOf" => value.as_array().into_iter().flatten().map(schema).collect(),
        "items" | "additionalProperties" => schema(value),
        _ => value.clone(),
    }
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    #[test]
    fn clients_find_that_patches_are_validated() {
        let document = document(Registry::new(vec![]).openapi());
        let patch = &document["paths"]["/api/v1/namespaces/{name}"]["patch"];
        let parameters = patch["parameters"].as_array().unwrap();
        let expected = json!({"name": "fieldValidation", "in": "query", "type": "string",
            "uniqueItems": true});
        assert!(parameters.contains(&expected), "{patch}");
        assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Namespace");
    }

    #[test]
    fn references_lead_to_definitions() {
        let document = document(Registry::new(vec![]).openapi());
        let spec = &document["definitions"]["io.k8s.api.apps.v1.Deployment"]["properties"]["spec"];
        assert!(spec.to_string().contains("#/definitions/io.k8s.api.apps.v1.DeploymentSpec"));
        assert!(!document.to_string().contains("#/components/"));
    }

    #[test]
    fn alternatives_are_left_out() {
        let port = json!({"format": "int-or-string", "oneOf": [{"type": "integer"}]});
        assert_eq!(schema(&port), json!({"format": "int-or-string", "type": "string"}));
    }
}
