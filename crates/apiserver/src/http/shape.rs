//! Objects and lists in the form that was asked for.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use k8s::{Object, SharedClock};
use serde_json::{Value, json};

use crate::{
    error::ApiError,
    field::FieldError,
    http::{
        Call,
        media::{Encoding, Shape, Wanted},
        respond::{self, Answer},
    },
    lifecycle::template_generation,
    registry::Registered,
    store,
    table::{self, IncludeObject},
    typed::blank,
};

/// How many bytes of a list are made at once.
const CHUNK: usize = 64 * 1024;

/// Writes watch events in the form that was asked for.
pub(crate) struct Shaper {
    registered: Arc<Registered>,
    shape: Shape,
    meta_version: &'static str,
    include: IncludeObject,
    clock: SharedClock,
    /// Whether the columns were told, which is done once.
    told_columns: bool,
}

/// Answers with one object.
pub(crate) fn object(
    call: &Call,
    registered: &Registered,
    object: &Object,
    code: u16,
) -> Result<Answer, ApiError> {
    match call.wanted.shape {
        Shape::Table => {
            let metadata = json!({"resourceVersion": object.meta().resource_version});
            let table = as_table(call, registered, &[object.to_value()], metadata)?;
            Ok(respond::value(code, &table, call.wanted))
        }
        Shape::Metadata => {
            let value = metadata_only(object, meta_version(call.wanted));
            Ok(respond::value(code, &value, call.wanted))
        }
        Shape::Plain => Ok(respond::json(code, object.json(), call.wanted)),
    }
}

/// Answers with a list of objects.
pub(crate) fn list(
    call: &Call,
    registered: &Registered,
    objects: &[Arc<Object>],
    metadata: &Value,
) -> Result<Answer, ApiError> {
    let wanted = call.wanted;
    match wanted.shape {
        Shape::Metadata => {
            let version = meta_version(wanted);
            let items: Vec<_> = objects.iter().map(|it| metadata_only(it, version)).collect();
            let list = json!({
                "kind": "PartialObjectMetadataList", "apiVersion": version, "metadata": metadata,
                "items": items});
            Ok(respond::value(200, &list, wanted))
        }
        Shape::Table => {
            let objects: Vec<_> = objects.iter().map(|it| it.to_value()).collect();
            let table = as_table(call, registered, &objects, metadata.clone())?;
            Ok(respond::value(200, &table, wanted))
        }
        Shape::Plain => Ok(plain_list(registered, objects, metadata, wanted)),
    }
}

fn as_table(
    call: &Call,
    registered: &Registered,
    objects: &[Value],
    metadata: Value,
) -> Result<Value, ApiError> {
    let version = if call.wanted.beta { "v1beta1" } else { "v1" };
    let now = call.backend().clock().now();
    let include = include_object(call)?;
    Ok(table::table(registered, objects, metadata, version, include, now))
}

fn include_object(call: &Call) -> Result<IncludeObject, ApiError> {
    match call.query.get("includeObject") {
        "" | "Metadata" => Ok(IncludeObject::Metadata),
        "None" => Ok(IncludeObject::None),
        "Object" => Ok(IncludeObject::Object),
        other => {
            let why = "must be 'Metadata', 'Object', 'None', or empty";
            let error = FieldError::invalid("includeObject", other, why);
            Err(ApiError::bad_request(format!("Unable to convert to Table as requested: {error}")))
        }
    }
}

fn plain_list(
    registered: &Registered,
    objects: &[Arc<Object>],
    metadata: &Value,
    wanted: Wanted,
) -> Answer {
    let head = list_head(registered, metadata);
    let keep_type = registered.is_custom();
    if wanted.encoding == Encoding::Json && !wanted.pretty {
        let size: usize = objects.iter().map(|it| it.json().len() + 1).sum();
        if size < CHUNK {
            let mut text = head.into_bytes();
            objects.iter().enumerate().for_each(|it| item(&mut text, it, keep_type));
            text.extend_from_slice(b"]}\n");
            return respond::bytes(200, Encoding::Json.media_type(), text);
        }
        let pieces = stream_list(head, objects.to_vec(), keep_type);
        return respond::stream(Encoding::Json.media_type(), stream::iter(pieces));
    }
    let mut list: Value = json!({"kind": registered.list_kind,
        "apiVersion": registered.resource.gvk.api_version(), "metadata": metadata});
    let value = |object: &Arc<Object>| {
        let mut value = object.to_value();
        if let (false, Some(fields)) = (keep_type, value.as_object_mut()) {
            fields.remove("kind");
            fields.remove("apiVersion");
        }
        value
    };
    list["items"] = objects.iter().map(value).collect();
    respond::value(200, &list, wanted)
}

