//! What Node.js functions get and return.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};

use crate::harness::{NODEJS, Served, serve, serve_files};

const JSON: &str = "application/json";
const UTF8_JSON: &str = "application/json; charset=utf-8";

/// A function that returns what the expression in its body is, or does, when evaluated.
const EVALUATES: &str = r"
const { Readable } = require('stream');
let release;
const released = new Promise((resolve) => { release = resolve; });

async function* chunks() {
  yield 'first';
  await released;
  yield 'last';
}

module.exports.f = (event, context) => {
  const { request, response } = event.extensions;
  return eval(event.data);
};
";

async fn eval(served: &Served, expression: &str) -> (u16, String, String) {
    let answer = served.post("text/plain", expression.to_owned()).await;
    let (status, kind, body) = answer.parts();
    (status, kind.to_owned(), body)
}

#[tokio::test]
async fn data_comes_as_its_type_says() {
    let source = "exports.f = ({ data }) => `${typeof data} ${JSON.stringify(data)}`;\n";
    let Some(served) = serve(&NODEJS, source, &[]).await else { return };
    for (kind, body, expected) in [
        ("application/json; charset=utf-8", r#"{"a":1}"#, r#"object {"a":1}"#),
        ("application/vnd.x+JSON", "[1]", "object [1]"),
        ("application/json", "", "object {}"),
        ("text/plain", r#"{"a":1}"#, r#"string "{\"a\":1}""#),
        ("text/plain", "", "object {}"),
        ("multipart/form-data; boundary=x", "--x--", "object {}"),
    ] {
        assert_eq!(served.post(kind, body).await.parts(), (200, "", expected.to_owned()), "{kind}");
    }
    assert_eq!(served.post(JSON, "{").await.parts().0, 400);
}

#[tokio::test]
async fn each_kind_of_value_becomes_an_answer() {
    let Some(served) = serve(&NODEJS, EVALUATES, &[]).await else { return };
    for (expression, status, kind, body) in [
        ("({ a: [1, null] })", 200, JSON, r#"{"a":[1,null]}"#),
        ("'<p>ü'", 200, "", "<p>ü"),
        ("Buffer.from('raw')", 200, "", "raw"),
        ("new Uint8Array([114, 97, 119])", 200, "", "raw"),
        ("null", 200, JSON, "null"),
        ("undefined", 200, "", ""),
        ("[1, 2]", 200, JSON, "[1,2]"),
        ("7", 200, JSON, "7"),
        ("false", 200, JSON, "false"),
        ("Promise.resolve({ a: 1 })", 200, JSON, r#"{"a":1}"#),
        ("response.end('own'), 'ignored'", 200, "", "own"),
        ("response.write('a'), 'b'", 200, "", "ab"),
        ("response.write('a'), undefined", 200, "", "a"),
        ("response.status(201).json({ a: 1 })", 201, UTF8_JSON, r#"{"a":1}"#),
        ("response.send('x'), 0", 200, "text/html; charset=utf-8", "x"),
        ("response.send(Buffer.from('x')), 0", 200, "application/octet-stream", "x"),
        ("response.type('txt').send({ a: 1 }), 0", 200, "text/plain; charset=utf-8", r#"{"a":1}"#),
        ("response.type('image/png'), Buffer.from('x')", 200, "image/png", "x"),
        ("response.sendStatus(404), 0", 404, "text/plain; charset=utf-8", "Not Found"),
        ("response.header({ 'Content-Type': 'a/b' }), 'x'", 200, "a/b", "x"),
    ] {
        let expected = (status, kind.to_owned(), body.to_owned());
        assert_eq!(eval(&served, expression).await, expected, "{expression}");
    }
    let answer = served.post("text/plain", "response.redirect('/b')").await;
    assert_eq!((answer.status, answer.header("location")), (302, "/b"));
    let answer = served.post("text/plain", "response.redirect(301, '/c'), 0").await;
    assert_eq!((answer.status, answer.header("location")), (301, "/c"));
}

#[tokio::test]
async fn errors_end_their_own_call_only() {
    let shown = [("FUNC_EXPOSE_ERRORS", "true")];
    let Some(served) = serve(&NODEJS, EVALUATES, &shown).await else { return };
    let pid = eval(&served, "process.pid").await.2;
    for (expression, body) in [
        ("(() => { throw new TypeError('x'); })()", "Error: TypeError: x"),
        ("Promise.reject(new Error('x'))", "Error: Error: x"),
        ("Promise.reject('x')", "Error: Error: x"),
        ("1n", "Error: TypeError: Do not know how to serialize a BigInt"),
        ("() => 1", "Error: TypeError: a function cannot be returned"),
        (
            "response.set('X-A', 'b'), new Promise(() => setTimeout(() => { throw new Error('late'); }))",
            "Error: Error: late",
        ),
    ] {
        let answer = served.post("text/plain", expression).await;
        let expected = (500, "text/plain; charset=utf-8", body.to_owned());
        assert_eq!(answer.parts(), expected, "{expression}");
        assert_eq!(answer.header("x-a"), "");
    }
    // What nobody waits for fails nobody.
    assert_eq!(eval(&served, "Promise.reject(new Error('unseen')), 'x'").await.2, "x");
    assert_eq!(eval(&served, "process.pid").await.2, pid);
    assert_eq!(served.metric("function_failures_total{method=\"POST\"}").await, Some(6.0));
    assert!(!served.lines.with("unseen").is_empty());
}

#[tokio::test]
async fn the_request_is_like_that_of_express() {
    let Some(served) = serve(&NODEJS, EVALUATES, &[]).await else { return };
    let headers = [
        ("host", "f.ops:80"),
        ("x-a", "b"),
        ("referer", "r"),
        ("x-forwarded-for", "10.0.0.1, 10.0.0.2"),
        ("content-type", "text/plain; charset=utf-8"),
        ("event-id", "7"),
    ];
    for (expression, expected) in [
        ("request.method", "\"PUT\""),
        ("request.path", "\"//a%20b\""),
        ("request.originalUrl", "\"//a%20b?x=1&x=2&y=%C3%BC?\""),
        ("request.query", "{\"x\":[\"1\",\"2\"],\"y\":\"\u{fc}?\"}"),
        ("request.hostname", "\"f.ops\""),
        ("request.ip", "\"10.0.0.1\""),
        ("[request.get('X-A'), request.header('Referrer')]", "[\"b\",\"r\"]"),
        ("request.body === event.data", "true"),
        (
            "[request.is('text/*'), request.is('json', 'txt'), request.is('plain')]",
            "[\"text/plain\",false,\"text/plain\"]",
        ),
        ("[event['event-id'], event['event-type'] === undefined]", "[\"7\",true]"),
        ("Object.keys(context)", "[\"function-name\",\"timeout\",\"runtime\",\"memory-limit\"]"),
    ] {
        let expression = format!("JSON.stringify({expression})");
        let answer =
            served.send("PUT", "//a%20b?x=1&x=2&y=%C3%BC?", &headers, expression.clone()).await;
        assert_eq!(answer.text(), expected, "{expression}");
    }
}

#[tokio::test]
async fn programs_read_forms_of_many_parts_themselves() {
    let source = r"
exports.f = async (event) => {
  let length = 0;
  for await (const part of event.extensions.request) length += part.length;
  return length;
};
";
    let Some(served) = serve(&NODEJS, source, &[]).await else { return };
    assert_eq!(served.post("multipart/form-data; boundary=x", "--x--").await.text(), "5");
}

/// Breaks when the status of the response is not the function's, or what is piped waits for its end.
#[tokio::test]
async fn acceptance_11_the_response_is_the_function_s_and_streams() {
    let Some(served) = serve(&NODEJS, EVALUATES, &[]).await else { return };
    let answer = served.post("text/plain", "response.status(403).set('X-B','c'), 'no'").await;
    assert_eq!((answer.status, answer.header("x-b"), answer.text().as_str()), (403, "c", "no"));
    let request = Request::post("/").header("content-type", "text/plain");
    let piped = "Readable.from(chunks()).pipe(response), undefined";
    let request = request.body(Full::new(Bytes::from(piped))).unwrap();
    let mut body = served.host.handle(request).await.into_body();
    let mut next = async || body.frame().await.map(|it| it.unwrap().into_data().unwrap());
    assert_eq!(next().await.unwrap(), "first");
    // Only now the last one is made.
    assert_eq!(eval(&served, "release(), 'done'").await.2, "done");
    assert_eq!(next().await.unwrap(), "last");
    assert_eq!(next().await, None);
}

/// Breaks when the limit of Node.js functions is not `REQ_MB_LIMIT`, or the usual one is a megabyte.
#[tokio::test]
async fn acceptance_13_large_requests_are_taken_up_to_the_limit() {
    let source = "exports.f = ({ data }) => data.children.length;\n";
    let Some(served) = serve(&NODEJS, source, &[]).await else { return };
    let body = format!(r#"{{"children": "{}"}}"#, "x".repeat(5 << 20));
    let answer = served.post(JSON, body.clone()).await;
    assert_eq!((answer.status, answer.text()), (200, (5 << 20).to_string()));
    let Some(served) = serve(&NODEJS, source, &[("REQ_MB_LIMIT", "1")]).await else { return };
    assert_eq!(served.post(JSON, body).await.status, 413);
}

#[tokio::test]
async fn functions_are_exported_in_many_ways() {
    for (file, source) in [
        ("a.js", "module.exports = { f: () => 'x' };"),
        ("a.js", "module.exports = () => 'x';"),
        ("a.js", "exports.f = async () => require('./lib/b');"),
        ("a.cjs", "exports.f = () => require('path').basename('/x');"),
        ("a.mjs", "export const f = () => 'x';"),
        ("a.mjs", "export default () => 'x';"),
        ("a.mjs", "export default { f: () => 'x' };"),
        ("a.mjs", "const x = await Promise.resolve('x'); export const f = () => x;"),
    ] {
        let files = [(file, source), ("lib/b.js", "module.exports = 'x';")];
        let Some(served) = serve_files(&NODEJS, &files, &[]).await else { return };
        assert_eq!(served.get("/").await.text(), "x", "{source}");
    }
}

#[tokio::test]
async fn pages_of_other_origins_may_call() {
    let Some(served) = serve(&NODEJS, "exports.f = () => 'x';", &[]).await else { return };
    assert_eq!(served.get("/").await.header("access-control-allow-origin"), "*");
    let asked =
        [("access-control-request-method", "PUT"), ("access-control-request-headers", "x-a")];
    let answer = served.send("OPTIONS", "/", &asked, "").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    assert_eq!(answer.header("access-control-allow-methods"), "PUT");
    assert_eq!(answer.header("access-control-allow-headers"), "x-a");
}
