//! Pure: the schemas of built-in and custom kinds, as OpenAPI components.

use std::collections::BTreeMap;

use k8s::GroupVersionKind;
use serde_json::{Map, Value, json};

use crate::{
    pack::{self, Field, Leaf, Patch, Shape, Type},
    registry::Registered,
};

const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an \
    object. Servers should convert recognized schemas to the latest internal value, and may reject \
    unrecognized values. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND: &str = "Kind is a string value representing the REST resource this object represents. \
    Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In \
    CamelCase. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const METADATA: &str = "Standard object's metadata. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";
const OBJECT_META: &str = "meta.v1.ObjectMeta";

/// The components of one document.
#[derive(Default)]
pub(super) struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    /// Adds the schema of a resource and all it refers to; returns its name.
    pub(super) fn add(&mut self, registered: &Registered) -> String {
        let gvk = &registered.resource.gvk;
        let (name, mut schema) = match (&registered.custom, pack::of(gvk)) {
            (Some(custom), _) => (custom_name(gvk), custom_schema(&custom.raw_schema)),
            (None, Some(root)) => {
                self.add_type(root);
                let name = component(root.name);
                let schema = self.0.remove(&name).unwrap_or_default();
                (name, schema)
            }
            (None, None) => {
                let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
                (custom_name(gvk), any)
            }
        };
        if let Some(object_meta) = pack::named(OBJECT_META) {
            self.add_type(object_meta);
        }
        schema["x-kubernetes-group-version-kind"] = json!([gvk]);
        self.0.insert(name.clone(), schema);
        name
    }

    pub(super) fn into_map(self) -> BTreeMap<String, Value> {
        self.0
    }

    fn add_type(&mut self, owner: &'static Type) {
        let name = component(owner.name);
        if self.0.contains_key(&name) {
            return;
        }
        // Types that lead to themselves find their name taken.
        self.0.insert(name.clone(), Value::Null);
        let (mut properties, mut required) = (Map::new(), Vec::new());
        owner.for_each_field(&mut |field| {
            properties.insert(field.name.to_owned(), self.field(field));
            if field.required {
                required.push(field.name);
            }
        });
        describe_type_meta(&mut properties);
        let mut schema = json!({"type": "object", "properties": properties});
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        if owner.atomic {
            schema["x-kubernetes-map-type"] = json!("atomic");
        }
        self.0.insert(name, schema);
    }

    fn field(&mut self, field: &'static Field) -> Value {
        let mut schema = self.shape(&field.shape);
        if schema.get("$ref").is_some() {
            schema = json!({"allOf": [schema]});
        }
        if let (Shape::Struct(_), false) = (&field.shape, field.pointer) {
            schema["default"] = json!({});
        }
        if !field.list_type.is_empty() {
            schema["x-kubernetes-list-type"] = json!(field.list_type);
        }
        if !field.list_keys.is_empty() {
            schema["x-kubernetes-list-map-keys"] = json!(field.list_keys);
        }
        if field.atomic {
            schema["x-kubernetes-map-type"] = json!("atomic");
        }
        let Patch { merge, retain_keys, key } = field.patch;
        let strategy = match (merge, retain_keys) {
            (true, true) => "merge,retainKeys",
            (true, false) => "merge",
            (false, true) => "retainKeys",
            (false, false) => "",
        };
        for (keyword, value) in
            [("x-kubernetes-patch-strategy", strategy), ("x-kubernetes-patch-merge-key", key)]
        {
            if !value.is_empty() {
                schema[keyword] = json!(value);
            }
        }
        schema
    }

    fn shape(&mut self, shape: &'static Shape) -> Value {
        match shape {
            Shape::Struct(name) => {
                if let Some(owner) = pack::named(name) {
                    self.add_type(owner);
                }
                reference(&component(name))
            }
            Shape::List(item) => json!({"type": "array", "items": self.shape(item)}),
            Shape::Map(entry) => {
                json!({"type": "object", "additionalProperties": self.shape(entry)})
            }
            Shape::Leaf(leaf) => self.leaf(*leaf),
        }
    }

    fn leaf(&mut self, leaf: Leaf) -> Value {
        let (name, schema) = match leaf {
            Leaf::String | Leaf::Duration => return json!({"type": "string"}),
            Leaf::Bool => return json!({"type": "boolean"}),
            Leaf::Int32 => return json!({"type": "integer", "format": "int32"}),
            Leaf::Int64 => return json!({"type": "integer", "format": "int64"}),
            Leaf::Float => return json!({"type": "number", "format": "double"}),
            Leaf::Bytes => return json!({"type": "string", "format": "byte"}),
            Leaf::Time => ("apis.meta.v1.Time", json!({"type": "string", "format": "date-time"})),
            Leaf::MicroTime => {
                ("apis.meta.v1.MicroTime", json!({"type": "string", "format": "date-time"}))
            }
            Leaf::Quantity => (
                "api.resource.Quantity",
                json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
            ),
            Leaf::IntOrString => (
                "util.intstr.IntOrString",
                json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}),
            ),
            Leaf::Fields => ("apis.meta.v1.FieldsV1", json!({"type": "object"})),
            Leaf::Raw => (
                "runtime.RawExtension",
                json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
            ),
            Leaf::Json | Leaf::SchemaOrList | Leaf::SchemaOrBool | Leaf::SchemaOrNames => {
                return json!({"x-kubernetes-preserve-unknown-fields": true});
            }
        };
        let name = format!("io.k8s.apimachinery.pkg.{name}");
        let reference = reference(&name);
        self.0.insert(name, schema);
        reference
    }
}

/// Returns the reference to a component.
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// Returns the name of the component of a built-in type.
fn component(name: &str) -> String {
    let root = match name.split('.').next().unwrap_or_default() {
        "meta" => "apimachinery.pkg.apis",
        "apiextensions" => "apiextensions-apiserver.pkg.apis",
        "apiregistration" => "kube-aggregator.pkg.apis",
        _ => "api",
    };
    format!("io.k8s.{root}.{name}")
}

/// Returns the name of the component of a custom kind: the group backwards, version and kind.
fn custom_name(gvk: &GroupVersionKind) -> String {
    let group: Vec<&str> = gvk.group.rsplit('.').collect();
    format!("{}.{}.{}", group.join("."), gvk.version, gvk.kind)
}

/// Returns the schema of a custom kind with the fields that every object has.
fn custom_schema(raw: &Value) -> Value {
    let mut schema = raw.clone();
    if !schema.is_object() {
        schema = json!({"type": "object"});
    }
    let slot = &mut schema["properties"];
    if !slot.is_object() {
        *slot = json!({});
    }
    if let Value::Object(properties) = slot {
        for name in ["apiVersion", "kind"] {
            properties.insert(name.to_owned(), json!({"type": "string"}));
        }
        let metadata = json!({"allOf": [reference(&component(OBJECT_META))]});
        properties.insert("metadata".to_owned(), metadata);
        describe_type_meta(properties);
    }
    schema
}

/// Says what is the same for all kinds, so that `kubectl explain` has something to show.
fn describe_type_meta(properties: &mut Map<String, Value>) {
    if !properties.contains_key("apiVersion") || !properties.contains_key("kind") {
        return;
    }
    for (name, text) in [("apiVersion", API_VERSION), ("kind", KIND), ("metadata", METADATA)] {
        if let Some(Value::Object(property)) = properties.get_mut(name) {
            property.insert("description".to_owned(), json!(text));
        }
    }
}
