use serde_json::json;

use super::*;
use crate::lifecycle::rfc3339;

/// Returns a set of three with the template `image`.
fn set(image: &str, spec: &Value) -> StatefulSet {
    let mut value = json!({
        "metadata": {"name": "web", "namespace": "a", "uid": "set", "generation": 1},
        "spec": {"replicas": 3, "podManagementPolicy": "OrderedReady", "serviceName": "web",
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "selector": {"matchLabels": {"app": "web"}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}],
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"image": image}}},
    });
    for (field, each) in spec.as_object().into_iter().flatten() {
        fields::set(&mut value, &["spec", field], each.clone());
    }
    StatefulSet::read(Arc::new(Object::from_value(&value).unwrap())).unwrap()
}

/// Returns a pod: `ORDINAL PHASE REVISION [ready] [ending]`.
fn pod(line: &str) -> Pod {
    let mut words = line.split_whitespace();
    let [ordinal, phase, revision] = [(); 3].map(|()| words.next().unwrap());
    let at = rfc3339(Timestamp::UNIX_EPOCH);
    let mut value = json!({
        "metadata": {"name": format!("web-{ordinal}"), "namespace": "a", "uid": ordinal,
            "labels": {"app": "web", REVISION_LABEL: revision},
            "ownerReferences": [{"uid": "set", "controller": true}]},
        "status": {"phase": phase, "conditions": []},
    });
    for word in words {
        if word == "ready" {
            let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": at});
            value["status"]["conditions"] = json!([ready]);
        } else {
            value["metadata"]["deletionTimestamp"] = json!(at);
        }
    }
    Pod::read(Arc::new(Object::from_value(&value).unwrap()))
}

/// Returns a revision named by the image of its template.
fn revision(image: &str, number: i64) -> Object {
    let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"image": image},
        "$patch": "replace"});
    let value = json!({"metadata": {"name": image, "uid": image, "namespace": "a"},
        "data": {"spec": {"template": template}}, "revision": number});
    Object::from_value(&value).unwrap()
}

fn planned(set: &StatefulSet, pods: &[&str], revisions: &[Object]) -> String {
    let pods: Vec<_> = pods.iter().map(|line| pod(line)).collect();
    let plan = plan(&Observed {
        set,
        pods: pods.iter().collect(),
        revisions: revisions.iter().collect(),
        find: &|_, _| None,
        now: Timestamp::UNIX_EPOCH,
    });
    let text = plan.to_string();
    let lines = text.lines().filter(|line| !line.starts_with("event"));
    lines.collect::<Vec<_>>().join("; ")
}

#[test]
fn the_template_is_kept_as_a_revision_first() {
    let planned = planned(&set("one", &json!({})), &[], &[]);
    assert!(planned.starts_with("create ControllerRevision a/web-"), "{planned}");
    assert!(!planned.contains("Pod"));
}

#[test]
fn a_template_that_comes_back_becomes_the_newest_revision() {
    let revisions = [revision("one", 1), revision("two", 2)];
    let planned = planned(&set("one", &json!({})), &[], &revisions);
    assert_eq!(planned, "update ControllerRevision a/one: revision");
}

#[test]
fn pods_come_and_go_in_order() {
    let first = "create PersistentVolumeClaim a/data-web-0; create Pod a/web-0";
    let second = "create PersistentVolumeClaim a/data-web-1; create Pod a/web-1";
    for (pods, expected) in [
        (&[][..], first),
        (&["0 Running one"], "status StatefulSet a/web"),
        (&["0 Running one ready"], second),
        (&["0 Failed one", "1 Running one ready"], "delete Pod a/web-0 (background)"),
        (&["0 Running one ready ending", "1 Running one ready"], "status StatefulSet a/web"),
        (
            &[
                "0 Running one ready",
                "1 Running one ready",
                "2 Running one ready",
                "3 Running one",
                "4 Running one",
            ],
            "delete Pod a/web-4 (background)",
        ),
    ] {
        assert_eq!(planned(&set("one", &json!({})), pods, &[revision("one", 1)]), expected);
    }
}

#[test]
fn parallel_pods_wait_for_nobody() {
    let set = set("one", &json!({"podManagementPolicy": "Parallel", "volumeClaimTemplates": []}));
    assert_eq!(
        planned(&set, &["1 Running one", "3 Running one"], &[revision("one", 1)]),
        "create Pod a/web-0; create Pod a/web-2; delete Pod a/web-3 (background)"
    );
}

#[test]
fn updates_go_from_the_highest_to_the_partition() {
    let revisions = [revision("one", 1), revision("two", 2)];
    let partition = |partition: i64| {
        json!({"updateStrategy": {"type": "RollingUpdate",
            "rollingUpdate": {"partition": partition}}})
    };
    let ready = |revisions: [&str; 3]| {
        let pods = (0..).zip(revisions);
        pods.map(|(ordinal, it)| format!("{ordinal} Running {it} ready")).collect::<Vec<_>>()
    };
    for (number, made_from, expected) in [
        (0, ["one", "one", "one"], "delete Pod a/web-2 (background)"),
        (0, ["one", "one", "two"], "delete Pod a/web-1 (background)"),
        (2, ["one", "one", "two"], "status StatefulSet a/web"),
        (2, ["one", "one", "one"], "delete Pod a/web-2 (background)"),
    ] {
        let pods = ready(made_from);
        let pods: Vec<_> = pods.iter().map(String::as_str).collect();
        assert_eq!(planned(&set("two", &partition(number)), &pods, &revisions), expected);
    }
    let on_delete = json!({"updateStrategy": {"type": "OnDelete"}});
    let pods = ["0 Running one ready", "1 Running one ready", "2 Running one ready"];
    assert_eq!(planned(&set("two", &on_delete), &pods, &revisions), "status StatefulSet a/web");
}
