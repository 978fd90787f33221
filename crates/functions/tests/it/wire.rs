//! What callers see on their connections.

use std::{convert::Infallible, sync::Arc};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{NODEJS, PYTHON, Served, serve};

/// Returns all that comes back for a request.
async fn wire(served: &Served, request: &str) -> String {
    let (mut ours, theirs) = tokio::io::duplex(1 << 20);
    let host = Arc::clone(&served.host);
    let answer = service_fn(move |request| {
        let host = Arc::clone(&host);
        async move { Ok::<_, Infallible>(host.handle(request).await) }
    });
    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(theirs), answer));
    let request = format!("{request}Host: f.ops\r\nConnection: close\r\n\r\n");
    ours.write_all(request.as_bytes()).await.unwrap();
    let mut text = Vec::new();
    ours.read_to_end(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_status_keeps_its_phrase() {
    let source = "import bottle\ndef f(event, context):\n    return bottle.HTTPResponse('x', '299 Strange')\n";
    let Some(served) = serve(&PYTHON, source, &[]).await else { return };
    let text = wire(&served, "GET / HTTP/1.1\r\n").await;
    assert!(text.starts_with("HTTP/1.1 299 Strange\r\n"), "{text}");
    let source =
        "exports.f = (e) => { e.extensions.response.statusMessage = 'Fine'; return 'x'; };";
    let Some(served) = serve(&NODEJS, source, &[]).await else { return };
    let text = wire(&served, "GET / HTTP/1.1\r\n").await;
    assert!(text.starts_with("HTTP/1.1 200 Fine\r\n"), "{text}");
}

#[tokio::test]
async fn head_is_get_without_body() {
    let source = "def f(event, context):\n    return event['extensions']['request'].method + '!'\n";
    let Some(served) = serve(&PYTHON, source, &[("FUNC_CONCURRENCY", "1")]).await else { return };
    for _ in 0..3 {
        let text = wire(&served, "HEAD /a HTTP/1.1\r\n").await;
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.to_lowercase().contains("content-length: 4\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\n"), "{text}");
    }
    assert_eq!(served.get("/a").await.text(), "GET!");
    assert_eq!(served.lines.with("\"HEAD /a HTTP/1.1\" 200 0 ").len(), 3, "{:?}", served.lines);
    assert_eq!(served.metric("function_calls_total{method=\"HEAD\"}").await, Some(3.0));
}

/// Breaks when an answer that takes too long ends as if it were whole.
#[tokio::test]
async fn an_answer_that_takes_too_long_is_cut_off() {
    let source = r"
exports.f = (event) => {
  const { request, response } = event.extensions;
  response.write('begun');
  return request.query.fail ? Promise.reject(new Error('x')) : new Promise(() => {});
};
";
    let Some(served) = serve(&NODEJS, source, &[("FUNC_TIMEOUT", "1")]).await else { return };
    for target in ["/?hang=1", "/?fail=1"] {
        let text = wire(&served, &format!("GET {target} HTTP/1.1\r\n")).await;
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.ends_with("5\r\nbegun\r\n"), "{text}");
    }
    let failures = served.metric("function_failures_total{method=\"GET\"}").await;
    assert_eq!(failures, Some(2.0));
}

/// Breaks when calls are not written down.
#[tokio::test]
async fn each_call_is_written_down_once() {
    let Some(served) = serve(&PYTHON, "def f(event, context):\n    return 'hello'\n", &[]).await
    else {
        return;
    };
    let agent = [("user-agent", "test"), ("x-forwarded-for", "10.0.0.1")];
    served.send("PUT", "/a?b=c", &agent, "").await;
    served.get("/healthz").await;
    served.get("/metrics").await;
    served.post("application/json", "{").await;
    let lines = served.lines.with("HTTP/1.1");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("10.0.0.1 - - ["), "{lines:?}");
    assert!(lines[0].ends_with("] \"PUT /a?b=c HTTP/1.1\" 200 5 \"\" \"test\""), "{lines:?}");
    assert!(lines[1].contains("\"POST / HTTP/1.1\" 400 12"), "{lines:?}");
}

#[tokio::test]
async fn what_is_counted_is_called_as_before() {
    let source = "def f(event, context):\n    return 1 // len(event['data'])\n";
    let Some(served) = serve(&PYTHON, source, &[]).await else { return };
    served.post("text/plain", "").await;
    let answer = served.get("/metrics").await;
    assert_eq!(answer.parts().1, "text/plain; charset=utf-8");
    let text = answer.text();
    for line in [
        "# TYPE function_calls_total counter",
        "function_calls_total{method=\"POST\"} 1.0",
        "# TYPE function_failures_total counter",
        "function_failures_total{method=\"POST\"} 1.0",
        "# TYPE function_duration_seconds histogram",
        "function_duration_seconds_bucket{le=\"+Inf\",method=\"POST\"} 1",
        "function_duration_seconds_count{method=\"POST\"} 1",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
    assert!(text.contains("\nfunction_duration_seconds_sum{method=\"POST\"} "), "{text}");
}

/// Breaks when the endpoint of windlass does not tell functions apart.
#[tokio::test]
async fn all_functions_are_counted_together() {
    let source = "def f(event, context):\n    return 1 // len(event['data'])\n";
    let Some(served) = serve(&PYTHON, source, &[]).await else { return };
    served.post("text/plain", "x").await;
    served.post("text/plain", "").await;
    served.post("application/json", "{").await;
    let text = served.totals.text();
    let of = "namespace=\"ops\",function=\"f\"";
    for line in [
        format!("function_calls_total{{{of},method=\"POST\",code=\"200\"}} 1"),
        format!("function_calls_total{{{of},method=\"POST\",code=\"500\"}} 1"),
        format!("function_failures_total{{{of},method=\"POST\",code=\"500\"}} 1"),
        format!("function_workers{{{of},pod=\"f-1\"}} 1"),
        format!("function_queue_depth{{{of},pod=\"f-1\"}} 0"),
    ] {
        assert!(text.contains(&line), "{line}\n{text}");
    }
    assert!(!text.contains("code=\"400\""), "{text}");
}
