//! Pure: encodes an OpenAPI v2 document as the protobuf message `openapi.v2.Document`.

use serde_json::Value;

use crate::swagger::fields;

/// The bytes of one message.
#[derive(Default)]
struct Message(Vec<u8>);

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;

pub(super) fn document(document: &Value) -> Vec<u8> {
    let mut info = Message::default();
    info.text(1, &document["info"]["title"]);
    info.text(2, &document["info"]["version"]);
    let mut paths = Message::default();
    for (path, item) in fields(&document["paths"]) {
        paths.named(2, path, &path_item(item));
    }
    let mut message = Message::default();
    message.text(1, &document["swagger"]);
    message.message(2, &info);
    message.message(8, &paths);
    message.message(9, &named_schemas(&document["definitions"]));
    message.0
}

fn path_item(item: &Value) -> Message {
    let mut message = Message::default();
    for (number, method) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")] {
        if let Some(value) = item.get(method) {
            message.message(number, &operation(value));
        }
    }
    parameters(&mut message, 9, &item["parameters"]);
    message
}

fn operation(operation: &Value) -> Message {
    let mut message = Message::default();
    message.text(5, &operation["operationId"]);
    message.texts(7, &operation["consumes"]);
    parameters(&mut message, 8, &operation["parameters"]);
    let mut responses = Message::default();
    for (code, response) in fields(&operation["responses"]) {
        responses.named(1, code, &wrapped(1, &self::response(response)));
    }
    message.message(9, &responses);
    extensions(&mut message, 13, operation);
    message
}

fn response(response: &Value) -> Message {
    let mut message = Message::default();
    message.text(1, &response["description"]);
    if response["schema"].is_object() {
        message.message(2, &wrapped(1, &schema(&response["schema"])));
    }
    message
}

fn parameters(message: &mut Message, number: u64, parameters: &Value) {
    for parameter in parameters.as_array().into_iter().flatten() {
        let encoded = match parameter["in"].as_str() {
            Some("body") => wrapped(1, &body(parameter)),
            Some("path") => wrapped(2, &wrapped(4, &path_parameter(parameter))),
            _ => wrapped(2, &wrapped(3, &query_parameter(parameter))),
        };
        message.message(number, &wrapped(1, &encoded));
    }
}

fn body(parameter: &Value) -> Message {
    let mut message = Message::default();
    message.text(2, &parameter["name"]);
    message.text(3, &parameter["in"]);
    message.flag(4, &parameter["required"]);
    message.message(5, &schema(&parameter["schema"]));
    message
}

fn path_parameter(parameter: &Value) -> Message {
    let mut message = Message::default();
    message.flag(1, &parameter["required"]);
    message.text(2, &parameter["in"]);
    message.text(4, &parameter["name"]);
    message.text(5, &parameter["type"]);
    message.flag(19, &parameter["uniqueItems"]);
    message
}

fn query_parameter(parameter: &Value) -> Message {
    let mut message = Message::default();
    message.flag(1, &parameter["required"]);
    message.text(2, &parameter["in"]);
    message.text(4, &parameter["name"]);
    message.text(6, &parameter["type"]);
    message.flag(20, &parameter["uniqueItems"]);
    message
}

fn named_schemas(schemas: &Value) -> Message {
    let mut message = Message::default();
    for (name, value) in fields(schemas) {
        message.named(1, name, &schema(value));
    }
    message
}

fn schema(schema: &Value) -> Message {
    let mut message = Message::default();
    for (number, name) in
        [(1, "$ref"), (2, "format"), (3, "title"), (4, "description"), (13, "pattern")]
    {
        message.text(number, &schema[name]);
    }
    if let Some(default) = schema.get("default") {
        message.message(5, &any(default));
    }
    for (number, name) in [(6, "multipleOf"), (7, "maximum"), (9, "minimum")] {
        message.double(number, &schema[name]);
    }
    for (number, name) in [(8, "exclusiveMaximum"), (10, "exclusiveMinimum"), (16, "uniqueItems")] {
        message.flag(number, &schema[name]);
    }
    for (number, name) in [
        (11, "maxLength"),
        (12, "minLength"),
        (14, "maxItems"),
        (15, "minItems"),
        (17, "maxProperties"),
        (18, "minProperties"),
    ] {
        message.integer(number, &schema[name]);
    }
    message.texts(19, &schema["required"]);
    for value in schema["enum"].as_array().into_iter().flatten() {
        message.message(20, &any(value));
    }
    compounds(&mut message, schema);
    extensions(&mut message, 31, schema);
    message
}

