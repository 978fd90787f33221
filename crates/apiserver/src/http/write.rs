//! Creating, replacing, patching and deleting one object.

use http::header;
use k8s::ObjectKey;
use serde_json::{Value, json};

use crate::{
    backend::{
        DeleteOptions, Deleted, Modify, Ownership, Part, Propagation, WriteOptions, Written,
    },
    error::ApiError,
    field::FieldError,
    http::{
        Call, apply,
        body::{self, Decoded},
        media::{self, PatchKind},
        patch,
        respond::{self, Answer},
        shape,
    },
    managed::Author,
    registry::Registered,
};

/// The resources whose deletion is answered with the object, whatever became of it.
const ANSWERED_WITH_OBJECT: &[(&str, &str)] = &[
    ("", "namespaces"),
    ("", "persistentvolumeclaims"),
    ("", "persistentvolumes"),
    ("", "pods"),
    ("", "serviceaccounts"),
    ("", "services"),
    ("storage.k8s.io", "storageclasses"),
];

pub(crate) fn create(
    call: &Call,
    registered: &Registered,
    namespace: &str,
) -> Result<Answer, ApiError> {
    let options = call.write_options("CreateOptions")?;
    let Decoded { value, text } = body(call, registered)?;
    let options = WriteOptions { sent: text.sent(), ..options };
    let written = call.backend().create_with(registered, namespace, value, options)?;
    written_answer(call, registered, &written)
}

pub(crate) fn update(
    call: &Call,
    registered: &Registered,
    key: &ObjectKey,
) -> Result<Answer, ApiError> {
    update_part(call, registered, key, Part::Main)
}

pub(crate) fn update_status(
    call: &Call,
    registered: &Registered,
    key: &ObjectKey,
) -> Result<Answer, ApiError> {
    update_part(call, registered, key, Part::Status)
}

pub(crate) fn update_part(
    call: &Call,
    registered: &Registered,
    key: &ObjectKey,
    part: Part,
) -> Result<Answer, ApiError> {
    let options = through(call.write_options("UpdateOptions")?, part.subresource());
    let Decoded { value, text } = body(call, registered)?;
    let options = WriteOptions { sent: text.sent(), ..options };
    let modify = Modify { registered, key, part, options };
    let written = call.backend().replace(modify, value)?;
    written_answer(call, registered, &written)
}

pub(crate) fn patch(
    call: &Call,
    registered: &Registered,
    key: &ObjectKey,
) -> Result<Answer, ApiError> {
    patch_part(call, registered, key, Part::Main)
}

pub(crate) fn patch_status(
    call: &Call,
    registered: &Registered,
    key: &ObjectKey,
) -> Result<Answer, ApiError> {
    patch_part(call, registered, key, Part::Status)
}

pub(crate) fn delete(
    call: &Call,
    registered: &Registered,
    key: &ObjectKey,
) -> Result<Answer, ApiError> {
    let options = delete_options(call)?;
    let deleted = call.backend().delete_with(registered, key, &options)?;
    let object = deleted.object();
    let gvk = &registered.resource.gvk;
    let with_object =
        ANSWERED_WITH_OBJECT.contains(&(&gvk.group, registered.resource.plural.as_str()));
    match deleted {
        Deleted::Gone(_) if !with_object => {
            let mut details = json!({
                "name": key.name, "kind": registered.resource.plural, "uid": object.meta().uid});
            if !gvk.group.is_empty() {
                details["group"] = json!(gvk.group);
            }
            Ok(respond::value(200, &success(&details), call.wanted))
        }
        Deleted::Marked(_) if call.query.flag("orphanDependents") == Some(false) => {
            shape::object(call, registered, object, 202)
        }
        _ => shape::object(call, registered, object, 200),
    }
}

/// Reads how to delete from the body, else from the query.
pub(crate) fn delete_options(call: &Call) -> Result<DeleteOptions, ApiError> {
    let value = if call.body.iter().all(u8::is_ascii_whitespace) {
        query_delete_options(call)?
    } else {
        let encoding = media::body_encoding(call.header(header::CONTENT_TYPE), false)?;
        body::options(&call.body, encoding)?
    };
    parse_delete_options(&value)
}

/// Returns a Status that says that all went well.
pub(crate) fn success(details: &Value) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": details})
}

