//! The useless-pod as people run it on a cluster: `manifests`, `engine` under its account, `httpd` as the
//! hook, kubectl for the rest. On both servers.

use std::{fs, path::Path};

use crate::{
    installed::{Installed, kubectl, until},
    process::{NOTHING_SERVED, Running, example},
};

#[test]
fn the_useless_pod_on_the_embedded_server() {
    if let Some(installed) = Installed::embedded("the useless-pod") {
        useless_pod(&installed);
        let available = ["wait", "--for=condition=Available", "deployment/useless-instance1"];
        kubectl(&installed.admin, &available, None).unwrap();
    }
}

#[test]
fn the_useless_pod_on_the_real_server() {
    if let Some(installed) = Installed::real("the useless-pod") {
        useless_pod(&installed);
        clean_up(&installed.admin);
        installed.clean_up(&[]);
    }
}

/// Runs the engine with its account, and follows a UselessPod from its creation to its end.
fn useless_pod(installed: &Installed) {
    let (dir, admin) = (installed.dir.path(), installed.admin.as_path());
    clean_up(admin);
    let (_httpd, address) = Running::httpd(dir, &format!("{}/hooks", example("useless-pod")));
    let account = installed.account.display().to_string();
    let _engine =
        Running::start(dir, &[&["engine", "--kubeconfig", &account][..], &NOTHING_SERVED].concat());

    let read =
        |name: &str| fs::read_to_string(format!("{}/{name}", example("useless-pod"))).unwrap();
    kubectl(admin, &["apply", "-f", "-"], Some(&read("crd.yaml"))).unwrap();
    let established = ["wait", "--for=condition=Established", "crd/uselesspods.example.com"];
    kubectl(admin, &established, None).unwrap();
    let controller = read("controller.yaml").replace("useless-controller.metacontroller", &address);
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
