//! Processes that take too long, end, or never get anywhere.

use std::{fs, sync::Arc};

use k8s::{Clock, SignedDuration, SystemClock, Timestamp, VirtualClock};
use rustix::process::{Signal, kill_process};

use crate::harness::{NODEJS, PYTHON, is_alive, pid, serve, serve_by, until};

/// A function that waits for a file if it is told to.
const WAITS: &str = r#"
import os, time

def f(event, context):
    name = event["extensions"]["request"].query.get("wait")
    if name:
        open("started-" + name, "w").close()
        while not os.path.exists(name):
            time.sleep(0.01)
        open("done-" + name, "w").close()
    return str(os.getpid())
"#;

/// Breaks when a call has no deadline.
#[tokio::test]
async fn acceptance_7_an_endless_loop_is_ended() {
    let source = r#"
import os, time

def f(event, context):
    if event["extensions"]["request"].query.get("nap"):
        time.sleep(0.5)
    if event["extensions"]["request"].query.get("loop"):
        open("pid", "w").write(str(os.getpid()))
        while True:
            pass
    return "x"
"#;
    let Some(served) = serve(&PYTHON, source, &[("FUNC_TIMEOUT", "2")]).await else { return };
    // From now on there are two processes, and no time goes by for the start of the other.
    tokio::join!(served.get("/?nap=1"), served.get("/?nap=1"));
    let clock = SystemClock;
    let started = clock.now();
    let quick = async {
        until("the loop", || served.path("pid").exists()).await;
        let answer = served.get("/").await;
        (answer.status, clock.now().duration_since(started))
    };
    let (looped, (status, quick)) = tokio::join!(served.get("/?loop=1"), quick);
    let took = clock.now().duration_since(started);
    assert_eq!(looped.parts(), (408, "text/plain; charset=utf-8", "Timeout exceeded".to_owned()));
    let second = SignedDuration::from_secs(1);
    assert!(second * 2 <= took && took < second * 3, "{took}");
    assert_eq!(status, 200);
    assert!(quick < second * 2, "{quick}");
    let pid = fs::read_to_string(served.path("pid")).unwrap();
    until("the end of the process", || !is_alive(&pid)).await;
    let failures = served.metric("function_failures_total{method=\"GET\"}").await;
    assert_eq!(failures, Some(1.0));
    assert_eq!(served.metric("function_calls_total{method=\"GET\"}").await, Some(4.0));
    assert_eq!(served.metric("function_duration_seconds_count{method=\"GET\"}").await, Some(4.0));
}

/// Breaks when a process that serves other calls well is killed for one that takes too long.
#[tokio::test]
async fn acceptance_8_a_promise_that_never_settles_is_given_up() {
    let source = r"
const fs = require('fs');
const isThere = async (name) => {
  while (!fs.existsSync(name)) await new Promise((resolve) => setTimeout(resolve, 10));
  return process.pid;
};
exports.f = ({ extensions: { request } }) => (request.query.hang ? new Promise(() => {}) : isThere(request.query.wait));
";
    let Some(served) = serve(&NODEJS, source, &[("FUNC_TIMEOUT", "2")]).await else { return };
    let hung = async {
        let hung = served.get("/?hang=1").await;
        fs::write(served.path("go"), "").unwrap();
        hung
    };
    let waited = async {
        // Its own time is not over when that of the other is.
        let clock = SystemClock;
        clock.sleep_until(clock.now() + SignedDuration::from_secs(1)).await;
        served.get("/?wait=go").await
    };
    let (hung, waited) = tokio::join!(hung, waited);
    assert_eq!((hung.status, hung.text().as_str()), (408, "Timeout exceeded"));
    assert_eq!(waited.status, 200);
    let next = served.get("/?wait=go").await;
    assert_eq!(next.status, 200);
    assert_ne!(next.text(), waited.text());
    until("the end of the process", || !is_alive(&waited.text())).await;
    assert_eq!(served.metric("function_failures_total{method=\"GET\"}").await, Some(1.0));
}

/// Breaks when a process that ended is not replaced.
#[tokio::test]
async fn a_killed_process_fails_its_calls_and_is_replaced() {
    let Some(served) = serve(&PYTHON, WAITS, &[("FUNC_CONCURRENCY", "1")]).await else { return };
    let before = served.get("/").await.text();
    let (answer, ()) = tokio::join!(served.get("/?wait=a"), async {
        until("the call", || served.path("started-a").exists()).await;
        kill_process(pid(&before), Signal::KILL).unwrap();
    });
    assert_eq!((answer.status, answer.text().as_str()), (502, "Function process exited"));
    served.health(|health| health.restarts == 1 && health.failure.is_none()).await;
    let after = served.get("/").await;
    assert_eq!(after.status, 200);
    assert_ne!(after.text(), before);
    let failures = served.metric("function_failures_total{method=\"GET\"}").await;
    assert_eq!(failures, Some(1.0));
}

