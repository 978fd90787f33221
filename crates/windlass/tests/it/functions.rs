//! The verbs of Functions, also under the name they had before.
#![expect(clippy::disallowed_methods, reason = "other processes are watched in real time")]

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use insta::assert_snapshot;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    installed::{has_program, kubectl, not_run},
    process::{Running, dir, run, windlass},
};

const HELLO: &str = "import os


def say(event, context):
    print('called')
    data = event['data'] or {}
    return '%s, %s!' % (os.environ.get('GREETING', 'Hello'), data.get('name', 'world'))
";

/// A directory in which the binary can be called `kubeless`, and a `dev` runs.
struct Home {
    /// Ends before its directory goes.
    _dev: Running,
    dir: TempDir,
}

impl Home {
    fn start(files: &[(&str, &str)]) -> Self {
        let dir = dir(files);
        symlink(env!("CARGO_BIN_EXE_windlass"), dir.path().join("kubeless")).unwrap();
        let mut dev = Running::start(dir.path(), &["dev", "--console", "127.0.0.1:0"]);
        dev.until("api https://");
        Self { _dev: dev, dir }
    }

    /// Runs a verb under the old name; returns what it printed if it did what it is for.
    fn kubeless(&self, arguments: &[&str]) -> Result<String, String> {
        kubeless(self.dir.path(), arguments)
    }

    fn done(&self, arguments: &[&str]) -> String {
        self.kubeless(arguments).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.done(arguments)).unwrap()
    }

    fn kubectl(&self, arguments: &[&str], input: Option<&str>) -> Result<String, String> {
        kubectl(&self.dir.path().join(".windlass/kubeconfig"), arguments, input)
    }
}

fn kubeless(dir: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(dir.join("kubeless"));
    command.args(arguments).current_dir(dir).env_remove("KUBECONFIG").stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let code = output.status.code().unwrap_or(-1);
    Err(format!("exit {code}\n{}{}", text(&output.stdout), text(&output.stderr)))
}

