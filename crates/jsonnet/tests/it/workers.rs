//! Worker processes: limits, deadlines, deaths, reuse.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use jsonnet::{ErrorKind, LoadError};

use crate::harness::{Hooks, worker_command, write};

const ENDLESS: &str = "local f(n) = if n < 0 then 0 else f(n + 1) tailstrict; f(0)";
const HUGE: &str =
    "local double(s, n) = if n == 0 then s else double(s + s, n - 1); double('12345678', 28)";

#[tokio::test]
async fn a_function_is_called_with_the_request() {
    let hooks =
        Hooks::new(&[("ugo.jsonnet", "function(request) {got: request, message: 'ok'}")]).await;
    let answer = hooks.call("ugo", r#"{"bar":"baz"}"#).await.unwrap();
    assert_eq!(
        answer,
        "{\n   \"got\": {\n      \"bar\": \"baz\"\n   },\n   \"message\": \"ok\"\n}\n"
    );
}

/// Sabotage: the deadline in `Lease::run` much later.
#[tokio::test]
async fn acceptance_10_an_endless_loop_is_killed_and_others_are_served_meanwhile() {
    let files = [("loop.jsonnet", ENDLESS), ("ok.jsonnet", "{}")];
    let hooks = Hooks::with(&files, |options| options.workers = 2).await;
    let timeout = Some(Duration::from_secs(1));
    let looping = hooks.runtime.call("loop", "null".into(), timeout);
    let both = async { tokio::join!(looping, hooks.call("ok", "null")) };
    let (looping, ok) = tokio::time::timeout(Duration::from_secs(3), both).await.unwrap();
    assert_eq!(ok.unwrap(), "{ }\n");
    let error = looping.unwrap_err();
    assert_eq!((error.kind, error.text.as_str()), (ErrorKind::Timeout, "hook timed out after 1s"));
}

/// Sabotage: `diagnose` without the signs of a lack of memory; `kind` without `StackOverflow`.
#[tokio::test]
async fn acceptance_11_stack_and_memory_run_out_without_harm() {
    let files = [
        (
            "deep.jsonnet",
            "local f(x) = f(x) + 1; function(request) if request then f(1) else 'fine'",
        ),
        ("huge.jsonnet", HUGE),
        ("ok.jsonnet", "1"),
    ];
    let hooks = Hooks::with(&files, |options| options.workers = 1).await;
    assert_eq!(hooks.call("deep", "true").await.unwrap_err().kind, ErrorKind::Stack);
    assert_eq!(hooks.call("deep", "false").await.unwrap(), "\"fine\"\n");
    assert_eq!(hooks.fail("huge").await.kind, ErrorKind::Memory);
    assert_eq!(hooks.call("ok", "null").await.unwrap(), "1\n");
}

/// Sabotage: `set_max_stack` given 1.
#[tokio::test]
async fn acceptance_12_tail_calls_run_in_constant_stack() {
    let program = "local sum(n, acc) = if n == 0 then acc else sum(n - 1, acc + n) tailstrict; \
                   function(request) sum(request, 0)";
    let hooks = Hooks::new(&[("sum.jsonnet", program)]).await;
    assert_eq!(hooks.call("sum", "100000").await.unwrap(), "5000050000\n");
}

/// Sabotage: the session kept in `Program::call` after an error.
#[tokio::test]
async fn errors_do_not_spoil_the_next_call() {
    let program = "local x = error 'once'; function(request) if request then x else {ok: true}";
    let hooks = Hooks::with(&[("a.jsonnet", program)], |options| options.workers = 1).await;
    for _ in 0..2 {
        let error = hooks.call("a", "true").await.unwrap_err();
        assert_eq!(error.message(), "RUNTIME ERROR: once");
        assert_eq!(hooks.call("a", "false").await.unwrap(), "{\n   \"ok\": true\n}\n");
    }
    assert_eq!(hooks.runtime.idle_workers().len(), 1);
}

#[tokio::test]
async fn a_worker_that_was_killed_while_idle_is_replaced() {
    let hooks = Hooks::with(&[("a.jsonnet", "1")], |options| options.workers = 1).await;
    let [before] = hooks.runtime.idle_workers()[..] else { panic!("no worker") };
    kill(before);
    assert_eq!(hooks.call("a", "null").await.unwrap(), "1\n");
    assert_ne!(hooks.runtime.idle_workers(), [before]);
}

/// Sabotage: the fence never closed.
#[tokio::test]
async fn a_program_that_kills_workers_is_fenced() {
    let hooks =
        Hooks::with(&[("huge.jsonnet", HUGE)], |options| options.max_memory = 192 << 20).await;
    for _ in 0..5 {
        assert_eq!(hooks.fail("huge").await.kind, ErrorKind::Memory);
    }
    let error = hooks.fail("huge").await;
    assert_eq!(error.kind, ErrorKind::Runtime);
    assert!(error.text.contains("killed 5 workers"), "{error}");
    assert!(hooks.runtime.status_all()[0].fenced);
}

#[tokio::test]
async fn the_last_good_revision_keeps_serving() {
    let hooks = Hooks::new(&[("a.jsonnet", "import 'b'"), ("b", "1")]).await;
    assert_eq!(hooks.call("a", "null").await.unwrap(), "1\n");
    for broken in ["{", "import 'gone'"] {
        write(hooks.dir.path(), &[("b", broken)]);
        let error = hooks.runtime.load("a", &PathBuf::from("a.jsonnet")).await.unwrap_err();
        match broken {
            "{" => assert!(error.to_string().starts_with("b:1:2 expected "), "{error}"),
            _ => assert!(matches!(error, LoadError::Import(_)), "{error}"),
        }
        assert_eq!(hooks.call("a", "null").await.unwrap(), "1\n");
    }
    write(hooks.dir.path(), &[("b", "2")]);
    hooks.runtime.load("a", &PathBuf::from("a.jsonnet")).await.unwrap();
    assert_eq!(hooks.call("a", "null").await.unwrap(), "2\n");
}

#[tokio::test]
async fn a_missing_import_fails_only_where_it_is_evaluated() {
    let program = "function(request) if request then import 'gone' else 'not needed'";
    let hooks = Hooks::new(&[("a.jsonnet", program)]).await;
    assert_eq!(hooks.call("a", "false").await.unwrap(), "\"not needed\"\n");
    let error = hooks.call("a", "true").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Import);
    assert!(error.message().starts_with("RUNTIME ERROR: Couldn't open import \"gone\""), "{error}");
}

