//! Tokens of ServiceAccounts: `serviceaccounts/NAME/token`, and the documents that let others check them.

use http::{HeaderValue, header};
use k8s::{GroupVersion, Object, ObjectKey, Resource};
use serde_json::{Value, json};

use crate::{
    backend::{WriteOptions, text},
    error::ApiError,
    field::FieldError,
    http::{
        Call,
        body::Decoded,
        media::Encoding,
        respond::{self, Answer},
        write,
    },
    lifecycle, managed,
    registry::Registered,
    tokens::{AUDIENCE, Bound, Claims, ISSUER, Named},
};

/// How long a token lasts if its request does not say.
const HOUR: i64 = 60 * 60;
const SHORTEST: i64 = 10 * 60;
/// A longer wish is cut down to this.
const LONGEST: i64 = 24 * HOUR;

/// Makes a token for a ServiceAccount.
pub(crate) fn create(
    call: &Call,
    accounts: &Registered,
    key: &ObjectKey,
) -> Result<Answer, ApiError> {
    let request_type =
        Resource::namespaced("authentication.k8s.io/v1", "TokenRequest", "serviceaccounts");
    let request_type = Registered::unstored(request_type);
    let mut request = read(call, &request_type, key)?;
    check_name(&request_type, &request, key)?;
    let account = call.backend().get(&accounts.resource, key)?;
    let seconds = seconds(&request, &request_type)?;
    let bound = bound(call, &account, &request["spec"]["boundObjectRef"])?;
    let lasts = seconds.min(LONGEST);
    if lasts < seconds {
        call.warnings.add([format!(
            "requested expiration of {seconds} seconds shortened to {lasts} seconds"
        )]);
    }
    let audiences = audiences(&request);
    let named = Named { name: key.name.clone(), uid: account.meta().uid.clone() };
    let now = call.backend().clock().now();
    let birth = (call.backend().new_uid(), now, lasts);
    let claims = Claims::new((&key.namespace, named), bound, audiences.clone(), birth);
    let token = call.core.signer.sign(&claims).map_err(ApiError::internal)?;
    let metadata = &mut request["metadata"];
    metadata["name"] = json!(key.name);
    metadata["uid"] = json!(account.meta().uid);
    metadata["creationTimestamp"] = json!(lifecycle::rfc3339(now));
    request["spec"]["audiences"] = json!(audiences);
    request["spec"]["expirationSeconds"] = json!(lasts);
    let expires = lifecycle::rfc3339(claims.expiry());
    request["status"] = json!({"token": token, "expirationTimestamp": expires});
    Ok(respond::value(201, &request, call.wanted))
}

/// Answers with the public keys of all tokens.
pub(crate) fn key_set(call: &Call) -> Answer {
    document("application/jwk-set+json", &call.core.signer.key_set())
}

/// Answers with where the keys are, as OpenID providers do.
pub(crate) fn configuration(call: &Call) -> Answer {
    let keys = format!("https://{}/openid/v1/jwks", call.header(header::HOST));
    let value = json!({"issuer": ISSUER, "jwks_uri": keys, "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"]});
    document(Encoding::Json.media_type(), &value)
}

fn document(media_type: &str, value: &Value) -> Answer {
    let mut answer = respond::bytes(200, media_type, value.to_string());
    let cached = HeaderValue::from_static("public, max-age=3600");
    answer.headers_mut().insert(header::CACHE_CONTROL, cached);
    answer
}

/// Reads a request and notes who owns what of it, as of an object that is kept.
fn read(call: &Call, request_type: &Registered, key: &ObjectKey) -> Result<Value, ApiError> {
    let options = write::through(call.write_options("CreateOptions")?, "token");
    let Decoded { value: mut request, text } = write::body(call, request_type)?;
    let options = WriteOptions { sent: text.sent(), ..options };
    lifecycle::identify(request_type, &key.namespace, &mut request)?;
    let sent = managed::take(&mut request);
    options.normalise(request_type, &mut request)?;
    let seconds = &mut request["spec"]["expirationSeconds"];
    if seconds.is_null() {
        *seconds = json!(HOUR);
    }
    let owners = call.backend().first_owners(request_type, options.ownership, (&request, sent));
    managed::put(&mut request, owners);
    Ok(request)
}

