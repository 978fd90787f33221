//! Pure: controllers and their last syncs, for people.

use std::fmt::Write;

use engine::{ControllerView, HookCall, SyncDetail, SyncRecord, SyncResult};
use serde::Deserialize;
use serde_json::Value;

use super::table::aligned;

#[derive(Deserialize)]
struct Status {
    controllers: Vec<ControllerView>,
}

#[derive(Deserialize)]
struct Syncs {
    syncs: Vec<SyncRecord>,
}

/// Returns the table of controllers.
///
/// # Errors
///
/// Those of an answer in another form: `dev` is of another release.
pub fn status(answer: &Value) -> Result<String, serde_json::Error> {
    let Status { controllers } = Status::deserialize(answer)?;
    if controllers.is_empty() {
        return Ok("no controllers\n".to_owned());
    }
    let head =
        ["KIND", "NAME", "READY", "PARENTS", "FAILING", "HOOK P50", "HOOK P99", "LAST ERROR"];
    let mut rows = vec![head.map(ToOwned::to_owned).to_vec()];
    for each in controllers {
        let ready = match (each.paused, each.ready) {
            (true, _) => "paused".to_owned(),
            (_, Some(true)) => "True".to_owned(),
            (_, Some(false)) => format!("False ({})", each.reason),
            (_, None) => "Unknown".to_owned(),
        };
        let parents = match each.paused_parents {
            0 => each.parents.to_string(),
            paused => format!("{} ({paused} paused)", each.parents),
        };
        let error = each.last_error.unwrap_or_default();
        rows.push(vec![
            each.kind,
            each.name,
            ready,
            parents,
            each.failing.to_string(),
            time(each.hook_p50_ms),
            time(each.hook_p99_ms),
            error.lines().next().unwrap_or_default().to_owned(),
        ]);
    }
    Ok(aligned(&rows))
}

/// Returns the syncs of a parent in a few lines each.
///
/// # Errors
///
/// Those of an answer in another form: `dev` is of another release.
pub fn short(answer: &Value) -> Result<String, serde_json::Error> {
    let Syncs { syncs } = Syncs::deserialize(answer)?;
    Ok(syncs.iter().map(summary).collect())
}

/// Returns the syncs of a parent with all that is known of them.
///
/// # Errors
///
/// Those of an answer in another form: `dev` is of another release.
pub fn explained(answer: &Value) -> Result<String, serde_json::Error> {
    let Syncs { syncs } = Syncs::deserialize(answer)?;
    let each = |sync: &SyncRecord| {
        let mut text = summary(sync);
        match &sync.detail {
            Some(detail) => put_detail(&mut text, detail),
            None => text.push_str("what was said and planned is no longer kept\n"),
        }
        text
    };
    Ok(syncs.iter().map(each).collect::<Vec<_>>().join("\n"))
}

/// Tells whether any of the syncs failed.
pub fn has_failed(answer: &Value) -> bool {
    Syncs::deserialize(answer)
        .is_ok_and(|answer| answer.syncs.iter().any(|sync| sync.result == SyncResult::Failed))
}

fn summary(sync: &SyncRecord) -> String {
    let name = match sync.namespace.as_str() {
        "" => sync.name.clone(),
        namespace => format!("{namespace}/{}", sync.name),
    };
    let mut text =
        format!("{} {name} by {} {}\n", sync.kind, sync.controller_kind, sync.controller);
    let result = match sync.result {
        SyncResult::Done => "done",
        SyncResult::Failed => "failed",
        SyncResult::Waiting => "waiting",
    };
    let hook = sync.hook_status.map_or_else(|| "no answer".to_owned(), |code| code.to_string());
    let mut rows = vec![
        ("trigger", sync.trigger.clone()),
        ("started", sync.started.to_string()),
        ("took", format!("{:.1} ms, the hook {}", sync.took_ms, time(sync.hook_ms))),
        ("result", result.to_owned()),
        ("hook status", hook),
        (
            "children",
            format!("{} created, {} updated, {} deleted", sync.created, sync.updated, sync.deleted),
        ),
    ];
    rows.extend(sync.error.clone().map(|error| ("error", error)));
    rows.extend(sync.next_due.map(|due| ("next due", due.to_string())));
    rows.extend(sync.rollout.clone().map(|rollout| ("rollout", rollout)));
    for (name, value) in rows {
        let _ = writeln!(text, "  {name:<12} {value}");
    }
    text
}

