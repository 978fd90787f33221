//! A worker executable for this crate's tests, and a parent of workers that a test may kill.

use std::{env, io::Write, path::Path, process::ExitCode};

use jsonnet::{Runtime, RuntimeOptions};

fn main() -> ExitCode {
    match env::args().nth(1).as_deref() {
        Some(jsonnet::WORKER_ARGUMENT) => jsonnet::worker_main(),
        Some("parent") => parent(),
        _ => ExitCode::from(2),
    }
}

/// Starts a worker, prints its process id and sends it into the endless loop of the given program.
#[tokio::main(flavor = "multi_thread")]
async fn parent() -> ExitCode {
    let Some(program) = env::args().nth(2) else {
        return ExitCode::from(2);
    };
    let runtime = Runtime::new(RuntimeOptions { workers: 1, ..RuntimeOptions::default() });
    let loaded = runtime.load("loop", Path::new(&program)).await;
    let [worker] = runtime.idle_workers()[..] else {
        return ExitCode::FAILURE;
    };
    let _ = writeln!(std::io::stdout(), "{worker}");
    let called = runtime.call("loop", "null".into(), None).await;
    ExitCode::from(u8::from(loaded.is_ok() && called.is_ok()))
}
