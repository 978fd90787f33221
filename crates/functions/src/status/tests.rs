use std::collections::BTreeMap;

use super::*;
use crate::{
    choice::Offered,
    config::Watched,
    objects::Surroundings,
    plan::{Live, Seen, plan},
    table::table,
};

const IMAGE: &str =
    r#"{"deployment": {"spec": {"template": {"spec": {"containers": [{"image": "i"}]}}}}}"#;

fn function(spec: &Value, status: &Value) -> Object {
    let object = json!({"apiVersion": "kubeless.io/v1beta1", "kind": "Function",
        "metadata": {"name": "f", "namespace": "ops", "uid": "u", "generation": 3},
        "spec": spec, "status": status});
    Object::from_value(&object).unwrap()
}

fn python() -> Value {
    json!({"runtime": "python3.11", "handler": "a.b", "function": "x"})
}

fn planned(object: &Object) -> Plan {
    let (table, watched) = (table(&[], &BTreeMap::new()), Watched::default());
    let surroundings = Surroundings { image: "windlass".to_owned(), executor: None };
    let (offered, live) = (Offered::Images, &Live::default());
    plan(
        object,
        Seen { watched: &watched, table: &table, offered, surroundings: &surroundings, live },
    )
}

fn hash_of(object: &Object) -> String {
    Function::check(object).unwrap().hash()
}

/// A pod with these conditions, and what its containers are at.
fn pod(hash: &str, conditions: &[&str], steps: &Value, main: &Value) -> Arc<Object> {
    let conditions: Vec<_> =
        conditions.iter().map(|kind| json!({"type": kind, "status": "True"})).collect();
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "namespace": "ops", "annotations": {"windlass.dev/function-hash": hash}},
        "status": {"conditions": conditions, "initContainerStatuses": steps, "containerStatuses": [main]}});
    Arc::new(Object::from_value(&pod).unwrap())
}

fn step(name: &str, state: &Value) -> Value {
    json!([{"name": "prepare", "state": {"terminated": {"exitCode": 0}}}, {"name": name, "state": state}])
}

fn failed(name: &str, message: &str) -> Value {
    step(name, &json!({"terminated": {"exitCode": 1, "message": message}}))
}

fn told(object: &Object, pods: Vec<Arc<Object>>) -> BTreeMap<String, (String, String)> {
    let observed = Observed { deployment: None, pods };
    let status = status(object, &planned(object), &observed, Timestamp::UNIX_EPOCH);
    let of = |condition: &Value| {
        let text = |field: &str| condition[field].as_str().unwrap().to_owned();
        (text("type"), (format!("{} {}", text("status"), text("reason")), text("message")))
    };
    status["conditions"].as_array().unwrap().iter().map(of).collect()
}

/// Tells the conditions Built, Available and Ready.
fn summary(object: &Object, pods: Vec<Arc<Object>>) -> [String; 3] {
    let told = told(object, pods);
    ["Built", "Available", "Ready"].map(|kind| told[kind].0.clone())
}

