//! What the verbs of Functions ask of an API server.

use std::{env, io::Write, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use k8s::{ObjectKey, Resource, SignedDuration, Timestamp};
use kube::client::Body;
use runtime::{ApiError, Client, Part};
use serde_json::Value;
use thiserror::Error;
use uuid::Uuid;

use super::{
    call::{self, Call, CallError},
    listing::{Standing, is_rolled_out, standing},
    logs,
};
use crate::steer;

/// How often an object is changed anew that somebody else changed meanwhile.
const TRIES: u32 = 5;
/// How often it is asked whether a Function is ready.
const AGAIN: SignedDuration = SignedDuration::from_millis(200);
/// How long that may take: what it depends on may have to be installed.
const PATIENCE: Duration = Duration::from_mins(11);
/// How long a host may take to say what it counted.
const GLANCE: SignedDuration = SignedDuration::from_secs(5);

/// Why something was not done.
#[derive(Debug, Error)]
pub enum FunctionError {
    /// The object is not there.
    #[error("there is no {kind} `{key}`")]
    NoObject {
        /// Its kind.
        kind: String,
        /// Where it was looked for.
        key: ObjectKey,
    },
    /// The object is there already.
    #[error("there is a {kind} `{key}` already")]
    Exists {
        /// Its kind.
        kind: String,
        /// Where it is.
        key: ObjectKey,
    },
    /// The API server did not do what it was asked.
    #[error("failed to {action}")]
    Call {
        /// What it was asked to do.
        action: String,
        /// What it said.
        source: ApiError,
    },
    /// The function was not called, or did not do well.
    #[error(transparent)]
    Function(#[from] CallError),
    /// The function will not be ready unless something changes.
    #[error("Function `{key}` is not ready: {reason}: {message}")]
    Failing {
        /// The Function.
        key: ObjectKey,
        /// Why, in a word.
        reason: String,
        /// Why, in a sentence.
        message: String,
    },
    /// The function was not ready in time.
    #[error("Function `{0}` is not ready after {PATIENCE:?}")]
    Late(ObjectKey),
    /// A Function has no pod, and so no log.
    #[error("Function `{0}` has no pods")]
    NoPods(ObjectKey),
    /// An answer ended in the middle.
    #[error("the answer ended before it was whole")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What was read cannot be printed.
    #[error("failed to print")]
    Print(#[source] std::io::Error),
}

/// Reads an object.
pub async fn get(
    client: &Client,
    resource: &Resource,
    key: &ObjectKey,
) -> Result<Value, FunctionError> {
    let object = client.get(resource, key).await.map_err(failed("read", resource, key))?;
    Ok(client.lean(object).to_value())
}

/// Reads the objects of a namespace.
pub async fn list(
    client: &Client,
    resource: &Resource,
    namespace: &str,
) -> Result<Vec<Value>, FunctionError> {
    let all = steer::list(client, resource, namespace).await.map_err(|source| {
        FunctionError::Call { action: format!("list {}", resource.plural), source }
    })?;
    Ok(all.into_iter().map(|object| client.lean(object).to_value()).collect())
}

/// Creates an object.
pub async fn create(
    client: &Client,
    resource: &Resource,
    key: &ObjectKey,
    object: &Value,
) -> Result<(), FunctionError> {
    let created = client.create(resource, &key.namespace, object.to_string()).await;
    created.map(drop).map_err(failed("create", resource, key))
}

/// Changes an object, again where somebody else did so meanwhile.
pub async fn change(
    client: &Client,
    resource: &Resource,
    key: &ObjectKey,
    edit: impl Fn(&mut Value),
) -> Result<(), FunctionError> {
    let mut tries = 1;
    loop {
        let mut object = get(client, resource, key).await?;
        edit(&mut object);
        match client.update(resource, key, Part::Main, object.to_string()).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_conflict() && tries < TRIES => tries += 1,
            Err(error) => return Err(failed("change", resource, key)(error)),
        }
    }
}

/// Deletes an object.
pub async fn delete(
    client: &Client,
    resource: &Resource,
    key: &ObjectKey,
) -> Result<(), FunctionError> {
    client.delete(resource, key, "").await.map_err(failed("delete", resource, key))
}

/// Returns Functions with their Deployments: those of these names, or all if there are none.
pub async fn functions(
    client: &Client,
    namespace: &str,
    names: &[String],
) -> Result<Vec<(Value, Option<Value>)>, FunctionError> {
    let resource = api::function::resource();
    let found = if names.is_empty() {
        list(client, &resource, namespace).await?
    } else {
        let keys = names.iter().map(|name| ObjectKey::new(namespace, name));
        let read = |key| {
            let resource = &resource;
            async move { get(client, resource, &key).await }
        };
        stream::iter(keys).then(read).try_collect().await?
    };
    let deployments = Resource::namespaced("apps/v1", "Deployment", "deployments");
    let deployments = list(client, &deployments, namespace).await?;
    let with_deployment = |function: Value| {
        let name = |object: &Value| object["metadata"]["name"].clone();
        let of_it = deployments.iter().find(|it| name(it) == name(&function)).cloned();
        (function, of_it)
    };
    Ok(found.into_iter().map(with_deployment).collect())
}

/// Waits until the version of a Function that is there answers calls.
pub async fn ready(client: &Client, key: &ObjectKey) -> Result<(), FunctionError> {
    let clock = client.clock();
    let resource = api::function::resource();
    let deployments = Resource::namespaced("apps/v1", "Deployment", "deployments");
    let end = clock.now() + PATIENCE;
    loop {
        let mut standing = standing(&get(client, &resource, key).await?);
        if standing == Standing::Ready {
            // Pods that differ in their variables alone are of one version, and the old ones still answer.
            let deployment = get(client, &deployments, key).await;
            if !deployment.is_ok_and(|deployment| is_rolled_out(&deployment)) {
                standing = Standing::Coming;
            }
        }
        match standing {
            Standing::Ready => return Ok(()),
            Standing::Failing { reason, message } => {
                return Err(FunctionError::Failing { key: key.clone(), reason, message });
            }
            Standing::Coming if end < clock.now() => return Err(FunctionError::Late(key.clone())),
            Standing::Coming => {
                let next = clock.now().checked_add(AGAIN).unwrap_or(Timestamp::MAX);
                clock.sleep_until(next).await;
            }
        }
    }
}

/// Calls a Function, and returns what it answers.
pub async fn call(
    client: &Client,
    key: &ObjectKey,
    call: &Call,
) -> Result<(StatusCode, Bytes), FunctionError> {
    let service = service(client, key).await?;
    let id = Uuid::new_v4().to_string();
    let request = call.request(key, &service, &id, client.clock().now())?;
    let (head, body) = pass(client, request, &format!("call Function {key}")).await?.into_parts();
    let body = body.collect().await.map_err(|error| FunctionError::Broken(error.into()))?;
    Ok((head.status, body.to_bytes()))
}

/// Returns the metrics of a Function, if it says what they are soon.
pub async fn metrics(client: &Client, key: &ObjectKey) -> Option<String> {
    let ask = async {
        let service = service(client, key).await.ok()?;
        let path = call::proxy_path(key, &service, "/metrics").ok()?;
        let request = Request::get(path).body(Bytes::new()).ok()?;
        let answer = pass(client, request, "read metrics").await.ok()?;
        let answer = Some(answer).filter(|answer| answer.status().is_success())?;
        String::from_utf8(answer.into_body().collect().await.ok()?.to_bytes().into()).ok()
    };
    let clock = client.clock();
    tokio::select! {
        metrics = ask => metrics,
        () = clock.sleep_until(clock.now().checked_add(GLANCE).unwrap_or(Timestamp::MAX)) => None,
    }
}

/// Prints the logs of a Function's pods: one after the other, or as they come for as long as they do.
pub async fn logs(
    client: &Client,
    key: &ObjectKey,
    follow: bool,
    mut out: impl Write,
) -> Result<(), FunctionError> {
    let failed = |source| FunctionError::Call { action: format!("read the log of {key}"), source };
    // A name without a Function is a slip; one without pods may come to have some.
    get(client, &api::function::resource(), key).await?;
    let pods = client.get_raw(&logs::pods_path(key)).await.map_err(failed)?;
    let pods: Value = serde_json::from_slice(&pods).unwrap_or_default();
    let paths = logs::log_paths(key, &pods, follow);
    if paths.is_empty() {
        return Err(FunctionError::NoPods(key.clone()));
    }
    let mut all = Vec::new();
    for path in &paths {
        let request =
            Request::get(path).body(Bytes::new()).map_err(|_| CallError::Path(path.clone()))?;
        let answer = pass(client, request, &format!("read the log of {key}")).await?;
        let status = answer.status();
        if !status.is_success() {
            // A pod that does not run yet has no log, while others have.
            if 1 < paths.len() {
                continue;
            }
            client.get_raw(path).await.map_err(failed)?;
        }
        all.push(answer.into_body().into_data_stream());
    }
    let mut chunks =
        if follow { stream::select_all(all).boxed() } else { stream::iter(all).flatten().boxed() };
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| FunctionError::Broken(error.into()))?;
        match out.write_all(&chunk).and_then(|()| out.flush()) {
            // Whoever closed the other end of a pipe wants to read no more.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => break,
            written => written.map_err(FunctionError::Print)?,
        }
    }
    Ok(())
}

