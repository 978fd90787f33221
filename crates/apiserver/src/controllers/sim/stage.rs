//! Pure: the stages of a simulated pod, read from its status and written to it.

use k8s::Timestamp;
use serde_json::{Value, json};

use super::{
    Observed,
    overrides::{Failure, Overrides},
};
use crate::{
    controllers::{
        condition::{self, Condition},
        names,
    },
    fields,
    lifecycle::rfc3339,
};

/// Where a pod is, as its status shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It has a node, and nothing happened yet.
    Bound,
    /// Its containers wait.
    Creating,
    /// So many init containers are done, and one runs.
    Initialising(usize),
    /// Its containers run.
    Running,
    /// Its containers run and are ready.
    Ready,
    /// Its containers wait to be started again.
    Crashed,
}

/// A stage a pod is brought to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Creating,
    ImagePull,
    /// So many init containers are done, and one runs.
    Initialising(usize),
    Running,
    Ready,
    /// The containers ended with a code and are not started again for now.
    Crashed(i64),
    OutOfMemory,
    /// The containers ended with a code.
    Ended(i64),
    Evicted,
}

impl State {
    /// Reads the state; nothing of a pod that ended.
    pub(super) fn of(pod: &Value) -> Option<Self> {
        if matches!(fields::text(pod, "/status/phase"), "Succeeded" | "Failed") {
            return None;
        }
        let containers = fields::list(pod, "/status/containerStatuses");
        let init = fields::list(pod, "/status/initContainerStatuses");
        let runs = |it: &Value| it.pointer("/state/running").is_some();
        let done = |it: &Value| it.pointer("/state/terminated").is_some();
        Some(if containers.is_empty() {
            Self::Bound
        } else if containers.iter().all(runs) {
            let ready = containers.iter().all(|it| it["ready"] == true);
            if ready { Self::Ready } else { Self::Running }
        } else if fields::text(pod, "/status/phase") == "Running" {
            Self::Crashed
        } else if init.iter().any(runs) {
            Self::Initialising(init.iter().filter(|it| done(it)).count())
        } else {
            Self::Creating
        })
    }
}

/// Returns when the containers were started, by the second.
pub(super) fn started(pod: &Value) -> Option<Timestamp> {
    let first = fields::list(pod, "/status/containerStatuses").first()?;
    fields::text(first, "/state/running/startedAt").parse().ok()
}

impl Stage {
    /// Returns the first stage of a pod whose containers can be created.
    pub(super) fn first(pod: &Value, overrides: &Overrides) -> Self {
        let init = fields::list(pod, "/spec/initContainers");
        if init.iter().all(is_sidecar) { Self::main(overrides) } else { Self::Initialising(0) }
    }

    /// Returns the stage after `done` init containers and one more.
    pub(super) fn after_init(pod: &Value, overrides: &Overrides, done: usize) -> Self {
        let init = fields::list(pod, "/spec/initContainers");
        let all = init.iter().filter(|it| !is_sidecar(it)).count();
        if done + 1 < all { Self::Initialising(done + 1) } else { Self::main(overrides) }
    }

    fn main(overrides: &Overrides) -> Self {
        match overrides.fail {
            Some(Failure::CrashLoop) => Self::Crashed(overrides.exit_code.unwrap_or(1)),
            Some(Failure::OutOfMemory) => Self::OutOfMemory,
            Some(Failure::Unready) => Self::Running,
            Some(Failure::ImagePull | Failure::Stuck | Failure::Evicted) | None => {
                let waits = overrides.ready_after.is_some_and(|after| !after.is_zero());
                if waits { Self::Running } else { Self::Ready }
            }
        }
    }

