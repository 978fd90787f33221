//! The verbs that show and steer what the controllers of a running `dev` do.
#![expect(clippy::disallowed_methods, reason = "other processes are watched in real time")]

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{
    installed::{has_program, kubectl, not_run},
    process::{Ended, Running, dir, example, run, windlass},
};

const HEAD: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: things, singular: thing, kind: Thing, listKind: ThingList}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
---
apiVersion: metacontroller.k8s.io/v1alpha1
kind: CompositeController
metadata: {name: things}
spec:
  generateSelector: true
  parentResource: {apiVersion: example.com/v1, resource: things}
  childResources:
  - {apiVersion: v1, resource: secrets, updateStrategy: {method: InPlace}}
  hooks: {sync: {webhook: {url: http://things.default/sync}}}
---
apiVersion: example.com/v1
kind: Thing
metadata: {name: t}
";

const SECRET: &str = "function(request) { children: [{ apiVersion: 'v1', kind: 'Secret',
  metadata: { name: 's' }, stringData: { password: 'swordfish' } }] }\n";

/// Runs a verb and returns its exit code with both its outputs.
fn verb(dir: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Ended { code, stdout, stderr } = run(dir, arguments);
    (code, stdout, stderr)
}

fn get(dir: &Path, arguments: &[&str]) -> Value {
    let (code, stdout, stderr) = verb(dir, arguments);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{arguments:?}");
    serde_json::from_str(&stdout).unwrap()
}

