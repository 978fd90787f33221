//! The `/scale` subresource.

use http::header;
use k8s::{GroupVersionKind, ObjectKey, selector::Selector};
use serde_json::{Value, json};

use crate::{
    backend::{Modify, Part},
    error::ApiError,
    field::FieldError,
    http::{
        Call,
        apply::{self, Apply},
        body::{self, Decoded},
        media::{self, PatchKind},
        patch::{self, Patch},
        respond::{self, Answer},
        write,
    },
    managed::Author,
    registry::{Registered, ScalePaths},
};

/// The name that managers of the replicas are noted with.
const SUBRESOURCE: &str = "scale";

pub(crate) fn handle(
    call: &Call,
    registered: &Registered,
    key: &ObjectKey,
    verb: &str,
) -> Result<Answer, ApiError> {
    let paths = registered.scale.as_ref().ok_or_else(ApiError::resource_not_found)?;
    match verb {
        "get" => {
            let object = call.backend().get(&registered.resource, key)?;
            Ok(answer(call, paths, &object.to_value()))
        }
        "update" => {
            let encoding = media::body_encoding(call.header(header::CONTENT_TYPE), false)?;
            let Decoded { value, .. } = body::decode(&call.body, encoding)?;
            change(call, registered, key, |_| Ok(value))
        }
        "patch" => {
            let kind = media::patch_kind(call.header(header::CONTENT_TYPE), true)?;
            if kind == PatchKind::Apply {
                return apply(call, registered, key);
            }
            let patch: Patch = patch::parse(call, kind)?;
            change(call, registered, key, |scale| patch::apply(registered, scale, &patch))
        }
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// Changes the replicas of an object through its scale.
fn change(
    call: &Call,
    registered: &Registered,
    key: &ObjectKey,
    change: impl FnOnce(&Value) -> Result<Value, ApiError>,
) -> Result<Answer, ApiError> {
    let paths = registered.scale.as_ref().ok_or_else(ApiError::resource_not_found)?;
    let options = write::through(call.write_options("UpdateOptions")?, SUBRESOURCE);
    let modify = Modify { registered, key, part: Part::Main, options };
    let written = call.backend().modify(modify, |parent| {
        let scale = change(&scale(paths, parent))?;
        rescale(paths, parent, &scale, key)
    })?;
    Ok(answer(call, paths, &written.object.to_value()))
}

/// Applies a scale: what it says of the replicas is applied to the object.
fn apply(call: &Call, registered: &Registered, key: &ObjectKey) -> Result<Answer, ApiError> {
    let paths = registered.scale.as_ref().ok_or_else(ApiError::resource_not_found)?;
    let gvk = GroupVersionKind::new("autoscaling/v1", "Scale");
    let Apply { wanted: scale, manager, force, options } = apply::read(call, &gvk)?;
    call.backend().get(&registered.resource, key)?;
    let parent = &registered.resource.gvk;
    let mut wanted = json!({"apiVersion": parent.api_version(), "kind": parent.kind,
        "metadata": {"name": key.name}});
    for field in ["name", "namespace", "uid", "resourceVersion"] {
        if let Some(given) = scale.get("metadata").and_then(|it| it.get(field)) {
            wanted["metadata"][field] = given.clone();
        }
    }
    if let Some(replicas) = scale.pointer("/spec/replicas") {
        set(&mut wanted, &paths.spec_replicas, replicas.clone());
    }
    let modify = Modify { registered, key, part: Part::Main, options };
    let author = Author { name: manager, subresource: SUBRESOURCE };
    let written = call.backend().apply(modify, author, (&wanted, force))?;
    Ok(answer(call, paths, &written.object.to_value()))
}

fn answer(call: &Call, paths: &ScalePaths, parent: &Value) -> Answer {
    respond::value(200, &scale(paths, parent), call.wanted)
}

/// Returns the scale of an object.
fn scale(paths: &ScalePaths, parent: &Value) -> Value {
    let number = |path: &str| at(parent, path).and_then(Value::as_i64).unwrap_or(0);
    let metadata = &parent["metadata"];
    let mut scale = json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {},
        "spec": {},
        "status": {"replicas": number(&paths.status_replicas)},
    });
    let replicas = number(&paths.spec_replicas);
    // The reference leaves a zero out here, but not in the status.
    if replicas != 0 {
        scale["spec"]["replicas"] = json!(replicas);
    }
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = metadata.get(field) {
            scale["metadata"][field] = value.clone();
        }
    }
    let selector = match at(parent, &paths.label_selector) {
        Some(Value::String(text)) => text.clone(),
        Some(selector) => {
            Selector::from_label_selector(selector).map(|it| it.to_string()).unwrap_or_default()
        }
        None => String::new(),
    };
    if !selector.is_empty() {
        scale["status"]["selector"] = json!(selector);
    }
    scale
}

/// Returns the object with the replicas of a scale that was sent.
fn rescale(
    paths: &ScalePaths,
    parent: &Value,
    scale: &Value,
    key: &ObjectKey,
) -> Result<Value, ApiError> {
    let given = scale.pointer("/metadata/name").and_then(Value::as_str).unwrap_or(&key.name);
    if given != key.name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({})",
            key.name
        )));
    }
    let replicas = match scale.pointer("/spec/replicas") {
        None => 0,
        Some(number) => number
            .as_i64()
            .ok_or_else(|| ApiError::bad_request("spec.replicas of the scale is no integer"))?,
    };
    if replicas < 0 {
        let why = "must be greater than or equal to 0";
        let error = FieldError::invalid("spec.replicas", replicas, why);
        return Err(ApiError::invalid_kind("Scale", "autoscaling", &key.name, &[error]));
    }
    let mut value = parent.clone();
    for field in ["resourceVersion", "uid"] {
        if let Some(given) = scale.pointer(&format!("/metadata/{field}")) {
            value["metadata"][field] = given.clone();
        }
    }
    set(&mut value, &paths.spec_replicas, json!(replicas));
    Ok(value)
}

fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    if path.is_empty() {
        return None;
    }
    path.trim_start_matches('.').split('.').try_fold(value, |at, name| at.get(name))
}

/// Sets a value at a dotted path; what stands in the way of the path is replaced.
fn set(value: &mut Value, path: &str, to: Value) {
    let mut at = value;
    for name in path.trim_start_matches('.').split('.') {
        if !at.is_object() {
            *at = json!({});
        }
        at = &mut at[name];
    }
    *at = to;
}
