//! Pure: what the status of a Function says, from what was observed of its objects.

use std::sync::Arc;

use api::function;
use k8s::{Object, Timestamp};
use serde_json::{Value, json};

use crate::{
    content::{Digest, Source, decode_base64},
    function::Function,
    objects::{COMPILE, INSTALL, Ports},
    plan::{Make, Plan, Runs},
    preparation::PREPARE,
};

/// The longest message of an error that a status keeps.
const LONGEST: usize = 1024;

/// The containers that put a program in its place, and what it means that one of them fails and does not say why.
pub(crate) const STEPS: &[(&str, &str)] =
    &[(PREPARE, "FetchFailed"), (INSTALL, "DependencyInstallFailed"), (COMPILE, "CompileFailed")];
/// The reasons that such a container may give itself.
const REASONS: &[&str] = &[
    "Fetching",
    "FetchFailed",
    "ChecksumMismatch",
    "BadArchive",
    "DependencyInstallFailed",
    "CompileFailed",
    "RuntimeUnavailable",
    "ContainerRuntimeRequired",
];

/// What runs of a Function.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    /// Its Deployment.
    pub deployment: Option<Arc<Object>>,
    /// Its pods, of any version.
    pub pods: Vec<Arc<Object>>,
}

/// One condition before it is written.
pub(crate) struct Finding {
    kind: &'static str,
    holds: bool,
    reason: String,
    message: String,
}

/// Returns the status of a Function; equal to the one it has if nothing new is to be told.
pub(crate) fn status(object: &Object, plan: &Plan, observed: &Observed, now: Timestamp) -> Value {
    let before = object.to_value()["status"].take();
    let findings = findings(plan, observed);
    let generation = object.meta().generation;
    let conditions: Vec<_> =
        findings.iter().map(|finding| condition(finding, &before, generation, now)).collect();
    let mut status = json!({"observedGeneration": generation, "conditions": conditions});
    match plan {
        Plan::Refuse { .. } | Plan::Wait { .. } => {
            for kept in ["url", "runtime", "checksum"] {
                set(&mut status, kept, before[kept].clone());
            }
        }
        Plan::Make(make) => {
            set(&mut status, "url", json!(url(&make.function, make.objects.ports)));
            set(&mut status, "runtime", runtime(&make.function, make.runs.as_ref()));
            set(&mut status, "checksum", checksum(&make.function));
        }
    }
    let counts = observed.deployment.as_ref().map(|deployment| deployment.to_value());
    if let Some(counts) = counts {
        let ready = counts.pointer("/status/readyReplicas").and_then(Value::as_i64).unwrap_or(0);
        set(&mut status, "replicas", counts.pointer("/spec/replicas").cloned().unwrap_or(json!(1)));
        set(&mut status, "readyReplicas", json!(ready));
    }
    set(&mut status, "lastError", last_error(&findings, &before, now));
    status
}

/// Returns whether this very version of a Function answers calls.
pub(crate) fn is_served(function: &Function, observed: &Observed) -> bool {
    current(function, observed).iter().any(|pod| is_true(pod, "Ready"))
}

/// Returns whether a Function waits for something that runs it, or might be run by something better.
pub(crate) fn waits(object: &Object) -> bool {
    let status = object.to_value()["status"].take();
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let mut waiting = conditions
        .filter(|it| it["reason"] == "RuntimeUnavailable" || it["type"] == "RuntimeSubstituted");
    waiting.next().is_some()
}

/// What is told by an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct News {
    /// Whether it is trouble.
    pub is_trouble: bool,
    /// The reason of the condition that tells it.
    pub reason: String,
    /// The message of that condition.
    pub message: String,
}

/// Returns the conditions that newly tell of trouble, and whether the Function became ready.
pub(crate) fn news(before: &Value, after: &Value) -> Vec<News> {
    let all = |status: &Value| status["conditions"].as_array().cloned().unwrap_or_default();
    let was = all(before);
    let text =
        |condition: &Value, field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    let mut news: Vec<News> = Vec::new();
    for condition in all(after) {
        let old = was.iter().find(|old| old["type"] == condition["type"]);
        let is_same = old.is_some_and(|old| {
            old["status"] == condition["status"] && old["reason"] == condition["reason"]
        });
        let (kind, holds) = (text(&condition, "type"), condition["status"] == "True");
        let (reason, message) = (text(&condition, "reason"), text(&condition, "message"));
        let is_trouble = holds == (kind == "RuntimeSubstituted");
        let is_passing = match reason.as_str() {
            // On the way to something there is nothing to warn of.
            "Fetching" | "InstallingDependencies" | "RollingOut" => true,
            // Before the first worker is there, nobody misses it.
            "NoWorkers" => old.is_none_or(|old| old["status"] != "True"),
            _ => false,
        };
        let is_told = if is_trouble { !is_passing } else { kind == "Ready" };
        // Several conditions may tell of one cause.
        if !is_same && is_told && !news.iter().any(|told| told.reason == reason) {
            news.push(News { is_trouble, reason, message });
        }
    }
    news
}

