//! The embedded server as a program of its own, and kubectl as its client.

use std::{net::TcpListener, process::Command};

use crate::process::{Running, dir, run};

/// Breaks when the namespace of the nodes' leases is not among the first objects.
#[test]
fn acceptance_1_kubectl_sees_the_first_namespaces() {
    let dir = dir(&[]);
    let arguments = ["apiserver", "--bind", "127.0.0.1:0", "--kubeconfig", "admin"];
    let mut server = Running::start(dir.path(), &arguments);
    server.until("api https://");
    let mut kubectl = Command::new("kubectl");
    kubectl.current_dir(dir.path()).args(["--kubeconfig", "admin", "get", "ns", "-o", "name"]);
    let Ok(output) = kubectl.output() else {
        eprintln!("not run: the first namespaces: no kubectl");
        return;
    };
    let names = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        names.lines().collect::<Vec<_>>(),
        [
            "namespace/default",
            "namespace/kube-node-lease",
            "namespace/kube-public",
            "namespace/kube-system"
        ],
    );
    assert_eq!(output.status.code(), Some(0));
}

/// Breaks when an address that others reach is no mistake of the command line.
#[test]
fn acceptance_1_an_address_that_others_reach_is_refused() {
    let dir = dir(&[]);
    let ended = run(dir.path(), &["apiserver", "--bind", "0.0.0.0:6443"]);
    assert_eq!(ended.code, Some(2));
    let told = "error: cannot listen on 0.0.0.0:6443\n  `0.0.0.0:6443` is not a loopback address\n";
    assert!(ended.stderr.starts_with(told), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
    assert!(!dir.path().join(".windlass").exists(), "nothing was started");
}

/// Breaks when the port is bound before the address is looked at.
#[test]
fn acceptance_1_a_refused_address_stays_free() {
    let dir = dir(&[]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let ended = run(dir.path(), &["apiserver", "--bind", &format!("0.0.0.0:{port}")]);
    // Had it been tried, the port in use would have been told.
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("is not a loopback address"), "{}", ended.stderr);
}
