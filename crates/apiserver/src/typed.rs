//! Pure: decodes and encodes objects of built-in kinds as a round trip through their Go types does.

pub(crate) mod blank;
mod leaf;

use std::fmt::Write as _;

use k8s::GroupVersionKind;
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::pack::{self, Field, Leaf, Shape, Type};

pub(crate) use self::leaf::float;

const OBJECT_META: &str = "meta.v1.ObjectMeta";

/// Why a value does not fit its built-in type.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum TypedError {
    /// A value is of another JSON type than the field.
    #[error("json: cannot unmarshal {found} into Go struct field {field} of type {expected}")]
    Mismatch { found: String, field: String, expected: String },
    /// A text is of the right type, but not in the right form.
    #[error("{0}")]
    Malformed(String),
}

impl TypedError {
    /// Returns the reason in the words of Go's converter of maps, which has no names of fields.
    pub(crate) fn in_map(&self) -> String {
        let Self::Mismatch { found, expected, .. } = self else { return self.to_string() };
        let (full, short) = match found.split(' ').next().unwrap_or_default() {
            "bool" => ("bool", "bool"),
            "number" if found.contains('.') => ("float64", "float64"),
            "number" => ("int64", "int64"),
            "array" => ("[]interface {}", "slice"),
            "object" => ("map[string]interface {}", "map"),
            _ => ("string", "string"),
        };
        if expected.starts_with("map[") {
            format!("cannot restore map from {short}")
        } else if expected.starts_with("[]") {
            format!("cannot restore slice from {short}")
        } else if expected.contains('.') {
            format!("cannot restore struct from: {short}")
        } else {
            format!("cannot convert {full} to {expected}")
        }
    }
}

/// Brings the metadata of an object whose kind is not built in into its form, as [`normalise`] does.
pub(crate) fn normalise_metadata(object: &mut Value) -> Result<Vec<String>, TypedError> {
    let mut walk = Walk { path: "metadata".to_owned(), ..Walk::default() };
    let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
    if let (Some(owner), Some(fields)) = (pack::named(OBJECT_META), metadata) {
        walk.fields(owner, fields)?;
    }
    Ok(walk.unknown)
}

/// Brings an object into the form its Go type is written in and returns the paths of unknown fields.
///
/// Unknown fields and empty values are dropped, structs that are always written are filled in, times and
/// binary data get their one form. Kinds that are not built in stay as they are.
pub(crate) fn normalise(
    gvk: &GroupVersionKind,
    object: &mut Value,
) -> Result<Vec<String>, TypedError> {
    let mut walk = Walk::default();
    if let (Some(root), Value::Object(fields)) = (pack::of(gvk), object) {
        walk.fields(root, fields)?;
    }
    Ok(walk.unknown)
}

/// Makes nothing of the empty lists and maps that an object always writes.
///
/// Protobuf, in which most kinds are kept, has no empty lists. Below the spec no kind allows them.
pub(crate) fn empty_lists(gvk: &GroupVersionKind, object: &mut Value) {
    let Some(root) = pack::of(gvk).filter(|root| !root.name.starts_with("apiextensions.")) else {
        return;
    };
    root.for_each_field(&mut |field| {
        let is_list = matches!(field.shape, Shape::List(_) | Shape::Map(_));
        if is_list
            && !field.pointer
            && let Some(value) = object.get_mut(field.name)
            && is_empty(&field.shape, value)
        {
            *value = Value::Null;
        }
    });
}

/// Where the walk is: for unknown fields with indices, for type errors as Go names fields.
#[derive(Default)]
struct Walk {
    unknown: Vec<String>,
    path: String,
    names: Vec<&'static str>,
    owner: &'static str,
}

impl Walk {
    fn fields(
        &mut self,
        owner: &'static Type,
        fields: &mut Map<String, Value>,
    ) -> Result<(), TypedError> {
        let unknown: Vec<String> =
            fields.keys().filter(|name| owner.field(name).is_none()).cloned().collect();
        for name in unknown {
            fields.remove(&name);
            self.unknown.push(joined(&self.path, &name));
        }
        let mut known = Vec::new();
        owner.for_each_field(&mut |field| known.push(field));
        let outer = std::mem::replace(&mut self.owner, owner.name);
        for field in known {
            self.field(field, fields)?;
        }
        self.owner = outer;
        Ok(())
    }

    fn field(
        &mut self,
        field: &'static Field,
        fields: &mut Map<String, Value>,
    ) -> Result<(), TypedError> {
        let mut value = match fields.remove(field.name) {
            Some(Value::Null) | None => match missing(field) {
                Some(value) => value,
                None => return Ok(()),
            },
            Some(value) => value,
        };
        let length = self.path.len();
        self.path = joined(&self.path, field.name);
        self.names.push(field.name);
        if !value.is_null() {
            self.value(&field.shape, &mut value)?;
        }
        self.names.pop();
        self.path.truncate(length);
        if !(field.omit_empty && !field.pointer && is_empty(&field.shape, &value)) {
            fields.insert(field.name.to_owned(), value);
        }
        Ok(())
    }

