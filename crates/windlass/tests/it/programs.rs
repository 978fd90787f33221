//! Jsonnet files that answer hooks in an engine that runs against a cluster.

use std::fs;

use insta::assert_snapshot;

use crate::{
    installed::{Installed, until},
    process::{NOTHING_SERVED, Running, dir, run},
};

/// Breaks when the engine is not told of programs that were loaded again.
#[test]
fn a_program_below_the_directory_of_hooks_is_run_and_followed() {
    let Some(installed) = Installed::embedded("a program in a file") else { return };
    let program = installed.dir.path().join("hooks/a/label.jsonnet");
    let write = |label: &str| {
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        fs::write(&program, format!("function(request) {{ labels: {{ is: '{label}' }} }}"))
            .unwrap();
    };
    write("old");
    let account = installed.account.display().to_string();
    let arguments =
        [&["engine", "--kubeconfig", &account, "--hooks-dir", "hooks"][..], &NOTHING_SERVED];
    let _engine = Running::start(installed.dir.path(), &arguments.concat());
    installed.apply(
        "
apiVersion: metacontroller.k8s.io/v1alpha1
kind: DecoratorController
metadata: {name: labels}
spec:
  resources:
  - {apiVersion: v1, resource: configmaps, labelSelector: {matchLabels: {label: me}}}
  hooks: {sync: {jsonnet: {path: a/label.jsonnet}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: m, labels: {label: me}}
",
    );
    let label = || installed.field("configmap/m", "{.metadata.labels.is}");
    until("the program has answered", || label() == "old");
    write("new");
    until("the new program has answered", || label() == "new");
}

#[test]
fn files_that_are_not_there_end_the_engine_at_its_start() {
    let here = dir(&[]);
    let told = |flag: &str| {
        let ended = run(here.path(), &["engine", "--zap-log-level=error", flag]);
        let first = ended.stderr.split("Usage of").next().unwrap_or_default().to_owned();
        format!("exit {}\n{first}", ended.code.unwrap_or(-1))
    };
    assert_snapshot!(told("--hooks-dir=nope"), @r"
    exit 2
    error: no such directory of hooks: `nope`

    hint: give --hooks-dir DIR, --hook-map URL=FILE of files that are there
    ");
    assert_snapshot!(told("--hook-map=sync=a.jsonnet"), @r#"
    exit 2
    error: invalid value "sync=a.jsonnet" for flag -hook-map: `sync` is not a URL of http or https
    "#);
    assert_snapshot!(told("--hook-map=http://h.n/sync=nope.jsonnet"), @r#"
    exit 1
    error: cannot map `http://h.n/sync` to a hook
      cannot read "nope.jsonnet": No such file or directory (os error 2)

    hint: give --hooks-dir DIR, --hook-map URL=FILE of files that are there
    "#);
    assert_snapshot!(told("--jsonnet-remote-imports=https://h/"), @r"
    exit 2
    error: --jsonnet-remote-imports is not supported yet
    ");
}