/// Asks until something is true, for ten seconds at most.
fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_true() {
        assert!(since.elapsed() < Duration::from_secs(10), "not in 10 s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Breaks when `wish::update` sets the timeout anew.
#[test]
fn acceptance_26_the_verbs_of_kubeless_make_a_round_trip() {
    if !has_program("python3") {
        return not_run("the verbs of Functions", "no python3");
    }
    let home = Home::start(&[("hello.py", HELLO)]);
    let deploy = ["function", "deploy", "hello", "--runtime", "python3", "--handler", "hello.say"];
    let more = ["-f", "hello.py", "--port", "9000", "--timeout", "20", "-e", "GREETING=Hello"];
    let more = [&more[..], &["--memory", "256Mi"]].concat();
    let printed = home.done(&[&deploy[..], &more, &["--wait"]].concat());
    assert_eq!(printed, "deployed Function default/hello\nready    Function default/hello\n");
    assert_snapshot!(home.done(&["function", "ls"]), @r"
    NAME   NAMESPACE  HANDLER    RUNTIME  DEPENDENCIES  STATUS
    hello  default    hello.say  python3                1/1 READY
    ");

    let call = |data: &str| home.done(&["function", "call", "hello", "--data", data]);
    assert_eq!(call(r#"{"name": "you"}"#), "Hello, you!\n");
    assert_eq!(home.done(&["function", "call", "hello"]), "Hello, world!\n");
    let top = home.json(&["function", "top", "--function", "hello", "-o", "json"]);
    let counted = |top: &Value| -> Vec<_> {
        let rows = top.as_array().into_iter().flatten();
        rows.map(|row| (row["method"].clone(), row["total_calls"].clone())).collect()
    };
    assert_eq!(counted(&top), [(json!("GET"), json!(1)), (json!("POST"), json!(1))]);
    let log = home.done(&["function", "logs", "hello"]);
    assert!(log.contains("called\n") && log.contains("\"POST / HTTP/1.1\" 200 11 "), "{log}");

    let function = || home.json(&["function", "describe", "hello", "-o", "json"]);
    let before = function();
    let update = ["function", "update", "hello", "--env", "GREETING=Hi", "--wait"];
    assert!(home.done(&update).starts_with("updated  Function default/hello\n"));
    let after = function();
    assert_eq!(after["spec"]["service"], before["spec"]["service"]);
    assert_eq!(after["spec"]["service"]["ports"][0]["port"], 9000);
    assert_eq!(after["spec"]["timeout"], "20");
    assert_eq!(after["spec"]["function"], before["spec"]["function"]);
    assert_eq!(call(r#"{"name": "you"}"#), "Hi, you!\n");

    assert_eq!(home.done(&["function", "delete", "hello"]), "deleted  Function default/hello\n");
    let empty = "NAME  NAMESPACE  HANDLER  RUNTIME  DEPENDENCIES  STATUS\n";
    assert_eq!(home.done(&["function", "ls"]), empty);
    until("it answers no more", || home.kubeless(&["function", "call", "hello"]).is_err());
}

#[test]
fn acceptance_26_what_is_printed_can_be_applied() {
    if !has_program("kubectl") {
        return not_run("a printed function", "no kubectl");
    }
    let home = Home::start(&[("hello.py", "x = 1\n"), ("deps.txt", "requests\n")]);
    for format in ["json", "yaml"] {
        let dry = ["function", "deploy", "hello", "-r", "python3.11", "--handler", "hello.say"];
        let files = ["-f", "hello.py", "-d", "deps.txt", "--dryrun", "-o", format];
        let printed = home.done(&[&dry[..], &files].concat());
        assert_eq!(home.done(&["function", "ls"]).lines().count(), 1, "nothing was deployed");
        home.kubectl(&["apply", "--dry-run=server", "-f", "-"], Some(&printed)).unwrap();
        if format == "yaml" {
            assert_snapshot!(printed, @r#"
            apiVersion: kubeless.io/v1beta1
            kind: Function
            metadata:
              labels:
                created-by: kubeless
                function: hello
              name: hello
              namespace: default
            spec:
              checksum: sha256:9e26bf369911c45c243c684147b23fc9e1dcfcf257d299a1c632016a6fcd33f4
              deployment:
                spec:
                  template:
                    spec:
                      containers:
                      - imagePullPolicy: Always
              deps: "requests\n"
              function: "x = 1\n"
              function-content-type: text
              handler: hello.say
              runtime: python3.11
              service:
                ports:
                - name: http-function-port
                  port: 8080
                  protocol: TCP
                  targetPort: 8080
                selector:
                  created-by: kubeless
                  function: hello
                type: ClusterIP
              timeout: "180"
            "#);
        }
    }
}

#[test]
fn files_that_are_saved_are_deployed_again() {
    if !has_program("python3") {
        return not_run("`function deploy --watch`", "no python3");
    }
    let home = Home::start(&[("hello.py", HELLO)]);
    let deploy = ["function", "deploy", "hello", "-r", "python3", "--handler", "hello.say"];
    let watch = ["-f", "hello.py", "--watch", "--wait"];
    let mut running = Running::start(home.dir.path(), &[&deploy[..], &watch].concat());
    running.until("ready    Function default/hello");
    let save = |text: &str| fs::write(home.dir.path().join("hello.py"), text).unwrap();
    save("def say(:\n");
    running.until("updated  Function default/hello");
    until("it is told", || home.done(&["function", "describe", "hello"]).contains("SyntaxError"));
    assert_eq!(home.done(&["function", "call", "hello"]), "Hello, world!\n");
    save(&HELLO.replace("Hello", "Servus"));
    running.until("updated  Function default/hello");
    running.until("ready    Function default/hello");
    assert_eq!(home.done(&["function", "call", "hello"]), "Servus, world!\n");
    let generation = |home: &Home| {
        let function = home.json(&["function", "describe", "hello", "-o", "json"]);
        function["metadata"]["generation"].as_i64()
    };
    assert_eq!(generation(&home), Some(3));
}

#[test]
fn a_log_is_followed() {
    if !has_program("python3") {
        return not_run("`function logs --follow`", "no python3");
    }
    let home = Home::start(&[("hello.py", HELLO)]);
    let deploy = ["function", "deploy", "hello", "-r", "python3", "--handler", "hello.say"];
    home.done(&[&deploy[..], &["-f", "hello.py", "--wait"]].concat());
    let mut log = Running::start(home.dir.path(), &["function", "logs", "hello", "-f"]);
    for path in ["/first", "/second"] {
        home.done(&["function", "call", "hello", "--path", path]);
        log.until(&format!("\"GET {path} HTTP/1.1\" 200"));
    }
}

#[test]
fn triggers_are_made_changed_listed_and_deleted() {
    let home = Home::start(&[("p.yaml", "q: it's\n")]);
    let image = ["--runtime-image", "web", "--schedule", "@daily"];
    home.done(&[&["function", "deploy", "hello"][..], &image].concat());
    let trigger = |line: &str| home.done(&line.split_whitespace().collect::<Vec<_>>());
    trigger("trigger http create web --function-name hello --hostname hello.test --enableTLSAcme");
    trigger("trigger http update web --path say --enableTLSAcme=false");
    trigger("trigger cronjob create tick --function hello --schedule @hourly -f p.yaml");
    let lists = ["http", "cronjob"].map(|kind| trigger(&format!("trigger {kind} list")));
    assert_snapshot!(lists.concat(), @r"
    NAME  NAMESPACE  FUNCTION NAME
    web   default    hello
    NAME   NAMESPACE  SCHEDULE  FUNCTION NAME
    hello  default    @daily    hello
    tick   default    @hourly   hello
    ");
    let printed = trigger("trigger http update web --cors-enable --dryrun -o json");
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(
        printed["spec"],
        json!({"function-name": "hello", "host-name": "hello.test", "gateway": "nginx", "path": "say",
            "tls": false, "cors-enable": true})
    );
    assert_eq!(trigger("trigger cronjob delete tick"), "deleted  CronJobTrigger default/tick\n");
}

#[test]
fn what_cannot_be_done_is_told() {
    let home = Home::start(&[("hello.py", HELLO), ("list.json", "[1]")]);
    let error = |line: &str| {
        let arguments: Vec<_> = line.split_whitespace().collect();
        let error = home.kubeless(&arguments).unwrap_err();
        // Where it is says nothing about what is wrong.
        error.lines().filter(|line| !line.starts_with("using ")).collect::<Vec<_>>().join("\n")
    };
    let cobol = error("function deploy f -r cobol1 --handler a.b");
    assert!(cobol.starts_with(
        "exit 1\nerror: Invalid runtime: cobol1. Supported runtimes are: python3.9, "
    ));
    home.done(&["function", "deploy", "there", "--runtime-image", "web"]);
    assert_snapshot!(
        [
            "function deploy f",
            "function deploy f -r python3.11",
            "function deploy f --runtime-image web -f nope.py",
            "function deploy there --runtime-image web",
            "function update nope --timeout 5",
            "function call nope",
            "function logs nope",
            "trigger http create t --function-name nope",
            "trigger cronjob create t --function there --schedule @daily -f list.json",
            "trigger kafka create t --trigger-topic t --function-selector team!=a",
            "trigger kafka create t --trigger-topic t --function-selector team=a",
            "trigger nats update t --trigger-topic t",
            "function deploy f --runtime-image web --watch",
            "autoscale create there --max 3",
            "topic list",
        ].map(error).join("\n\n"),
        @r"
    exit 2
    error: give --runtime or --runtime-image

    exit 2
    error: a runtime needs a --handler

    exit 2
    error: cannot read `nope.py`
      No such file or directory (os error 2)

    exit 1
    error: there is a Function `default/there` already

    hint: `windlass function update there` changes it

    exit 1
    error: there is no Function `default/nope`

    hint: `windlass function ls` lists those that are there

    exit 1
    error: there is no Service `default/nope`

    exit 1
    error: there is no Function `default/nope`

    hint: `windlass function ls` lists those that are there

    exit 1
    error: there is no Function `default/nope`

    hint: `windlass function ls` lists those that are there

    exit 2
    error: the payload is no object: [1]

    exit 2
    error: `team!=a` is no list of labels such as `team=a,tier=b`

    exit 2
    error: a trigger by messages of Kafka is not supported yet

    exit 2
    error: a trigger by messages of NATS is not supported yet

    exit 2
    error: --watch needs a --from-file of this machine

    exit 2
    error: `autoscale` is not supported yet

    exit 2
    error: `topic` is not supported yet
    ");
    for line in [
        "function deploy f --memory lots --runtime-image web",
        "function call",
        "function depoly",
        "function deploy f --timeout 0 --runtime-image web",
        "trigger http update t --tls-secret a --enableTLSAcme",
    ] {
        assert!(error(line).starts_with("exit 2\nerror: "), "{line}");
    }
}

#[test]
fn a_function_runs_from_its_files_alone() {
    if !has_program("python3") {
        return not_run("`windlass function run`", "no python3");
    }
    let part = "GREETING = 'Hey'\n";
    let main = "from part import GREETING\n\n\ndef say(event, context):\n    return GREETING\n";
    let here = dir(&[
        ("hello.py", HELLO),
        ("all/part.py", part),
        ("all/main.py", main),
        ("bad.py", "x = (\n"),
    ]);
    let told = |path: &str, handler: &str, more: &[&str]| {
        let start = ["function", "run", path, "--handler", handler, "--runtime", "python3"];
        run(here.path(), &[&start[..], more].concat())
    };
    let ended =
        told("hello.py", "hello.say", &["-e", "GREETING=Hi", "--data", r#"{"name": "you"}"#]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "Hi, you!\n"), "{}", ended.stderr);
    assert!(ended.stderr.contains("called"), "{}", ended.stderr);
    let ended = told("all", "main.say", &["--data", ""]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "Hey\n"), "{}", ended.stderr);
    let ended = told("bad.py", "bad.say", &["--data", ""]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("error: the program cannot be loaded: "), "{}", ended.stderr);
    let ended = told("nope.py", "nope.say", &[]);
    assert_eq!(ended.code, Some(2));
}

#[test]
fn a_function_is_served_from_its_files() {
    if !has_program("python3") {
        return not_run("`windlass function run`", "no python3");
    }
    let here = dir(&[("hello.py", HELLO)]);
    let address = ["--listen", "127.0.0.1:0"];
    let start = ["function", "run", "hello.py", "--handler", "hello.say", "-r", "python3"];
    let mut running = Running::start(here.path(), &[&start[..], &address].concat());
    let line = running.until("serving  python3");
    let place = line.split("http://").nth(1).unwrap().to_owned();
    for _ in 0..2 {
        let mut stream = std::net::TcpStream::connect(&place).unwrap();
        let body = r#"{"name": "you"}"#;
        let request = format!(
            "POST / HTTP/1.1\r\nHost: f\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        let answer = io::read_to_string(stream).unwrap();
        assert!(answer.ends_with("Hello, you!"), "{answer}");
    }
    assert_eq!(running.signal(rustix::process::Signal::INT), Some(0));
}

#[test]
fn a_machine_tells_its_runtimes() {
    let output = windlass(dir(&[]).path(), &["function", "runtimes"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("RUNTIME") && text.contains("\njsonnet"), "{text}");
}

#[test]
fn the_old_name_offers_what_it_had() {
    let here = dir(&[]);
    symlink(env!("CARGO_BIN_EXE_windlass"), here.path().join("kubeless")).unwrap();
    let help = kubeless(here.path(), &["--help"]).unwrap();
    assert!(help.contains("Usage: kubeless") && !help.contains("  dev "), "{help}");
    for command in ["function", "trigger", "autoscale", "topic", "get-server-config", "version"] {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
    }
    let version = kubeless(here.path(), &["version"]).unwrap();
    assert!(version.starts_with("windlass "), "{version}");
    assert!(fs::read_link(here.path().join("kubeless")).is_ok());
}