    fn value(&mut self, shape: &'static Shape, value: &mut Value) -> Result<(), TypedError> {
        match (shape, &mut *value) {
            (Shape::Struct(name), Value::Object(fields)) => match pack::named(name) {
                Some(owner) => self.fields(owner, fields),
                None => Ok(()),
            },
            (Shape::List(item), Value::Array(items)) => {
                let length = self.path.len();
                for (index, value) in items.iter_mut().enumerate() {
                    let _ = write!(self.path, "[{index}]");
                    self.element(item, value)?;
                    self.path.truncate(length);
                }
                Ok(())
            }
            (Shape::Map(entry), Value::Object(fields)) => {
                let length = self.path.len();
                for (name, value) in fields {
                    self.path = joined(&self.path, name);
                    self.element(entry, value)?;
                    self.path.truncate(length);
                }
                Ok(())
            }
            (Shape::Leaf(leaf), value) => match leaf::normalise(*leaf, value) {
                Ok(true) => Ok(()),
                Ok(false) => Err(self.mismatch(shape, value)),
                Err(why) => Err(TypedError::Malformed(why)),
            },
            (_, value) => Err(self.mismatch(shape, value)),
        }
    }

    /// Normalises a list item or map entry, where null is the zero value.
    fn element(&mut self, shape: &'static Shape, value: &mut Value) -> Result<(), TypedError> {
        if value.is_null() {
            *value = zero(shape);
        }
        if value.is_null() { Ok(()) } else { self.value(shape, value) }
    }

    fn mismatch(&self, shape: &Shape, value: &Value) -> TypedError {
        let owner = self.owner.rsplit('.').next().unwrap_or_default();
        TypedError::Mismatch {
            found: match value {
                Value::Null => "null".to_owned(),
                Value::Bool(_) => "bool".to_owned(),
                Value::Number(number) if is_number(shape) => format!("number {number}"),
                Value::Number(_) => "number".to_owned(),
                Value::String(_) => "string".to_owned(),
                Value::Array(_) => "array".to_owned(),
                Value::Object(_) => "object".to_owned(),
            },
            field: format!("{owner}.{}", self.names.join(".")),
            expected: go_type(shape),
        }
    }
}

