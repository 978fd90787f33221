//! Pure: what happens to the metadata of an object on its way from birth to deletion.

pub(crate) mod deletion;
pub(crate) mod metadata;
pub(crate) mod pods;
pub(crate) mod template_generation;
pub(crate) mod update;

use k8s::{GroupVersionKind, Meta, Timestamp};
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use crate::{
    backend::FieldValidation,
    error::ApiError,
    field::FieldError,
    pack,
    registry::Registered,
    sent::{Sent, Unreadable},
};

/// The letters of generated name suffixes: no vowels, so that no words come up.
const SUFFIX_LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH: usize = 5;
const GENERATED_BASE_LENGTH: usize = 58;

/// Returns a moment as Kubernetes writes it: whole seconds, UTC.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

/// Checks that a body is an object of the resource and gives it the namespace of the request.
pub(crate) fn identify(
    registered: &Registered,
    namespace: &str,
    value: &mut Value,
) -> Result<(), ApiError> {
    check_type(registered, value)?;
    let Value::Object(fields) = value else {
        return Err(ApiError::bad_request("the body of the request is not an object"));
    };
    let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
    if metadata.is_null() {
        *metadata = json!({});
    }
    let Value::Object(metadata) = metadata else {
        let kind = &registered.resource.gvk.kind;
        let into = if registered.is_custom() {
            "value".to_owned()
        } else {
            format!("struct field {kind}.metadata")
        };
        let found = go_type(metadata);
        let why = format!("json: cannot unmarshal {found} into Go {into} of type v1.ObjectMeta");
        return Err(undecodable(registered, &why));
    };
    match metadata.get("namespace").and_then(Value::as_str).unwrap_or_default() {
        given if given == namespace => {}
        given if given.is_empty() || namespace.is_empty() => {}
        _ => {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the \
                 request",
            ));
        }
    }
    if namespace.is_empty() {
        metadata.remove("namespace");
    } else {
        metadata.insert("namespace".to_owned(), json!(namespace));
    }
    Ok(())
}

/// Tidies the metadata as decoding and encoding again would.
pub(crate) fn tidy(value: &mut Value) -> Result<(), String> {
    let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) else {
        return Ok(());
    };
    metadata
        .retain(|name, value| !is_empty(value) && name != "managedFields" && name != "selfLink");
    Meta::deserialize(&*metadata).map(|_: Meta| ()).map_err(|error| format!("metadata: {error}"))
}

/// Removes what only the server may set in a new object.
pub(crate) fn wipe(registered: &Registered, value: &mut Value) {
    // Nodes tell what they are as they come.
    let is_reset = registered.status && !registered.is("", "nodes");
    if let (true, Some(fields)) = (is_reset, value.as_object_mut()) {
        fields.remove("status");
    }
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in [
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "generation",
        ] {
            metadata.remove(field);
        }
    }
}

/// Gives a new object what the server sets: UID, time of birth, first generation.
pub(crate) fn give_birth(registered: &Registered, value: &mut Value, uid: &str, now: Timestamp) {
    let metadata = &mut value["metadata"];
    metadata["uid"] = json!(uid);
    metadata["creationTimestamp"] = json!(rfc3339(now));
    if registered.generation || registered.is_custom() {
        metadata["generation"] = json!(1);
    }
}

/// Removes repeated owner references and returns the warning about them.
pub(crate) fn dedup_owners(value: &mut Value) -> Option<String> {
    let owners = value.get_mut("metadata")?.get_mut("ownerReferences")?.as_array_mut()?;
    let mut seen = Vec::with_capacity(owners.len());
    let mut repeated: Vec<String> = vec![];
    owners.retain(|owner| {
        let new = !seen.contains(owner);
        if new {
            seen.push(owner.clone());
            return true;
        }
        let uid = owner.get("uid").and_then(Value::as_str).unwrap_or_default();
        if !repeated.iter().any(|it| it == uid) {
            repeated.push(uid.to_owned());
        }
        false
    });
    (!repeated.is_empty()).then(|| {
        format!(
            ".metadata.ownerReferences contains duplicate entries; API server dedups owner \
             references in 1.20+, and may reject such requests as early as 1.24; please fix your \
             requests; duplicate UID(s) observed: {}",
            repeated.join(", ")
        )
    })
}

/// Returns a name made of a `generateName` and random bytes.
pub(crate) fn generated_name(base: &str, random: &[u8]) -> String {
    let base = base.chars().take(GENERATED_BASE_LENGTH);
    let letter = |byte: &u8| SUFFIX_LETTERS[usize::from(*byte) % SUFFIX_LETTERS.len()] as char;
    base.chain(random.iter().take(SUFFIX_LENGTH).map(letter)).collect()
}

/// Returns the error of a body that cannot be read as an object of the resource.
pub(crate) fn undecodable(registered: &Registered, why: &str) -> ApiError {
    let gvk = &registered.resource.gvk;
    ApiError::bad_request(format!(
        "{kind} in version \"{version}\" cannot be handled as a {kind}: {why}",
        kind = gvk.kind,
        version = gvk.version
    ))
}

