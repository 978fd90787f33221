//! Pure: what a definition must and may not say, but for the contents of its versions.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    crd::{APPROVED, conditions, internal, schemas, texts},
    dns,
    field::{FieldError, FieldPath, quote},
    fields::{list, text},
};

const PULL_REQUEST: &str = "see https://github.com/kubernetes/enhancements/pull/1111";

/// Returns whether a new definition is not called as it must be.
pub(super) fn check_name(crd: &Value) -> Vec<FieldError> {
    let wanted = format!("{}.{}", text(crd, "/spec/names/plural"), text(crd, "/spec/group"));
    let mut errors = Vec::new();
    for field in ["generateName", "name"] {
        let given = text(crd, &format!("/metadata/{field}"));
        if given != wanted && (field == "name" || !given.is_empty()) {
            let detail = r#"must be spec.names.plural+"."+spec.group"#;
            errors.push(FieldError::invalid(format!("metadata.{field}"), given, detail));
        }
    }
    errors
}

/// Returns what is wrong with a definition by itself.
pub(super) fn check(crd: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = FieldPath::new("spec");
    group(crd, &spec, &mut errors);
    match text(crd, "/spec/scope") {
        "Cluster" | "Namespaced" => {}
        "" => errors.push(FieldError::required(spec.child("scope"), "")),
        other => errors.push(FieldError::not_supported(
            spec.child("scope"),
            other,
            &["Cluster", "Namespaced"],
        )),
    }
    versions(crd, &spec.child("versions"), &mut errors);
    names(crd, &spec.child("names"), &mut errors);
    conversion(crd, &spec.child("conversion"), &mut errors);
    stored_versions(crd, &mut errors);
    if crd.pointer("/spec/preserveUnknownFields") == Some(&Value::Bool(true)) {
        let detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in \
                      spec.versions[*].schema instead";
        errors.push(FieldError::invalid(spec.child("preserveUnknownFields"), true, detail));
    }
    errors
}

/// Returns what an update may not change.
pub(super) fn check_update(crd: &Value, old: &Value) -> Vec<FieldError> {
    let established = conditions::is_true(old, "Established");
    let mut errors = Vec::new();
    for (field, always) in [
        ("/spec/scope", false),
        ("/spec/names/kind", false),
        ("/spec/group", true),
        ("/spec/names/plural", true),
    ] {
        let new = text(crd, field);
        if (always || established) && new != text(old, field) {
            let path = field.trim_start_matches('/').replace('/', ".");
            errors.push(FieldError::invalid(path, new, "field is immutable"));
        }
    }
    errors
}

/// Returns whether a group of the Kubernetes project is used without leave.
pub(super) fn check_approval(crd: &Value, old: Option<&Value>) -> Option<FieldError> {
    let approval = conditions::Approval::of(crd)?;
    if old.and_then(conditions::Approval::of).as_ref() == Some(&approval) {
        return None;
    }
    let path = FieldPath::new("metadata.annotations").key(APPROVED);
    let must = format!("protected groups must have approval annotation {}", quote(APPROVED));
    match approval {
        conditions::Approval::Missing => {
            Some(FieldError::required(path, format!("{must}, {PULL_REQUEST}")))
        }
        conditions::Approval::Invalid(given) => {
            let detail = format!(
                "{must} with either a URL or a reason starting with \"unapproved\", {PULL_REQUEST}"
            );
            Some(FieldError::invalid(path, given, detail))
        }
        conditions::Approval::Approved(_) | conditions::Approval::Bypassed(_) => None,
    }
}

fn group(crd: &Value, spec: &FieldPath, errors: &mut Vec<FieldError>) {
    let path = spec.child("group");
    let group = text(crd, "/spec/group");
    let wrong = dns::subdomain(group);
    if group.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !wrong.is_empty() {
        errors.push(FieldError::invalid(path, group, wrong.join(",")));
    } else if !group.contains('.') {
        errors.push(FieldError::invalid(path, group, "should be a domain with at least one dot"));
    }
}

fn versions(crd: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let versions = list(crd, "/spec/versions");
    for (index, version) in versions.iter().enumerate() {
        if version.pointer("/schema/openAPIV3Schema").is_none_or(Value::is_null) {
            let path = path.index(index).child("schema").child("openAPIV3Schema");
            errors.push(FieldError::required(path, ""));
        }
    }
    for (index, version) in versions.iter().enumerate() {
        let name = text(version, "/name");
        let wrong = dns::label_1035(name);
        if !wrong.is_empty() {
            let path = path.index(index).child("name");
            errors.push(FieldError::invalid(path, name, wrong.join(",")));
        }
        deprecation(version, &path.index(index).child("deprecationWarning"), errors);
    }
    errors.extend(schemas::check(crd));
    let unique: BTreeSet<_> = versions.iter().map(|version| text(version, "/name")).collect();
    let shown = || internal::versions(crd);
    if unique.len() != versions.len() {
        errors.push(FieldError::invalid(path, shown(), "must contain unique version names"));
    }
    let is_storage = |version: &&Value| version.get("storage") == Some(&Value::Bool(true));
    if versions.iter().filter(is_storage).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid(path, shown(), detail));
    }
    // The first version also stands where there was only one once.
    if let Some(first) = versions.first().map(|version| text(version, "/name")) {
        label(first, &FieldPath::new("spec.version"), errors);
    }
}