/// Returns the configuration of Kubeless, if there is one and it may be read.
pub async fn configuration(client: &Client) -> Option<Value> {
    let definitions = Resource::cluster(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
    );
    let definition = client.get(&definitions, &ObjectKey::new("", "functions.kubeless.io")).await;
    let told = definition.map(|definition| definition.annotations()).unwrap_or_default();
    let name = |variable: &str, annotation: &str, usual: &str| {
        let told = || told.get(annotation).cloned();
        env::var(variable).ok().or_else(told).unwrap_or_else(|| usual.to_owned())
    };
    let namespace = name("KUBELESS_NAMESPACE", "kubeless.io/namespace", "kubeless");
    let key = ObjectKey::new(
        &namespace,
        &name("KUBELESS_CONFIG", "kubeless.io/config", "kubeless-config"),
    );
    let config_maps = Resource::namespaced("v1", "ConfigMap", "configmaps");
    get(client, &config_maps, &key).await.ok()
}

async fn service(client: &Client, key: &ObjectKey) -> Result<Value, FunctionError> {
    get(client, &Resource::namespaced("v1", "Service", "services"), key).await
}

async fn pass(
    client: &Client,
    request: Request<Bytes>,
    action: &str,
) -> Result<Response<Body>, FunctionError> {
    let failed = |source| FunctionError::Call { action: action.to_owned(), source };
    client.pass(request).await.map_err(failed)
}

/// Says what was not done to an object.
fn failed(verb: &str, resource: &Resource, key: &ObjectKey) -> impl Fn(ApiError) -> FunctionError {
    let (kind, key, verb) = (resource.gvk.kind.clone(), key.clone(), verb.to_owned());
    move |source| {
        let (kind, key) = (kind.clone(), key.clone());
        match source {
            error if error.is_not_found() && verb != "create" => {
                FunctionError::NoObject { kind, key }
            }
            error if error.is_already_exists() => FunctionError::Exists { kind, key },
            source => FunctionError::Call { action: format!("{verb} {kind} {key}"), source },
        }
    }
}
