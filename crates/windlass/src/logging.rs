//! Log lines, on standard error.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::args::{GlobalArgs, LogFormat};

/// Starts to log. `WINDLASS_LOG` says what, in the form `level` or `target=level,...`; without it `-v` does.
pub(crate) fn start(global: &GlobalArgs, default: &str) {
    let level = match global.verbose {
        0 => default,
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("WINDLASS_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match global.log_format {
        LogFormat::Text => lines.with_ansi(false).init(),
        LogFormat::Json => lines.json().init(),
    }
}