/// Writes the keywords of a schema that hold schemas, and its type.
fn compounds(message: &mut Message, schema: &Value) {
    match &schema["additionalProperties"] {
        Value::Bool(allowed) => {
            let mut either = Message::default();
            either.key(2, VARINT);
            either.varint((*allowed).into());
            message.message(21, &either);
        }
        Value::Object(_) => {
            message.message(21, &wrapped(1, &self::schema(&schema["additionalProperties"])));
        }
        _ => {}
    }
    if schema["type"].is_string() {
        let mut types = Message::default();
        types.text(1, &schema["type"]);
        message.message(22, &types);
    }
    if schema["items"].is_object() {
        message.message(23, &wrapped(1, &self::schema(&schema["items"])));
    }
    for value in schema["allOf"].as_array().into_iter().flatten() {
        message.message(24, &self::schema(value));
    }
    if schema["properties"].is_object() {
        message.message(25, &named_schemas(&schema["properties"]));
    }
}

fn extensions(message: &mut Message, number: u64, value: &Value) {
    for (name, value) in fields(value).filter(|(name, _)| name.starts_with("x-")) {
        message.named(number, name, &any(value));
    }
}

/// Any value is carried as YAML, which all JSON is.
fn any(value: &Value) -> Message {
    let mut message = Message::default();
    message.bytes(2, value.to_string().as_bytes());
    message
}

/// Returns a message that holds only one other.
fn wrapped(number: u64, inner: &Message) -> Message {
    let mut message = Message::default();
    message.message(number, inner);
    message
}

impl Message {
    fn text(&mut self, number: u64, value: &Value) {
        if let Some(text) = value.as_str().filter(|text| !text.is_empty()) {
            self.bytes(number, text.as_bytes());
        }
    }

    fn texts(&mut self, number: u64, value: &Value) {
        for text in value.as_array().into_iter().flatten() {
            self.text(number, text);
        }
    }

    fn flag(&mut self, number: u64, value: &Value) {
        if value == &Value::Bool(true) {
            self.key(number, VARINT);
            self.varint(1);
        }
    }

    fn integer(&mut self, number: u64, value: &Value) {
        if let Some(integer) = value.as_u64().filter(|integer| *integer != 0) {
            self.key(number, VARINT);
            self.varint(integer);
        }
    }

    fn double(&mut self, number: u64, value: &Value) {
        if let Some(float) = value.as_f64().filter(|float| *float != 0.0) {
            self.key(number, FIXED64);
            self.0.extend_from_slice(&float.to_le_bytes());
        }
    }

    fn message(&mut self, number: u64, message: &Message) {
        self.bytes(number, &message.0);
    }

    /// Writes an entry of a map: a message of a name and a value.
    fn named(&mut self, number: u64, name: &str, value: &Message) {
        let mut entry = Message::default();
        entry.bytes(1, name.as_bytes());
        entry.message(2, value);
        self.message(number, &entry);
    }

    fn bytes(&mut self, number: u64, bytes: &[u8]) {
        self.key(number, BYTES);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn key(&mut self, number: u64, wire_type: u64) {
        self.varint(number << 3 | wire_type);
    }

    fn varint(&mut self, mut value: u64) {
        while 0x7f < value {
            self.0.push(u8::try_from(value & 0x7f | 0x80).unwrap_or(u8::MAX));
            value >>= 7;
        }
        self.0.push(u8::try_from(value).unwrap_or(u8::MAX));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_are_nested_with_their_lengths() {
        let document = json!({"swagger": "2.0", "info": {"title": "T", "version": "v"},
            "definitions": {"A": {"type": "string"}}});
        let expected = [
            b"\x0a\x032.0".as_slice(),
            b"\x12\x06\x0a\x01T\x12\x01v",
            b"\x42\x00",
            b"\x4a\x12\x0a\x10\x0a\x01A\x12\x0b",
            b"\xb2\x01\x08\x0a\x06string",
        ];
        assert_eq!(super::document(&document), expected.concat());
    }

    #[test]
    fn long_numbers_take_several_bytes() {
        let mut message = Message::default();
        message.integer(11, &json!(300));
        message.double(7, &json!(1.5));
        assert_eq!(message.0, [0x58, 0xac, 0x02, 0x39, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f]);
    }
}
