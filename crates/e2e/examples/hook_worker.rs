//! The worker process that stories run Jsonnet hooks in.

use std::process::ExitCode;

fn main() -> ExitCode {
    jsonnet::worker_main()
}
