//! Pure: the rows of pods.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    fields::{list, number, text},
    table::{Layout, age, row::Row},
};

pub(super) const LAYOUT: Layout = Layout {
    columns: "Name, Ready, Status, Restarts, Age, +IP, +Node, +Nominated Node, +Readiness Gates",
    cells,
};

/// Returns the condition of the row of a pod that will not run again.
pub(super) fn completed(row: Row<'_>) -> Option<Value> {
    let (reason, message) = match row.text("/status/phase") {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(json!({"type": "Completed", "status": "True", "reason": reason, "message": message}))
}

fn cells(row: Row<'_>) -> Vec<Value> {
    let seen = look(row);
    let restarts = match (seen.restarts, seen.last_restart) {
        (count, Some(at)) if count != 0 => {
            let ago = age::since(Some(&json!(at.to_string())), row.now);
            format!("{count} ({ago} ago)")
        }
        (count, _) => count.to_string(),
    };
    vec![
        row.name(),
        json!(format!("{}/{}", seen.ready, seen.total)),
        json!(seen.reason),
        json!(restarts),
        row.age(),
        row.text_or("/status/podIPs/0/ip", "<none>"),
        row.text_or("/spec/nodeName", "<none>"),
        row.text_or("/status/nominatedNodeName", "<none>"),
        json!(readiness_gates(row)),
    ]
}

/// What the containers of a pod come to.
#[derive(Default)]
struct Seen {
    ready: usize,
    total: usize,
    restarts: i64,
    last_restart: Option<Timestamp>,
    reason: String,
}

impl Seen {
    fn count_restarts(&mut self, status: &Value) {
        self.restarts += number(status, "/restartCount");
        let ended = text(status, "/lastState/terminated/finishedAt").parse().ok();
        self.last_restart = self.last_restart.max(ended);
    }
}

fn look(row: Row<'_>) -> Seen {
    let phase = row.text("/status/phase");
    let mut seen = Seen {
        total: row.list("/spec/containers").len(),
        reason: phase.to_owned(),
        ..Seen::default()
    };
    if !row.text("/status/reason").is_empty() {
        row.text("/status/reason").clone_into(&mut seen.reason);
    }
    let conditions = row.list("/status/conditions");
    if conditions.iter().any(|condition| {
        text(condition, "/type") == "PodScheduled"
            && text(condition, "/reason") == "SchedulingGated"
    }) {
        "SchedulingGated".clone_into(&mut seen.reason);
    }
    let initializing = look_at_init(row, &mut seen);
    if !initializing || row.has_condition("Initialized") {
        look_at_containers(row, &mut seen);
    }
    if row.is_deleting() {
        if row.text("/status/reason") == "NodeLost" {
            "Unknown".clone_into(&mut seen.reason);
        } else if !["Succeeded", "Failed"].contains(&phase) {
            "Terminating".clone_into(&mut seen.reason);
        }
    }
    seen
}

/// Counts the init containers and returns whether they are not done yet.
fn look_at_init(row: Row<'_>, seen: &mut Seen) -> bool {
    let containers = row.list("/spec/initContainers");
    let sidecars: BTreeSet<&str> = containers
        .iter()
        .filter(|container| text(container, "/restartPolicy") == "Always")
        .map(|container| text(container, "/name"))
        .collect();
    seen.total += sidecars.len();
    let mut of_sidecars = Seen::default();
    for (index, status) in row.list("/status/initContainerStatuses").iter().enumerate() {
        seen.count_restarts(status);
        let is_sidecar = sidecars.contains(text(status, "/name"));
        if is_sidecar {
            of_sidecars.count_restarts(status);
        }
        let terminated = status.pointer("/state/terminated").filter(|state| !state.is_null());
        if terminated.is_some_and(|state| number(state, "/exitCode") == 0) {
            continue;
        }
        if is_sidecar && status.get("started") == Some(&Value::Bool(true)) {
            seen.ready += usize::from(status.get("ready") == Some(&Value::Bool(true)));
            continue;
        }
        let waiting = text(status, "/state/waiting/reason");
        seen.reason = match terminated {
            Some(state) => format!("Init:{}", ended(state)),
            None if !["", "PodInitializing"].contains(&waiting) => format!("Init:{waiting}"),
            None => format!("Init:{index}/{}", containers.len()),
        };
        return true;
    }
    seen.restarts = of_sidecars.restarts;
    seen.last_restart = of_sidecars.last_restart;
    false
}

fn look_at_containers(row: Row<'_>, seen: &mut Seen) {
    let (mut running, mut error) = (false, String::new());
    for status in row.list("/status/containerStatuses").iter().rev() {
        seen.count_restarts(status);
        let state =
            |name: &str| status.pointer(&format!("/state/{name}")).filter(|state| !state.is_null());
        let waiting = text(status, "/state/waiting/reason");
        if !waiting.is_empty() {
            waiting.clone_into(&mut seen.reason);
        } else if let Some(terminated) = state("terminated") {
            seen.reason = ended(terminated);
            if number(terminated, "/exitCode") != 0 {
                error.clone_from(&seen.reason);
            }
        } else if status.get("ready") == Some(&Value::Bool(true)) && state("running").is_some() {
            running = true;
            seen.ready += 1;
        }
    }
    if seen.reason == "Completed" {
        if running && row.has_condition("Ready") {
            "Running".clone_into(&mut seen.reason);
        } else if !error.is_empty() {
            seen.reason = error;
        } else if running {
            "NotReady".clone_into(&mut seen.reason);
        }
    }
}

/// Returns why a container has ended.
fn ended(terminated: &Value) -> String {
    match (text(terminated, "/reason"), number(terminated, "/signal")) {
        ("", 0) => format!("ExitCode:{}", number(terminated, "/exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn readiness_gates(row: Row<'_>) -> String {
    let gates = list(row.object, "/spec/readinessGates");
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let open = gates.iter().filter(|gate| row.has_condition(text(gate, "/conditionType"))).count();
    format!("{open}/{}", gates.len())
}
