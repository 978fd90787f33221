//! Pure: the rules of configuration and leases.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use k8s::json::JsonError;
use serde_json::Value;

use crate::{
    field::{FieldError, FieldPath},
    fields::{number, text},
    rules::{Errors, entries, given},
};

/// How many bytes the values of a config map or secret may have together.
const MAX_SIZE: usize = 1024 * 1024;
const KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. \
    'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const IMMUTABLE: &str = "field is immutable when `immutable` is set";

pub(super) fn config_map(new: &Value, old: Option<&Value>, errors: &mut Errors) {
    for (key, _) in entries(new, "binaryData") {
        if new.pointer("/data").is_some_and(|data| data.get(key).is_some()) {
            let path = FieldPath::new("data").key(key);
            errors.invalid(&path, key.as_str(), "duplicate of key present in binaryData");
        }
    }
    let size = keys(new, "data", errors) + keys(new, "binaryData", errors) / 4 * 3;
    if size > MAX_SIZE {
        errors.push(FieldError::too_long("[]", MAX_SIZE as u64));
    }
    frozen(new, old, &["data", "binaryData"], errors);
}

pub(super) fn secret(new: &Value, old: Option<&Value>, errors: &mut Errors) {
    // Values are base64 here, which takes four letters for three bytes.
    if keys(new, "data", errors) / 4 * 3 > MAX_SIZE {
        errors.push(FieldError::too_long("data", MAX_SIZE as u64));
    }
    let data = FieldPath::new("data");
    let has = |key: &str| new.pointer("/data").is_some_and(|data| data.get(key).is_some());
    let needed: &[&str] = match text(new, "/type") {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            &["username", "password"]
        }
        "kubernetes.io/service-account-token" => {
            let annotation = "kubernetes.io/service-account.name";
            let annotations = new.pointer("/metadata/annotations");
            if annotations.is_none_or(|all| all.get(annotation).is_none()) {
                errors.required(&FieldPath::new("metadata.annotations").key(annotation));
            }
            &[]
        }
        _ => &[],
    };
    for key in needed.iter().filter(|key| !has(key)) {
        errors.required(&data.key(key));
    }
    for key in [".dockercfg", ".dockerconfigjson"].iter().filter(|key| needed.contains(key)) {
        docker(&data.key(key), new.pointer("/data").and_then(|data| data.get(key)), errors);
    }
    if let Some(old) = old {
        errors.immutable(&FieldPath::new("type"), new.get("type"), old.get("type"));
    }
    frozen(new, old, &["data"], errors);
}

/// Checks that what logs in to a registry is JSON; the text itself is not to be shown.
fn docker(path: &FieldPath, encoded: Option<&Value>, errors: &mut Errors) {
    let Some(encoded) = encoded.and_then(Value::as_str) else { return };
    let bytes = BASE64_STANDARD.decode(encoded).unwrap_or_default();
    if let Err(why) = k8s::json::parse(&bytes) {
        errors.invalid(path, "<secret contents redacted>", unread(&bytes, &why));
    }
}

/// Returns what Go says of a text that does not even start like JSON; of others, what we say.
fn unread(bytes: &[u8], why: &JsonError) -> String {
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => "unexpected end of JSON input".to_owned(),
        Some(first) if !br#"{["-0123456789tfn"#.contains(first) => {
            let first = char::from(*first);
            format!("invalid character '{first}' looking for beginning of value")
        }
        Some(_) => why.to_string(),
    }
}

pub(super) fn lease(new: &Value, errors: &mut Errors) {
    let spec = FieldPath::new("spec");
    let seconds = new.pointer("/spec/leaseDurationSeconds").and_then(Value::as_i64);
    if let Some(seconds) = seconds.filter(|seconds| *seconds <= 0) {
        errors.invalid(&spec.child("leaseDurationSeconds"), seconds, "must be greater than 0");
    }
    errors.not_negative(&spec, &new["spec"], "leaseTransitions");
}

pub(super) fn disruption_budget(new: &Value, errors: &mut Errors) {
    let spec = &new["spec"];
    if given(spec, "minAvailable").is_some() && given(spec, "maxUnavailable").is_some() {
        let detail = "minAvailable and maxUnavailable cannot be both set";
        errors.invalid(&FieldPath::new("spec"), spec.clone(), detail);
    }
}

pub(super) fn priority_class(new: &Value, old: Option<&Value>, errors: &mut Errors) {
    let value = FieldPath::new("value");
    if number(new, "/value") > 1_000_000_000 && !text(new, "/metadata/name").starts_with("system-")
    {
        let detail = "maximum allowed value of a user defined priority is 1000000000";
        errors.push(FieldError::forbidden(&value, detail));
    }
    if old.is_some_and(|old| number(old, "/value") != number(new, "/value")) {
        errors.push(FieldError::forbidden(&value, "may not be changed in an update."));
    }
}

/// Checks the keys of a map and returns how long its values are.
fn keys(object: &Value, name: &str, errors: &mut Errors) -> usize {
    let mut size = 0;
    for (key, value) in entries(object, name) {
        size += value.as_str().map_or(0, str::len);
        errors.checked(&FieldPath::new(name).key(key), key, key_syntax);
    }
    size
}

/// Returns why a text is no key of a config map or secret.
pub(super) fn key_syntax(key: &str) -> Vec<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let too_long = (key.len() > 253).then(|| "must be no more than 253 characters".to_owned());
    let wrong = match key {
        "." => Some("must not be '.'"),
        ".." => Some("must not be '..'"),
        _ if key.is_empty() || !key.chars().all(allowed) => Some(KEY),
        _ if key.starts_with("..") => Some("must not start with '..'"),
        _ => None,
    };
    too_long.into_iter().chain(wrong.map(ToOwned::to_owned)).collect()
}

/// Refuses changes of what was declared immutable.
fn frozen(new: &Value, old: Option<&Value>, fields: &[&str], errors: &mut Errors) {
    let Some(old) = old.filter(|old| old.get("immutable") == Some(&Value::Bool(true))) else {
        return;
    };
    if new.get("immutable") != Some(&Value::Bool(true)) {
        errors.push(FieldError::forbidden("immutable", IMMUTABLE));
    }
    for field in fields {
        if new.get(field) != old.get(field) {
            errors.push(FieldError::forbidden(field, IMMUTABLE));
        }
    }
}
