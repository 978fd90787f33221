//! Subresources of single kinds.

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use k8s::{LoggedRun, ObjectKey, PodLog};
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;

use crate::{
    backend::{Part, WriteOptions},
    error::ApiError,
    field::FieldError,
    http::{
        Call,
        log::Wanted,
        respond::{self, Answer},
        token, write,
    },
    registry::Registered,
};

/// The annotation that holds what a simulated pod has printed.
const LOGS: &str = "sim.windlass.dev/logs";

pub(crate) fn handle(
    call: &Call,
    registered: &Registered,
    key: &ObjectKey,
    name: &str,
) -> Result<Answer, ApiError> {
    match name {
        "finalize" => write::update_part(call, registered, key, Part::Finalize),
        "log" => log(call, registered, key),
        "binding" => bind(call, registered, key),
        "eviction" => evict(call, registered, key),
        "token" => token::create(call, registered, key),
        other => {
            let object = call.backend().get(&registered.resource, key)?;
            let why = match call.backend().executors().of(&object) {
                Some((name, _)) => format!("is run by executor `{name}` without a container"),
                None => "is simulated; start with --runtime=podman".to_owned(),
            };
            Err(ApiError::not_implemented(format!(
                "{}/{other} is not available: {} \"{}\" {why}",
                registered.resource.plural, registered.singular, key.name
            )))
        }
    }
}

fn log(call: &Call, registered: &Registered, key: &ObjectKey) -> Result<Answer, ApiError> {
    let wanted = Wanted::parse(&call.query, &key.name, call.backend().clock().now())?;
    let object = call.backend().get(&registered.resource, key)?;
    let pod = object.to_value();
    check_container(call, &pod, &key.name)?;
    let Some((_, executor)) = call.backend().executors().of(&object) else {
        let text = pod["metadata"]["annotations"][LOGS].as_str().unwrap_or_default();
        return Ok(respond::text(200, text.to_owned()));
    };
    match executor.log(&object, wanted.run) {
        Some(log) => Ok(printed(log, wanted, call.backend().stopping())),
        // A pod that its executor keeps nothing of, perhaps not yet, has printed nothing.
        None if wanted.run == LoggedRun::Latest => Ok(respond::text(200, "")),
        None => {
            let container = &pod["spec"]["containers"][0]["name"];
            Err(ApiError::bad_request(format!(
                "previous terminated container {container} in pod \"{}\" not found",
                key.name
            )))
        }
    }
}

/// Answers with what a pod printed, and with what it prints if that is wanted.
fn printed(log: PodLog, mut wanted: Wanted, mut stopping: Receiver<bool>) -> Answer {
    let kept = wanted.kept(&log.kept);
    if !wanted.follow {
        return respond::text(200, kept);
    }
    let coming = stream::unfold((log.coming, wanted), |(mut coming, mut wanted)| async move {
        let line = if wanted.is_over() { None } else { coming.next().await }?;
        Some((Bytes::from(wanted.line(&line)), (coming, wanted)))
    });
    let stopped = async move {
        let _ = stopping.wait_for(|stopping| *stopping).await;
    };
    let pieces = stream::iter([Bytes::from(kept)]).chain(coming);
    respond::stream("text/plain; charset=utf-8", pieces.take_until(stopped))
}

fn check_container(call: &Call, pod: &Value, name: &str) -> Result<(), ApiError> {
    let of = |field: &str| -> Vec<String> {
        let list = pod["spec"][field].as_array();
        list.into_iter().flatten().filter_map(|it| it["name"].as_str()).map(Into::into).collect()
    };
    let (containers, init) = (of("containers"), of("initContainers"));
    let wanted = call.query.get("container");
    if wanted.is_empty() && 1 < containers.len() {
        return Err(ApiError::bad_request(format!(
            "a container name must be specified for pod {name}, choose one of: [{}]",
            [init, containers].concat().join(" ")
        )));
    }
    if !wanted.is_empty() && !containers.iter().chain(&init).any(|it| it == wanted) {
        return Err(ApiError::bad_request(format!(
            "container {wanted} is not valid for pod {name}"
        )));
    }
    Ok(())
}

/// Binds a pod to a node, once.
fn bind(call: &Call, registered: &Registered, key: &ObjectKey) -> Result<Answer, ApiError> {
    let options = call.write_options("CreateOptions")?;
    let binding = write::body(call, registered)?.value;
    check_binding(&binding, key)?;
    call.backend().bind(registered, key, &binding, options.dry_run)?;
    Ok(done(call))
}

/// The reference answers what is wrong with a target as it is, without a Status around it.
fn check_binding(binding: &Value, key: &ObjectKey) -> Result<(), ApiError> {
    let text = |pointer: &str| binding.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    if text("/metadata/name") != key.name {
        return Err(ApiError::bad_request("name in URL does not match name in Binding object"));
    }
    match (text("/target/kind"), text("/target/name")) {
        ("" | "Node", "") => Err(ApiError::failure("target.name: Required value")),
        ("" | "Node", _) => Ok(()),
        (kind, _) => {
            let kinds = ["Node", "<empty>"];
            let error = FieldError::not_supported("target.kind", kind, &kinds);
            Err(ApiError::failure(error.to_string()))
        }
    }
}

fn done(call: &Call) -> Answer {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "code": 201});
    respond::value(201, &status, call.wanted)
}
/// Evicts a pod; no disruption budget is looked at.
fn evict(call: &Call, registered: &Registered, key: &ObjectKey) -> Result<Answer, ApiError> {
    let options: WriteOptions<'_> = call.write_options("CreateOptions")?;
    let eviction = write::body(call, registered)?.value;
    let name = eviction["metadata"]["name"].as_str().unwrap_or(&key.name);
    if name != key.name {
        return Err(ApiError::bad_request(format!(
            "the name of the eviction ({name}) does not match the name on the URL ({})",
            key.name
        )));
    }
    let mut delete = write::parse_delete_options(&eviction["deleteOptions"])?;
    delete.dry_run |= options.dry_run;
    call.backend().delete_with(registered, key, &delete)?;
    Ok(done(call))
}
