//! Pure: decodes objects in the Kubernetes protobuf encoding into JSON values.
//!
//! Which field has which number comes from the facts about the built-in types.

mod wire;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod twins;

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use k8s::GroupVersionKind;
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::{
    pack::{self, Field, Leaf, Shape, Type},
    protobuf::wire::{Reader, Wire},
    typed,
};

/// Why bytes are no object in the protobuf encoding.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum ProtobufError {
    /// The bytes are cut short or do not fit the type.
    #[error("malformed protobuf: {0}")]
    Malformed(&'static str),
    /// The kind is not built in, so nobody knows its fields.
    #[error("no kind \"{}\" is known in version \"{}\" for protobuf", .0.kind, .0.group_version())]
    UnknownKind(GroupVersionKind),
}

/// What every encoded object starts with.
const MAGIC: &[u8] = b"k8s\0";

/// How deep messages may be nested.
const MAX_DEPTH: usize = 128;

/// Decodes an object with its `apiVersion` and `kind`.
pub(crate) fn decode(bytes: &[u8]) -> Result<Value, ProtobufError> {
    decode_at(bytes, 0)
}

fn decode_at(bytes: &[u8], depth: usize) -> Result<Value, ProtobufError> {
    let frame =
        bytes.strip_prefix(MAGIC).ok_or(ProtobufError::Malformed("the magic is missing"))?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    let mut reader = Reader::new(frame);
    while let Some((number, wire)) = reader.next()? {
        match number {
            1 => {
                let mut meta = Reader::new(wire.bytes()?);
                while let Some((number, wire)) = meta.next()? {
                    match number {
                        1 => api_version = text(wire)?,
                        2 => kind = text(wire)?,
                        _ => {}
                    }
                }
            }
            2 => raw = wire.bytes()?,
            _ => {}
        }
    }
    let gvk = GroupVersionKind::new(&api_version, &kind);
    let root = type_of(&gvk).ok_or(ProtobufError::UnknownKind(gvk))?;
    let mut object = message(root, raw, depth)?;
    object.insert("apiVersion".to_owned(), json!(api_version));
    object.insert("kind".to_owned(), json!(kind));
    Ok(Value::Object(object))
}

/// Returns the type of a kind; options may come in the version of what they are for.
fn type_of(gvk: &GroupVersionKind) -> Option<&'static Type> {
    let options = ["DeleteOptions", "CreateOptions", "PatchOptions", "UpdateOptions"];
    if options.contains(&gvk.kind.as_str()) {
        return pack::of(&GroupVersionKind::new("meta.k8s.io/v1", &gvk.kind));
    }
    pack::of(gvk)
}

fn message(
    owner: &'static Type,
    bytes: &[u8],
    depth: usize,
) -> Result<Map<String, Value>, ProtobufError> {
    if depth > MAX_DEPTH {
        return Err(ProtobufError::Malformed("messages are nested too deep"));
    }
    let mut fields = Map::new();
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.next()? {
        let known = owner.fields.iter().find(|field| field.number != 0 && field.number == number);
        // Fields of newer versions are left out, as protobuf demands.
        if let Some(field) = known {
            insert(field, wire, depth, &mut fields)?;
        }
    }
    for field in &owner.fields {
        let given = fields.get(field.name);
        let is_empty =
            |value| field.omit_empty && !field.pointer && typed::is_empty(&field.shape, value);
        if given.is_some_and(|value| value.is_null() || is_empty(value)) {
            fields.remove(field.name);
        }
    }
    Ok(fields)
}

fn insert(
    field: &'static Field,
    wire: Wire<'_>,
    depth: usize,
    fields: &mut Map<String, Value>,
) -> Result<(), ProtobufError> {
    match &field.shape {
        Shape::Struct(name) if field.inline => {
            if let Some(inlined) = pack::named(name) {
                fields.extend(message(inlined, wire.bytes()?, depth + 1)?);
            }
        }
        Shape::List(item) => {
            let slot = fields.entry(field.name).or_insert_with(|| json!([]));
            if let Value::Array(list) = slot {
                push(item, wire, depth, list)?;
            }
        }
        Shape::Map(entry) => {
            let (key, value) = map_entry(entry, wire.bytes()?, depth)?;
            let slot = fields.entry(field.name).or_insert_with(|| json!({}));
            if let Value::Object(map) = slot {
                map.insert(key, value);
            }
        }
        shape => {
            fields.insert(field.name.to_owned(), value(shape, wire, depth)?);
        }
    }
    Ok(())
}

/// Adds the items of one occurrence of a repeated field; numbers may come many at once.
fn push(
    item: &'static Shape,
    wire: Wire<'_>,
    depth: usize,
    list: &mut Vec<Value>,
) -> Result<(), ProtobufError> {
    let is_number = matches!(item, Shape::Leaf(Leaf::Int32 | Leaf::Int64 | Leaf::Bool));
    if let (true, Wire::Bytes(packed)) = (is_number, wire) {
        let mut reader = Reader::new(packed);
        while let Some(number) = reader.varint_if_any()? {
            list.push(value(item, Wire::Varint(number), depth)?);
        }
    } else {
        list.push(value(item, wire, depth)?);
    }
    Ok(())
}

fn map_entry(
    entry: &'static Shape,
    bytes: &[u8],
    depth: usize,
) -> Result<(String, Value), ProtobufError> {
    let (mut key, mut held) = (String::new(), typed::zero(entry));
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.next()? {
        match (number, entry) {
            (1, _) => key = text(wire)?,
            // A list as the value of a map is wrapped into a message of its own.
            (2, Shape::List(item)) => {
                let mut list = Vec::new();
                let mut items = Reader::new(wire.bytes()?);
                while let Some((_, wire)) = items.next()? {
                    push(item, wire, depth + 1, &mut list)?;
                }
                held = Value::Array(list);
            }
            (2, _) => held = value(entry, wire, depth)?,
            _ => {}
        }
    }
    Ok((key, held))
}

