//! Reviews: questions about who somebody is or what he may do, which are answered and not kept.

use serde_json::{Value, json};

use crate::{
    backend::WriteOptions,
    error::ApiError,
    field::FieldError,
    http::{
        Call,
        authenticate::{self, AUDIENCES},
        body::Decoded,
        respond::{self, Answer},
        write,
    },
    lifecycle, managed,
    registry::Registered,
};

/// Answers a review: everybody who got in may do everything.
pub(crate) fn answer(
    call: &Call,
    registered: &Registered,
    namespace: &str,
) -> Result<Answer, ApiError> {
    let value = read(call, registered, namespace)?;
    let answered = match registered.resource.plural.as_str() {
        "selfsubjectreviews" => whoami(call, registered),
        "tokenreviews" => token(call, value)?,
        "selfsubjectrulesreviews" => rules(registered, &value)?,
        kind => {
            let errors = access_errors(kind, &value);
            if !errors.is_empty() {
                let group = &registered.resource.gvk.group;
                return Err(ApiError::invalid_kind("", group, "", &errors));
            }
            with_status(value, json!({"allowed": true}))
        }
    };
    Ok(respond::value(201, &answered, call.wanted))
}

/// Reads a review and notes who owns what of it, as of an object that is kept.
fn read(call: &Call, registered: &Registered, namespace: &str) -> Result<Value, ApiError> {
    let options = call.write_options("CreateOptions")?;
    let Decoded { mut value, text } = write::body(call, registered)?;
    let options = WriteOptions { sent: text.sent(), ..options };
    lifecycle::identify(registered, namespace, &mut value)?;
    let sent = managed::take(&mut value);
    options.normalise(registered, &mut value)?;
    let owners = call.backend().first_owners(registered, options.ownership, (&value, sent));
    managed::put(&mut value, owners);
    Ok(value)
}

fn whoami(call: &Call, registered: &Registered) -> Value {
    let now = lifecycle::rfc3339(call.backend().clock().now());
    let mut review = empty(registered);
    review["metadata"]["creationTimestamp"] = json!(now);
    with_status(review, json!({"userInfo": call.user.info()}))
}

/// Tells whose token is asked about.
fn token(call: &Call, review: Value) -> Result<Value, ApiError> {
    let token = review["spec"]["token"].as_str().unwrap_or_default();
    if token.is_empty() {
        let why = "token is required for TokenReview in authentication";
        return Err(ApiError::bad_request(why));
    }
    let wanted: Vec<String> = match review["spec"]["audiences"].as_array() {
        Some(wanted) if !wanted.is_empty() => {
            wanted.iter().filter_map(Value::as_str).map(Into::into).collect()
        }
        _ => AUDIENCES.clone(),
    };
    let refused = |error: String| json!({"user": {}, "error": error});
    let status = match authenticate::claims(&call.core, token) {
        None => refused("invalid bearer token".to_owned()),
        Some(claims) => match claims.audiences(&wanted).as_slice() {
            [] => refused(format!(
                "[invalid bearer token, token audiences {:?} is invalid for the target audiences \
                 {wanted:?}]",
                claims.all_audiences()
            )),
            audiences => json!({"authenticated": true, "user": claims.user().info(),
                "audiences": audiences}),
        },
    };
    Ok(with_status(review, status))
}

fn rules(registered: &Registered, review: &Value) -> Result<Value, ApiError> {
    if review["spec"]["namespace"].as_str().unwrap_or_default().is_empty() {
        return Err(ApiError::bad_request("no namespace on request"));
    }
    let all = ["*"];
    let mut answered = empty(registered);
    answered["spec"] = json!({});
    let status = json!({
        "resourceRules": [{"verbs": all, "apiGroups": all, "resources": all}],
        "nonResourceRules": [{"verbs": all, "nonResourceURLs": all}],
        "incomplete": false,
    });
    Ok(with_status(answered, status))
}

/// Returns what is wrong with a question of whether somebody may do something.
fn access_errors(plural: &str, review: &Value) -> Vec<FieldError> {
    let spec = &review["spec"];
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let go_path = || json!({"Path": or_empty(&path["path"]), "Verb": or_empty(&path["verb"])});
    let mut errors = vec![];
    if !resource.is_null() && !path.is_null() {
        let why = "cannot be specified in combination with resourceAttributes";
        errors.push(FieldError::invalid("spec.nonResourceAttributes", go_path(), why));
    }
    if resource.is_null() && path.is_null() {
        let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        errors.push(FieldError::invalid("spec.resourceAttributes", Value::Null, why));
    }
    let is_self = plural == "selfsubjectaccessreviews";
    let nobody = [&spec["user"], &spec["groups"]].iter().all(|it| it.is_null() || **it == "");
    if !is_self && nobody {
        let why = "at least one of user or group must be specified";
        errors.push(FieldError::invalid("spec.user", "", why));
    }
    let metadata = &review["metadata"];
    let is_local = plural == "localsubjectaccessreviews";
    let allowed = |name: &str| name == "managedFields" || (is_local && name == "namespace");
    if !metadata.as_object().is_none_or(|it| it.keys().all(|name| allowed(name))) {
        let why = if is_local { "must be empty except for namespace" } else { "must be empty" };
        errors.push(FieldError::invalid("metadata", metadata.clone(), why));
    }
    if !is_local {
        return errors;
    }
    if !resource.is_null() && or_empty(&resource["namespace"]) != or_empty(&metadata["namespace"]) {
        let (field, given) =
            ("spec.resourceAttributes.namespace", or_empty(&resource["namespace"]));
        errors.push(FieldError::invalid(field, given, "must match metadata.namespace"));
    }
    if !path.is_null() {
        let why = "disallowed on this kind of request";
        errors.push(FieldError::invalid("spec.nonResourceAttributes", go_path(), why));
    }
    errors
}

fn or_empty(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Returns a review that says nothing: what was sent is not repeated.
fn empty(registered: &Registered) -> Value {
    let gvk = &registered.resource.gvk;
    json!({"kind": gvk.kind, "apiVersion": gvk.api_version(), "metadata": {}})
}

fn with_status(mut review: Value, status: Value) -> Value {
    review["status"] = status;
    review
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_must_be_whole() {
        for (plural, review, expected) in [
            ("selfsubjectaccessreviews", json!({"spec": {"resourceAttributes": {}}}), ""),
            (
                "selfsubjectaccessreviews",
                json!({"spec": {}}),
                "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes \
                 or resourceAttributes must be specified",
            ),
            (
                "selfsubjectaccessreviews",
                json!({"spec": {"resourceAttributes": {}, "nonResourceAttributes": {"path": "/"}}}),
                "spec.nonResourceAttributes: Invalid value: {\"Path\":\"/\",\"Verb\":\"\"}: cannot be \
                 specified in combination with resourceAttributes",
            ),
            (
                "subjectaccessreviews",
                json!({"spec": {"resourceAttributes": {}}}),
                "spec.user: Invalid value: \"\": at least one of user or group must be specified",
            ),
            (
                "localsubjectaccessreviews",
                json!({"metadata": {"namespace": "a"},
                    "spec": {"user": "u", "resourceAttributes": {"namespace": "b"}}}),
                "spec.resourceAttributes.namespace: Invalid value: \"b\": must match \
                 metadata.namespace",
            ),
        ] {
            let errors: Vec<_> =
                access_errors(plural, &review).iter().map(ToString::to_string).collect();
            assert_eq!(errors.join(", "), expected, "{plural} {review}");
        }
    }
}