#[test]
fn every_reason_is_told_from_what_pods_say() {
    let object = function(&python(), &json!({}));
    let (hash, none) = (hash_of(&object), json!({}));
    let new = |conditions: &[&str], steps: &Value, main: &Value| {
        vec![pod(&hash, conditions, steps, main)]
    };
    let running = json!({"running": {}});
    let looping =
        json!({"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "no module"}}});
    let dead = json!({"state": {"terminated": {"message": "no module"}}});
    let answering = pod("old", &["Initialized", "Ready"], &json!([]), &none);
    let all =
        |built: &str, available: &str, ready: &str| [built, available, ready].map(str::to_owned);
    let no = |reason: &str| {
        let reason = format!("False {reason}");
        all(&reason, "False NoWorkers", &reason)
    };
    for (pods, expected) in [
        (vec![], no("Fetching")),
        (new(&[], &step("prepare", &running), &none), no("Fetching")),
        (new(&[], &step("install", &running), &none), no("InstallingDependencies")),
        (new(&[], &step("compile", &running), &none), no("InstallingDependencies")),
        (
            new(
                &[],
                &json!([{"name": "prepare", "state": {"terminated": {"exitCode": 1,
            "message": "ChecksumMismatch: a and b"}}}]),
                &none,
            ),
            no("ChecksumMismatch"),
        ),
        (
            new(
                &[],
                &json!([{"name": "prepare", "state": {"running": {}}, "lastState": {"terminated": {
            "exitCode": 1, "message": "BadArchive: ../x"}}}]),
                &none,
            ),
            no("BadArchive"),
        ),
        (
            new(
                &[],
                &json!([{"name": "prepare", "state": {"terminated": {"exitCode": 2,
            "message": "killed"}}}]),
                &none,
            ),
            no("FetchFailed"),
        ),
        (
            new(&[], &failed("install", "DependencyInstallFailed: no such package"), &none),
            no("DependencyInstallFailed"),
        ),
        (new(&[], &failed("install", "npm ERR: 404"), &none), no("DependencyInstallFailed")),
        (new(&[], &failed("compile", "a.go:1:2: syntax error"), &none), no("CompileFailed")),
        (
            new(&["Initialized"], &json!([]), &none),
            all("True Built", "False NoWorkers", "False RollingOut"),
        ),
        (
            new(&["Initialized"], &json!([]), &dead),
            all("True Built", "False NoWorkers", "False LoadFailed"),
        ),
        (
            new(&["Initialized"], &json!([]), &looping),
            all("True Built", "False CrashLoop", "False CrashLoop"),
        ),
        (
            new(&["Initialized", "Ready"], &json!([]), &none),
            all("True Built", "True Available", "True FunctionReady"),
        ),
        (vec![answering.clone()], all("False Fetching", "True Available", "False Fetching")),
        (
            [vec![answering], new(&[], &failed("compile", "no"), &none)].concat(),
            all("False CompileFailed", "True Available", "False CompileFailed"),
        ),
    ] {
        assert_eq!(summary(&object, pods.clone()), expected, "{pods:?}");
    }
}

#[test]
fn a_kubelet_that_waits_to_start_a_program_again_does_not_hide_why_it_ended() {
    let object = function(&python(), &json!({}));
    let looping = json!({
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting"}},
        "lastState": {"terminated": {"exitCode": 1, "message": "no module"}}});
    let told = told(&object, vec![pod(&hash_of(&object), &["Initialized"], &json!([]), &looping)]);
    assert_eq!(told["Ready"], ("False CrashLoop".to_owned(), "no module".to_owned()));
}

#[test]
fn a_refused_function_says_why_and_goes_on_answering() {
    let mut spec = python();
    spec["handler"] = json!("a");
    let object = function(&spec, &json!({"url": "http://before"}));
    let pods = vec![pod("old", &["Initialized", "Ready"], &json!([]), &json!({}))];
    let told = told(&object, pods.clone());
    assert_eq!(told["Accepted"].0, "False InvalidHandler");
    assert_eq!(
        (told["Ready"].0.as_str(), told["Available"].0.as_str()),
        ("False InvalidHandler", "True Available")
    );
    let observed = Observed { deployment: None, pods };
    let status = status(&object, &planned(&object), &observed, Timestamp::UNIX_EPOCH);
    assert_eq!(
        (&status["url"], &status["lastError"]["phase"]),
        (&json!("http://before"), &json!("Accepted"))
    );
}

#[test]
fn what_is_used_instead_is_told() {
    let mut spec = python();
    spec["runtime"] = json!("python2.7");
    let object = function(&spec, &json!({}));
    let told = told(&object, vec![]);
    assert_eq!(told["RuntimeSubstituted"].0, "True RuntimeSubstituted");
    assert!(
        told["RuntimeSubstituted"].1.contains("python2.7")
            && told["RuntimeSubstituted"].1.contains("python3.9")
    );
    let status = status(&object, &planned(&object), &Observed::default(), Timestamp::UNIX_EPOCH);
    assert_eq!(
        status["runtime"],
        json!({"requested": "python2.7", "resolved": "python3.9", "image": "python:3.9-slim"})
    );
    assert_eq!(status["url"], "http://f.ops.svc.cluster.local:8080");
    assert_eq!(status["checksum"], Digest::of(b"x").to_string());
}

#[test]
fn an_image_is_ready_when_its_deployment_is_rolled_out() {
    let object = function(&serde_json::from_str(IMAGE).unwrap(), &json!({}));
    let Plan::Make(make) = planned(&object) else { panic!() };
    for (updated, expected) in [(1, true), (0, false)] {
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "f", "namespace": "ops", "generation": 2},
            "status": {"observedGeneration": 2, "replicas": 1, "updatedReplicas": updated}});
        let observed = Observed {
            deployment: Some(Arc::new(Object::from_value(&deployment).unwrap())),
            pods: vec![pod("", &["Initialized", "Ready"], &json!([]), &json!({}))],
        };
        assert_eq!(is_served(&make.function, &observed), expected);
    }
}

#[test]
fn only_what_is_new_is_told_by_events() {
    let object = function(&python(), &json!({}));
    let hash = hash_of(&object);
    let status_of = |object: &Object, pods: Vec<Arc<Object>>| {
        let observed = Observed { deployment: None, pods };
        status(object, &planned(object), &observed, Timestamp::UNIX_EPOCH)
    };
    let failing = status_of(&object, vec![pod(&hash, &[], &failed("install", "no"), &json!({}))]);
    let told = |is_trouble, reason: &str, message: &str| News {
        is_trouble,
        reason: reason.to_owned(),
        message: message.to_owned(),
    };
    assert_eq!(news(&json!({}), &failing), [told(true, "DependencyInstallFailed", "no")]);
    assert_eq!(news(&failing, &failing), []);
    let ready =
        status_of(&object, vec![pod(&hash, &["Initialized", "Ready"], &json!([]), &json!({}))]);
    assert_eq!(news(&failing, &ready), [told(false, "FunctionReady", "")]);
    // Who has answered is missed; who is still to come is not.
    let gone = status_of(&function(&python(), &ready), vec![]);
    assert_eq!(news(&ready, &gone), [told(true, "NoWorkers", "")]);
    assert_eq!(news(&json!({}), &gone), []);
    // The same once more: nothing moves, not even a time.
    let again = function(&python(), &ready);
    let later = Timestamp::UNIX_EPOCH + k8s::SignedDuration::from_hours(1);
    let observed = Observed {
        deployment: None,
        pods: vec![pod(&hash, &["Initialized", "Ready"], &json!([]), &json!({}))],
    };
    assert_eq!(status(&again, &planned(&again), &observed, later), ready);
}
