//! The executable that tests start workers with.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    match env::args().nth(1).as_deref() {
        Some(functions::LAUNCH_ARGUMENT) => functions::launch_main(),
        Some(functions::JSONNET_ARGUMENT) => functions::jsonnet_main(),
        _ => ExitCode::from(2),
    }
}
