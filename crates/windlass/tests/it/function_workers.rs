//! Functions under `windlass dev` as a process of its own, with kubectl for the rest.
#![expect(clippy::disallowed_methods, reason = "other processes are watched in real time")]

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    installed::{has_program, not_run},
    process::{Running, dir, example, free_port, run, windlass},
};

/// How long a function may take for what is not about time; interpreters are slow on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

const SLEEPER: &str = "
apiVersion: kubeless.io/v1beta1
kind: Function
metadata: {name: sleeper}
spec:
  runtime: python3
  handler: sleeper.sleep
  function: |
    import time
    def sleep(event, context):
        if event['extensions']['request'].path == '/long':
            print('fell asleep', flush=True)
            time.sleep(600)
        return 'slept'
";

const WAITS: &str = "
import os, time

def wait(event, context):
    open('started', 'w').close()
    while not os.path.exists('go'):
        time.sleep(0.01)
    return 'waited'
";

/// A function with a package, which comes from a directory.
const GREETER: &str = "
apiVersion: kubeless.io/v1beta1
kind: Function
metadata: {name: greeter}
spec:
  runtime: python3
  handler: greeter.greet
  deps: |
    --no-index
    --find-links WHEELS
    wlgreeting==1.0
  function: |
    import wlgreeting
    def greet(event, context):
        return wlgreeting.TEXT
";

