//! Serves one Jsonnet function over a private socket, as the shims of other languages do: this executable, in a
//! process that the host may kill.

use std::{
    cell::RefCell,
    convert::Infallible,
    env,
    io::{self, Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    path::Path,
    process::ExitCode,
    rc::Rc,
    thread,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header, request};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use jsonnet::{Answer, InPlace};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::{net::UnixListener, task::LocalSet};

use crate::{
    host::{FAILED, is_json, media_type},
    runtimes::Language,
};

/// How many bytes a program may use unless its function says so: recursion must not use up the machine.
const MEMORY: u64 = 512 << 20;

/// Serves the function that the variables of this process name, until the host is gone.
///
/// The binary calls this when its first argument is [`JSONNET_ARGUMENT`](crate::JSONNET_ARGUMENT).
pub fn jsonnet_main() -> ExitCode {
    let limit = getrlimit(Resource::Data);
    if limit.current.is_none() {
        let _ = setrlimit(Resource::Data, Rlimit { current: Some(MEMORY), maximum: limit.maximum });
    }
    let Ok(mut control) = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from) else {
        return ExitCode::from(2);
    };
    let said = match serve(&control) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(error) => json!({"error": error}),
    };
    let _ = writeln!(control, "{said}");
    ExitCode::FAILURE
}

fn serve(control: &UnixStream) -> Result<(), String> {
    let told = |error: io::Error| error.to_string();
    let about = About::read();
    let file = format!("{}{}", about.module, Language::Jsonnet.facts().suffix);
    let program = InPlace::load(Path::new("."), &file, &about.function);
    let program = program.map_err(|error| error.text)?;
    let worker = Rc::new(Worker { about, program: RefCell::new(program) });
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(told)?;
    let (control, socket) = (control.try_clone(), variable("WINDLASS_SOCKET"));
    LocalSet::new().block_on(&runtime, async {
        let listener = UnixListener::bind(socket).map_err(told)?;
        let mut control = control.map_err(told)?;
        control.write_all(b"{}\n").map_err(told)?;
        // A thread of its own sees the end of the host even while the program is in an endless loop.
        thread::Builder::new().spawn(move || follow(control)).map_err(told)?;
        loop {
            let (stream, _) = listener.accept().await.map_err(told)?;
            let worker = Rc::clone(&worker);
            let answer = service_fn(move |request| {
                let worker = Rc::clone(&worker);
                async move { Ok::<_, Infallible>(worker.answer(request).await) }
            });
            // The host has no use for the answer if the connection breaks.
            tokio::task::spawn_local(
                http1::Builder::new().serve_connection(TokioIo::new(stream), answer),
            );
        }
    })
}

/// Ends the process with the host: nothing is ever sent to it.
fn follow(mut control: UnixStream) {
    let _ = control.read(&mut [0]);
    std::process::exit(0);
}

/// What the process was told of its function.
struct About {
    module: String,
    function: String,
    context: String,
    exposes: bool,
}

/// The program, and how it is called.
struct Worker {
    about: About,
    program: RefCell<InPlace>,
}

impl About {
    fn read() -> Self {
        let function = variable("FUNC_HANDLER");
        let context = json!({
            "function-name": function, "timeout": variable("FUNC_TIMEOUT"),
            "runtime": variable("FUNC_RUNTIME"),
            "memory-limit": variable("FUNC_MEMORY_LIMIT")});
        let exposes =
            ["true", "1"].contains(&variable("FUNC_EXPOSE_ERRORS").to_lowercase().as_str());
        Self { module: variable("MOD_NAME"), function, context: context.to_string(), exposes }
    }
}

impl Worker {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await else {
            return failed("Incomplete body".to_owned());
        };
        let data = data(&head.headers, &body.to_bytes());
        let event = event(&head, &data);
        let arguments: [(&str, &[u8]); 3] = [
            ("request", data.as_bytes()),
            ("event", event.as_bytes()),
            ("context", self.about.context.as_bytes()),
        ];
        let answer = self.program.borrow_mut().call(&arguments, say);
        match answer {
            Ok(Answer::Text(text)) => respond("text/plain; charset=utf-8", text),
            Ok(Answer::Json(text)) => respond("application/json", text),
            Err(error) => {
                say(&error.text);
                let told = format!("Error: {}: {}", error.kind.as_str(), error.message());
                failed(if self.about.exposes { told } else { "Internal Server Error".to_owned() })
            }
        }
    }
}

/// Returns what a function gets for a body, as JSON.
fn data(headers: &HeaderMap, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    if body.is_empty() {
        "null".to_owned()
    } else if is_json(&media_type(headers)) {
        text.into_owned()
    } else {
        Value::from(text).to_string()
    }
}

/// Returns the event of a request, as JSON; its data are JSON already.
fn event(head: &request::Parts, data: &str) -> String {
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let headers = head
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.into())));
    let headers: serde_json::Map<String, Value> = headers.collect();
    let rest = json!({
        "event-id": text("event-id"), "event-type": text("event-type"), "event-time": text("event-time"),
        "event-namespace": text("event-namespace"),
        "extensions": {"request": {
            "method": head.method.as_str(), "path": head.uri.path(), "query": head.uri.query().unwrap_or_default(),
            "headers": headers}}})
    .to_string();
    // Large data are not read a second time just to be written again.
    format!("{{\"data\": {data}, {}", rest.trim_start_matches('{'))
}

fn respond(kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn failed(text: String) -> Response<Full<Bytes>> {
    let mut response = respond("text/plain; charset=utf-8", text);
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response.headers_mut().insert(FAILED, HeaderValue::from_static("1"));
    response
}

/// Says something to the log of the function.
fn say(line: &str) {
    // There is no logger in this process: the host reads what it prints.
    let _ = writeln!(io::stderr(), "{line}");
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(kind: &str) -> request::Parts {
        let request = Request::builder().uri("/a?b=c").header(header::CONTENT_TYPE, kind);
        request.header("event-id", "7").body(()).unwrap().into_parts().0
    }

    #[test]
    fn data_are_json_whatever_the_body() {
        let data = |kind: &str, body: &str| data(&head(kind).headers, body.as_bytes());
        assert_eq!(data("application/json; charset=utf-8", "{\"a\": 1}"), "{\"a\": 1}");
        assert_eq!(data("text/plain", "a\"b"), "\"a\\\"b\"");
        assert_eq!(data("application/json", ""), "null");
    }

    #[test]
    fn an_event_has_its_data_and_its_request() {
        let event: Value = serde_json::from_str(&event(&head("text/plain"), "[1]")).unwrap();
        assert_eq!(event["data"], json!([1]));
        assert_eq!((event["event-id"].as_str(), event["event-type"].as_str()), (Some("7"), None));
        assert_eq!(event["extensions"]["request"]["path"], "/a");
        assert_eq!(event["extensions"]["request"]["query"], "b=c");
        assert_eq!(event["extensions"]["request"]["headers"]["content-type"], "text/plain");
    }
}