fn findings(plan: &Plan, observed: &Observed) -> Vec<Finding> {
    let available = available(observed);
    let (is_refused, reason, message) = match plan {
        Plan::Refuse { reason, message } => (true, reason, message),
        Plan::Wait { reason, message } => (false, reason, message),
        Plan::Make(make) => return of_made(make, available, observed),
    };
    let ready = finding("Ready", false, reason, message);
    if is_refused {
        return vec![finding("Accepted", false, reason, message), available, ready];
    }
    let accepted = finding("Accepted", true, "Accepted", "");
    vec![accepted, finding("Built", false, reason, message), available, ready]
}

fn of_made(make: &Make, available: Finding, observed: &Observed) -> Vec<Finding> {
    let Make { function, runs, fault, .. } = make;
    let accepted = match fault {
        Some(fault) => finding("Accepted", false, "ConfigInvalid", fault),
        None => finding("Accepted", true, "Accepted", ""),
    };
    let current = current(function, observed);
    let built = match runs {
        Some(_) => built(&current),
        // An image has all in its place.
        None => finding("Built", true, "Built", ""),
    };
    let ready = ready(&current, &built, &available);
    let substituted = runs.as_ref().filter(|runs| runs.is_substitute).map(|runs| {
        let asked = &function.texts.runtime;
        let message = format!("runtime `{asked}` is not there, `{}` is used", runs.name);
        finding("RuntimeSubstituted", true, "RuntimeSubstituted", &message)
    });
    [accepted, built, available, ready].into_iter().chain(substituted).collect()
}

/// Returns the pods of this version of a Function.
fn current(function: &Function, observed: &Observed) -> Vec<Value> {
    let all = observed.pods.iter();
    if function.image().is_none() {
        let hash = function.hash();
        let current = all.filter(|pod| pod.annotations().get(function::HASH) == Some(&hash));
        return current.map(|pod| pod.to_value()).collect();
    }
    // Pods of an image say nothing of their version: while they are replaced, those that answer may be old ones.
    let is_rolled_out = observed.deployment.as_ref().is_some_and(|it| is_rolled_out(it));
    let pods = all.map(|pod| pod.to_value());
    pods.filter(|pod| is_rolled_out || !is_true(pod, "Ready")).collect()
}

fn is_rolled_out(deployment: &Object) -> bool {
    let value = deployment.to_value();
    let count = |field: &str| value["status"][field].as_i64().unwrap_or(0);
    count("observedGeneration") == deployment.meta().generation
        && count("updatedReplicas") == count("replicas")
}

/// Whether the program of this version is in its place, in one pod at least.
fn built(current: &[Value]) -> Finding {
    if current.iter().any(|pod| is_true(pod, "Initialized")) {
        return finding("Built", true, "Built", "");
    }
    let steps = |pod: &Value| {
        let all = pod.pointer("/status/initContainerStatuses").and_then(Value::as_array).cloned();
        let all = all.unwrap_or_default();
        let of = move |(name, usual): &(&str, &'static str)| {
            let found = all.iter().find(|container| container["name"] == *name).cloned();
            found.map(|container| (container, *usual))
        };
        STEPS.iter().filter_map(of).collect::<Vec<_>>()
    };
    let steps: Vec<_> = current.iter().flat_map(steps).collect();
    if let Some((reason, message)) = steps.iter().find_map(|(step, usual)| failure(step, usual)) {
        return finding("Built", false, &reason, &message);
    }
    let is_running = |(step, _): &&(Value, &str)| !step["state"]["running"].is_null();
    let is_installing =
        steps.iter().find(is_running).is_some_and(|(step, _)| step["name"] != PREPARE);
    finding("Built", false, if is_installing { "InstallingDependencies" } else { "Fetching" }, "")
}

/// Returns why a step failed, and what it left behind.
fn failure(step: &Value, usual: &str) -> Option<(String, String)> {
    if step["state"]["terminated"]["exitCode"] == 0 {
        return None;
    }
    let ends = ["state", "lastState"].map(|state| &step[state]["terminated"]);
    let end =
        ends.into_iter().find(|end| end["exitCode"].as_i64().is_some_and(|code| code != 0))?;
    let words = end["message"].as_str().unwrap_or_default().trim();
    match words.split_once(": ").filter(|(reason, _)| REASONS.contains(reason)) {
        Some((reason, message)) => Some((reason.to_owned(), message.to_owned())),
        None => Some((usual.to_owned(), words.to_owned())),
    }
}

/// Whether any version answers calls.
fn available(observed: &Observed) -> Finding {
    let pods: Vec<_> = observed.pods.iter().map(|pod| pod.to_value()).collect();
    if pods.iter().any(|pod| is_true(pod, "Ready")) {
        return finding("Available", true, "Available", "");
    }
    match pods.iter().find_map(|pod| last_words(pod).filter(|_| is_looping(pod))) {
        Some(words) => finding("Available", false, "CrashLoop", &words),
        None => finding("Available", false, "NoWorkers", ""),
    }
}

