//! Pure: what a pod of a Function asks for, and the status that tells how it fares.

use std::collections::BTreeMap;

use api::function;
use k8s::{Object, ObjectKey, Timestamp};
use serde_json::{Value, json};

use crate::preparation::{PREPARE, Preparation};

/// What a pod of a Function asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wanted {
    /// The Function.
    pub function: ObjectKey,
    /// What puts the program in its place.
    pub preparation: Preparation,
    /// The variables of its container.
    pub env: BTreeMap<String, String>,
}

/// How a pod of a Function fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The program is put in its place.
    Preparing,
    /// That failed; what its container left behind.
    NotPrepared(String),
    /// The workers start.
    Starting,
    /// Calls are answered.
    Ready,
    /// No worker loads the program, and why.
    Failing(String),
}

/// How a pod of a Function fares, and how often it began anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The stage.
    pub stage: Stage,
    /// How often preparing or starting was tried again.
    pub restarts: u32,
    /// Whether it fails again and again.
    pub is_looping: bool,
}

/// Returns what a pod asks for; nothing if it is no pod of a Function that is served here.
pub(crate) fn wanted(pod: &Object) -> Option<Wanted> {
    let name = pod.meta().labels.get(function::LABEL)?;
    let value = pod.to_value();
    let containers = value.pointer("/spec/initContainers")?.as_array()?;
    let prepare = containers.iter().find(|container| container["name"] == PREPARE)?;
    let preparation = variables(prepare).remove(Preparation::VARIABLE)?;
    Some(Wanted {
        function: ObjectKey::new(&pod.meta().namespace, name),
        preparation: serde_json::from_str(&preparation).ok()?,
        env: variables(value.pointer("/spec/containers/0")?),
    })
}

/// Returns the status of a pod.
pub(crate) fn status(pod: &Object, standing: &Standing, now: Timestamp) -> Value {
    let value = pod.to_value();
    let (is_prepared, is_ready) = match &standing.stage {
        Stage::Preparing | Stage::NotPrepared(_) => (false, false),
        Stage::Starting | Stage::Failing(_) => (true, false),
        Stage::Ready => (true, true),
    };
    let stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let since = |kind: &str, status: &str| {
        let before = value.pointer("/status/conditions").and_then(Value::as_array);
        let before =
            before.into_iter().flatten().find(|it| it["type"] == kind && it["status"] == status);
        before.map_or_else(|| json!(stamp), |it| it["lastTransitionTime"].clone())
    };
    let condition = |kind: &str, holds: bool| {
        let status = if holds { "True" } else { "False" };
        json!({"type": kind, "status": status, "lastTransitionTime": since(kind, status)})
    };
    let started = value.pointer("/status/startTime").cloned().unwrap_or_else(|| json!(stamp));
    json!({
        "phase": if is_prepared { "Running" } else { "Pending" },
        "startTime": started, "hostIP": "127.0.0.1", "podIP": "127.0.0.1",
        "podIPs": [{"ip": "127.0.0.1"}], "qosClass": "BestEffort",
        "conditions": [
            condition("PodScheduled", true), condition("Initialized", is_prepared),
            condition("ContainersReady", is_ready), condition("Ready", is_ready)],
        "initContainerStatuses": statuses(&value, "initContainers", |container| {
            let is_prepare = container["name"] == PREPARE;
            (init_state(standing, is_prepare && !is_prepared, &started), is_prepared)
        }, standing.restarts * u32::from(!is_prepared)),
        "containerStatuses": statuses(&value, "containers", |_| {
            (main_state(standing, is_prepared, &started), is_ready)
        }, standing.restarts * u32::from(is_prepared)),
    })
}

fn variables(container: &Value) -> BTreeMap<String, String> {
    let all = container["env"].as_array().into_iter().flatten();
    let pair = |variable: &Value| {
        let value = variable["value"].as_str().unwrap_or_default();
        Some((variable["name"].as_str()?.to_owned(), value.to_owned()))
    };
    all.filter_map(pair).collect()
}