fn deprecation(version: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let Some(warning) = version.get("deprecationWarning").and_then(Value::as_str) else { return };
    let mut wrong = |detail| errors.push(FieldError::invalid(path, warning, detail));
    if version.get("deprecated") != Some(&Value::Bool(true)) {
        wrong("can only be set for deprecated versions");
    } else if warning.is_empty() {
        wrong("must not be an empty string");
    } else if warning.len() > 256 {
        wrong("must be <= 256 characters long");
    }
}

fn names(crd: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let name = |name| text(crd, &format!("/spec/names/{name}"));
    for each in ["plural", "singular", "kind", "listKind"] {
        if name(each).is_empty() {
            errors.push(FieldError::required(path.child(each), ""));
        }
    }
    for each in ["plural", "singular"] {
        label(name(each), &path.child(each), errors);
    }
    for each in ["kind", "listKind"] {
        if !name(each).is_empty() {
            errors.extend(dns::kind(&path.child(each), name(each)));
        }
    }
    for (index, each) in texts(crd.pointer("/spec/names/shortNames")).iter().enumerate() {
        label(each, &path.child("shortNames").index(index), errors);
    }
    if !name("kind").is_empty() && name("kind") == name("listKind") {
        let detail = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(path.child("listKind"), name("listKind"), detail));
    }
    for (index, each) in texts(crd.pointer("/spec/names/categories")).iter().enumerate() {
        label(each, &path.child("categories").index(index), errors);
    }
}

fn label(text: &str, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let wrong = dns::label_1035(text);
    if !text.is_empty() && !wrong.is_empty() {
        errors.push(FieldError::invalid(path, text, wrong.join(",")));
    }
}

fn conversion(crd: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let webhook = crd.pointer("/spec/conversion/webhook").filter(|webhook| !webhook.is_null());
    match text(crd, "/spec/conversion/strategy") {
        "None" => {
            if webhook.is_some() {
                let detail = "should not be set when strategy is not set to Webhook";
                errors.push(FieldError::forbidden(path.child("webhookClientConfig"), detail));
            }
        }
        "Webhook" => webhook_conversion(webhook.unwrap_or(&Value::Null), path, errors),
        "" => errors.push(FieldError::required(path.child("strategy"), "")),
        other => {
            let supported = ["None", "Webhook"];
            errors.push(FieldError::not_supported(path.child("strategy"), other, &supported));
        }
    }
}

fn webhook_conversion(webhook: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let config_path = path.child("webhookClientConfig");
    let given = |name: &str| webhook.pointer(&format!("/clientConfig/{name}")).is_some();
    if webhook.get("clientConfig").is_none_or(Value::is_null) {
        let detail = "required when strategy is set to Webhook";
        errors.push(FieldError::required(config_path, detail));
    } else if given("url") == given("service") {
        let detail = "exactly one of url or service is required";
        errors.push(FieldError::required(config_path, detail));
    }
    let path = path.child("conversionReviewVersions");
    let versions = texts(webhook.get("conversionReviewVersions"));
    if versions.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !versions.iter().any(|version| ["v1", "v1beta1"].contains(&version.as_str())) {
        let detail = "must include at least one of v1, v1beta1";
        errors.push(FieldError::invalid(path, versions, detail));
    }
}

/// Checks that no version goes in which objects may still be stored.
fn stored_versions(crd: &Value, errors: &mut Vec<FieldError>) {
    let path = FieldPath::new("status.storedVersions");
    let versions = list(crd, "/spec/versions");
    let stored = conditions::stored_versions(crd);
    if stored.is_empty() {
        let detail = "must have at least one stored version";
        errors.push(FieldError::invalid(path, Value::Null, detail));
        return;
    }
    for version in versions.iter().filter(|it| it.get("storage") == Some(&Value::Bool(true))) {
        let name = text(version, "/name");
        if !stored.iter().any(|each| each == name) {
            let detail = format!("must have the storage version {name}");
            errors.push(FieldError::invalid(&path, stored.clone(), detail));
        }
    }
    for (index, stored) in stored.iter().enumerate() {
        if !versions.iter().any(|version| text(version, "/name") == stored) {
            let detail = format!(
                "missing from spec.versions; {stored} was previously a storage version, and must \
                 remain in spec.versions until a storage migration ensures no data remains \
                 persisted in {stored} and removes {stored} from status.storedVersions"
            );
            errors.push(FieldError::invalid(path.index(index), stored.as_str(), detail));
        }
    }
}