    /// Writes the stage into the status of a pod.
    pub(super) fn write(self, mut pod: Value, observed: &Observed<'_>) -> Value {
        let now = rfc3339(observed.now);
        let never = fields::text(&pod, "/spec/restartPolicy") == "Never";
        let started_at = started(&pod).map_or_else(|| now.clone(), rfc3339);
        let mut status = json!({
            "phase": self.phase(never), "conditions": self.conditions(&pod, observed.now),
            "hostIP": observed.host, "hostIPs": [{"ip": observed.host}],
        });
        let before = pod.get("status").cloned().unwrap_or_default();
        for name in ["startTime", "qosClass", "podIP", "podIPs", "observedGeneration"] {
            if let Some(value) = before.get(name) {
                status[name] = value.clone();
            }
        }
        if before.get("startTime").is_none() {
            status["startTime"] = now.clone().into();
        }
        if self == Self::Evicted {
            status["reason"] = "Evicted".into();
            status["message"] = "The node was low on resource: memory.".into();
        }
        if self.has_address() && before.get("podIP").is_none() {
            let host = pod.pointer("/spec/hostNetwork") == Some(&Value::Bool(true));
            let address = if host { observed.host } else { observed.address };
            status["podIP"] = address.into();
            status["podIPs"] = json!([{"ip": address}]);
        }
        let times = Times { started_at, now };
        let init = fields::list(&pod, "/spec/initContainers");
        if !init.is_empty() {
            status["initContainerStatuses"] = self.init_statuses(init, &times);
        }
        status["containerStatuses"] = self.statuses(&pod, never, &times);
        if pod.pointer("/metadata/generation").is_some() {
            status["observedGeneration"] = pod["metadata"]["generation"].clone();
        }
        fields::set(&mut pod, &["status"], status);
        pod
    }

    fn phase(self, never_restarted: bool) -> &'static str {
        match self {
            Self::Creating | Self::ImagePull | Self::Initialising(_) => "Pending",
            Self::Ended(0) => "Succeeded",
            Self::Ended(_) | Self::Evicted => "Failed",
            Self::Crashed(_) | Self::OutOfMemory if never_restarted => "Failed",
            Self::Crashed(_) | Self::OutOfMemory | Self::Running | Self::Ready => "Running",
        }
    }

    fn has_address(self) -> bool {
        !matches!(self, Self::Creating | Self::Evicted)
    }

    fn conditions(self, pod: &Value, now: Timestamp) -> Value {
        let before = pod.pointer("/status/conditions").cloned().unwrap_or_default();
        let mut conditions: Vec<Condition> = serde_json::from_value(before).unwrap_or_default();
        let generation = pod.pointer("/metadata/generation").and_then(Value::as_i64);
        let (ready, why) = self.readiness();
        let initialised = !matches!(self, Self::Initialising(_));
        let has_sandbox = self != Self::Creating && !matches!(self, Self::Ended(_) | Self::Evicted);
        let all = [
            ("PodReadyToStartContainers", has_sandbox, ""),
            ("Initialized", initialised, if initialised { "" } else { "ContainersNotInitialized" }),
            ("Ready", ready, why),
            ("ContainersReady", ready, why),
            ("PodScheduled", true, ""),
        ];
        for (kind, holds, reason) in all {
            let new = Condition::new(kind, if holds { "True" } else { "False" }, now);
            let done = matches!(self, Self::Ended(0)) && kind == "Initialized";
            let reason = if done { COMPLETED } else { reason };
            let message = message(pod, reason);
            let new = Condition { observed_generation: generation, ..new.because(reason, message) };
            condition::put(&mut conditions, new);
        }
        // A node writes its own conditions first, in this order, whoever wrote one of them before.
        let place = |it: &Condition| all.iter().position(|(kind, ..)| it.kind == *kind);
        conditions.sort_by_key(|it| place(it).unwrap_or(all.len()));
        json!(conditions)
    }

    fn readiness(self) -> (bool, &'static str) {
        match self {
            Self::Ready => (true, ""),
            Self::Ended(0) => (false, COMPLETED),
            Self::Ended(_) | Self::Evicted => (false, "PodFailed"),
            _ => (false, "ContainersNotReady"),
        }
    }

    fn init_statuses(self, containers: &[Value], times: &Times) -> Value {
        let mut place = 0;
        let statuses = containers.iter().map(|container| {
            let state = if is_sidecar(container) {
                times.running()
            } else {
                place += 1;
                match self {
                    Self::Creating | Self::ImagePull => waiting("PodInitializing", ""),
                    Self::Initialising(done) if place == done + 1 => times.running(),
                    Self::Initialising(done) if done < place => waiting("PodInitializing", ""),
                    _ => times.terminated(0, COMPLETED),
                }
            };
            let done = state.get("terminated").is_some() || is_sidecar(container);
            container_status(
                container,
                &state,
                &Counts { ready: done, restarts: 0, last: json!({}) },
            )
        });
        statuses.collect()
    }

    fn statuses(self, pod: &Value, never_restarted: bool, times: &Times) -> Value {
        let (overrides, _) = Overrides::read(pod);
        let restarts = overrides.restart_count;
        let statuses = fields::list(pod, "/spec/containers").iter().map(|container| {
            let image = fields::text(container, "/image");
            let mut counts =
                Counts { ready: false, restarts: restarts.unwrap_or(0), last: json!({}) };
            let state = match self {
                Self::Creating => waiting("ContainerCreating", ""),
                Self::Initialising(_) => waiting("PodInitializing", ""),
                Self::ImagePull => {
                    waiting("ImagePullBackOff", &format!("Back-off pulling image \"{image}\""))
                }
                Self::Running => times.running(),
                Self::Ready => {
                    counts.ready = true;
                    times.running()
                }
                Self::Crashed(code) if never_restarted => times.terminated(code, reason(code)),
                Self::Crashed(code) => {
                    counts.restarts = restarts.unwrap_or(1);
                    counts.last = times.terminated(code, reason(code));
                    waiting("CrashLoopBackOff", &back_off(pod, container))
                }
                Self::OutOfMemory => {
                    counts.restarts = restarts.unwrap_or(i64::from(!never_restarted));
                    times.terminated(OUT_OF_MEMORY, "OOMKilled")
                }
                Self::Ended(code) => times.terminated(code, reason(code)),
                Self::Evicted => times.terminated(OUT_OF_MEMORY, "Error"),
            };
            container_status(container, &state, &counts)
        });
        statuses.collect()
    }
}

