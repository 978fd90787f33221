//! The contract over HTTP.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use jsonnet::{
    Routes, Variable, VariableValue,
    httpd::{Httpd, HttpdError},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::harness::{Server, exchange, httpd_options, send, worker_command, write};

const UGO: (&str, &str) = ("ugo.jsonnet", "function(request) {got: request, message: 'ok'}");
const LOOP: (&str, &str) =
    ("loop.jsonnet", "local f(n) = if n < 0 then 0 else f(n + 1) tailstrict; f(0)");

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Sabotage: the request left out of the arguments in `Loaded::call_function`.
#[tokio::test]
async fn acceptance_1_a_function_answers_json() {
    let server = Server::new(&[UGO]).await;
    let reply = server.post("/ugo", r#"{"bar":"baz"}"#).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/json"));
    assert_eq!(value(&reply.body), json!({"got": {"bar": "baz"}, "message": "ok"}));
    assert!(reply.body.ends_with("}\n"));
    assert_eq!(reply.header("x-windlass-revision").len(), 12);
}

/// Sabotage: an undeclared `request` no error, as other arguments are none.
#[tokio::test]
async fn acceptance_2_identity_functions_follow_the_call_rules() {
    let files = [("id.jsonnet", "function(request) request"), ("r.jsonnet", "function(r) r")];
    let server = Server::new(&files).await;
    let body = r#"{"a":[1.5,null,true,"x"]}"#;
    assert_eq!(value(&server.post("/id", body).await.body), value(body));
    let reply = server.post("/r", body).await;
    assert_eq!((reply.status, reply.header("x-windlass-error")), (500, "runtime"));
    let line = "RUNTIME ERROR: function has no parameter request";
    assert_eq!(reply.body.lines().next(), Some(line));
}

/// Sabotage: the check of the method removed; `/sync/` trimmed before it is looked up.
#[tokio::test]
async fn acceptance_3_other_methods_and_paths_are_refused() {
    let server = Server::new(&[("sync.jsonnet", "{}")]).await;
    let reply = server.send("GET", "/sync", &[], b"").await;
    assert_eq!((reply.status, reply.header("allow")), (405, "POST"));
    assert_eq!(reply.body, "Method not allowed\n");
    assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
    for path in ["/nope", "/sync/", "//sync", "/", "/Sync"] {
        let reply = server.post(path, "{}").await;
        assert_eq!((reply.status, reply.body.as_str()), (404, "404 page not found\n"), "{path}");
    }
    for path in ["/sync", "/sync?timeout=5s", "/%73ync"] {
        assert_eq!(server.post(path, "{}").await.status, 200, "{path}");
    }
}

/// Sabotage: `parse_strict` replaced by `parse`.
#[tokio::test]
async fn acceptance_4_bodies_are_strict_json_and_never_code() {
    let server = Server::new(&[UGO]).await;
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_else(|_| "no such file".into());
    for body in [
        "importstr \"/etc/hostname\"",
        "{a:1}",
        "[1,]",
        "{\"a\":1}{",
        "",
        "{\"a\":1,\"a\":2}",
        "{'a':1}",
        "[1] // x",
        "1e400",
    ] {
        let reply = server.post("/ugo", body).await;
        assert_eq!((reply.status, reply.header("x-windlass-error")), (400, "request"), "{body}");
        assert!(reply.body.starts_with("invalid JSON body: "), "{}", reply.body);
        assert!(reply.body.contains(" at line 1 column "), "{}", reply.body);
        assert!(!reply.body.contains(host.trim()), "{}", reply.body);
    }
    let reply = server.post("/ugo", "\u{feff}[1]").await;
    assert_eq!(value(&reply.body)["got"], json!([1]));
}

/// Sabotage: another bound on depth in the worker than in the server.
#[tokio::test]
async fn acceptance_5_deep_bodies_harm_nobody() {
    let server = Server::new(&[UGO]).await;
    assert_eq!(server.post("/ugo", &"[".repeat(100_000)).await.status, 400);
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(server.post("/ugo", &nested(512)).await.status, 200);
    assert_eq!(server.post("/ugo", &nested(513)).await.status, 400);
    let reply = server.post("/ugo", r#"{"bar":"baz"}"#).await;
    assert_eq!(value(&reply.body), json!({"got": {"bar": "baz"}, "message": "ok"}));
}

/// Sabotage: the trace left out.
#[tokio::test]
async fn acceptance_6_an_error_is_shown_with_its_place() {
    let server = Server::new(&[("boom.jsonnet", "function(request) error 'boom'")]).await;
    let reply = server.post("/boom", "{}").await;
    assert_eq!((reply.status, reply.header("x-windlass-error")), (500, "runtime"));
    let mut lines = reply.body.lines();
    assert_eq!(lines.next(), Some("RUNTIME ERROR: boom"));
    assert!(lines.any(|line| line.starts_with("\tboom.jsonnet:1:19-30\t")), "{}", reply.body);
    let accept = [("accept", "application/json")];
    let reply = server.send("POST", "/boom", &accept, b"{}").await;
    let error = &value(&reply.body)["error"];
    assert_eq!(error["message"], "RUNTIME ERROR: boom");
    assert_eq!(error["route"], "boom");
    assert_eq!(error["revision"], reply.header("x-windlass-revision"));
}

/// Sabotage: readiness without the routes; `refuse` without `strict`.
#[tokio::test]
async fn acceptance_7_a_broken_program_does_not_stop_the_others() {
    let files = [("bad.jsonnet", "{\n  a: }"), ("good.jsonnet", "{}")];
    let server = Server::new(&files).await;
    let reply = server.post("/bad", "{}").await;
    assert_eq!((reply.status, reply.header("x-windlass-error")), (500, "load"));
    assert!(reply.body.starts_with("bad.jsonnet:2:6 expected "), "{}", reply.body);
    assert_eq!(server.post("/good", "{}").await.status, 200);
    let ready = server.ask("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("/bad"), "{}", ready.body);
    assert_eq!(server.ask("/healthz").await.status, 200);
    let dir = TempDir::new().unwrap();
    write(dir.path(), &files);
    let strict = httpd_options(dir.path(), &files, |options| options.strict = true);
    let error = Httpd::start(strict).await.unwrap_err();
    assert!(matches!(&error, HttpdError::Strict { route, .. } if route == "bad"));
    assert_eq!(error.exit_code(), 2);
}

#[tokio::test]
async fn a_file_that_is_not_there_ends_the_start() {
    let dir = TempDir::new().unwrap();
    let error = Httpd::start(httpd_options(dir.path(), &[("gone.jsonnet", "")], |_| ())).await;
    let error = error.unwrap_err();
    assert_eq!(error.exit_code(), 1);
    let text = "cannot read \"gone.jsonnet\": No such file or directory (os error 2)";
    assert_eq!(error.to_string(), text);
}

/// Sabotage: undeclared arguments not dropped.
#[tokio::test]
async fn acceptance_13_extra_arguments_reach_those_who_declare_them() {
    let files =
        [("a.jsonnet", "function(request, region) region"), ("b.jsonnet", "function(request) 'b'")];
    let server = Server::with(&files, |options| {
        let region = VariableValue::Text("eu".to_owned());
        options.runtime.programs.tlas = vec![Variable { name: "region".to_owned(), value: region }];
    });
    let server = server.await;
    assert_eq!(server.post("/a", "{}").await.body, "\"eu\"\n");
    assert_eq!(server.post("/b", "{}").await.body, "\"b\"\n");
}

/// Sabotage: the comparison of entity tags always false.
#[tokio::test]
async fn acceptance_22_what_the_caller_has_is_not_sent_again() {
    let server = Server::new(&[UGO]).await;
    let first = server.post("/ugo", "1").await;
    let headers = [("if-none-match", first.header("etag"))];
    let second = server.send("POST", "/ugo", &headers, b"1").await;
    assert_eq!((second.status, second.body.as_str()), (304, ""));
    assert_eq!(second.header("etag"), first.header("etag"));
    assert_eq!(server.send("POST", "/ugo", &headers, b"2").await.status, 200);
}

/// Sabotage: `Retry-After` not set; the queue without a bound.
#[tokio::test]
async fn acceptance_23_a_full_queue_refuses() {
    let server = Server::with(&[LOOP], |options| {
        options.runtime.workers = 1;
        options.runtime.queue = 1;
        options.runtime.timeout = Duration::from_secs(1);
    });
    let server = server.await;
    let call = || server.post("/loop", "{}");
    let (a, b, c) = tokio::join!(call(), call(), call());
    let mut replies = [a, b, c];
    replies.sort_by_key(|reply| reply.status);
    assert_eq!(replies.each_ref().map(|reply| reply.status), [429, 504, 504]);
    assert_eq!(replies[0].header("retry-after"), "1");
    assert_eq!(replies[0].header("x-windlass-error"), "overload");
    assert_eq!(replies[1].body, "hook timed out after 1s\n");
}

/// Sabotage: the directories of the environment ignored.
#[tokio::test]
async fn acceptance_24_the_search_path_of_the_environment_serves() {
    let files = [
        ("sync.jsonnet", "import 'lib.libsonnet'"),
        ("hooks/sync.jsonnet", "'nested'"),
        ("path/lib.libsonnet", "function(request) 'found'"),
    ];
    let server = Server::with(&files, |options| {
        let dir = options.runtime.programs.working_dir.join("path");
        options.runtime.programs.jpath = jsonnet::flags::jpath(Some(dir.as_os_str()), &[]);
    });
    let server = server.await;
    assert_eq!(server.post("/sync", "{}").await.body, "\"found\"\n");
    assert_eq!(server.post("/hooks/sync", "{}").await.body, "\"nested\"\n");
    let absolute = server.dir.path().join("sync.jsonnet").display().to_string();
    let files = Routes::from_args(&[absolute], |_| false).unwrap().files(|_| Ok(Vec::new()));
    assert_eq!(files.unwrap().keys().collect::<Vec<_>>(), ["sync"]);
}

#[tokio::test]
async fn large_and_packed_bodies() {
    let server = Server::with(&[UGO], |options| options.max_request_bytes = 1000).await;
    let reply = server.post("/ugo", &"[".repeat(1001)).await;
    assert_eq!((reply.status, reply.body.lines().count()), (413, 1));
    assert_eq!(reply.header("x-windlass-error"), "request");
    let pack = |text: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    let gzip = [("content-encoding", "gzip")];
    let reply = server.send("POST", "/ugo", &gzip, &pack(b"[7]")).await;
    assert_eq!(value(&reply.body)["got"], json!([7]));
    let bomb = pack(&b" ".repeat(100_000));
    assert_eq!(server.send("POST", "/ugo", &gzip, &bomb).await.status, 413);
    assert_eq!(server.send("POST", "/ugo", &gzip, b"[7]").await.status, 400);
    let brotli = [("content-encoding", "br")];
    assert_eq!(server.send("POST", "/ugo", &brotli, b"[7]").await.status, 415);
}

#[tokio::test]
async fn connections_and_call_ids_are_kept() {
    let server = Server::new(&[UGO]).await;
    let stream = TcpStream::connect(server.hooks).await.unwrap();
    let mut stream = tokio::io::BufReader::new(stream);
    for id in ["a", "b"] {
        let headers = [("x-request-id", id)];
        let reply = exchange(&mut stream, "POST", "/ugo", &headers, b"1").await;
        assert_eq!((reply.status, reply.header("x-request-id")), (200, id));
    }
    assert_ne!(server.post("/ugo", "1").await.header("x-request-id"), "");
    assert_eq!(value(&server.ask("/routes").await.body)[0]["calls"], 3);
    assert_eq!(server.ask("/metrics").await.status, 501);
}

/// Sabotage: the wait for running calls left out.
#[tokio::test]
async fn acceptance_29_a_running_call_is_finished_before_the_end() {
    let dir = TempDir::new().unwrap();
    let program = "local sum(n, acc) = if n == 0 then acc else sum(n - 1, acc + n) tailstrict; \
                   function(request) sum(request, 0)";
    write(dir.path(), &[("sum.jsonnet", program)]);
    let mut httpd = Command::new(worker_command().program)
        .args(["httpd", "sum.jsonnet"])
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(httpd.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let (hooks, admin) = line.trim().split_once(' ').unwrap();
    let (hooks, admin) = (hooks.parse().unwrap(), admin.parse().unwrap());
    let call = tokio::spawn(async move { send(hooks, "POST", "/sum", &[], b"200000").await });
    while value(&send(admin, "GET", "/routes", &[], b"").await.body)[0]["calls"] == 0 {}
    Command::new("kill").args(["-TERM", &httpd.id().to_string()]).status().unwrap();
    let reply = call.await.unwrap();
    assert_eq!((reply.status, reply.body.as_str()), (200, "20000100000\n"));
    assert_eq!(httpd.wait().unwrap().code(), Some(0));
}