/// Answers with what was written.
pub(crate) fn written_answer(
    call: &Call,
    registered: &Registered,
    written: &Written,
) -> Result<Answer, ApiError> {
    let code = if written.created { 201 } else { 200 };
    let mut answer = shape::object(call, registered, &written.object, code)?;
    answer.extensions_mut().insert(respond::About(written.object.meta().name.clone()));
    Ok(answer)
}

/// Returns options of a write that goes through a subresource.
pub(crate) fn through<'a>(options: WriteOptions<'a>, subresource: &'a str) -> WriteOptions<'a> {
    match options.ownership {
        Ownership::Take(author) => {
            let ownership = Ownership::Take(Author { subresource, ..author });
            WriteOptions { ownership, ..options }
        }
        Ownership::Decided => options,
    }
}

/// Decodes the body.
pub(crate) fn body<'c>(call: &'c Call, registered: &Registered) -> Result<Decoded<'c>, ApiError> {
    let encoding = media::body_encoding(call.header(header::CONTENT_TYPE), registered.is_custom())?;
    body::decode_as(registered, &call.body, encoding)
}

fn patch_part(
    call: &Call,
    registered: &Registered,
    key: &ObjectKey,
    part: Part,
) -> Result<Answer, ApiError> {
    let kind = media::patch_kind(call.header(header::CONTENT_TYPE), registered.is_custom())?;
    if kind == PatchKind::Apply {
        return apply::apply(call, registered, key, part);
    }
    let options = through(call.write_options("PatchOptions")?, part.subresource());
    let patch = patch::parse(call, kind)?;
    let options = WriteOptions { sent: patch.sent(), ..options };
    let modify = Modify { registered, key, part, options };
    let written = call.backend().modify(modify, |old| {
        let value = patch::apply(registered, old, &patch)?;
        patch::check_identity(old, &value)?;
        Ok(value)
    })?;
    written_answer(call, registered, &written)
}

fn query_delete_options(call: &Call) -> Result<Value, ApiError> {
    let query = &call.query;
    let mut value = json!({});
    if let Some(seconds) = query.number("gracePeriodSeconds")? {
        value["gracePeriodSeconds"] = json!(seconds);
    }
    if let Some(orphan) = query.flag("orphanDependents") {
        value["orphanDependents"] = json!(orphan);
    }
    for name in ["propagationPolicy", "dryRun"] {
        match query.get(name) {
            "" => {}
            text if name == "dryRun" => value[name] = json!([text]),
            text => value[name] = json!(text),
        }
    }
    Ok(value)
}

pub(crate) fn parse_delete_options(value: &Value) -> Result<DeleteOptions, ApiError> {
    let invalid = |error| ApiError::invalid_kind("DeleteOptions", "meta.k8s.io", "", &[error]);
    let text =
        |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(ToOwned::to_owned);
    let orphan = value.get("orphanDependents").and_then(Value::as_bool);
    let policy = text("/propagationPolicy").filter(|it| !it.is_empty());
    let propagation = match (policy.as_deref(), orphan) {
        (Some(_), Some(_)) => {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            let error = FieldError::invalid("propagationPolicy", policy.unwrap_or_default(), why);
            return Err(invalid(error));
        }
        (None, None) => None,
        (None, Some(true)) | (Some("Orphan"), _) => Some(Propagation::Orphan),
        (None, Some(false)) | (Some("Background"), _) => Some(Propagation::Background),
        (Some("Foreground"), _) => Some(Propagation::Foreground),
        (Some(other), _) => {
            let known = ["Foreground", "Background", "Orphan", "nil"];
            return Err(invalid(FieldError::not_supported("propagationPolicy", other, &known)));
        }
    };
    let dry_run = match value.get("dryRun").and_then(Value::as_array).map(Vec::as_slice) {
        None | Some([]) => false,
        Some(all) if all.iter().all(|it| it == "All") => true,
        Some(other) => {
            return Err(invalid(FieldError::not_supported("dryRun", other.to_vec(), &["All"])));
        }
    };
    Ok(DeleteOptions {
        grace: value.get("gracePeriodSeconds").and_then(Value::as_i64),
        uid: text("/preconditions/uid"),
        resource_version: text("/preconditions/resourceVersion"),
        propagation,
        dry_run,
    })
}
