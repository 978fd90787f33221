//! What is told of bad input: exit code and all of standard error.

use insta::assert_snapshot;

use crate::process::{dir, run};

const CRD: &str = include_str!("../../../../examples/useless-pod/crd.yaml");
const CONTROLLER: &str = include_str!("../../../../examples/useless-pod/controller.yaml");
const PARENT: &str = include_str!("../../../../examples/useless-pod/test1.yaml");

/// Runs `dev` on the useless-pod with another hook, to the end.
fn with_hook(hook: &str) -> String {
    let files = [
        ("app/crd.yaml", CRD),
        ("app/controller.yaml", CONTROLLER),
        ("app/test1.yaml", PARENT),
        ("app/hooks/sync.jsonnet", hook),
    ];
    dev(&files, &["dev", "app", "--once"])
}

fn dev(files: &[(&str, &str)], arguments: &[&str]) -> String {
    let dir = dir(files);
    let ended = run(dir.path(), arguments);
    let here = dir.path().canonicalize().unwrap().display().to_string();
    format!("exit {}\n{}", ended.code.unwrap_or(-1), ended.stderr.replace(&here, "DIR"))
}

#[test]
fn broken_yaml() {
    let files = [("app/a.yaml", "kind: A\n  b: [\n")];
    assert_snapshot!(dev(&files, &["dev", "app", "--once"]), @r"
    exit 1
    error: 1 thing is failing
      app/a.yaml: failed to parse document 1 of `app/a.yaml`: mapping values are not allowed in this context at line 2 column 4
    ");
}

#[test]
fn an_unknown_kind() {
    let fog = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Fog\nmetadata: {name: b}\n";
    assert_snapshot!(dev(&[("app/a.yaml", fog)], &["dev", "app", "--once"]), @r"
    exit 1
    error: 1 thing is failing
      Fog b: document 2 of `app/a.yaml` (line 5): can't find resource Fog in apiVersion v1
    ");
}

#[test]
fn a_missing_path() {
    assert_snapshot!(dev(&[], &["dev", "nope/"]), @r"
    exit 2
    error: no such file or directory: `nope/`

    hint: give a file or a directory of manifests
    ");
}

#[test]
fn a_hook_with_a_syntax_error() {
    assert_snapshot!(with_hook("function(request) {\n  status: {,\n}\n"), @r#"
    exit 1
    error: 2 things are failing
      UselessPod default/test1: hook sync: app/hooks/sync.jsonnet:2:12 expected "assert" or "local" or "[" or "}" or an identifier or a string or a text block, got ","
      hook /sync: app/hooks/sync.jsonnet:2:12 expected "assert" or "local" or "[" or "}" or an identifier or a string or a text block, got ","
    "#);
}

#[test]
fn a_hook_that_throws() {
    assert_snapshot!(with_hook("function(request)\n  { status: { x: request.parent.spec.nope } }\n"), @r"
    exit 1
    error: 1 thing is failing
      UselessPod default/test1: hook sync: RUNTIME ERROR: Field does not exist: nope (sync.jsonnet:2:18)
    ");
}

#[test]
fn a_hook_that_cannot_be_reached() {
    let controller = CONTROLLER
        .replace("http://useless-controller.metacontroller/sync", "http://127.0.0.1:9/sync");
    let files = [("app/1.yaml", CRD), ("app/2.yaml", controller.as_str()), ("app/3.yaml", PARENT)];
    assert_snapshot!(dev(&files, &["dev", "app", "--once"]), @r"
    exit 1
    error: 1 thing is failing
      UselessPod default/test1: hook sync: http error: http://127.0.0.1:9/sync: client error (Connect): tcp connect error: Connection refused (os error 111)
    ");
}

#[test]
fn a_port_that_is_in_use() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let told = dev(&[("app/a.yaml", "")], &["dev", "app", "--once", "--api", &address]);
    assert_snapshot!(told.replace(&address, "127.0.0.1:PORT"), @r"
    exit 1
    error: cannot listen on 127.0.0.1:PORT
      `127.0.0.1:PORT` is in use

    hint: leave the address out to take the next free port
    ");
}

#[test]
fn an_unknown_flag() {
    assert_snapshot!(dev(&[], &["dev", "--onec"]), @r"
    exit 2
    error: unexpected argument '--onec' found

      tip: a similar argument exists: '--once'

    Usage: windlass dev --once [PATH]...

    For more information, try '--help'.
    ");
}

#[test]
fn an_unknown_command() {
    assert_snapshot!(dev(&[], &["deb"]), @r"
    exit 2
    error: unrecognized subcommand 'deb'

      tip: a similar subcommand exists: 'dev'

    Usage: windlass [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
}

#[test]
fn a_flag_that_is_for_later() {
    assert_snapshot!(dev(&[], &["dev", "--cluster"]), @r"
    exit 2
    error: --cluster is not supported yet
    ");
}

#[test]
fn an_address_that_others_reach() {
    let told = dev(&[("app/a.yaml", "")], &["dev", "app", "--once", "--api", "0.0.0.0:0"]);
    assert_snapshot!(told, @r"
    exit 2
    error: cannot listen on 0.0.0.0:0
      `0.0.0.0:0` is not a loopback address

    hint: this server trusts everybody who reaches it: give a loopback address
    ");
}