/// Writes a package that pip can install without a network.
const WHEEL: &str = r#"
import sys, zipfile
info = "wlgreeting-1.0.dist-info"
with zipfile.ZipFile(sys.argv[1] + "/wlgreeting-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("wlgreeting.py", "TEXT = 'greetings'\n")
    wheel.writestr(info + "/METADATA", "Metadata-Version: 2.1\nName: wlgreeting\nVersion: 1.0\n")
    wheel.writestr(info + "/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(info + "/RECORD", "wlgreeting.py,,\n" + "".join(info + "/" + it + ",,\n" for it in ["METADATA", "WHEEL", "RECORD"]))
"#;

/// A running `dev` in a directory of its own.
struct Dev {
    dir: TempDir,
    running: Running,
}

impl Dev {
    /// Starts it with a file of manifests; nothing without the programs that a story needs.
    fn start(story: &str, manifests: &str) -> Option<Self> {
        let missing: Vec<_> =
            ["kubectl", "python3"].into_iter().filter(|program| !has_program(program)).collect();
        if !missing.is_empty() {
            not_run(story, &format!("no {missing:?}"));
            return None;
        }
        let dir = dir(&[("app/all.yaml", manifests)]);
        let running = Self::run(dir.path());
        Some(Self { dir, running })
    }

    fn run(dir: &Path) -> Running {
        let mut running = Running::start(dir, &["dev", "app"]);
        running.until("api https://");
        running
    }

    fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(self.dir.path().join(".windlass/kubeconfig"));
        command.args(arguments).stdin(Stdio::null());
        command
    }

    fn is_ready(&self, function: &str) -> bool {
        let path = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
        self.kubectl(&["get", "function", function, "-o", path]).is_ok_and(|ready| ready == "True")
    }

    /// Calls a function and returns what it answers.
    fn call(&self, function: &str, path: &str) -> Result<String, String> {
        let path = format!("/api/v1/namespaces/default/services/{function}/proxy/{path}");
        self.kubectl(&["get", "--raw", &path])
    }

    /// Returns the processes that run programs of this `dev`.
    fn workers(&self) -> Vec<PathBuf> {
        let programs = fs::canonicalize(self.dir.path()).unwrap().join(".windlass/functions");
        let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let is_worker = |process: &PathBuf| {
            fs::read_link(process.join("cwd")).is_ok_and(|dir| dir.starts_with(&programs))
        };
        processes.map(|process| process.path()).filter(is_worker).collect()
    }
}

/// Asks until something is true.
fn within(most: Duration, what: &str, mut is_true: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_true() {
        assert!(since.elapsed() < most, "not in {most:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What a function consists of is seen, comes back when it is deleted, and goes with the function.
///
/// Breaks when `FunctionExecutor::log` returns nothing; when `follow` leaves Deployments and Services out.
#[test]
fn acceptance_15_kubectl_sees_what_a_function_consists_of() {
    let Some(dev) = Dev::start("functions seen by kubectl", SLEEPER) else { return };
    within(PATIENCE, "the function is ready", || dev.is_ready("sleeper"));
    let names = || {
        let get = ["get", "cm,svc,deploy,pod", "-l", "function=sleeper", "-o", "name"];
        dev.kubectl(&get).unwrap()
    };
    let kinds: Vec<_> =
        names().lines().filter_map(|it| Some(it.split_once('/')?.0.to_owned())).collect();
    assert_eq!(kinds, ["configmap", "service", "deployment.apps", "pod"]);
    let told = dev.kubectl(&["rollout", "status", "deploy/sleeper", "--timeout=30s"]).unwrap();
    assert!(told.contains("successfully rolled out"), "{told}");
    assert_eq!(dev.call("sleeper", "short").unwrap(), "slept");
    let logs = |more: &[&str]| dev.kubectl(&[&["logs", "-l", "function=sleeper"], more].concat());
    let log = logs(&[]).unwrap();
    assert!(log.contains("\"GET /short HTTP/1.1\" 200 5"), "{log}");
    let line = log.lines().last().unwrap().to_owned();
    assert_eq!(logs(&["--tail=1", "--since=10m"]).unwrap(), line);
    let mut follower = dev.command(&["logs", "-f", "--tail=1", "-l", "function=sleeper"]);
    let mut follower = follower.stdout(Stdio::piped()).spawn().unwrap();
    let mut followed = BufReader::new(follower.stdout.take().unwrap()).lines();
    assert_eq!(followed.next().unwrap().unwrap(), line);
    dev.call("sleeper", "followed").unwrap();
    assert!(followed.next().unwrap().unwrap().contains("\"GET /followed HTTP/1.1\" 200 5"));
    follower.kill().unwrap();
    follower.wait().unwrap();
    assert!(logs(&["--previous"]).unwrap_err().contains("previous terminated container"));
    for worker in dev.workers() {
        let pid = worker.file_name().unwrap().to_str().unwrap().parse().unwrap();
        let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
    }
    within(PATIENCE, "the run before is told", || {
        logs(&["--previous"]).is_ok_and(|log| log.contains("GET /followed"))
    });
    let refused = dev.kubectl(&["exec", "deploy/sleeper", "--", "true"]).unwrap_err();
    assert!(refused.contains("(NotImplemented): pods/exec is not available"), "{refused}");

    let uid = |object: &str| dev.kubectl(&["get", object, "-o", "jsonpath={.metadata.uid}"]).ok();
    for object in ["service/sleeper", "deployment/sleeper"] {
        let before = uid(object);
        dev.kubectl(&["delete", object]).unwrap();
        within(PATIENCE, &format!("{object} is back"), || {
            uid(object).is_some_and(|after| Some(after) != before)
        });
    }
    within(PATIENCE, "it answers again", || dev.call("sleeper", "short").is_ok());
    // In `dev` the file goes, not the object alone.
    fs::remove_file(dev.dir.path().join("app/all.yaml")).unwrap();
    within(PATIENCE, "all is gone", || names().is_empty() && dev.workers().is_empty());
}

/// Workers end with windlass however it ends, and the next one serves the same functions, of which none is
/// installed again.
///
/// Breaks when `launch_main` asks for no signal at its parent's death and no shim looks for the end of its input.
#[test]
fn acceptance_25_kill_9_leaves_no_worker_and_the_next_one_serves_again() {
    let wheels = dir(&[]);
    let wheels = wheels.path();
    let greeter = GREETER.replace("WHEELS", wheels.to_str().unwrap());
    let manifests = format!("{SLEEPER}---{greeter}");
    if has_program("python3") {
        let mut writer = Command::new("python3");
        assert!(writer.args(["-c", WHEEL]).arg(wheels).status().unwrap().success());
    }
    let Some(mut dev) = Dev::start("functions after kill -9", &manifests) else { return };
    for function in ["sleeper", "greeter"] {
        within(PATIENCE, &format!("{function} is ready"), || dev.is_ready(function));
    }
    assert_eq!(dev.call("greeter", "").unwrap(), "greetings");
    let call = ["get", "--raw", "/api/v1/namespaces/default/services/sleeper/proxy/long"];
    let mut caller =
        dev.command(&call).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    within(PATIENCE, "a call is under way", || {
        let log = dev.kubectl(&["logs", "-l", "function=sleeper"]);
        log.is_ok_and(|log| log.contains("fell asleep"))
    });
    assert!(!dev.workers().is_empty());
    // Nothing is left to install from.
    fs::remove_dir_all(wheels).unwrap();
    dev.running.signal(Signal::KILL);
    within(Duration::from_secs(5), "no worker is left", || dev.workers().is_empty());
    caller.wait().unwrap();
    dev.running = Dev::run(dev.dir.path());
    for (function, answer) in [("sleeper", "slept"), ("greeter", "greetings")] {
        within(PATIENCE, &format!("{function} is ready again"), || dev.is_ready(function));
        assert_eq!(dev.call(function, "").unwrap(), answer);
    }
}

/// A pod that is told to end answers the calls it has, for as long as it may, and takes no others.
#[test]
fn a_host_in_a_container_ends_after_its_calls() {
    if !has_program("python3") {
        return not_run("a host in a container", "no python3");
    }
    let here = dir(&[("waits.py", WAITS)]);
    for (patience, answer) in [("10", "waited"), ("1", "")] {
        let port = free_port();
        let mut command = windlass(here.path(), &["function-host"]);
        command
            .envs([
                ("MOD_NAME", "waits"),
                ("FUNC_HANDLER", "wait"),
                ("FUNC_PORT", &*port.to_string()),
            ])
            .envs([("WINDLASS_RUNTIME", "python3"), ("SHUTDOWN_TIMEOUT", patience)])
            .env("KUBELESS_INSTALL_VOLUME", here.path())
            .stdout(Stdio::null());
        let mut host = command.spawn().unwrap();
        within(PATIENCE, "it is healthy", || get(port, "/healthz").ends_with("\r\n\r\nOK"));
        let call = std::thread::spawn(move || get(port, "/"));
        within(PATIENCE, "a call is under way", || here.path().join("started").exists());
        kill_process(Pid::from_child(&host), Signal::TERM).unwrap();
        within(PATIENCE, "no other is taken", || TcpStream::connect(("127.0.0.1", port)).is_err());
        if !answer.is_empty() {
            fs::write(here.path().join("go"), "").unwrap();
        }
        assert!(host.wait().unwrap().success());
        let answered = call.join().unwrap();
        assert_eq!(answered.rsplit("\r\n").next(), Some(answer), "{answered}");
        for name in ["started", "go"] {
            let _ = fs::remove_file(here.path().join(name));
        }
    }
}

/// Returns all that comes back for a request, and nothing if nobody answers.
fn get(port: u16, path: &str) -> String {
    let ask = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: f\r\nConnection: close\r\n\r\n")?;
        io::read_to_string(stream)
    };
    ask().unwrap_or_default()
}

/// The same controller in three languages does the same.
///
/// Breaks when the hook of one of the examples counts from one.
#[test]
fn the_examples_of_functions_do_the_same() {
    for (name, program) in [
        ("function-controller", "python3"),
        ("function-controller-nodejs", "node"),
        ("function-controller-jsonnet", "true"),
    ] {
        if !has_program(program) {
            not_run(&format!("the example {name}"), &format!("no {program}"));
            continue;
        }
        let readme = fs::read_to_string(format!("{}/README.md", example(name))).unwrap();
        assert!(readme.contains(&format!("-- dev examples/{name} --once\n")), "{readme}");
        let here = dir(&[]);
        let ended = run(here.path(), &["dev", &example(name), "--once"]);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{name}: {}", ended.stdout);
        for pod in
            ["Pod default/your-name-0", "Pod default/your-name-1", "1 parent synced, 2 children"]
        {
            assert!(ended.stdout.contains(pod), "{name}: {}", ended.stdout);
        }
    }
}
