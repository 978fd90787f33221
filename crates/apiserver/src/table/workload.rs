//! Pure: the rows of what makes pods.

use serde_json::{Value, json};

use crate::{
    fields::text,
    table::{Layout, age, row::Row},
};

const TEMPLATE: &str = "/spec/template/spec";

pub(super) const DEPLOYMENTS: Layout = Layout {
    columns: "Name, Ready, Up-to-date, Available, Age, +Containers, +Images, +Selector",
    cells: |row| {
        let [names, images] = row.containers(TEMPLATE);
        vec![
            row.name(),
            ready_of_wanted(row),
            json!(row.number("/status/updatedReplicas")),
            json!(row.number("/status/availableReplicas")),
            row.age(),
            names,
            images,
            json!(row.selector("/spec/selector")),
        ]
    },
};

pub(super) const REPLICA_SETS: Layout = Layout {
    columns: "Name, Desired: integer, Current: integer, Ready: integer, Age, +Containers, +Images, \
        +Selector",
    cells: |row| {
        let [names, images] = row.containers(TEMPLATE);
        // The selector of replication controllers is a plain map.
        let selector = match row
            .at("/spec/selector/matchLabels")
            .or(row.at("/spec/selector/matchExpressions"))
        {
            Some(_) => row.selector("/spec/selector"),
            None => row.labels("/spec/selector"),
        };
        vec![
            row.name(),
            json!(row.number("/spec/replicas")),
            json!(row.number("/status/replicas")),
            json!(row.number("/status/readyReplicas")),
            row.age(),
            names,
            images,
            json!(selector),
        ]
    },
};

pub(super) const STATEFUL_SETS: Layout = Layout {
    columns: "Name, Ready, Age, +Containers, +Images",
    cells: |row| {
        let [names, images] = row.containers(TEMPLATE);
        vec![row.name(), ready_of_wanted(row), row.age(), names, images]
    },
};

pub(super) const DAEMON_SETS: Layout = Layout {
    columns: "Name, Desired: integer, Current: integer, Ready: integer, Up-to-date: integer, \
        Available: integer, Node Selector, Age, +Containers, +Images, +Selector",
    cells: |row| {
        let [names, images] = row.containers(TEMPLATE);
        vec![
            row.name(),
            json!(row.number("/status/desiredNumberScheduled")),
            json!(row.number("/status/currentNumberScheduled")),
            json!(row.number("/status/numberReady")),
            json!(row.number("/status/updatedNumberScheduled")),
            json!(row.number("/status/numberAvailable")),
            json!(row.labels("/spec/template/spec/nodeSelector")),
            row.age(),
            names,
            images,
            json!(row.selector("/spec/selector")),
        ]
    },
};

pub(super) const CONTROLLER_REVISIONS: Layout = Layout {
    columns: "Name, Controller, Revision, Age",
    cells: |row| {
        vec![row.name(), json!(controller(row)), json!(row.number("/revision")), row.age()]
    },
};

pub(super) const JOBS: Layout = Layout {
    columns: "Name, Status, Completions, Duration, Age, +Containers, +Images, +Selector",
    cells: |row| {
        let [names, images] = row.containers(TEMPLATE);
        vec![
            row.name(),
            json!(job_status(row)),
            json!(completions(row)),
            json!(job_duration(row)),
            row.age(),
            names,
            images,
            json!(row.selector("/spec/selector")),
        ]
    },
};

pub(super) const CRON_JOBS: Layout = Layout {
    columns: "Name, Schedule, Timezone, Suspend: boolean, Active: integer, Last Schedule, Age, \
        +Containers, +Images, +Selector",
    cells: |row| {
        let [names, images] = row.containers("/spec/jobTemplate/spec/template/spec");
        let suspend = if row.flag("/spec/suspend") { "True" } else { "False" };
        let last = match row.at("/status/lastScheduleTime") {
            Some(_) => row.since("/status/lastScheduleTime"),
            None => json!("<none>"),
        };
        vec![
            row.name(),
            json!(row.text("/spec/schedule")),
            row.text_or("/spec/timeZone", "<none>"),
            json!(suspend),
            json!(row.list("/status/active").len()),
            last,
            row.age(),
            names,
            images,
            json!(row.selector("/spec/jobTemplate/spec/selector")),
        ]
    },
};

fn ready_of_wanted(row: Row<'_>) -> Value {
    let (ready, wanted) = (row.number("/status/readyReplicas"), row.number("/spec/replicas"));
    json!(format!("{ready}/{wanted}"))
}

/// Returns the owner that manages the object, as `kind.group/name`.
fn controller(row: Row<'_>) -> String {
    let owner = row
        .list("/metadata/ownerReferences")
        .iter()
        .find(|owner| owner.get("controller") == Some(&Value::Bool(true)));
    let Some(owner) = owner else { return "<none>".to_owned() };
    let kind = text(owner, "/kind").to_lowercase();
    let group = text(owner, "/apiVersion").split_once('/').map_or("", |(group, _)| group);
    let dot = if group.is_empty() { "" } else { "." };
    format!("{kind}{dot}{group}/{}", text(owner, "/name"))
}

fn job_status(row: Row<'_>) -> &'static str {
    let shown = |name: &&'static str| match *name {
        "Terminating" => row.is_deleting(),
        kind => row.has_condition(kind),
    };
    ["Complete", "Failed", "Terminating", "Suspended", "FailureTarget", "SuccessCriteriaMet"]
        .into_iter()
        .find(shown)
        .unwrap_or("Running")
}

fn completions(row: Row<'_>) -> String {
    let succeeded = row.number("/status/succeeded");
    match (row.at("/spec/completions"), row.number("/spec/parallelism")) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, parallelism @ 2..) => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    }
}

fn job_duration(row: Row<'_>) -> String {
    let end = row.text("/status/completionTime").parse().unwrap_or(row.now);
    match row.text("/status/startTime") {
        "" => String::new(),
        start => age::since_text(start, end).unwrap_or_default(),
    }
}
