//! `windlass dev` from start to end.
#![expect(clippy::disallowed_methods, reason = "other processes are watched in real time")]

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::{Running, dir, example, run};

/// Returns a directory with a copy of the useless-pod example in `app`.
fn useless_pod() -> TempDir {
    let from = example("useless-pod");
    let read = |name: &str| fs::read_to_string(format!("{from}/{name}")).unwrap();
    let names = ["crd.yaml", "controller.yaml", "test1.yaml", "hooks/sync.jsonnet"];
    let texts: Vec<_> = names.iter().map(|name| (format!("app/{name}"), read(name))).collect();
    let files: Vec<_> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    dir(&files)
}

fn replace(dir: &Path, name: &str, from: &str, to: &str) {
    let path = dir.join(name);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from));
    fs::write(path, text.replace(from, to)).unwrap();
}

/// Sabotage: `Tree::fmt` without the children's state.
#[test]
fn acceptance_1_once_prints_the_tree() {
    let dir = useless_pod();
    let ended = run(dir.path(), &["dev", "app", "--once"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let (_, tree) = ended.stdout.split_once("\n\n").unwrap();
    assert_eq!(
        tree,
        "UselessPod default/test1\n\
         └─ Deployment default/useless-instance1           Available\n\
         1 parent synced, 1 child, 0 failing\n"
    );
    assert!(dir.path().join(".windlass/kubeconfig").exists());
}

/// Sabotage: `Dev::follow` without `Files::next`; `hook_changed` without `hooks_changed`.
#[test]
fn acceptance_2_files_and_hooks_are_followed() {
    let dir = useless_pod();
    let mut dev = Running::start(dir.path(), &["dev", "app"]);
    dev.until("created Deployment default/useless-instance1");
    replace(dir.path(), "app/test1.yaml", "instance1", "instance2");
    let line = dev.until("synced");
    assert!(line.contains("deleted Deployment default/useless-instance1"), "{line}");
    assert!(line.contains("created Deployment default/useless-instance2"), "{line}");

    replace(dir.path(), "app/hooks/sync.jsonnet", "replicas: 1", "replicas: ,");
    let line = dev.until("failed");
    assert!(line.contains("sync.jsonnet:7:15"), "{line}");
    replace(dir.path(), "app/hooks/sync.jsonnet", "replicas: ,", "replicas: 2");
    dev.until("updated Deployment default/useless-instance2");

    fs::remove_file(dir.path().join("app/test1.yaml")).unwrap();
    dev.until("deleted  UselessPod default/test1");
}

/// Sabotage: `next_free_port: false` in `server::listen`.
#[test]
fn acceptance_10_two_at_once_have_their_own_ports() {
    let (first, second) = (useless_pod(), useless_pod());
    let mut running = [first.path(), second.path()].map(|dir| Running::start(dir, &["dev", "app"]));
    let headers = running.each_mut().map(|dev| dev.until("api https://127.0.0.1:"));
    assert_ne!(headers[0], headers[1]);
    for dev in &mut running {
        dev.until("created Deployment");
    }
}

/// Sabotage: `Dev::follow` without the branch of Ctrl-C.
#[test]
fn acceptance_8_ctrl_c_leaves_within_two_seconds() {
    for signal in [Signal::INT, Signal::TERM] {
        let dir = useless_pod();
        let mut dev = Running::start(dir.path(), &["dev", "app"]);
        dev.until("created Deployment");
        let asked = Instant::now();
        assert_eq!(dev.signal(signal), Some(0));
        assert!(asked.elapsed() < Duration::from_secs(2));
    }
}

/// A worker in an endless loop ends with the process that started it, even if that is killed.
///
/// Sabotage: the worker without the thread that reads the lifeline.
#[test]
fn acceptance_8_kill_9_leaves_no_process() {
    let dir = useless_pod();
    let endless = "local f(n) = if n < 0 then 0 else f(n + 1) tailstrict;\nfunction(request) { status: { x: f(0) } }\n";
    fs::write(dir.path().join("app/hooks/sync.jsonnet"), endless).unwrap();
    let mut dev = Running::start(dir.path(), &["dev", "app"]);
    dev.until("ready");
    let pid = dev.child.id();
    until("a worker is in the loop", || !workers(pid).is_empty());
    let workers_before = workers(pid);
    dev.signal(Signal::KILL);
    until("no worker is left", || workers_before.iter().all(|pid| !is_alive(*pid)));
}

/// Asks until something is true, for five seconds at most.
fn until(what: &str, is_true: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_true() {
        assert!(since.elapsed() < Duration::from_secs(5), "not in 5 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Returns the children of a process.
fn workers(parent: u32) -> Vec<u32> {
    let output = Command::new("ps").args(["-o", "pid=", "--ppid", &parent.to_string()]).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn is_alive(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !status.is_empty() && !status.contains(") Z ")
}
