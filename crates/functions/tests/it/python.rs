//! What Python functions get and return.

use serde_json::json;

use crate::harness::{PYTHON, Served, serve, serve_files};

const HTML: &str = "text/html; charset=UTF-8";
const JSON: &str = "application/json";

/// A function that returns what the Python expression in its body is, or does, when evaluated.
const EVALUATES: &str = r#"
import bottle, os, sys
calls = 0

def throw(error):
    raise error

async def later(value):
    return value

def f(event, context):
    global calls
    calls += 1
    request = event["extensions"]["request"]
    return eval(event["data"])
"#;

/// A function that returns how Python would write what the data is.
const SHOWS: &str = "def f(event, context):\n    return repr(event['data'])\n";

async fn eval(served: &Served, expression: &str) -> (u16, String, String) {
    let answer = served.post("text/plain", expression.to_owned()).await;
    let (status, kind, body) = answer.parts();
    (status, kind.to_owned(), body)
}

/// Breaks when the media type is compared with its parameters, or broken JSON gets to the function.
#[tokio::test]
async fn acceptance_9_data_comes_as_its_type_says() {
    let Some(served) = serve(&PYTHON, SHOWS, &[]).await else { return };
    for (kind, body, expected) in [
        ("application/json; charset=utf-8", r#"{"a":1}"#, "{'a': 1}"),
        ("application/vnd.x+JSON", "[1]", "[1]"),
        ("application/json", "", "None"),
        ("application/json", "null", "None"),
        ("text/plain", r#"{"a":1}"#, r#"b'{"a":1}'"#),
        ("text/plain", "", "b''"),
        ("multipart/form-data; boundary=x", "--x--", "b'--x--'"),
    ] {
        assert_eq!(
            served.post(kind, body).await.parts(),
            (200, HTML, expected.to_owned()),
            "{kind}"
        );
    }
    assert_eq!(served.get("/").await.text(), "b''");
    let calls = served.metric("function_calls_total{method=\"POST\"}").await;
    let broken = served.post("application/json", r#"{"a":"#).await;
    assert_eq!((broken.status, broken.text().as_str()), (400, "Invalid JSON"));
    assert_eq!(served.metric("function_calls_total{method=\"POST\"}").await, calls);
}

/// Breaks when any kind of value is rendered as another, or a raised response counts as an exception.
#[tokio::test]
async fn acceptance_10_each_kind_of_value_becomes_an_answer() {
    let Some(served) = serve(&PYTHON, EVALUATES, &[]).await else { return };
    for (expression, status, kind, body) in [
        ("{'a': [1, None]}", 200, JSON, r#"{"a": [1, null]}"#),
        ("'<p>ü'", 200, HTML, "<p>ü"),
        ("b'raw'", 200, HTML, "raw"),
        ("bytearray(b'raw')", 200, HTML, "raw"),
        ("None", 200, HTML, ""),
        ("['a', 'b']", 200, HTML, "ab"),
        ("('a', 'b')", 200, HTML, "ab"),
        ("[b'a', b'b']", 200, HTML, "ab"),
        ("[]", 200, HTML, ""),
        ("[1,2]", 200, JSON, "[1, 2]"),
        ("['a', 1]", 200, JSON, r#"["a", 1]"#),
        ("7", 200, JSON, "7"),
        ("1.5", 200, JSON, "1.5"),
        ("True", 200, JSON, "true"),
        ("later({'a': 1})", 200, JSON, r#"{"a": 1}"#),
        ("bottle.HTTPResponse(status=418, headers={'X-A':'b'})", 418, HTML, ""),
        ("bottle.HTTPResponse({'a': 1}, 201, x_a='b')", 201, JSON, r#"{"a": 1}"#),
        ("throw(bottle.HTTPResponse('x', status='409 Busy', X_A='b'))", 409, HTML, "x"),
        ("throw(bottle.HTTPError(403, 'no', x_a='b'))", 403, HTML, "no"),
        ("bottle.HTTPResponse('x', 200, {'X-A':'b', 'Content-Type': 'a/b'})", 200, "a/b", "x"),
        ("bottle.HTTPResponse('x', 204, {'X-A':'b'})", 204, HTML, ""),
    ] {
        let answer = served.post("text/plain", expression).await;
        assert_eq!(answer.parts(), (status, kind, body.to_owned()), "{expression}");
        let is_response = expression.contains("HTTP");
        assert_eq!(answer.header("x-a"), if is_response { "b" } else { "" }, "{expression}");
    }
    assert_eq!(served.metric("function_failures_total{method=\"POST\"}").await, Some(0.0));
    assert_eq!(served.metric("function_calls_total{method=\"POST\"}").await, Some(21.0));
}

#[tokio::test]
async fn what_cannot_be_returned_is_an_error() {
    let Some(served) = serve(&PYTHON, EVALUATES, &[]).await else { return };
    for expression in [
        "object()",
        "{1: object()}",
        "throw(ValueError('secret'))",
        "sys.exit(0)",
        "bottle.HTTPResponse('x', 100)",
        "bottle.HTTPResponse('x', 'soon')",
        "syntax error",
    ] {
        let (status, kind, body) = eval(&served, expression).await;
        let expected = (500, "text/plain; charset=utf-8", "Internal Server Error");
        assert_eq!((status, kind.as_str(), body.as_str()), expected, "{expression}");
    }
    assert_eq!(served.metric("function_failures_total{method=\"POST\"}").await, Some(7.0));
    assert_eq!(served.lines.with("ValueError: secret").len(), 1, "{:?}", served.lines);
    // The process is still the same.
    assert_eq!(eval(&served, "calls").await.2, "8");
}

#[tokio::test]
async fn errors_are_shown_to_those_who_may_see_them() {
    let shown = [("FUNC_EXPOSE_ERRORS", "true")];
    let Some(served) = serve(&PYTHON, EVALUATES, &shown).await else { return };
    assert_eq!(eval(&served, "1/0").await.2, "Error: ZeroDivisionError: division by zero");
}

#[tokio::test]
async fn an_event_tells_where_it_comes_from() {
    let source =
        "def f(event, context):\n    event.pop('extensions')\n    return [event, context]\n";
    let runtime =
        [("FUNC_RUNTIME", "python3"), ("FUNC_MEMORY_LIMIT", "1Gi"), ("FUNC_TIMEOUT", "7")];
    let Some(served) = serve(&PYTHON, source, &runtime).await else { return };
    let told = async |headers: &[(&str, &str)], body: &str| {
        let answer = served.send("POST", "/", headers, body.to_owned()).await;
        serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap()
    };
    let context =
        json!({"function-name": "f", "timeout": 7, "runtime": "python3", "memory-limit": "1Gi"});
    let event = |data: &str, [id, kind, time, namespace]: [Option<&str>; 4]| {
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        json!([{"data": data, "event-id": id, "event-type": kind, "event-time": time,
            "event-namespace": namespace}, context])
    };
    let json = ("Content-Type", "application/json");
    assert_eq!(told(&[json], "1").await, event("1", [None; 4]));
    let all = ["7", "t", "now", "cli"].map(Some);
    let own =
        [("Event-Id", "7"), ("event-type", "t"), ("EVENT-TIME", "now"), ("event-namespace", "cli")];
    assert_eq!(told(&[&[json][..], &own].concat(), "1").await, event("1", all));
    let cloud = [("ce-id", "7"), ("ce-type", "t"), ("ce-time", "now"), ("ce-source", "cli")];
    assert_eq!(told(&[&[json][..], &cloud].concat(), "1").await, event("1", all));
    let structured =
        r#"{"specversion":"1.0","id":"7","type":"t","time":"now","source":"cli","data":{"a":1}}"#;
    let kind = ("Content-Type", "application/cloudevents+json; charset=utf-8");
    assert_eq!(told(&[kind], structured).await, event(r#"{"a":1}"#, all));
}

#[tokio::test]
async fn the_request_is_all_there() {
    let Some(served) = serve(&PYTHON, EVALUATES, &[]).await else { return };
    let headers = [
        ("host", "f.ops:80"),
        ("x-a", "b"),
        ("x-forwarded-for", "10.0.0.1, 10.0.0.2"),
        ("content-type", "text/plain"),
    ];
    for (expression, expected) in [
        ("request.method", "PUT"),
        ("request.path", "/a b/c"),
        ("request.url.split('/')[2]", "f.ops:80"),
        ("request.query.x", "2"),
        ("request.query.getall('x')", "12"),
        ("request.query.missing", ""),
        ("request.headers['X-A'] + request.headers.get('x-a')", "bb"),
        ("request.get_header('X-a') + request.get_header('x-b', 'c')", "bc"),
        ("request.body.read()[:4]", "requ"),
        ("request.remote_addr", "10.0.0.1"),
        ("str(request.json)", "None"),
        ("request.environ['HTTP_X_A']", "b"),
        ("bottle.Request(request.environ).method if hasattr(bottle, 'request') else 'PUT'", "PUT"),
        ("bottle.request.path if hasattr(bottle, 'request') else '/a b/c'", "/a b/c"),
    ] {
        let answer = served.send("PUT", "/a%20b/c?x=1&x=2", &headers, expression).await;
        assert_eq!(answer.text(), expected, "{expression}");
    }
}

#[tokio::test]
async fn large_requests_and_pages_of_other_origins_are_turned_away_unless_they_are_wanted() {
    let source = "def f(event, context):\n    return str(len(event['data']))\n";
    let asked = [("access-control-request-method", "PUT"), ("access-control-request-headers", "a")];
    let own = [("FUNC_MAX_BODY_MB", "1"), ("FUNC_CORS", "https://a.test")];
    let Some(served) = serve(&PYTHON, source, &own).await else { return };
    let body = "x".repeat((1 << 20) + 1);
    assert_eq!(served.post("text/plain", body.clone()).await.status, 413);
    assert_eq!(served.post("text/plain", body[1..].to_owned()).await.status, 200);
    let origin = "access-control-allow-origin";
    assert_eq!(served.get("/").await.header(origin), "https://a.test");
    let told = served.send("OPTIONS", "/", &asked, "").await;
    assert_eq!((told.status, told.header(origin)), (200, "https://a.test"));
    let Some(served) = serve(&PYTHON, source, &[("REQ_MB_LIMIT", "1")]).await else { return };
    assert_eq!(served.post("text/plain", body).await.status, 200);
    let told = served.send("OPTIONS", "/", &asked, "").await;
    assert_eq!((told.text().as_str(), told.header(origin)), ("0", ""));
}

#[tokio::test]
async fn forms_are_read() {
    let source = r#"
def f(event, context):
    request = event["extensions"]["request"]
    file = request.files.get("file")
    return {"a": request.forms.a, "all": request.forms.getall("b"),
        "file": file and [file.filename, file.content_type, list(file.file.read())]}
"#;
    let Some(served) = serve(&PYTHON, source, &[]).await else { return };
    let told = async |kind: &str, body: &[u8]| {
        let answer = served.post(kind, body.to_vec()).await;
        serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap()
    };
    assert_eq!(
        told("application/x-www-form-urlencoded", b"b=1&a=%C3%BC+x&b=2").await,
        json!({"a": "\u{fc} x", "all": ["1", "2"], "file": null})
    );
    let body = b"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
        --B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"../x.bin\"\r\n\
        Content-Type: a/b\r\n\r\n\x00\r\n\xff\n\r\r\n--B--\r\n";
    assert_eq!(
        told("multipart/form-data; boundary=B", body).await,
        json!({"a": "1", "all": [], "file": ["x.bin", "a/b", [0, 13, 10, 255, 10, 13]]})
    );
}

#[tokio::test]
async fn modules_may_be_named_like_anything() {
    let source = "def f(event, context):\n    return __name__\n";
    for (module, file, name) in [
        ("json", "json.py", "json"),
        ("test", "test.py", "test"),
        ("pack.mod", "pack/mod.py", "pack.mod"),
        ("no.pack.mod", "no.pack.mod.py", "no.pack.mod"),
        ("dir/mod", "dir/mod.py", "mod"),
    ] {
        let files = [(file, source)];
        let Some(served) = serve_files(&PYTHON, &files, &[("MOD_NAME", module)]).await else {
            return;
        };
        assert_eq!(served.get("/").await.parts(), (200, HTML, name.to_owned()), "{module}");
    }
}

#[tokio::test]
async fn a_loop_and_the_state_of_a_module_stay() {
    let source = r"
import asyncio
seen = []

async def f(event, context):
    seen.append(id(asyncio.get_running_loop()))
    await asyncio.sleep(0)
    return [len(seen), len(set(seen))]
";
    let Some(served) = serve(&PYTHON, source, &[]).await else { return };
    assert_eq!(served.get("/").await.text(), "[1, 1]");
    assert_eq!(served.get("/").await.text(), "[2, 1]");
}

/// Breaks when the function runs in the process that loaded it.
#[tokio::test]
async fn each_call_may_have_a_process_of_its_own() {
    let apart = [("FUNC_PROCESS_PER_CALL", "true"), ("FUNC_CONCURRENCY", "1")];
    let Some(served) = serve(&PYTHON, EVALUATES, &apart).await else { return };
    let parent = eval(&served, "os.getppid()").await.2;
    assert_eq!(eval(&served, "calls").await.2, "1");
    assert_eq!(eval(&served, "calls").await.2, "1");
    let (status, _, body) = eval(&served, "os._exit(3)").await;
    assert_eq!((status, body.as_str()), (502, "Function process exited"));
    assert_eq!(eval(&served, "os.getppid()").await.2, parent);
    assert_eq!(served.host.health().borrow().restarts, 0);
}