/// Whether this version answers calls.
fn ready(current: &[Value], built: &Finding, available: &Finding) -> Finding {
    if current.iter().any(|pod| is_true(pod, "Ready")) {
        return finding("Ready", true, "FunctionReady", "");
    }
    if !built.holds {
        return finding("Ready", false, &built.reason, &built.message);
    }
    if !available.holds && available.reason == "CrashLoop" {
        return finding("Ready", false, &available.reason, &available.message);
    }
    match current.iter().find_map(last_words) {
        Some(words) => finding("Ready", false, "LoadFailed", &words),
        None => finding("Ready", false, "RollingOut", ""),
    }
}

fn is_true(pod: &Value, kind: &str) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|it| it["type"] == kind && it["status"] == "True")
}

fn is_looping(pod: &Value) -> bool {
    let reason = pod.pointer("/status/containerStatuses/0/state/waiting/reason");
    reason.is_some_and(|reason| reason == "CrashLoopBackOff")
}

/// Returns what the function's container left behind when it ended last.
fn last_words(pod: &Value) -> Option<String> {
    let container = pod.pointer("/status/containerStatuses/0")?;
    // A kubelet that waits before the next start says only that it waits.
    let states = [
        &container["state"]["terminated"],
        &container["lastState"]["terminated"],
        &container["state"]["waiting"],
    ];
    let messages = states.iter().filter_map(|state| state["message"].as_str());
    messages.filter(|message| !message.is_empty()).map(ToOwned::to_owned).next()
}

/// Returns a condition before it is written.
pub(crate) fn finding(kind: &'static str, holds: bool, reason: &str, message: &str) -> Finding {
    // Commands and tracebacks say last what went wrong.
    let cut = message.chars().count().saturating_sub(LONGEST);
    let message = message.chars().skip(cut).collect();
    Finding { kind, holds, reason: reason.to_owned(), message }
}

/// Returns a condition as it is written; one that held before keeps the moment since when.
pub(crate) fn condition(
    finding: &Finding,
    before: &Value,
    generation: i64,
    now: Timestamp,
) -> Value {
    let status = status_of(finding.holds);
    json!({
        "type": finding.kind, "status": status, "reason": finding.reason, "message": finding.message,
        "lastTransitionTime": since(before, (finding.kind, status), now),
        "observedGeneration": generation})
}

/// Returns since when a condition has its status: one that had it before keeps the moment.
pub(crate) fn since(before: &Value, (kind, status): (&str, &str), now: Timestamp) -> Value {
    let mut old = before["conditions"].as_array().into_iter().flatten();
    let old = old.find(|old| old["type"] == kind && old["status"] == status);
    old.map_or_else(|| json!(stamp(now)), |old| old["lastTransitionTime"].clone())
}

/// Returns the status of a condition that holds or does not.
pub(crate) fn status_of(holds: bool) -> &'static str {
    if holds { "True" } else { "False" }
}

/// Returns the error that counts: the first condition that does not hold, unless work goes on.
fn last_error(findings: &[Finding], before: &Value, now: Timestamp) -> Value {
    let error = findings.iter().find(|finding| !finding.holds && !finding.message.is_empty());
    let Some(error) = error else { return before["lastError"].clone() };
    let is_same = before["lastError"]["message"] == error.message
        && before["lastError"]["phase"] == error.kind;
    let time = if is_same { before["lastError"]["time"].clone() } else { json!(stamp(now)) };
    json!({"phase": error.kind, "message": error.message, "time": time})
}

fn url(function: &Function, ports: Ports) -> String {
    let (name, namespace) = (&function.meta.name, &function.meta.namespace);
    format!("http://{name}.{namespace}.svc.cluster.local:{}", ports.service)
}

fn runtime(function: &Function, runs: Option<&Runs>) -> Value {
    let Some(Runs { name, with: (what, which), .. }) = runs else { return Value::Null };
    json!({"requested": function.texts.runtime, "resolved": name, (*what): which})
}

/// Returns the digest of the program, unless only who fetches it can know.
fn checksum(function: &Function) -> Value {
    let text = &function.texts.function;
    match function.content.source {
        Source::Text => json!(Digest::of(text.as_bytes()).to_string()),
        Source::Base64 => {
            decode_base64(text).map_or(Value::Null, |bytes| json!(Digest::of(&bytes).to_string()))
        }
        Source::Url => {
            function.checksum.map_or(Value::Null, |checksum| json!(checksum.to_string()))
        }
    }
}

fn set(status: &mut Value, field: &str, value: Value) {
    if !value.is_null() {
        status[field] = value;
    }
}

/// Returns a moment as objects have it.
pub(crate) fn stamp(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests;