/// Returns whether Go reads a number of the shape by its digits, and shows them if they do not fit.
fn is_number(shape: &Shape) -> bool {
    let numbers = [Leaf::Int32, Leaf::Int64, Leaf::Float, Leaf::IntOrString];
    matches!(shape, Shape::Leaf(leaf) if numbers.contains(leaf))
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Returns what is written for a field that was not given.
fn missing(field: &Field) -> Option<Value> {
    match &field.shape {
        Shape::Struct(_) if !field.pointer && !field.omit_zero => Some(json!({})),
        Shape::Leaf(Leaf::Time | Leaf::MicroTime | Leaf::Raw | Leaf::Json)
            if !field.pointer && !field.omit_zero =>
        {
            Some(Value::Null)
        }
        Shape::Leaf(Leaf::Quantity | Leaf::IntOrString) if !field.pointer && !field.omit_zero => {
            Some(zero(&field.shape))
        }
        _ if field.omit_empty => None,
        _ if field.pointer => Some(Value::Null),
        shape => Some(zero(shape)),
    }
}

/// Returns what Go holds where nothing was given.
pub(crate) fn zero(shape: &Shape) -> Value {
    match shape {
        Shape::Struct(_) => json!({}),
        Shape::Leaf(Leaf::String | Leaf::Duration) => json!(""),
        Shape::Leaf(Leaf::Quantity) => json!("0"),
        Shape::Leaf(Leaf::Bool) => json!(false),
        Shape::Leaf(Leaf::Int32 | Leaf::Int64 | Leaf::Float | Leaf::IntOrString) => json!(0),
        Shape::List(_) | Shape::Map(_) | Shape::Leaf(_) => Value::Null,
    }
}

/// Returns whether Go's encoder leaves the value out where it may.
pub(crate) fn is_empty(shape: &Shape, value: &Value) -> bool {
    match (shape, value) {
        (Shape::Leaf(Leaf::Quantity | Leaf::IntOrString), _) => false,
        (Shape::Leaf(_), Value::String(text)) => text.is_empty(),
        (Shape::Leaf(_), Value::Bool(value)) => !value,
        (Shape::Leaf(_), Value::Number(number)) => number.as_f64() == Some(0.0),
        (Shape::List(_), Value::Array(items)) => items.is_empty(),
        (Shape::Map(_), Value::Object(fields)) => fields.is_empty(),
        (Shape::List(_) | Shape::Map(_), Value::Null) => true,
        _ => false,
    }
}

/// Returns the name of the Go type, as its decoder puts it into errors.
fn go_type(shape: &Shape) -> String {
    match shape {
        Shape::Struct(name) => {
            let mut parts = name.rsplit('.');
            let name = parts.next().unwrap_or_default();
            format!("{}.{name}", parts.next().unwrap_or_default())
        }
        Shape::List(item) => format!("[]{}", go_type(item)),
        Shape::Map(entry) => format!("map[string]{}", go_type(entry)),
        Shape::Leaf(leaf) => match leaf {
            Leaf::String => "string",
            Leaf::Bool => "bool",
            Leaf::Int32 => "int32",
            Leaf::Int64 => "int64",
            Leaf::Float => "float64",
            Leaf::Bytes => "[]uint8",
            Leaf::Time => "v1.Time",
            Leaf::MicroTime => "v1.MicroTime",
            Leaf::Duration => "v1.Duration",
            Leaf::Quantity => "resource.Quantity",
            Leaf::IntOrString => "intstr.IntOrString",
            Leaf::Fields => "v1.FieldsV1",
            Leaf::Raw => "runtime.RawExtension",
            Leaf::Json => "v1.JSON",
            Leaf::SchemaOrList => "v1.JSONSchemaPropsOrArray",
            Leaf::SchemaOrBool => "v1.JSONSchemaPropsOrBool",
            Leaf::SchemaOrNames => "v1.JSONSchemaPropsOrStringArray",
        }
        .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalised(api_version: &str, kind: &str, object: Value) -> (Value, Vec<String>) {
        let mut object = object;
        let gvk = GroupVersionKind::new(api_version, kind);
        let unknown = normalise(&gvk, &mut object).unwrap();
        let mut again = object.clone();
        assert_eq!(normalise(&gvk, &mut again), Ok(vec![]));
        assert_eq!(again, object);
        (object, unknown)
    }

    fn refused(api_version: &str, kind: &str, mut object: Value) -> String {
        normalise(&GroupVersionKind::new(api_version, kind), &mut object).unwrap_err().to_string()
    }

    #[test]
    fn unknown_fields_go_and_empty_structs_come() {
        let (object, unknown) = normalised(
            "apps/v1",
            "Deployment",
            json!({"metadata": {"name": "a", "labels": {}}, "odd": 1, "spec": {"replicas": 0, "paused": false,
                "minReadySeconds": null, "selector": {"matchLabels": {"a": "b"}},
                "template": {"spec": {"containers": [{"name": "c", "imge": "x"}]}}}}),
        );
        assert_eq!(unknown, ["odd", "spec.template.spec.containers[0].imge"]);
        assert_eq!(
            object,
            json!({"metadata": {"name": "a"}, "status": {}, "spec": {"replicas": 0, "strategy": {},
                "selector": {"matchLabels": {"a": "b"}},
                "template": {"metadata": {}, "spec": {"containers": [{"name": "c", "resources": {}}]}}}})
        );
    }

    #[test]
    fn events_write_their_times_always() {
        let (object, _) = normalised(
            "v1",
            "Event",
            json!({"metadata": {}, "eventTime": "2026-01-01T01:00:00.5+01:00", "involvedObject": {}}),
        );
        assert_eq!(object["eventTime"], "2026-01-01T00:00:00.500000Z");
        assert_eq!(object.get("firstTimestamp"), Some(&Value::Null));
        assert_eq!(object.get("reportingComponent"), Some(&json!("")));
    }

    #[test]
    fn empty_lists_are_nothing_where_they_are_written_always() {
        let slice = json!({"metadata": {}, "addressType": "IPv4", "endpoints": [], "ports": null});
        let (mut slice, _) = normalised("discovery.k8s.io/v1", "EndpointSlice", slice);
        assert_eq!(slice["endpoints"], json!([]));
        empty_lists(&GroupVersionKind::new("discovery.k8s.io/v1", "EndpointSlice"), &mut slice);
        assert_eq!((&slice["endpoints"], &slice["ports"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn wrong_types_are_told_as_go_tells_them() {
        assert_eq!(
            refused("apps/v1", "Deployment", json!({"spec": {"replicas": "3"}})),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
        );
        assert_eq!(
            refused("v1", "Pod", json!({"spec": {"containers": {}}})),
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container"
        );
        assert_eq!(
            refused("v1", "ConfigMap", json!({"data": {"a": 1}})),
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type string"
        );
        assert_eq!(
            refused("v1", "Secret", json!({"data": {"a": "?"}})),
            "illegal base64 data at input byte 0"
        );
    }

    #[test]
    fn other_kinds_stay_as_they_are() {
        let object = json!({"a": null, "b": ""});
        assert_eq!(normalised("a.b/v1", "C", object.clone()), (object, vec![]));
    }
}
