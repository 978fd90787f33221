//! Objects and lists in the form that was asked for.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use k8s::Object;
use serde_json::{Value, json};

use crate::{
    error::ApiError,
    http::{
        Call,
        media::{Encoding, Shape, Wanted},
        respond::{self, Answer},
    },
    registry::Registered,
    store,
};

/// How many bytes of a list are made at once.
const CHUNK: usize = 64 * 1024;

/// Writes watch events in the form that was asked for.
pub(crate) struct Shaper {
    registered: Arc<Registered>,
    shape: Shape,
    meta_version: &'static str,
}

/// Answers with one object.
pub(crate) fn object(
    call: &Call,
    registered: &Registered,
    object: &Object,
    code: u16,
) -> Result<Answer, ApiError> {
    let _ = registered;
    match call.wanted.shape {
        Shape::Metadata => {
            let value = metadata_only(object, meta_version(call.wanted));
            Ok(respond::value(code, &value, call.wanted))
        }
        Shape::Plain | Shape::Table => Ok(respond::json(code, object.json(), call.wanted)),
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
        Shape::Plain | Shape::Table => Ok(plain_list(registered, objects, metadata, wanted)),
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
            match objects.next() {
                Some((index, object)) => item(&mut piece, (index, &object), keep_type),
                None => {
                    piece.extend_from_slice(b"]}\n");
                    return Some(piece.into());
                }
            }
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
        let meta_version = meta_version(call.wanted);
        Ok(Self { registered: registered.clone(), shape: call.wanted.shape, meta_version })
    }

    /// Writes one event as a line.
    pub(crate) fn event(&mut self, text: &mut Vec<u8>, kind: &str, object: &Object) {
        match self.shape {
            Shape::Plain | Shape::Table => line(text, kind, object.json()),
            Shape::Metadata => {
                let value = metadata_only(object, self.meta_version);
                line(text, kind, value.to_string().as_bytes());
            }
        }
    }

    /// Writes a bookmark as a line.
    pub(crate) fn bookmark(&mut self, text: &mut Vec<u8>, revision: u64, ends_initial: bool) {
        let mut metadata =
            json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if ends_initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let gvk = &self.registered.resource.gvk;
        let (kind, version) = match self.shape {
            Shape::Metadata => ("PartialObjectMetadata", self.meta_version.to_owned()),
            Shape::Plain | Shape::Table => (gvk.kind.as_str(), gvk.api_version()),
        };
        let object = json!({"kind": kind, "apiVersion": version, "metadata": metadata});
        line(text, "BOOKMARK", object.to_string().as_bytes());
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
    let mut value = object.to_value();
    let metadata = value.get_mut("metadata").map(Value::take).unwrap_or_default();
    json!({"kind": "PartialObjectMetadata", "apiVersion": version, "metadata": metadata})
}

fn meta_version(wanted: Wanted) -> &'static str {
    if wanted.beta { "meta.k8s.io/v1beta1" } else { "meta.k8s.io/v1" }
}
