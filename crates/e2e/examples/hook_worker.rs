//! The executable of all processes that stories run programs in: Jsonnet hooks, and workers of Functions.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    match env::args().nth(1).as_deref() {
        Some(functions::LAUNCH_ARGUMENT) => functions::launch_main(),
        Some(functions::JSONNET_ARGUMENT) => functions::jsonnet_main(),
        _ => jsonnet::worker_main(),
    }
}
