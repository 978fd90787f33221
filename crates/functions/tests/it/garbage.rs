//! Processes that do not keep to what a host and a shim have agreed on.

use proptest::{collection::vec, prelude::*, test_runner::TestRunner};

use crate::harness::{COMPILED, Served, serve};

/// A program that says it is ready, and answers each request with the bytes of its body.
const REPEATS: &str = r#"#!python3
import os, socket
control = socket.socket(fileno=0)
listener = socket.socket(socket.AF_UNIX)
listener.bind(os.environ["WINDLASS_SOCKET"])
listener.listen(8)
control.sendall(b"{}\n")
while True:
    connection, _ = listener.accept()
    with connection, connection.makefile("rb") as stream:
        length = 0
        for line in iter(stream.readline, b"\r\n"):
            name, _, value = line.lower().partition(b":")
            if name == b"content-length":
                length = int(value)
        try:
            connection.sendall(stream.read(length))
        except OSError:
            pass
"#;

async fn answered(served: &Served, bytes: Vec<u8>) -> u16 {
    let request = http::Request::post("/").body(http_body_util::Full::new(bytes.into())).unwrap();
    let (head, body) = served.host.handle(request).await.into_parts();
    // A body may end too soon, which its reader is told.
    let _ = http_body_util::BodyExt::collect(body).await;
    head.status.as_u16()
}

/// Breaks when an answer that cannot be read is not an error of the process.
#[test]
fn no_bytes_of_a_process_do_harm() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let Some(served) = runtime.block_on(serve(&COMPILED, REPEATS, &[])) else { return };
    let good = b"HTTP/1.1 201 Made\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx";
    let status = |bytes: &[u8]| runtime.block_on(answered(&served, bytes.to_vec()));
    assert_eq!(status(good), 201);
    for (bytes, expected) in [
        (&b""[..], 502),
        (b"\x00\xff", 502),
        (b"HTTP/1.1 999999 x\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", 200),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 200),
        (b"HTTP/1.1 200 OK\r\nA\x00: b\r\n\r\n", 502),
    ] {
        assert_eq!(status(bytes), expected, "{}", bytes.escape_ascii());
    }
    let failures = runtime.block_on(served.metric("function_failures_total{method=\"POST\"}"));
    assert_eq!(failures, Some(6.0));
    let line = prop_oneof![Just(b"HTTP/1.1 200 OK\r\n".to_vec()), vec(any::<u8>(), 0..20)];
    let header = prop_oneof![
        Just(b"Content-Length: 3\r\n".to_vec()),
        Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
        vec(any::<u8>(), 0..20),
        Just(b"\r\n".to_vec()),
    ];
    let bytes = (line, vec(header, 0..4), vec(any::<u8>(), 0..40))
        .prop_map(|(line, headers, rest)| [line, headers.concat(), rest].concat());
    let mut runner = TestRunner::new(ProptestConfig { cases: 128, ..ProptestConfig::default() });
    runner
        .run(&bytes, |bytes| {
            let status = status(&bytes);
            prop_assert!(status != 408, "{}", bytes.escape_ascii());
            Ok(())
        })
        .unwrap();
    // The connection before this may have ended unseen.
    status(good);
    assert_eq!(status(good), 201);
}

/// Breaks when anything but `{}` passes for a program that is loaded.
#[tokio::test]
async fn a_process_that_says_something_else_has_not_loaded() {
    for said in [r"b'\xff\xfe\n'", "b'[]\\n'", r#"b'{"error": 5}\n'"#, "b'{' * 100000", "b''"] {
        let source = format!(
            "#!python3\nimport socket, time\nprint('I am ' + 'no shim', flush=True)\n\
             control = socket.socket(fileno=0)\ncontrol.sendall({said})\n\
             control.shutdown(socket.SHUT_WR)\ntime.sleep(600)\n"
        );
        let Some(served) = serve(&COMPILED, &source, &[]).await else { return };
        let health = served.host.health().borrow().clone();
        assert!(!health.is_ready, "{said}");
        assert_eq!(health.failure.as_deref(), Some("I am no shim"), "{said}");
    }
}

/// Breaks when a line is kept as long as it goes on.
#[tokio::test]
async fn lines_without_end_come_in_parts() {
    let source = "import sys\n\ndef f(event, context):\n    sys.stdout.write('x' * 1000000)\n";
    let Some(served) = serve(&crate::harness::PYTHON, source, &[]).await else { return };
    assert_eq!(served.get("/").await.status, 200);
    crate::harness::until("all of it", || {
        let parts = served.lines.with("xxx");
        parts.iter().map(String::len).sum::<usize>() >= 900_000
            && parts.iter().all(|it| it.len() <= 65_536)
    })
    .await;
}