fn put_detail(text: &mut String, detail: &SyncDetail) {
    let SyncDetail { calls, plan } = detail;
    for HookCall { hook, request, status, response, took_ms } in calls {
        let _ = writeln!(text, "\nrequest of hook {hook}:");
        put_value(text, request);
        let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        let _ = writeln!(text, "\nresponse: status {status}, {took_ms:.1} ms");
        put_value(text, response);
    }
    text.push_str("\nplan:\n");
    if plan.is_empty() {
        text.push_str("  nothing to do\n");
    }
    for action in plan {
        let _ = writeln!(text, "  {action}");
    }
}

fn put_value(text: &mut String, value: &Value) {
    for line in k8s::yaml::to_string(value).lines() {
        let _ = writeln!(text, "  {line}");
    }
}

fn time(milliseconds: Option<f64>) -> String {
    milliseconds.map_or_else(|| "-".to_owned(), |time| format!("{time:.1} ms"))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;

    #[test]
    fn controllers_are_a_table() {
        let answer = json!({"controllers": [
            {"kind": "CompositeController", "name": "web", "ready": true, "reason": "Running",
                "paused": false, "parents": 2, "pausedParents": 1, "failing": 1, "hookP50Ms": 1.24, "hookP99Ms": 3.0,
                "lastError": "hook sync: boom"},
            {"kind": "DecoratorController", "name": "b", "ready": false, "reason": "HooksMissing",
                "paused": false, "parents": 0, "pausedParents": 0, "failing": 0},
            {"kind": "DecoratorController", "name": "c", "ready": true, "reason": "Running",
                "paused": true, "parents": 0, "pausedParents": 0, "failing": 0}]});
        assert_snapshot!(status(&answer).unwrap(), @r"
        KIND                 NAME  READY                 PARENTS       FAILING  HOOK P50  HOOK P99  LAST ERROR
        CompositeController  web   True                  2 (1 paused)  1        1.2 ms    3.0 ms    hook sync: boom
        DecoratorController  b     False (HooksMissing)  0             0        -         -
        DecoratorController  c     paused                0             0        -         -
        ");
    }

    #[test]
    fn a_sync_is_explained() {
        let answer = json!({"syncs": [{"controllerKind": "CompositeController", "controller": "c",
            "apiVersion": "e.com/v1", "kind": "Thing", "namespace": "n", "name": "t", "serial": 3,
            "trigger": "the parent changed", "started": "2026-01-02T03:04:05Z", "tookMs": 2.345,
            "result": "failed", "error": "boom", "hookStatus": 200, "hookMs": 1.0, "created": 1,
            "updated": 0, "deleted": 0, "detail": {"plan": ["create Pod n/a: desired, not there"],
            "calls": [{"hook": "sync", "request": {"a": 1}, "status": 200, "response": {"b": 2},
                "tookMs": 1.0}]}}]});
        assert!(has_failed(&answer));
        assert_snapshot!(explained(&answer).unwrap(), @r"
        Thing n/t by CompositeController c
          trigger      the parent changed
          started      2026-01-02T03:04:05Z
          took         2.3 ms, the hook 1.0 ms
          result       failed
          hook status  200
          children     1 created, 0 updated, 0 deleted
          error        boom

        request of hook sync:
          a: 1

        response: status 200, 1.0 ms
          b: 2

        plan:
          create Pod n/a: desired, not there
        ");
    }
}