fn value(shape: &'static Shape, wire: Wire<'_>, depth: usize) -> Result<Value, ProtobufError> {
    match shape {
        Shape::Struct(name) => {
            let owner = pack::named(name).ok_or(ProtobufError::Malformed("a type is missing"))?;
            Ok(Value::Object(message(owner, wire.bytes()?, depth + 1)?))
        }
        Shape::Leaf(leaf) => leaf_value(*leaf, wire, depth),
        Shape::List(_) | Shape::Map(_) => Err(ProtobufError::Malformed("a list in a list")),
    }
}

fn leaf_value(leaf: Leaf, wire: Wire<'_>, depth: usize) -> Result<Value, ProtobufError> {
    Ok(match leaf {
        Leaf::String => json!(text(wire)?),
        Leaf::Bool => json!(wire.varint()? != 0),
        Leaf::Int32 => json!(wire.int32()?),
        Leaf::Int64 => json!(wire.int64()?),
        Leaf::Float => typed::float(wire.double()?),
        Leaf::Bytes => json!(BASE64_STANDARD.encode(wire.bytes()?)),
        Leaf::Time => moment(wire.bytes()?)?.map_or(Value::Null, |at| {
            json!(Timestamp::from_second(at.as_second()).unwrap_or(at).to_string())
        }),
        Leaf::MicroTime => {
            moment(wire.bytes()?)?.map_or(Value::Null, |at| json!(format!("{at:.6}")))
        }
        Leaf::Quantity => {
            let amount = only_bytes(wire.bytes()?)?;
            let amount = utf8(amount)?;
            json!(if amount.is_empty() { "0" } else { amount })
        }
        Leaf::IntOrString => int_or_string(wire.bytes()?)?,
        Leaf::Fields | Leaf::Json | Leaf::Raw => embedded(only_bytes(wire.bytes()?)?, depth)?,
        Leaf::SchemaOrList | Leaf::SchemaOrBool | Leaf::SchemaOrNames => {
            schema_or(leaf, wire.bytes()?, depth)?
        }
        Leaf::Duration => {
            return Err(ProtobufError::Malformed("durations are not supported yet"));
        }
    })
}

/// Returns the moment of a timestamp message, nothing for the empty one.
fn moment(bytes: &[u8]) -> Result<Option<Timestamp>, ProtobufError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let (mut seconds, mut nanos) = (0, 0);
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.next()? {
        match number {
            1 => seconds = wire.int64()?,
            2 => nanos = wire.int32()?,
            _ => {}
        }
    }
    let at = Timestamp::new(seconds, nanos);
    at.map(Some).map_err(|_| ProtobufError::Malformed("a time is out of range"))
}

fn int_or_string(bytes: &[u8]) -> Result<Value, ProtobufError> {
    let (mut is_text, mut number, mut string) = (false, 0, String::new());
    let mut reader = Reader::new(bytes);
    while let Some((field, wire)) = reader.next()? {
        match field {
            1 => is_text = wire.varint()? == 1,
            2 => number = wire.int32()?,
            3 => string = text(wire)?,
            _ => {}
        }
    }
    Ok(if is_text { json!(string) } else { json!(number) })
}

/// Decodes a schema, or what may stand in its place.
fn schema_or(leaf: Leaf, bytes: &[u8], depth: usize) -> Result<Value, ProtobufError> {
    let schema_number = if leaf == Leaf::SchemaOrBool { 2 } else { 1 };
    let schema = &Shape::Struct("apiextensions.v1.JSONSchemaProps");
    let (mut found, mut list, mut allowed) = (None, Vec::new(), false);
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.next()? {
        match (number, leaf) {
            (number, _) if number == schema_number => found = Some(value(schema, wire, depth)?),
            (1, Leaf::SchemaOrBool) => allowed = wire.varint()? != 0,
            (2, Leaf::SchemaOrList) => list.push(value(schema, wire, depth)?),
            (2, _) => list.push(json!(text(wire)?)),
            _ => {}
        }
    }
    Ok(match (found, leaf) {
        (Some(schema), _) => schema,
        (None, Leaf::SchemaOrBool) => json!(allowed),
        (None, _) => Value::Array(list),
    })
}

/// Decodes an object within an object, which is JSON or in the encoding of its own.
fn embedded(bytes: &[u8], depth: usize) -> Result<Value, ProtobufError> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    if bytes.starts_with(MAGIC) {
        if depth > MAX_DEPTH {
            return Err(ProtobufError::Malformed("messages are nested too deep"));
        }
        return decode_at(bytes, depth + 1);
    }
    k8s::json::parse(bytes).map_err(|_| ProtobufError::Malformed("an embedded object is no JSON"))
}

/// Returns the contents of a message whose one field is the first.
fn only_bytes(bytes: &[u8]) -> Result<&[u8], ProtobufError> {
    let mut found = &[][..];
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.next()? {
        if number == 1 {
            found = wire.bytes()?;
        }
    }
    Ok(found)
}

fn text(wire: Wire<'_>) -> Result<String, ProtobufError> {
    utf8(wire.bytes()?).map(str::to_owned)
}

fn utf8(bytes: &[u8]) -> Result<&str, ProtobufError> {
    std::str::from_utf8(bytes).map_err(|_| ProtobufError::Malformed("a text is not UTF-8"))
}