/// Makes the text of a long list piece by piece, so that it never stands in memory as a whole.
fn stream_list(
    head: String,
    objects: Vec<Arc<Object>>,
    keep_type: bool,
) -> impl Iterator<Item = Bytes> {
    let mut objects = objects.into_iter().enumerate();
    let mut text = Some(head.into_bytes());
    std::iter::from_fn(move || {
        let mut piece = text.take()?;
        while piece.len() < CHUNK {
            let Some((index, object)) = objects.next() else {
                piece.extend_from_slice(b"]}\n");
                return Some(piece.into());
            };
            item(&mut piece, (index, &object), keep_type);
        }
        text = Some(vec![]);
        Some(piece.into())
    })
}

fn list_head(registered: &Registered, metadata: &Value) -> String {
    format!(
        "{{\"kind\":\"{}\",\"apiVersion\":\"{}\",\"metadata\":{metadata},\"items\":[",
        registered.list_kind,
        registered.resource.gvk.api_version()
    )
}

fn item(text: &mut Vec<u8>, (index, object): (usize, &Arc<Object>), keep_type: bool) {
    if 0 < index {
        text.push(b',');
    }
    match store::without_type(object) {
        Some(rest) if !keep_type => {
            text.push(b'{');
            text.extend_from_slice(rest);
        }
        _ => text.extend_from_slice(object.json()),
    }
}

impl Shaper {
    /// Returns the writer for the events of a watch.
    pub(crate) fn new(call: &Call, registered: &Arc<Registered>) -> Result<Self, ApiError> {
        Ok(Self {
            registered: registered.clone(),
            shape: call.wanted.shape,
            meta_version: meta_version(call.wanted),
            include: include_object(call)?,
            clock: call.backend().clock().clone(),
            told_columns: false,
        })
    }

    /// Writes one event as a line.
    pub(crate) fn event(&mut self, text: &mut Vec<u8>, kind: &str, object: &Object) {
        match self.shape {
            Shape::Plain => line(text, kind, object.json()),
            Shape::Table => {
                let rows = [self.row(&object.to_value())];
                let table = self.table(&object.meta().resource_version, &rows);
                line(text, kind, table.to_string().as_bytes());
            }
            Shape::Metadata => {
                let value = metadata_only(object, self.meta_version);
                line(text, kind, value.to_string().as_bytes());
            }
        }
    }

    /// Writes a bookmark as a line: an object with nothing in it, in the form of the others.
    pub(crate) fn bookmark(&mut self, text: &mut Vec<u8>, revision: u64, ends_initial: bool) {
        let revision = revision.to_string();
        let mut object = blank::converted(&self.registered.resource.gvk);
        object["metadata"]["resourceVersion"] = json!(revision);
        if ends_initial {
            object["metadata"]["annotations"]["k8s.io/initial-events-end"] = json!("true");
        }
        let object = match self.shape {
            Shape::Table => {
                let rows = [self.row(&object)];
                self.table(&revision, &rows)
            }
            Shape::Metadata => of_metadata(object, self.meta_version),
            Shape::Plain => object,
        };
        line(text, "BOOKMARK", object.to_string().as_bytes());
    }

    fn row(&self, object: &Value) -> Value {
        let version = self.meta_version.trim_start_matches("meta.k8s.io/");
        table::row(&self.registered, object, version, self.include, self.clock.now())
    }

    /// Returns a table of rows; only the first of a watch tells the columns.
    fn table(&mut self, revision: &str, rows: &[Value]) -> Value {
        let columns = if std::mem::replace(&mut self.told_columns, true) {
            Value::Null
        } else {
            table::columns(&self.registered)
        };
        json!({"kind": "Table", "apiVersion": self.meta_version, "rows": rows,
            "metadata": {"resourceVersion": revision}, "columnDefinitions": columns})
    }
}

fn line(text: &mut Vec<u8>, kind: &str, object: &[u8]) {
    text.extend_from_slice(b"{\"type\":\"");
    text.extend_from_slice(kind.as_bytes());
    text.extend_from_slice(b"\",\"object\":");
    text.extend_from_slice(object);
    text.extend_from_slice(b"}\n");
}

fn metadata_only(object: &Object, version: &str) -> Value {
    of_metadata(object.to_value(), version)
}

fn of_metadata(mut value: Value, version: &str) -> Value {
    template_generation::hide(&mut value);
    let metadata = value.get_mut("metadata").map(Value::take).unwrap_or_default();
    json!({"kind": "PartialObjectMetadata", "apiVersion": version, "metadata": metadata})
}

fn meta_version(wanted: Wanted) -> &'static str {
    if wanted.beta { "meta.k8s.io/v1beta1" } else { "meta.k8s.io/v1" }
}