/// The reason of what ended well.
const COMPLETED: &str = "PodCompleted";

/// The exit code of a process that was killed.
const OUT_OF_MEMORY: i64 = 137;

/// The moments that stand in container statuses.
struct Times {
    started_at: String,
    now: String,
}

impl Times {
    fn running(&self) -> Value {
        json!({"running": {"startedAt": self.started_at}})
    }

    fn terminated(&self, code: i64, reason: &str) -> Value {
        let reason = if reason == COMPLETED { "Completed" } else { reason };
        json!({"terminated": {
            "exitCode": code, "reason": reason, "startedAt": self.started_at, "finishedAt": self.now,
        }})
    }
}

/// What a container status holds besides the state.
struct Counts {
    ready: bool,
    restarts: i64,
    last: Value,
}

fn container_status(container: &Value, state: &Value, counts: &Counts) -> Value {
    let (name, image) = (fields::text(container, "/name"), fields::text(container, "/image"));
    let exists = state.get("waiting").is_none() || counts.restarts > 0;
    let mut status = json!({
        "name": name, "image": image, "ready": counts.ready, "restartCount": counts.restarts,
        "imageID": if exists { format!("sim://{image}") } else { String::new() },
        "started": state.get("running").is_some(), "state": state, "lastState": counts.last,
    });
    if exists {
        status["containerID"] = format!("sim://{:016x}", names::hash(&(name, image))).into();
    }
    status
}

fn waiting(reason: &str, message: &str) -> Value {
    match message {
        "" => json!({"waiting": {"reason": reason}}),
        _ => json!({"waiting": {"reason": reason, "message": message}}),
    }
}

fn reason(code: i64) -> &'static str {
    if code == 0 { COMPLETED } else { "Error" }
}

fn back_off(pod: &Value, container: &Value) -> String {
    let (name, namespace, uid) = (
        fields::text(pod, "/metadata/name"),
        fields::text(pod, "/metadata/namespace"),
        fields::text(pod, "/metadata/uid"),
    );
    let container = fields::text(container, "/name");
    format!("back-off 5m0s restarting failed container={container} pod={name}_{namespace}({uid})")
}

/// Says which containers a condition waits for.
fn message(pod: &Value, reason: &str) -> String {
    let (what, path) = match reason {
        "ContainersNotReady" => ("unready", "/spec/containers"),
        "ContainersNotInitialized" => ("incomplete", "/spec/initContainers"),
        _ => return String::new(),
    };
    let names = fields::list(pod, path).iter().map(|it| fields::text(it, "/name"));
    let names: Vec<_> = names.collect();
    match what {
        "unready" => format!("containers with unready status: [{}]", names.join(" ")),
        _ => format!("containers with incomplete status: [{}]", names.join(" ")),
    }
}

/// Returns whether an init container runs beside the others for as long as the pod lives.
fn is_sidecar(container: &Value) -> bool {
    container["restartPolicy"] == "Always"
}