#[tokio::test]
async fn a_program_that_does_not_load_says_why() {
    let shown = [("FUNC_EXPOSE_ERRORS", "true")];
    for (language, source, message) in [
        (
            &PYTHON,
            "import nothing_like_it\n",
            "ModuleNotFoundError: No module named 'nothing_like_it'",
        ),
        (&PYTHON, "x = 1\n", "AttributeError: module `a` has no function `f`"),
        (&PYTHON, "f = 1\n", "TypeError: `f` of module `a` is no function"),
        (&PYTHON, "def f(:\n", "SyntaxError: "),
        (&PYTHON, "import sys\nsys.exit('no way')\n", "SystemExit: no way"),
        (&NODEJS, "require('./nothing');\n", "Error: Cannot find module './nothing'"),
        (&NODEJS, "exports.g = 1;\n", "Error: module `a` has no function `f`"),
        (&NODEJS, "exports.f = (;\n", "SyntaxError: Unexpected token ';'"),
        (&NODEJS, "throw 'no way';\n", "no way"),
    ] {
        let Some(served) = serve(language, source, &shown).await else { return };
        let failure = served.host.health().borrow().failure.clone().unwrap();
        assert!(failure.starts_with(message), "{failure}");
        let health = served.get("/healthz").await;
        assert_eq!((health.status, health.text().as_str()), (503, "not ready"));
    }
}

#[tokio::test]
async fn a_host_is_healthy_once_its_program_is_loaded() {
    let source = r"
import os, time
while not os.path.exists('go'):
    time.sleep(0.01)

def f(event, context):
    return 'x'
";
    let clock = Arc::new(SystemClock);
    let Some(served) = serve_by(clock, &PYTHON, source, &[]) else { return };
    let health = served.get("/healthz").await;
    assert_eq!((health.status, health.text().as_str()), (503, "not ready"));
    fs::write(served.path("go"), "").unwrap();
    served.health(|health| health.is_ready).await;
    let health = served.get("/healthz").await;
    assert_eq!((health.status, health.text().as_str()), (200, "OK"));
    assert_eq!(served.send("POST", "/healthz", &[], "").await.text(), "x");
}

/// Breaks when a program that fails again and again is started at once each time.
#[tokio::test]
async fn a_program_that_never_loads_is_a_crash_loop() {
    let clock = VirtualClock::at(Timestamp::UNIX_EPOCH);
    let source = "import os\nopen('starts', 'a').write('x')\nos._exit(7)\n";
    let shared = Arc::new(clock.clone());
    let Some(served) = serve_by(shared, &PYTHON, source, &[]) else { return };
    for restarts in 1..=5 {
        let health = served.health(|health| restarts <= health.restarts).await;
        assert_eq!(health.is_crashing, 5 <= health.restarts);
        assert_eq!(health.failure.as_deref(), Some("exit status: 7"));
        assert!(!health.is_ready);
        clock.advance(SignedDuration::from_secs(8));
    }
    let answer = served.get("/").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
    assert!(5 <= fs::read_to_string(served.path("starts")).unwrap().len());
}

/// Breaks when the limit is not set on the process.
#[tokio::test]
async fn a_program_that_takes_too_much_memory_is_ended() {
    let source = "def f(event, context):\n    return str(len(bytearray(int(event['data']))))\n";
    let limit = [("FUNC_MEMORY_LIMIT", "200Mi")];
    let Some(served) = serve(&PYTHON, source, &limit).await else { return };
    assert_eq!(served.post("text/plain", "1000").await.text(), "1000");
    let answer = served.post("text/plain", "1000000000").await;
    assert_eq!((answer.status, answer.text().as_str()), (502, "Function process exited"));
    assert!(!served.lines.with("MemoryError").is_empty());
    let health = served.health(|health| health.restarts == 1 && health.failure.is_none()).await;
    assert!(health.last_end.unwrap().is_out_of_memory);
    assert_eq!(served.post("text/plain", "1000").await.text(), "1000");
}

