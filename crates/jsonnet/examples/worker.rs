//! A worker executable for this crate's tests, and two parents of workers that a test may kill.

use std::{
    env,
    io::{Write, stdout},
    path::Path,
    process::ExitCode,
};

use jsonnet::{
    Routes, Runtime, RuntimeOptions,
    httpd::{self, AdminListener, Httpd, HttpdOptions},
};

fn main() -> ExitCode {
    let args: Vec<_> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [jsonnet::WORKER_ARGUMENT, ..] => jsonnet::worker_main(),
        ["parent", program] => parent(program),
        ["httpd", program] => serve(program),
        _ => ExitCode::from(2),
    }
}

/// Starts a worker, prints its process id and sends it into the endless loop of the given program.
#[tokio::main(flavor = "multi_thread")]
async fn parent(program: &str) -> ExitCode {
    let runtime = Runtime::new(RuntimeOptions { workers: 1, ..RuntimeOptions::default() });
    let loaded = runtime.load("loop", Path::new(program)).await;
    let [worker] = runtime.idle_workers()[..] else {
        return ExitCode::FAILURE;
    };
    let _ = writeln!(stdout(), "{worker}");
    let called = runtime.call("loop", "null".into(), None).await;
    ExitCode::from(u8::from(loaded.is_ok() && called.is_ok()))
}

/// Serves a program, prints both addresses, and ends when told to.
#[tokio::main(flavor = "multi_thread")]
async fn serve(program: &str) -> ExitCode {
    let routes = Routes::from_args(&[program], Path::is_dir).expect("the argument is a program");
    let local = "127.0.0.1:0".to_owned();
    let mut options = HttpdOptions::new(routes, RuntimeOptions::default());
    options.listen = local.clone();
    options.admin = AdminListener::At(local);
    let signals = httpd::signals().expect("signals can be awaited");
    let httpd = Httpd::start(options).await.expect("the program can be served");
    let address = httpd.address().expect("it listens");
    let admin = httpd.admin_address().expect("it listens");
    let _ = writeln!(stdout(), "{address} {admin}");
    ExitCode::from(u8::from(httpd.serve(signals).await.is_err()))
}
