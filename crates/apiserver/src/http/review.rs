//! Reviews: questions about who may do what, which are answered and not kept.

use serde_json::{Value, json};

use crate::{
    error::ApiError,
    http::{
        Call,
        respond::{self, Answer},
        write,
    },
    lifecycle,
    registry::Registered,
};

/// Answers a review: everybody who got in may do everything.
pub(crate) fn answer(
    call: &Call,
    registered: &Registered,
    namespace: &str,
) -> Result<Answer, ApiError> {
    let options = call.write_options("CreateOptions")?;
    let (mut value, warnings) = write::body_value(call, registered, options)?;
    lifecycle::identify(registered, namespace, &mut value)?;
    value["status"] = status(call, &registered.resource.plural);
    let mut answer = respond::value(201, &value, call.wanted);
    respond::warn(&mut answer, &warnings);
    Ok(answer)
}

fn status(call: &Call, plural: &str) -> Value {
    let all = ["*"];
    match plural {
        "selfsubjectreviews" => {
            json!({"userInfo": {"username": call.user.name, "groups": call.user.groups}})
        }
        "tokenreviews" => json!({"authenticated": false, "user": {}}),
        "selfsubjectrulesreviews" => json!({
            "resourceRules": [{"verbs": all, "apiGroups": all, "resources": all}],
            "nonResourceRules": [{"verbs": all, "nonResourceURLs": all}],
            "incomplete": false,
        }),
        _ => json!({"allowed": true}),
    }
}