#[tokio::test]
async fn a_node_program_that_takes_too_much_memory_is_ended() {
    let source = r"
exports.f = ({ data }) => {
  const all = [];
  while (all.length < data.count) all.push(new Array(1000).fill(all.length));
  return all.length;
};
";
    let limit = [("FUNC_MEMORY_LIMIT", "200Mi")];
    let Some(served) = serve(&NODEJS, source, &limit).await else { return };
    assert_eq!(served.post("application/json", r#"{"count":10}"#).await.text(), "10");
    let answer = served.post("application/json", r#"{"count":1000000}"#).await;
    assert_eq!((answer.status, answer.text().as_str()), (502, "Function process exited"));
    let health = served.health(|health| health.restarts == 1 && health.failure.is_none()).await;
    let end = health.last_end.unwrap();
    assert!(end.is_out_of_memory, "{end:?} {:?}", served.lines.with(""));
    assert_eq!(served.post("application/json", r#"{"count":10}"#).await.text(), "10");
}

/// Breaks when calls wait without end, or are refused although another process could serve them.
#[tokio::test]
async fn a_full_queue_turns_calls_away() {
    let limits = [("FUNC_CONCURRENCY", "2"), ("FUNC_MAX_QUEUE", "1")];
    let Some(served) = serve(&PYTHON, WAITS, &limits).await else { return };
    let call = async || {
        let answer = served.get("/?wait=a").await;
        if answer.status == 429 {
            fs::write(served.path("a"), "").unwrap();
        }
        (answer.status, answer.header("retry-after").to_owned())
    };
    let mut answers: [_; 4] = tokio::join!(call(), call(), call(), call()).into();
    answers.sort();
    let served = (200, String::new());
    assert_eq!(answers, [served.clone(), served.clone(), served, (429, "1".to_owned())]);
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_stop_the_function() {
    let Some(served) = serve(&PYTHON, WAITS, &[]).await else { return };
    let call = Box::pin(served.get("/?wait=a"));
    let started = Box::pin(until("the call", || served.path("started-a").exists()));
    assert!(matches!(
        futures::future::select(call, started).await,
        futures::future::Either::Right(((), _))
    ));
    fs::write(served.path("a"), "").unwrap();
    until("the end of the call", || served.path("done-a").exists()).await;
    until("its line", || !served.lines.with("GET /?wait=a").is_empty()).await;
}

/// Breaks when a process without work stays although the function lets it go.
#[tokio::test]
async fn the_last_process_may_go_and_comes_back() {
    let clock = VirtualClock::at(Timestamp::UNIX_EPOCH);
    let idle = [("WINDLASS_IDLE_TIMEOUT", "10s")];
    let Some(served) = serve_by(Arc::new(clock.clone()), &PYTHON, WAITS, &idle) else { return };
    served.health(|health| health.is_ready).await;
    let first = served.get("/").await.text();
    clock.advance(SignedDuration::from_secs(9));
    assert_eq!(served.get("/").await.text(), first);
    clock.advance(SignedDuration::from_secs(10));
    until("the end of the process", || !is_alive(&first)).await;
    assert_eq!(served.get("/healthz").await.text(), "OK");
    let second = served.get("/").await;
    assert_eq!(second.status, 200);
    assert_ne!(second.text(), first);
    assert_eq!(served.host.health().borrow().restarts, 0);
}

/// Breaks when only the process itself is waited for.
#[tokio::test]
async fn what_a_process_has_started_ends_with_it() {
    let source = r#"
import os, subprocess
child = subprocess.Popen(["sleep", "600"])

def f(event, context):
    if event["extensions"]["request"].query.get("end"):
        os._exit(3)
    return str(child.pid)
"#;
    let Some(served) = serve(&PYTHON, source, &[]).await else { return };
    let child = served.get("/").await.text();
    assert!(is_alive(&child));
    assert_eq!(served.get("/?end=1").await.status, 502);
    until("the end of what it had started", || !is_alive(&child)).await;
    let health = served.health(|health| health.restarts == 1 && health.failure.is_none()).await;
    assert!(!health.last_end.unwrap().is_out_of_memory);
}

/// Breaks when a process that is still loading outlives its host.
#[tokio::test]
async fn processes_end_with_their_host() {
    let loading = "import os, time\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(600)\n";
    let Some(served) = serve_by(Arc::new(SystemClock), &PYTHON, loading, &[]) else { return };
    until("the process", || fs::read_to_string(served.path("pid")).is_ok_and(|it| !it.is_empty()))
        .await;
    let starting = fs::read_to_string(served.path("pid")).unwrap();
    drop(served);
    until("the end of the process", || !is_alive(&starting)).await;
    let Some(served) = serve(&PYTHON, WAITS, &[]).await else { return };
    let running = served.get("/").await.text();
    drop(served);
    until("the end of the process", || !is_alive(&running)).await;
}