/// A missing type is filled in for built-ins, whose bodies are typed by their path.
fn check_type(registered: &Registered, value: &mut Value) -> Result<(), ApiError> {
    let gvk = &registered.resource.gvk;
    let field = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let (version, kind) = (field("apiVersion").to_owned(), field("kind").to_owned());
    if registered.is_custom() && kind.is_empty() {
        return Err(ApiError::bad_request("Object 'Kind' is missing in the body of the request"));
    }
    let fits = (version.is_empty() || version == gvk.api_version())
        && (kind.is_empty() || kind == gvk.kind);
    if !fits {
        let name = value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        return Err(wrong_type(registered, &version, &kind, name));
    }
    if let Value::Object(fields) = value {
        fields.insert("apiVersion".to_owned(), json!(gvk.api_version()));
        fields.insert("kind".to_owned(), json!(gvk.kind));
    }
    Ok(())
}

/// Returns the warnings about a custom resource of a version that has no schema: all of it is unknown.
pub(crate) fn of_unknown_version(
    registered: &Registered,
    validation: FieldValidation,
    value: &Value,
) -> Vec<String> {
    let version = value.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    let is_known = version.is_empty() || version == registered.resource.gvk.api_version();
    if is_known || !registered.is_custom() || validation != FieldValidation::Warn {
        return vec![];
    }
    let fields = value.as_object().into_iter().flat_map(Map::keys);
    fields
        .filter(|name| !["apiVersion", "kind", "metadata"].contains(&name.as_str()))
        .map(|name| format!("unknown field \"{name}\""))
        .collect()
}

/// Checks that a patch has left the type of an object as it was.
pub(crate) fn check_patched(
    registered: &Registered,
    sent: Sent<'_>,
    value: &mut Value,
) -> Result<(), ApiError> {
    let gvk = &registered.resource.gvk;
    let field = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (version, kind) = (field("apiVersion"), field("kind"));
    let is_same = version == gvk.api_version() && kind == gvk.kind;
    // Strategic merge patches change what is typed already; for built-ins a missing type is no other one.
    let is_overlooked = sent.is_strategic() || kind.is_empty() || version.is_empty();
    if is_same || (is_overlooked && !registered.is_custom()) {
        value["apiVersion"] = json!(gvk.api_version());
        value["kind"] = json!(gvk.kind);
        return Ok(());
    }
    if !registered.is_custom() {
        return Err(sent.refuse(registered, &Unreadable::Said(no_conversion(gvk, &version, &kind))));
    }
    if kind.is_empty() {
        let why = format!("Object 'Kind' is missing in '{value}'");
        return Err(sent.refuse(registered, &Unreadable::Said(why)));
    }
    let name = value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    if version != gvk.api_version() {
        let why = format!("must be {}", gvk.api_version());
        let error = FieldError::invalid("apiVersion", version, why);
        return Err(ApiError::invalid_kind(&kind, &gvk.group, name, &[error]));
    }
    Err(wrong_type(registered, &version, &kind, name))
}

/// Returns the error of an object of another version or kind, in the words of the reference.
fn wrong_type(registered: &Registered, version: &str, kind: &str, name: &str) -> ApiError {
    let gvk = &registered.resource.gvk;
    let version = if version.is_empty() { gvk.api_version() } else { version.to_owned() };
    let kind = if kind.is_empty() { &gvk.kind } else { kind };
    if registered.is_custom() && version != gvk.api_version() {
        return ApiError::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({})",
            gvk.api_version()
        ));
    }
    if registered.is_custom() {
        let error = FieldError::invalid("kind", kind, format!("must be {}", gvk.kind));
        return ApiError::invalid_kind(kind, &gvk.group, name, &[error]);
    }
    let short = version.rsplit('/').next().unwrap_or_default();
    let why = no_conversion(gvk, &version, kind);
    ApiError::bad_request(format!(
        "{kind} in version \"{short}\" cannot be handled as a {}: {why}",
        gvk.kind
    ))
}

/// Returns why an object of one built-in version and kind cannot be had as another.
fn no_conversion(gvk: &GroupVersionKind, version: &str, kind: &str) -> String {
    if !has_type(version, kind) {
        return unregistered(version, kind);
    }
    let short = version.rsplit('/').next().unwrap_or_default();
    let package = gvk.group.split('.').next().unwrap_or_default();
    let package = if package.is_empty() { "core" } else { package };
    format!("converting ({short}.{kind}) to ({package}.{}): unknown conversion", gvk.kind)
}

/// Returns what is said of a kind that nobody knows in the place where it stands.
pub(crate) fn unregistered(version: &str, kind: &str) -> String {
    format!(
        "no kind \"{kind}\" is registered for version \"{version}\" in scheme \
         \"pkg/runtime/scheme.go:111\""
    )
}

/// Returns a value as Go's `%v` prints it.
pub(crate) fn go_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(go_text).collect::<Vec<_>>().join(" "))
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name}:{}", go_text(value)));
            format!("map[{}]", fields.collect::<Vec<_>>().join(" "))
        }
        other => other.to_string(),
    }
}

/// Returns what Go calls the type of a JSON value.
pub(crate) fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Returns whether there is a built-in kind of this name.
fn has_type(version: &str, kind: &str) -> bool {
    pack::of(&GroupVersionKind::new(version, kind)).is_some()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
