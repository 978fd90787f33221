//! The way from Metacontroller to windlass and back, by the commands of the document that describes it.
//!
//! Metacontroller itself takes no part: what it left in a cluster was written down, and the pods of the embedded
//! server run nothing. A process of ours plays the engine in them.

use std::{collections::BTreeMap, env, fs, path::Path, process::Command};

use crate::{
    installed::{Installed, until},
    process::{NOTHING_SERVED, Running, example},
    readme::{commands, root},
};

const METACONTROLLER: &str = include_str!("../migrate/metacontroller.yaml");
const PARENTS: &str = include_str!("../migrate/parents.yaml");
const CHILDREN: &str = include_str!("../migrate/children.yaml");
/// The types of all that is there.
const TYPES: &str = "orderedsets,uselesspods,pods,persistentvolumeclaims,services,deployments,\
    controllerrevisions.metacontroller.k8s.io";

/// Breaks when a child without a label of ours is not recognized, or a revision is made anew by another name.
#[test]
fn what_metacontroller_left_is_taken_over_and_given_back() {
    let Some(installed) = Installed::bare("the way from Metacontroller") else { return };
    let _hooks = left_by_metacontroller(&installed);
    let before = objects(&installed);
    assert_eq!(before.len(), 15, "{before:?}");
    let document = fs::read_to_string(root().join("docs/migrate-from-metacontroller.md")).unwrap();
    let mut engine = None;
    for (command, _) in commands(&document) {
        if command.contains("delete statefulset") {
            engine = None;
        }
        let output = shell(&installed, &command);
        if command.ends_with("windlass.yaml") && command.starts_with("kubectl apply") {
            let account = installed.account.display().to_string();
            engine = Some(Running::start(
                installed.dir.path(),
                &[&["engine", "--kubeconfig", &account][..], &NOTHING_SERVED].concat(),
            ));
        }
        if command.contains("SyncError") {
            assert_eq!(output, "");
            assert!(engine.is_some());
            taken_over(&installed, &before);
        }
    }
    let after = objects(&installed);
    let is_rolled = |key: &String| key.contains("store-") && key.starts_with("Pod/");
    let kept = |objects: &BTreeMap<String, String>| -> Vec<_> {
        let kept = objects.iter().filter(|(key, _)| !is_rolled(key) && !key.contains("Revision/"));
        kept.map(|(key, uid)| (key.clone(), uid.clone())).collect()
    };
    assert_eq!(kept(&after), kept(&before));
    let image = "{.spec.template.spec.containers[0].image}";
    let image = [
        "get",
        "statefulset",
        "metacontroller",
        "-n",
        "metacontroller",
        "-o",
        &format!("jsonpath={image}"),
    ];
    assert!(installed.kubectl(&image).unwrap().starts_with("ghcr.io/metacontroller/"));
    let definition = "customresourcedefinition/compositecontrollers.metacontroller.k8s.io";
    assert!(!installed.field(definition, "{.spec}").contains("workers"));
}

/// Finds everything as it was, and the rollout waiting where it waited; then lets it go on.
fn taken_over(installed: &Installed, before: &BTreeMap<String, String>) {
    let reason = r#"{.status.conditions[?(@.type=="Updated")].reason}"#;
    let set = "orderedset/store";
    until("the set is synced", || installed.field(set, reason) == "RolloutWaiting");
    until("the other one too", || installed.field("uselesspod/test1", "{.status.ready}") == "true");
    assert_eq!(&objects(installed), before);

    let patch = r#"{"spec":{"template":{"spec":{"schedulerName":null}}}}"#;
    installed.patch(set, patch);
    until("the rollout ends", || installed.field(set, reason) == "OnLatestRevision");
    let images = || installed.fields("pods", "{.spec.containers[0].image}");
    assert_eq!(images().iter().filter(|image| *image == "mid:1").count(), 4, "{:?}", images());
    until("one revision is left", || {
        let revisions = "controllerrevisions.metacontroller.k8s.io";
        installed.fields(revisions, "{.metadata.name}").len() == 1
    });
}

/// Makes a cluster as Metacontroller leaves one, and returns the hooks.
fn left_by_metacontroller(installed: &Installed) -> Vec<Running> {
    installed.apply(METACONTROLLER);
    let read = |file: &str| fs::read_to_string(example(file)).unwrap();
    let mut hooks = Vec::new();
    for (name, host) in [
        ("stateful-set", "stateful-set.hooks"),
        ("pod-service", "pod-service.hooks"),
        ("useless-pod", "useless-controller.metacontroller"),
    ] {
        let (hook, address) =
            Running::httpd(installed.dir.path(), &example(&format!("{name}/hooks")));
        hooks.push(hook);
        let controller = read(&format!("{name}/controller.yaml"));
        installed.apply(&controller.replace(host, &address));
    }
    installed.apply(&read("stateful-set/crd.yaml"));
    installed.apply(&read("useless-pod/crd.yaml"));
    installed.apply(PARENTS);
    let mut children = CHILDREN.replace("NAMESPACE", &installed.id);
    for parent in ["orderedset/store", "uselesspod/test1", "pod/web"] {
        let (_, name) = parent.split_once('/').unwrap();
        let uid = installed.field(parent, "{.metadata.uid}");
        children = children.replace(&format!("UID-OF-{name}"), &uid);
    }
    // Not applied: that would leave an annotation that Metacontroller does not.
    fs::write(installed.dir.path().join("children.yaml"), children).unwrap();
    shell(installed, "kubectl create -f children.yaml");
    until("the pods run", || {
        let phases = installed.fields("pods", "{.metadata.name}={.status.phase}");
        phases.iter().filter(|phase| phase.ends_with("=Running")).count() >= 4
    });
    fs::write(installed.dir.path().join("metacontroller.yaml"), METACONTROLLER).unwrap();
    hooks
}

/// Returns the UIDs of what the story is about, but for what others made of it.
fn objects(installed: &Installed) -> BTreeMap<String, String> {
    let objects = installed.fields(TYPES, "{.kind}/{.metadata.name} {.metadata.uid}");
    let is_ours = |(key, _): &(String, String)| !key.starts_with("Pod/useless-instance1-");
    let objects = objects.iter().map(|line| line.split_once(' ').unwrap());
    objects.map(|(key, uid)| (key.to_owned(), uid.to_owned())).filter(is_ours).collect()
}

/// Runs a line in the directory of the test, with this binary as `windlass`, and returns what it printed.
pub(crate) fn shell(installed: &Installed, command: &str) -> String {
    let binaries = Path::new(env!("CARGO_BIN_EXE_windlass")).parent().unwrap();
    let others = env::var("PATH").unwrap_or_default();
    let path = format!("{}:{others}", binaries.display());
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(installed.dir.path());
    let output = shell.env("PATH", path).env("KUBECONFIG", &installed.admin).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command}:\n{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}