/// Asks until something is true, for ten seconds at most.
fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_true() {
        assert!(since.elapsed() < Duration::from_secs(10), "not in 10 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What is rendered is what the running engine created, and after a settled sync there is nothing to do.
///
/// Breaks when `plan::new_child` leaves out the owner; when `Scene::steps` plans without what is observed.
#[test]
fn acceptance_5_render_and_diff_agree_with_the_engine() {
    let (here, app) = (dir(&[]), example("useless-pod"));
    let mut dev = Running::start(here.path(), &["dev", &app]);
    dev.until("created Deployment default/useless-instance1");
    let diff = || verb(here.path(), &["diff", "uselesspod", "test1"]);
    until("nothing to do", || diff().0 == Some(0));
    assert_eq!(diff(), (Some(0), String::new(), String::new()));

    let parent = get(here.path(), &["tree", "up", "test1", "-o", "json"]);
    assert_eq!(parent["children"][0]["name"], "useless-instance1");
    let sync = get(here.path(), &["explain-sync", "up", "test1", "-o", "json"]);
    let request = &sync["syncs"][0]["detail"]["calls"][0]["request"];
    let created = &request["children"]["Deployment.apps/v1"]["useless-instance1"];
    let list = get(here.path(), &["render", "-f", &app, "-o", "json"]);
    let uid = request["parent"]["metadata"]["uid"].as_str().unwrap();
    let list = list.to_string().replace("00000000-0000-0000-0000-000000000000", uid);
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let rendered = &list["items"][0];
    let metadata = |object: &Value| {
        let mut metadata = object["metadata"].clone();
        let fields = metadata.as_object_mut().unwrap();
        for set in ["uid", "resourceVersion", "generation", "creationTimestamp"] {
            fields.remove(set);
        }
        metadata["annotations"]
            .as_object_mut()
            .unwrap()
            .remove("deployment.kubernetes.io/revision");
        metadata
    };
    assert_eq!(metadata(rendered), metadata(created));
    assert_holds(&created["spec"], &rendered["spec"]);

    // Another name: the old child goes, the new one comes.
    let other = fs::read_to_string(format!("{app}/test1.yaml")).unwrap();
    fs::write(here.path().join("new.yaml"), other.replace("instance1", "instance2")).unwrap();
    let (code, stdout, _) = verb(here.path(), &["diff", "-f", "new.yaml"]);
    assert_eq!(code, Some(1));
    assert!(stdout.contains("# delete Deployment default/useless-instance1"), "{stdout}");
    assert!(stdout.contains("+++ b/Deployment default/useless-instance2"), "{stdout}");
}

/// What somebody else did to a child of a paused controller is a difference.
///
/// Breaks when `diff` exits 0 all the same.
#[test]
fn acceptance_5_a_scaled_child_of_a_paused_controller_is_a_difference() {
    if !has_program("kubectl") {
        not_run("a difference that kubectl makes", "no kubectl");
        return;
    }
    let (here, app) = (dir(&[]), example("useless-pod"));
    let mut dev = Running::start(here.path(), &["dev", &app, "--api", "127.0.0.1:0"]);
    dev.until("created Deployment default/useless-instance1");
    assert_eq!(verb(here.path(), &["pause", "useless-controller"]).0, Some(0));
    let status = || get(here.path(), &["status", "-o", "json"])["controllers"][0]["paused"].clone();
    until("paused", || status() == true);
    let scale = ["scale", "deployment", "useless-instance1", "--replicas=3"];
    kubectl(&here.path().join(".windlass/kubeconfig"), &scale, None).unwrap();
    let diff = || verb(here.path(), &["diff", "uselesspod", "test1"]);
    until("it is a difference", || diff().0 == Some(1));
    let (_, text, stderr) = diff();
    assert_eq!(stderr, "");
    let changed = text.lines().filter(|line| line.starts_with(['-', '+']));
    assert_snapshot!(changed.collect::<Vec<_>>().join("\n"), @r"
    --- a/Deployment default/useless-instance1
    +++ b/Deployment default/useless-instance1
    -  replicas: 3
    +  replicas: 1
    ");
    assert_eq!(verb(here.path(), &["resume", "useless-controller"]).0, Some(0));
    dev.until("updated Deployment default/useless-instance1");
    assert_eq!(diff(), (Some(0), String::new(), String::new()));
}

/// A diff reads the related objects itself, also for a parent that is not there yet, and runs the programs of
/// the controller, whatever directory of hooks there is.
///
/// Breaks when a diff does not wait until related objects are listed.
#[test]
fn a_diff_reads_what_is_related() {
    let controller = HEAD
        .replace("resource: secrets", "resource: configmaps")
        .replace("hooks: {sync: {webhook: {url: http://things.default/sync}}}", RELATED);
    let here = dir(&[
        ("app/all.yaml", &controller),
        ("app/secret.yaml", "{apiVersion: v1, kind: Secret, metadata: {name: s}}"),
        ("app/hooks/other.jsonnet", "function(request) {}"),
        ("u.yaml", "{apiVersion: example.com/v1, kind: Thing, metadata: {name: u}}"),
    ]);
    let mut dev = Running::start(here.path(), &["dev", "app", "--api", "127.0.0.1:0"]);
    let line = dev.until("ready");
    assert!(line.contains("sync jsonnet inline-sync.jsonnet"), "{line}");
    dev.until("created ConfigMap default/t");
    fs::write(here.path().join("app/hooks/more.jsonnet"), "1").unwrap();
    dev.until("loaded   hook /more");
    let (code, text, stderr) = verb(here.path(), &["diff", "-f", "u.yaml"]);
    assert_eq!((code, stderr.as_str()), (Some(1), ""));
    assert!(
        text.contains("+++ b/ConfigMap default/u\n") && text.contains("+  seen: s\n"),
        "{text}"
    );
}

const RELATED: &str = "hooks:
    customize:
      jsonnet:
        inline: >-
          function(request) { relatedResources: [{ apiVersion: 'v1', resource: 'secrets' }
          for name in ['u'] if name == request.parent.metadata.name] }
    sync:
      jsonnet:
        inline: >-
          function(request) { children: [{ apiVersion: 'v1', kind: 'ConfigMap',
          metadata: { name: request.parent.metadata.name },
          data: { seen: std.join(' ', std.objectFields(std.get(request.related, 'Secret.v1', {}))) } }] }
";

/// Breaks when the listener is noted beside the kubeconfig, wherever that is.
#[test]
fn a_dev_is_found_wherever_its_kubeconfig_is() {
    let here = dir(&[("app/all.yaml", HEAD), ("app/hooks/sync.jsonnet", SECRET)]);
    let arguments = ["dev", "app", "--api", "127.0.0.1:0", "--kubeconfig", "other/config"];
    let mut dev = Running::start(here.path(), &arguments);
    dev.until("created Secret default/s");
    let other = "apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers: []\n";
    fs::write(here.path().join("empty"), other).unwrap();
    let mut sync = windlass(here.path(), &["sync", "thing", "t"]);
    let output = sync.env("KUBECONFIG", here.path().join("empty")).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let (code, stdout, _) = verb(here.path(), &["pause", "thing", "t"]);
    assert_eq!((code, stdout.as_str()), (Some(0), "paused  Thing default/t\n"));
    until("it is shown", || {
        let status = get(here.path(), &["status", "-o", "json"]);
        status["controllers"][0]["pausedParents"] == 1
    });
    let (code, _, stderr) = verb(here.path(), &["sync", "thing", "t", "--kubeconfig", "empty"]);
    assert_eq!(code, Some(2));
    assert_snapshot!(stderr, @r"
    error: to ask an engine in a cluster is not supported yet

    hint: the `dev` of this directory is at other/config
    ");
    assert_eq!(dev.signal(rustix::process::Signal::TERM), Some(0));
    // The file stays, but nobody is there.
    fs::create_dir_all(here.path().join(".windlass")).unwrap();
    fs::rename(here.path().join("other/config"), here.path().join(".windlass/kubeconfig")).unwrap();
    let mut tree = windlass(here.path(), &["tree", "thing", "t"]);
    let output = tree.env("HOME", here.path()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("error: found no cluster"), "{stderr}");
}

/// Asserts that a value has all of another one: the server adds defaults.
fn assert_holds(value: &Value, part: &Value) {
    match (value, part) {
        (Value::Object(value), Value::Object(part)) => {
            part.iter().for_each(|(key, part)| assert_holds(&value[key], part));
        }
        (Value::Array(value), Value::Array(part)) => {
            assert_eq!(value.len(), part.len());
            value.iter().zip(part).for_each(|(value, part)| assert_holds(value, part));
        }
        _ => assert_eq!(value, part),
    }
}

/// Breaks when `record::heard` keeps texts as they are; when `Engine::outlook` does not mask.
#[test]
fn acceptance_6_secrets_are_not_shown() {
    let here = dir(&[("app/all.yaml", HEAD), ("app/hooks/sync.jsonnet", SECRET)]);
    let mut dev = Running::start(here.path(), &["dev", "app"]);
    dev.until("created Secret default/s");
    let explained = || verb(here.path(), &["explain-sync", "thing", "t"]).1;
    until("the hook sees its child", || explained().contains("Secret.v1:\n      s:"));
    let text = explained();
    assert!(text.contains("password: '********'"), "{text}");
    assert!(!text.contains("swordfish") && !text.contains("c3dvcmRmaXNo"), "{text}");

    let rest = "{apiVersion: example.com/v1, kind: Thing, metadata: {name: u}}";
    fs::write(here.path().join("u.yaml"), rest).unwrap();
    let (code, text, _) = verb(here.path(), &["diff", "-f", "u.yaml"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("password: '********'") && !text.contains("swordfish"), "{text}");
}

#[test]
fn a_running_dev_is_asked_and_steered() {
    let here = dir(&[("app/all.yaml", HEAD), ("app/hooks/sync.jsonnet", SECRET)]);
    let mut dev = Running::start(here.path(), &["dev", "app", "--api", "127.0.0.1:0"]);
    dev.until("created Secret default/s");
    let (code, stdout, stderr) = verb(here.path(), &["sync", "thing", "t"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("asked for by a person"), "{stdout}");
    assert!(stderr.starts_with("using context windlass-dev of .windlass/kubeconfig"), "{stderr}");
    let status = get(here.path(), &["status", "-o", "json"]);
    let controller = &status["controllers"][0];
    assert_eq!(controller["name"], "things");
    assert_eq!((&controller["parents"], &controller["ready"]), (&json!(1), &json!(true)));

    let (code, stdout, _) = verb(here.path(), &["pause", "things"]);
    assert_eq!((code, stdout.as_str()), (Some(0), "paused  CompositeController things\n"));
    let status = || get(here.path(), &["status", "-o", "json"])["controllers"][0]["paused"].clone();
    until("paused", || status() == true);
    let (code, _, stderr) = verb(here.path(), &["sync", "thing", "t"]);
    assert_eq!(code, Some(1));
    assert!(stderr.ends_with("error: CompositeController things is paused\n"), "{stderr}");
    assert_eq!(verb(here.path(), &["resume", "things"]).0, Some(0));
    until("resumed", || status() == false);
}

#[test]
fn finalizers_of_controllers_that_are_gone_are_listed_and_taken_off() {
    let held = "{apiVersion: v1, kind: ConfigMap, metadata: {name: m, finalizers: [metacontroller.io/compositecontroller-gone]}}";
    let here =
        dir(&[("app/all.yaml", HEAD), ("app/m.yaml", held), ("app/hooks/sync.jsonnet", SECRET)]);
    let mut dev = Running::start(here.path(), &["dev", "app"]);
    dev.until("created Secret default/s");
    let line = "ConfigMap default/m  metacontroller.io/compositecontroller-gone\n";
    let (_, stdout, _) = verb(here.path(), &["finalizers"]);
    assert_eq!(stdout, format!("stale  {line}"));
    let (_, stdout, _) = verb(here.path(), &["finalizers", "--remove"]);
    assert_eq!(stdout, format!("removed  {line}"));
    assert_eq!(verb(here.path(), &["finalizers"]).1, "");
}

#[test]
fn what_cannot_be_answered_is_told_with_a_hint() {
    let here = dir(&[("app/all.yaml", HEAD), ("app/hooks/sync.jsonnet", SECRET)]);
    let errors = |arguments: &[&str]| {
        let (code, _, stderr) = verb(here.path(), arguments);
        format!("exit {}\n{stderr}", code.unwrap_or(-1))
    };
    assert_snapshot!(errors(&["status"]), @r"
    exit 1
    error: no `windlass dev` runs here: there is no `.windlass/control.json`

    hint: start `windlass dev PATH` in this directory
    ");
    let mut dev = Running::start(here.path(), &["dev", "app"]);
    dev.until("created Secret default/s");
    assert_snapshot!(errors(&["tree", "thign", "t"]), @r"
    exit 1
    error: there is no resource `thign`

    hint: did you mean `thing`?
    ");
    assert_snapshot!(errors(&["tree", "thing", "nope"]), @r"
    exit 1
    error: there is no Thing `default/nope`
    ");
    assert_snapshot!(errors(&["explain-sync", "thing", "nope"]), @r"
    exit 1
    error: no sync of thing nope is known

    hint: does a controller select it? `windlass status` lists them
    ");
    assert_snapshot!(errors(&["diff", "configmap", "nope"]), @r"
    exit 1
    error: no running controller has ConfigMap as parents
    ");
    assert_snapshot!(errors(&["diff", "-f", "app/all.yaml"]), @r"
    exit 1
    error: `app/all.yaml` does not hold exactly one object
    ");
}

/// Breaks when `init::files` leaves out the hook.
#[test]
fn acceptance_7_a_new_jsonnet_controller_runs_as_it_is() {
    let here = dir(&[]);
    let (code, stdout, stderr) = verb(here.path(), &["init", "web", "--hook", "jsonnet"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.contains("wrote    web/hooks/sync.jsonnet\n"), "{stdout}");
    let (code, stdout, stderr) = verb(here.path(), &["dev", "web", "--once"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    assert!(stdout.ends_with("1 parent synced, 1 child, 0 failing\n"), "{stdout}");
    let (code, stdout, _) = verb(here.path(), &["hook", "test", "web/hooks"]);
    assert_eq!((code, stdout.as_str()), (Some(0), "passed   sync/example\n1 passed, 0 failed\n"));
}

/// Breaks when the server of `hook.py` answers without a `Content-Length`.
#[test]
fn acceptance_7_a_new_python_controller_runs_as_it_is() {
    runs_beside_its_hook("python", "python3", "web/hook.py");
}

/// Breaks when the server of `hook.js` answers another path.
#[test]
fn acceptance_7_a_new_javascript_controller_runs_as_it_is() {
    runs_beside_its_hook("js", "node", "web/hook.js");
}

/// Writes a controller whose hook is a server of its own, starts that, and runs the controller to its end.
fn runs_beside_its_hook(language: &str, program: &str, file: &str) {
    let here = dir(&[]);
    assert_eq!(verb(here.path(), &["init", "web", "--hook", language]).0, Some(0));
    // The port is moved, for tests that run beside this one.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for file in [file, "web/controller.yaml"] {
        let path = here.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("8099"));
        fs::write(path, text.replace("8099", &free.port().to_string())).unwrap();
    }
    let Ok(mut hook) = Command::new(program).arg(file).current_dir(here.path()).spawn() else {
        return not_run(&format!("a new controller in {language}"), &format!("no {program}"));
    };
    until("the hook listens", || std::net::TcpStream::connect(free).is_ok());
    let (code, stdout, stderr) = verb(here.path(), &["dev", "web", "--once"]);
    hook.kill().unwrap();
    hook.wait().unwrap();
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    assert!(stdout.ends_with("1 parent synced, 1 child, 0 failing\n"), "{stdout}");
}

#[test]
fn a_controller_is_not_written_over_another() {
    let here = dir(&[("web/a", "")]);
    for (arguments, error) in [
        (["init", "web"].as_slice(), "error: `web` is there already"),
        (&["init", "Web"], "error: `Web` is no name for a controller"),
    ] {
        let (code, _, stderr) = verb(here.path(), arguments);
        assert_eq!(code, Some(2));
        assert!(stderr.starts_with(error), "{stderr}");
    }
}

/// Breaks when a verb has another name.
#[test]
fn acceptance_9_a_misspelt_command_is_recognised() {
    let here = dir(&[]);
    let (code, _, stderr) = verb(here.path(), &["statsu"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("a similar subcommand exists: 'status'"), "{stderr}");
}

/// The help of every command is what is in `tests/it/help`.
///
/// Breaks when a flag changes its text; `WINDLASS_BLESS=1` writes what is printed.
#[test]
fn acceptance_9_help_is_what_was_agreed() {
    let here = dir(&[]);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/help");
    let (_, all, _) = verb(here.path(), &["--help"]);
    let commands = all.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    let names: Vec<_> = commands
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(names.contains(&"explain-sync"), "{all}");
    // What is below a command that does nothing by itself.
    let below = [
        "hook test",
        "function deploy",
        "function update",
        "function delete",
        "function ls",
        "function call",
        "function logs",
        "function describe",
        "function top",
        "function run",
        "function runtimes",
        "trigger http",
        "trigger http create",
        "trigger http list",
        "trigger http delete",
        "trigger cronjob",
        "trigger cronjob create",
        "trigger kafka",
        "trigger kafka create",
        "trigger nats",
    ];
    for name in [""].iter().chain(&names).chain(&below) {
        let arguments: Vec<_> = name.split(' ').chain(["--help"]).collect();
        let arguments: Vec<_> = arguments.into_iter().filter(|word| !word.is_empty()).collect();
        let (code, stdout, _) = verb(here.path(), &arguments);
        assert_eq!(code, Some(0));
        let file = if name.is_empty() { "windlass".to_owned() } else { name.replace(' ', "-") };
        let file = golden.join(file).with_extension("txt");
        if std::env::var_os("WINDLASS_BLESS").is_some() {
            fs::create_dir_all(&golden).unwrap();
            fs::write(&file, &stdout).unwrap();
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(stdout, expected, "{}", file.display());
    }
}

/// What a cluster needs is what is in `tests/it/manifests`, besides the types, which have files of their own.
///
/// `WINDLASS_BLESS=1` writes what is printed.
#[test]
fn what_a_cluster_needs_is_what_was_agreed() {
    let here = dir(&[]);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/manifests");
    for (part, types) in [("engine", 3), ("functions", 6)] {
        let arguments = ["manifests", "--enable", part, "--image", "windlass:agreed"];
        let (code, stdout, _) = verb(here.path(), &arguments);
        assert_eq!(code, Some(0));
        let is_type = |document: &&str| document.contains("kind: CustomResourceDefinition\n");
        let (found, others): (Vec<_>, Vec<_>) = stdout.split("---\n").partition(is_type);
        assert_eq!(found.len(), types);
        let (others, file) = (others.join("---\n"), golden.join(part).with_extension("yaml"));
        if std::env::var_os("WINDLASS_BLESS").is_some() {
            fs::create_dir_all(&golden).unwrap();
            fs::write(&file, &others).unwrap();
        }
        assert_eq!(others, fs::read_to_string(&file).unwrap_or_default(), "{}", file.display());
    }
}