fn statuses(
    pod: &Value,
    list: &str,
    state: impl Fn(&Value) -> (Value, bool),
    restarts: u32,
) -> Value {
    let containers = pod["spec"][list].as_array().into_iter().flatten();
    let status = |container: &Value| {
        let (state, is_ready) = state(container);
        let is_started = !state["running"].is_null();
        json!({
            "name": container["name"], "image": container["image"], "imageID": container["image"],
            "ready": is_ready, "started": is_started, "restartCount": restarts,
            "state": state, "lastState": {}})
    };
    containers.map(status).collect()
}

fn init_state(standing: &Standing, is_under_way: bool, started: &Value) -> Value {
    match &standing.stage {
        Stage::NotPrepared(words) if is_under_way => json!({"terminated": {
            "exitCode": 1, "reason": "Error", "message": words, "startedAt": started, "finishedAt": started}}),
        _ if is_under_way => json!({"running": {"startedAt": started}}),
        Stage::Preparing | Stage::NotPrepared(_) => {
            json!({"waiting": {"reason": "PodInitializing"}})
        }
        _ => json!({"terminated": {
            "exitCode": 0, "reason": "Completed", "startedAt": started, "finishedAt": started}}),
    }
}

fn main_state(standing: &Standing, is_prepared: bool, started: &Value) -> Value {
    match &standing.stage {
        _ if !is_prepared => json!({"waiting": {"reason": "PodInitializing"}}),
        Stage::Failing(words) if standing.is_looping => {
            json!({"waiting": {"reason": "CrashLoopBackOff", "message": words}})
        }
        Stage::Failing(words) => json!({"terminated": {
            "exitCode": 1, "reason": "Error", "message": words, "startedAt": started, "finishedAt": started}}),
        _ => json!({"running": {"startedAt": started}}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Object {
        let preparation = Preparation {
            hash: "h".to_owned(),
            runtime: "python3".to_owned(),
            content_type: String::new(),
            checksum: String::new(),
            key: "a.py".to_owned(),
            file: "a.py".to_owned(),
            deps: None,
        };
        Object::from_value(&json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "f-1", "namespace": "ops", "labels": {"function": "f"}},
            "spec": {
                "initContainers": [{"name": "prepare", "image": "windlass",
                    "env": [{"name": Preparation::VARIABLE, "value": preparation.to_string()}]}],
                "containers": [{"name": "f", "image": "python", "env": [{"name": "A", "value": "b"}]}]}}))
        .unwrap()
    }

    fn told(stage: Stage) -> Value {
        status(&pod(), &Standing { stage, restarts: 2, is_looping: false }, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_pod_says_what_it_wants() {
        let wanted = wanted(&pod()).unwrap();
        assert_eq!(wanted.function, ObjectKey::new("ops", "f"));
        assert_eq!((wanted.preparation.file.as_str(), wanted.env["A"].as_str()), ("a.py", "b"));
    }

    #[test]
    fn a_failed_preparation_leaves_its_words_behind() {
        let status = told(Stage::NotPrepared("BadArchive: no".to_owned()));
        assert_eq!(status["phase"], "Pending");
        assert_eq!(
            status.pointer("/initContainerStatuses/0/state/terminated/message").unwrap(),
            "BadArchive: no"
        );
        assert_eq!(status.pointer("/initContainerStatuses/0/restartCount").unwrap(), 2);
        assert_eq!(status.pointer("/containerStatuses/0/restartCount").unwrap(), 0);
    }

    #[test]
    fn only_what_answers_is_ready() {
        for (stage, phase, ready) in [
            (Stage::Preparing, "Pending", "False"),
            (Stage::Starting, "Running", "False"),
            (Stage::Ready, "Running", "True"),
            (Stage::Failing("x".to_owned()), "Running", "False"),
        ] {
            let status = told(stage);
            assert_eq!(status["phase"], phase);
            assert_eq!(status["conditions"][3]["status"], ready);
        }
    }
}
