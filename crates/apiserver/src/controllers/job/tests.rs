use serde_json::json;

use super::*;
use crate::lifecycle::rfc3339;

fn job(spec: &Value, status: &Value) -> Job {
    let mut value = json!({
        "metadata": {"name": "work", "namespace": "a", "uid": "job"},
        "spec": {"parallelism": 1, "completions": 1, "backoffLimit": 6,
            "completionMode": "NonIndexed", "selector": {"matchLabels": {"job": "work"}},
            "template": {"metadata": {"labels": {"job": "work"}},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "main"}]}}},
        "status": status,
    });
    for (field, each) in spec.as_object().into_iter().flatten() {
        fields::set(&mut value, &["spec", field], each.clone());
    }
    Job::read(Arc::new(Object::from_value(&value).unwrap())).unwrap()
}

/// Returns a pod: `NAME PHASE [INDEX] [kept]`, kept ones not counted yet; failed ones ended at the beginning of time.
fn pod(line: &str) -> Pod {
    let mut words = line.split_whitespace();
    let (name, phase) = (words.next().unwrap(), words.next().unwrap());
    let ended = json!({"state": {"terminated": {"finishedAt": rfc3339(Timestamp::UNIX_EPOCH)}}});
    let mut value = json!({
        "metadata": {"name": name, "namespace": "a", "uid": name, "labels": {"job": "work"},
            "ownerReferences": [{"uid": "job", "controller": true}]},
        "status": {"phase": phase, "containerStatuses": [ended]},
    });
    for word in words {
        match word {
            "kept" => value["metadata"]["finalizers"] = json!([tracking::FINALIZER]),
            index => fields::set(&mut value, &["metadata", "labels", new_pod::INDEX], index),
        }
    }
    Pod::read(Arc::new(Object::from_value(&value).unwrap()))
}

/// Returns the status of a Job that has counted these pods.
fn counted(pods: &[&str]) -> Value {
    let count = |phase: &str| pods.iter().filter(|pod| pod.contains(phase)).count();
    json!({"succeeded": count("Succeeded"), "failed": count("Failed")})
}

/// Plans at a second and returns writes without the random ends of names, and Events by their reason.
fn planned(job: &Job, pods: &[&str], second: i64) -> String {
    let pods: Vec<_> = pods.iter().map(|line| pod(line)).collect();
    let now = Timestamp::from_second(second).unwrap();
    let pods = pods.iter().collect();
    let plan = plan(&Observed { job, pods, is_closed: false, revision: 1, now });
    let text = plan.to_string();
    let short = |line: &str| match line.split_once(':') {
        Some((event, _)) if line.starts_with("event") => event.to_owned(),
        _ if line.starts_with("create") => line[..line.len() - 6].to_owned(),
        _ => line.to_owned(),
    };
    let lines = text.lines().filter(|line| !line.contains(" Successful"));
    lines.map(short).collect::<Vec<_>>().join("; ")
}

#[test]
fn as_many_pods_run_as_are_needed() {
    let three = json!({"completions": 3, "parallelism": 2});
    for (spec, pods, expected) in [
        (&json!({}), &[][..], "create Pod a/work"),
        (&three, &[], "create Pod a/work; create Pod a/work"),
        (&three, &["a Succeeded", "b Succeeded"], "create Pod a/work"),
        (&three, &["a Succeeded", "b Running", "c Pending"], "status Job a/work"),
        (
            &json!({"parallelism": 1, "completions": 3}),
            &["a Running", "b Pending"],
            "delete Pod a/b (background)",
        ),
        (&json!({"suspend": true}), &["a Running"], "delete Pod a/a (background)"),
        (&json!({"suspend": true}), &[], "status Job a/work; event Normal Suspended"),
        (&json!({}), &["a Succeeded"], "status Job a/work; event Normal Completed"),
    ] {
        assert_eq!(planned(&job(spec, &counted(pods)), pods, 0), expected, "{spec} {pods:?}");
    }
}

#[test]
fn what_ended_is_named_then_let_go_then_counted() {
    let three = json!({"completions": 3, "parallelism": 1});
    let named = json!({"uncountedTerminatedPods": {"succeeded": ["a"]}});
    for (status, pods, expected) in [
        (&json!({}), &["a Succeeded kept"][..], "status Job a/work; update Pod a/a: counted"),
        (&named, &["a Succeeded kept"], "update Pod a/a: counted"),
        (&named, &["a Succeeded", "b Running kept"], "status Job a/work"),
        (&named, &["b Running kept"], "status Job a/work"),
    ] {
        assert_eq!(planned(&job(&three, status), pods, 0), expected, "{status} {pods:?}");
    }
    let done = json!({"succeeded": 2, "uncountedTerminatedPods": {"succeeded": ["a"]}});
    let ended = planned(&job(&three, &done), &[], 0);
    assert_eq!(ended, "status Job a/work; event Normal Completed");
}

#[test]
fn pods_that_are_not_wanted_are_let_go_before_they_are_deleted() {
    let plan = planned(&job(&json!({"suspend": true}), &json!({})), &["a Running kept"], 0);
    assert_eq!(plan, "update Pod a/a: counted; delete Pod a/a (background)");
}

#[test]
fn indexes_that_are_missing_are_created() {
    let spec = json!({"completionMode": "Indexed", "completions": 4, "parallelism": 3});
    let status = json!({"completedIndexes": "1"});
    let created = planned(&job(&spec, &status), &["a Running 0"], 0);
    assert_eq!(created, "create Pod a/work-2; create Pod a/work-3");
}

#[test]
fn failures_are_waited_for_and_counted() {
    let limited = json!({"backoffLimit": 1});
    let told = "status Job a/work; event Warning BackoffLimitExceeded";
    for (spec, pods, second, expected) in [
        (&json!({}), &["a Failed"][..], 9, "status Job a/work; look again at 1970-01-01T00:00:10Z"),
        (&json!({}), &["a Failed"], 10, "create Pod a/work"),
        (&limited, &["a Failed"], 10, "create Pod a/work"),
        (&limited, &["a Failed", "b Failed", "c Running"], 10, "delete Pod a/c (background)"),
        (&limited, &["a Failed", "b Failed"], 10, told),
    ] {
        assert_eq!(planned(&job(spec, &counted(pods)), pods, second), expected, "{spec} {pods:?}");
    }
}

#[test]
fn time_ends_jobs_and_removes_them() {
    let started = json!({"startTime": "1970-01-01T00:00:00Z", "active": 1, "ready": 0});
    let deadline = json!({"activeDeadlineSeconds": 5});
    let late = job(&deadline, &started);
    assert!(planned(&late, &["a Running"], 4).ends_with("look again at 1970-01-01T00:00:05Z"));
    assert_eq!(planned(&late, &["a Running"], 5), "delete Pod a/a (background)");
    assert_eq!(planned(&late, &[], 5), "status Job a/work; event Warning DeadlineExceeded");

    let done = json!({"conditions": [{"type": "Complete", "status": "True",
        "lastTransitionTime": "1970-01-01T00:00:00Z"}]});
    let kept = job(&json!({"ttlSecondsAfterFinished": 60}), &done);
    assert_eq!(planned(&kept, &[], 59), "look again at 1970-01-01T00:01:00Z");
    assert_eq!(planned(&kept, &[], 60), "delete Job a/work (foreground)");
}