fn check_name(request_type: &Registered, request: &Value, key: &ObjectKey) -> Result<(), ApiError> {
    let given = text(request, "name");
    if given.is_empty() || given == key.name {
        return Ok(());
    }
    let why = "must match the service account name if specified";
    let error = FieldError::invalid("metadata.name", given, why);
    Err(ApiError::invalid(request_type, &key.name, &[error]))
}

/// Returns how long a token is to last, in seconds.
fn seconds(request: &Value, request_type: &Registered) -> Result<i64, ApiError> {
    let seconds = request["spec"]["expirationSeconds"].as_i64().unwrap_or_default();
    let why = if seconds < SHORTEST {
        "may not specify a duration less than 10 minutes"
    } else if 1 << 32 < seconds {
        "may not specify a duration larger than 2^32 seconds"
    } else {
        return Ok(seconds);
    };
    let error = FieldError::invalid("spec.expirationSeconds", seconds, why);
    Err(ApiError::invalid(request_type, "", &[error]))
}

fn audiences(request: &Value) -> Vec<String> {
    let given = request["spec"]["audiences"].as_array();
    let given: Vec<_> =
        given.into_iter().flatten().filter_map(Value::as_str).map(Into::into).collect();
    if given.is_empty() { vec![AUDIENCE.to_owned()] } else { given }
}

/// Returns the object that a request wants its token bound to.
fn bound(call: &Call, account: &Object, reference: &Value) -> Result<Bound, ApiError> {
    let part = |name: &str| reference[name].as_str().unwrap_or_default();
    if reference.is_null() {
        return Ok(Bound::default());
    }
    // The reference looks at the group alone, whatever the version.
    let (group, version) = part("apiVersion").split_once('/').unwrap_or(("", part("apiVersion")));
    let (plural, namespace) = match (group, part("kind")) {
        ("", "Pod") => ("pods", account.meta().namespace.as_str()),
        ("", "Secret") => ("secrets", account.meta().namespace.as_str()),
        ("", "Node") => ("nodes", ""),
        (_, kind) => {
            return Err(ApiError::bad_request(format!(
                "cannot bind token to object of type {group}/{version}, Kind={kind}"
            )));
        }
    };
    let registry = call.backend().registry();
    let registered = registry.by_path(&GroupVersion::new("", "v1"), plural);
    let registered = registered.ok_or_else(ApiError::resource_not_found)?;
    let object =
        call.backend().get(&registered.resource, &ObjectKey::new(namespace, part("name")))?;
    let meta = object.meta();
    if !part("uid").is_empty() && part("uid") != meta.uid {
        let why = format!(
            "the UID in the bound object reference ({}) does not match the UID in record. The object \
             might have been deleted and then recreated",
            part("uid")
        );
        return Err(ApiError::precondition(registered, &meta.name, &why));
    }
    let named = Some(Named { name: meta.name.clone(), uid: meta.uid.clone() });
    Ok(match plural {
        "pods" => {
            let node = node_of(call, &account.meta().name, &object)?;
            Bound { pod: named, node, secret: None }
        }
        "secrets" => Bound { secret: named, ..Bound::default() },
        _ => Bound { node: named, ..Bound::default() },
    })
}

/// Returns the node of a pod whose ServiceAccount this is.
fn node_of(call: &Call, account: &str, pod: &Object) -> Result<Option<Named>, ApiError> {
    let spec = &pod.to_value()["spec"];
    if spec["serviceAccountName"] != *account {
        return Err(ApiError::bad_request(format!(
            "cannot bind token for serviceaccount \"{account}\" to pod running with different \
             serviceaccount name."
        )));
    }
    let Some(name) = spec["nodeName"].as_str().filter(|it| !it.is_empty()) else {
        return Ok(None);
    };
    let nodes = Resource::cluster("v1", "Node", "nodes");
    let node = call.backend().get(&nodes, &ObjectKey::new("", name));
    let uid = node.map(|node| node.meta().uid.clone()).unwrap_or_default();
    Ok(Some(Named { name: name.to_owned(), uid }))
}
