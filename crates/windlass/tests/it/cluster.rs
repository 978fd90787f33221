//! The useless-pod as people run it on a cluster: `manifests`, `engine` under its account, `httpd` as the
//! hook, kubectl for the rest. On both servers.
#![expect(clippy::disallowed_methods, reason = "other processes are watched in real time")]

use std::{
    env, fs,
    io::{Seek, Write},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::process::{Running, dir, example, run};

/// How long a server may take for what others bring about.
const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn the_useless_pod_on_the_embedded_server() {
    if !has_kubectl() {
        eprintln!("not run: the useless-pod on the embedded server: no kubectl");
        return;
    }
    let dir = dir(&[]);
    let arguments = ["apiserver", "--bind", "127.0.0.1:0", "--kubeconfig", "admin"];
    let mut server = Running::start(dir.path(), &arguments);
    server.until("api https://");
    let admin = dir.path().join("admin");
    useless_pod(dir.path(), &admin, &admin);
    let available = ["wait", "--for=condition=Available", "deployment/useless-instance1"];
    kubectl(&admin, &available, None).unwrap();
}

#[test]
fn the_useless_pod_on_the_real_server() {
    let written = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/cluster/kubeconfig");
    let given = env::var_os("WINDLASS_E2E_KUBECONFIG").map(PathBuf::from);
    let admin = given.unwrap_or_else(|| written.into());
    let is_there = has_kubectl() && kubectl(&admin, &["get", "--raw", "/readyz"], None).is_ok();
    if !is_there {
        let required = env::var("WINDLASS_REAL").is_ok_and(|real| real == "required");
        assert!(!required, "WINDLASS_REAL=required, but there is no kubectl or no real API server");
        eprintln!("not run: the useless-pod on the real server: no kubectl or no server");
        return;
    }
    let dir = dir(&[]);
    let manifests = run(dir.path(), &["manifests"]).stdout;
    kubectl(&admin, &["apply", "-f", "-"], Some(&manifests)).unwrap();
    let token = ["create", "token", "metacontroller", "-n", "metacontroller"];
    let token = kubectl(&admin, &token, None).unwrap();
    let restricted = dir.path().join("restricted");
    fs::copy(&admin, &restricted).unwrap();
    let user =
        kubectl(&admin, &["config", "view", "-o", "jsonpath={.users[0].name}"], None).unwrap();
    let forget = format!("users.{user}");
    kubectl(&restricted, &["config", "unset", &forget], None).unwrap();
    let token = format!("--token={}", token.trim());
    kubectl(&restricted, &["config", "set-credentials", &user, &token], None).unwrap();
    useless_pod(dir.path(), &admin, &restricted);
    clean_up(&admin);
}

/// Installs the engine, runs it with `account`, and follows a UselessPod from its creation to its end.
fn useless_pod(dir: &Path, admin: &Path, account: &Path) {
    let manifests = run(dir, &["manifests"]).stdout;
    kubectl(admin, &["apply", "-f", "-"], Some(&manifests)).unwrap();
    clean_up(admin);
    let hook = format!("{}/hooks/sync.jsonnet", example("useless-pod"));
    let listen = ["httpd", &hook, "-l", "127.0.0.1:0", "--admin-listen-addr", "off"];
    let mut httpd = Running::logging(dir, &listen);
    let line = httpd.until("serving hook");
    let address = line.split("address=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let account = account.display().to_string();
    let _engine = Running::start(dir, &["engine", "--kubeconfig", &account]);

    let read =
        |name: &str| fs::read_to_string(format!("{}/{name}", example("useless-pod"))).unwrap();
    kubectl(admin, &["apply", "-f", "-"], Some(&read("crd.yaml"))).unwrap();
    let established = ["wait", "--for=condition=Established", "crd/uselesspods.example.com"];
    kubectl(admin, &established, None).unwrap();
    let controller = read("controller.yaml").replace("useless-controller.metacontroller", address);
    kubectl(admin, &["apply", "-f", "-"], Some(&controller)).unwrap();
    kubectl(admin, &["apply", "-f", "-"], Some(&read("test1.yaml"))).unwrap();
    let ready = ["get", "uselesspod", "test1", "-o", "jsonpath={.status.ready}"];
    until("the status tells of the Deployment", || {
        kubectl(admin, &ready, None).is_ok_and(|ready| ready == "true")
    });
    let owner = [
        "get",
        "deployment",
        "useless-instance1",
        "-o",
        "jsonpath={.metadata.ownerReferences[0].kind}",
    ];
    assert_eq!(kubectl(admin, &owner, None).as_deref(), Ok("UselessPod"));

    let other =
        ["patch", "uselesspod", "test1", "--type=merge", "-p", r#"{"spec":{"name":"instance2"}}"#];
    kubectl(admin, &other, None).unwrap();
    until("the Deployment follows", || {
        kubectl(admin, &["get", "deployment", "useless-instance2"], None).is_ok()
            && kubectl(admin, &["get", "deployment", "useless-instance1"], None).is_err()
    });
    let back =
        ["patch", "uselesspod", "test1", "--type=merge", "-p", r#"{"spec":{"name":"instance1"}}"#];
    kubectl(admin, &back, None).unwrap();
    until("it follows back", || {
        kubectl(admin, &["get", "deployment", "useless-instance1"], None).is_ok()
    });
}

/// Removes what the story leaves, or left when it was cut short. The Deployments go by name: garbage
/// collection cannot judge them once the type of their owner is gone.
fn clean_up(admin: &Path) {
    for gone in [
        ["compositecontroller", "useless-controller"],
        ["uselesspod", "test1"],
        ["deployment", "useless-instance1"],
        ["deployment", "useless-instance2"],
        ["crd", "uselesspods.example.com"],
    ] {
        // What is not there, and a type that is not served, need no removal.
        let _ = kubectl(admin, &["delete", gone[0], gone[1], "--ignore-not-found"], None);
    }
}

fn until(what: &str, is_true: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_true() {
        assert!(since.elapsed() < PATIENCE, "not in {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn has_kubectl() -> bool {
    Command::new("kubectl").args(["version", "--client"]).output().is_ok()
}

/// Runs kubectl and returns what it printed, or its error.
fn kubectl(kubeconfig: &Path, arguments: &[&str], input: Option<&str>) -> Result<String, String> {
    let mut command = Command::new("kubectl");
    command.arg("--kubeconfig").arg(kubeconfig);
    if let Some(input) = input {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(input.as_bytes()).unwrap();
        file.rewind().unwrap();
        command.stdin(file);
    }
    let output = command.args(arguments).output().map_err(|error| error.to_string())?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}