/// Sabotage: `MAX_CALLS` replaced by a constant that ends the session without making a new one.
#[tokio::test]
async fn state_is_dropped_now_and_then_and_nobody_notices() {
    let program = "function(request) {[request]: std.length(request)}";
    let hooks = Hooks::with(&[("a.jsonnet", program)], |options| options.workers = 1).await;
    let before = hooks.runtime.idle_workers();
    for call in 0..1100 {
        let answer = hooks.call("a", &format!("\"name-{call:04}\"")).await.unwrap();
        assert_eq!(answer, format!("{{\n   \"name-{call:04}\": 9\n}}\n"));
    }
    assert_eq!(hooks.runtime.idle_workers(), before);
}

/// Sabotage: the check of the result's size removed.
#[tokio::test]
async fn results_have_a_bound() {
    let program = "function(request) std.repeat('x', request)";
    let hooks = Hooks::with(&[("a.jsonnet", program)], |options| options.max_response = 1000).await;
    assert_eq!(hooks.call("a", "997").await.unwrap().len(), 1000);
    assert_eq!(hooks.call("a", "998").await.unwrap_err().kind, ErrorKind::Manifest);
    assert_eq!(hooks.call("a", "1").await.unwrap(), "\"x\"\n");
}

/// Sabotage: the environment not cleared; no own process group.
#[tokio::test]
async fn a_worker_has_nothing_it_does_not_need() {
    let hooks = Hooks::with(&[("a.jsonnet", "1")], |options| options.workers = 1).await;
    let [worker] = hooks.runtime.idle_workers()[..] else { panic!("no worker") };
    let read = |name| std::fs::read_to_string(format!("/proc/{worker}/{name}")).unwrap();
    assert_eq!(read("environ"), "MALLOC_ARENA_MAX=1\0");
    let limits = read("limits");
    let limit = |name| limits.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert_eq!(limit("Max core file size").split_whitespace().nth(4), Some("0"));
    assert_eq!(limit("Max address space").split_whitespace().nth(3), Some("536870912"));
    let group = read("stat").rsplit(')').next().unwrap().split(' ').nth(3).unwrap().to_owned();
    assert_eq!(group, worker.to_string());
}

#[tokio::test]
async fn deeply_nested_programs_harm_nobody() {
    let hooks = Hooks::with(&[("ok.jsonnet", "1")], |options| {
        options.workers = 1;
        options.timeout = Duration::from_secs(3);
    });
    let hooks = hooks.await;
    for text in [
        "(".repeat(100_000),
        "[".repeat(100_000) + &"]".repeat(100_000),
        "local a = {}; a".to_owned() + &".a".repeat(100_000),
        "!".repeat(100_000) + "true",
    ] {
        write(hooks.dir.path(), &[("deep", &text)]);
        let _ = hooks.runtime.load("deep", &PathBuf::from("deep")).await;
        let error = hooks.fail("deep").await;
        assert!(
            [ErrorKind::Load, ErrorKind::Runtime, ErrorKind::Stack, ErrorKind::Timeout]
                .contains(&error.kind),
            "{error}"
        );
        assert_eq!(hooks.call("ok", "null").await.unwrap(), "1\n");
        hooks.runtime.remove("deep");
    }
}

/// Sabotage: `follow_parent` not started in `worker::run`.
#[test]
fn a_worker_in_an_endless_loop_ends_with_its_parent() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[("loop.jsonnet", ENDLESS)]);
    let mut parent = Command::new(worker_command().program)
        .arg("parent")
        .arg(dir.path().join("loop.jsonnet"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let worker: u32 = line.trim().parse().unwrap();
    while cpu_ticks(worker) < 20 {
        std::thread::yield_now();
    }
    parent.kill().unwrap();
    parent.wait().unwrap();
    let ended = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        !is_running(worker)
    });
    assert!(ended, "worker {worker} outlived its parent by five seconds");
}

fn kill(pid: u32) {
    Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    while is_running(pid) {
        std::thread::yield_now();
    }
}

/// Returns whether any thread of the process is more than a zombie.
fn is_running(pid: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    tasks.filter_map(Result::ok).any(|task| {
        std::fs::read_to_string(task.path().join("stat"))
            .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| !rest.starts_with(" Z")))
    })
}

/// Returns how long the process has computed: a worker that waits for an order does not.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(')').next().unwrap().split(' ').nth(12).unwrap().parse().unwrap()
}
