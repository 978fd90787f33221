//! Pure: what a pod of a Function asks for, and the status that tells how it fares.

use std::{cmp::Ordering, collections::BTreeMap};

use api::function;
use k8s::{Object, ObjectKey, Timestamp};
use serde_json::{Value, json};

use crate::{
    host::End,
    objects::{COMPILE, INSTALL},
    preparation::{PREPARE, Preparation},
    status::{STEPS, since, stamp, status_of},
};

/// The reason of an end for want of memory, whoever it was that ended the process.
pub(crate) const OOM_KILLED: &str = "OOMKilled";

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
    /// What it needs is installed, or it is compiled.
    Equipping,
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
    /// How its last process ended that should not have.
    pub last_end: Option<End>,
}

impl From<Stage> for Standing {
    fn from(stage: Stage) -> Self {
        Self { stage, restarts: 0, is_looping: false, last_end: None }
    }
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
        Stage::Preparing | Stage::Equipping | Stage::NotPrepared(_) => (false, false),
        Stage::Starting | Stage::Failing(_) => (true, false),
        Stage::Ready => (true, true),
    };
    let condition = |kind: &str, holds: bool| {
        let status = status_of(holds);
        json!({"type": kind, "status": status,
            "lastTransitionTime": since(&value["status"], (kind, status), now)})
    };
    let started = value.pointer("/status/startTime").cloned().unwrap_or_else(|| json!(stamp(now)));
    let containers = |list: &str| value["spec"][list].as_array().cloned().unwrap_or_default();
    let main = |container: &Value| {
        let state = main_state(standing, is_prepared, &started);
        let restarts = standing.restarts * u32::from(is_prepared);
        let mut status = told(container, &state, is_ready, restarts);
        status["lastState"] = last_state(standing, &started);
        status
    };
    json!({
        "phase": if is_prepared { "Running" } else { "Pending" },
        "startTime": started, "hostIP": "127.0.0.1", "podIP": "127.0.0.1",
        "podIPs": [{"ip": "127.0.0.1"}],
        "conditions": [
            condition("PodScheduled", true), condition("Initialized", is_prepared),
            condition("ContainersReady", is_ready), condition("Ready", is_ready)],
        "initContainerStatuses": steps(&containers("initContainers"), standing, &started),
        "containerStatuses": containers("containers").iter().map(main).collect::<Vec<_>>(),
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

/// Returns the statuses of the containers that prepare a pod: those before the one that is at it are done, those
/// after it wait.
fn steps(containers: &[Value], standing: &Standing, started: &Value) -> Vec<Value> {
    let is_at = |names: &[&str]| {
        containers.iter().position(|it| names.iter().any(|name| it["name"] == *name)).unwrap_or(0)
    };
    let (at, end) = match &standing.stage {
        Stage::Preparing => (is_at(&[PREPARE]), None),
        Stage::Equipping => (is_at(&[INSTALL, COMPILE]), None),
        Stage::NotPrepared(words) => {
            let usual = STEPS.iter().find(|(_, reason)| words.starts_with(reason));
            (is_at(&[usual.map_or(PREPARE, |(name, _)| name)]), Some(words.as_str()))
        }
        Stage::Starting | Stage::Ready | Stage::Failing(_) => (containers.len(), None),
    };
    let step = |(place, container): (usize, &Value)| match (place.cmp(&at), end) {
        (Ordering::Less, _) => told(container, &ended(0, "", started), true, 0),
        (Ordering::Equal, None) => told(container, &running(started), false, standing.restarts),
        (Ordering::Equal, Some(words)) => {
            told(container, &ended(1, words, started), false, standing.restarts)
        }
        (Ordering::Greater, _) => told(container, &initializing(), false, 0),
    };
    containers.iter().enumerate().map(step).collect()
}

/// Returns the status of a container.
fn told(container: &Value, state: &Value, is_ready: bool, restarts: u32) -> Value {
    let is_started = !state["running"].is_null();
    json!({
        "name": container["name"], "image": container["image"], "imageID": container["image"],
        "ready": is_ready, "started": is_started, "restartCount": restarts,
        "state": state, "lastState": {}})
}

fn initializing() -> Value {
    json!({"waiting": {"reason": "PodInitializing"}})
}

fn running(since: &Value) -> Value {
    json!({"running": {"startedAt": since}})
}

fn ended(code: i32, words: &str, since: &Value) -> Value {
    let reason = if code == 0 { "Completed" } else { "Error" };
    let mut end = json!({
        "exitCode": code, "reason": reason, "startedAt": since, "finishedAt": since});
    if !words.is_empty() {
        end["message"] = json!(words);
    }
    json!({"terminated": end})
}

fn main_state(standing: &Standing, is_prepared: bool, started: &Value) -> Value {
    match &standing.stage {
        _ if !is_prepared => initializing(),
        Stage::Failing(words) if standing.is_looping => {
            json!({"waiting": {"reason": "CrashLoopBackOff", "message": words}})
        }
        Stage::Failing(words) => ended(1, words, started),
        _ => running(started),
    }
}

/// Returns how the last process ended, as a kubelet has it of the container before.
fn last_state(standing: &Standing, started: &Value) -> Value {
    let Some(End { message, is_out_of_memory }) = &standing.last_end else { return json!({}) };
    let mut end = ended(if *is_out_of_memory { 137 } else { 1 }, message, started);
    if *is_out_of_memory {
        end["terminated"]["reason"] = json!(OOM_KILLED);
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Object {
        let preparation = Preparation {
            hash: "h".to_owned(),
            sources: String::new(),
            content_type: String::new(),
            checksum: String::new(),
            key: "a.py".to_owned(),
            file: "a.py".to_owned(),
            deps: None,
        };
        Object::from_value(&json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "f-1", "namespace": "ops", "labels": {"function": "f"}},
            "spec": {
                "initContainers": [
                    {"name": "prepare", "image": "windlass",
                        "env": [{"name": Preparation::VARIABLE, "value": preparation.to_string()}]},
                    {"name": "install", "image": "python"}, {"name": "own", "image": "busybox"}],
                "containers": [{"name": "f", "image": "python", "env": [{"name": "A", "value": "b"}]}]}}))
        .unwrap()
    }

    fn at(stage: Stage) -> Value {
        let standing = Standing { restarts: 2, ..stage.into() };
        status(&pod(), &standing, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_pod_says_what_it_wants() {
        let wanted = wanted(&pod()).unwrap();
        assert_eq!(wanted.function, ObjectKey::new("ops", "f"));
        assert_eq!((wanted.preparation.file.as_str(), wanted.env["A"].as_str()), ("a.py", "b"));
    }

    #[test]
    fn a_failed_preparation_leaves_its_words_behind() {
        let status = at(Stage::NotPrepared("BadArchive: no".to_owned()));
        assert_eq!(status["phase"], "Pending");
        assert_eq!(
            status.pointer("/initContainerStatuses/0/state/terminated/message").unwrap(),
            "BadArchive: no"
        );
        assert_eq!(status.pointer("/initContainerStatuses/0/restartCount").unwrap(), 2);
        assert_eq!(status.pointer("/containerStatuses/0/restartCount").unwrap(), 0);
    }

    /// Breaks when a failure is told of another container than the one that has it to do.
    #[test]
    fn each_step_is_told_of_its_container() {
        let failed = |words: &str| Stage::NotPrepared(words.to_owned());
        for (stage, expected) in [
            (Stage::Preparing, ["running", "waiting", "waiting"]),
            (Stage::Equipping, ["0", "running", "waiting"]),
            (failed("FetchFailed: no"), ["1", "waiting", "waiting"]),
            (failed("RuntimeUnavailable: no"), ["1", "waiting", "waiting"]),
            (failed("DependencyInstallFailed: no"), ["0", "1", "waiting"]),
            (Stage::Starting, ["0", "0", "0"]),
            (Stage::Ready, ["0", "0", "0"]),
        ] {
            let status = at(stage);
            let state = |step: &Value| match step.pointer("/state/terminated/exitCode") {
                Some(code) => code.to_string(),
                None => step["state"].as_object().unwrap().keys().next().unwrap().clone(),
            };
            let steps = status["initContainerStatuses"].as_array().unwrap();
            assert_eq!(steps.iter().map(state).collect::<Vec<_>>(), expected, "{status}");
        }
    }

    #[test]
    fn the_last_end_is_told() {
        for (is_out_of_memory, reason) in [(true, "OOMKilled"), (false, "Error")] {
            let end = End { message: "gone".to_owned(), is_out_of_memory };
            let standing = Standing { last_end: Some(end), ..Stage::Ready.into() };
            let status = status(&pod(), &standing, Timestamp::UNIX_EPOCH);
            let last = status.pointer("/containerStatuses/0/lastState/terminated").unwrap();
            assert_eq!((&last["reason"], &last["message"]), (&json!(reason), &json!("gone")));
        }
    }

    #[test]
    fn only_what_answers_is_ready() {
        for (stage, phase, ready) in [
            (Stage::Preparing, "Pending", "False"),
            (Stage::Equipping, "Pending", "False"),
            (Stage::Starting, "Running", "False"),
            (Stage::Ready, "Running", "True"),
            (Stage::Failing("x".to_owned()), "Running", "False"),
        ] {
            let status = at(stage);
            assert_eq!(status["phase"], phase);
            assert_eq!(status["conditions"][3]["status"], ready);
        }
    }
}
