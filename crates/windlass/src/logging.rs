//! Log lines, on standard error.

use std::{fmt, io};

use cli::engine::{LogFlags, LogLevel, TimeEncoding};
use k8s::{Clock, SystemClock, Timestamp};
use tracing_subscriber::{
    EnvFilter,
    fmt::{format::Writer, time::FormatTime},
};

use crate::args::{GlobalArgs, LogFormat};

/// Starts to log. `WINDLASS_LOG` says what, in the form `level` or `target=level,...`; without it `-v` does.
pub(crate) fn start(global: &GlobalArgs, default: &str) {
    let level = match global.verbose {
        // The client's errors are told by the command itself.
        0 if default == "error" => "error,kube_client=off",
        0 => default,
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = filter(level);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match global.log_format {
        LogFormat::Text => lines.with_ansi(false).init(),
        LogFormat::Json => lines.json().init(),
    }
}

/// Starts to log as the engine's flags say.
pub(crate) fn start_engine(flags: &LogFlags) {
    let default = if flags.devel { LogLevel::More(1) } else { LogLevel::Info };
    let filter = filter(&directives(flags.level.unwrap_or(default)));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let lines = lines.with_timer(Time(flags.time));
    if flags.json.unwrap_or(!flags.devel) {
        lines.json().init();
    } else {
        lines.with_ansi(false).init();
    }
}

/// Returns what is logged at a level of the engine's.
fn directives(level: LogLevel) -> String {
    let (level, more) = match level {
        LogLevel::Error => ("error", ""),
        LogLevel::Info => ("info", ""),
        LogLevel::More(0..=4) => ("debug", ""),
        LogLevel::More(5) => ("debug", ",engine::diff=trace"),
        LogLevel::More(6) => ("debug", ",engine::diff=trace,engine::body=trace"),
        LogLevel::More(_) => ("trace", ""),
    };
    // What libraries have to say of their connections helps nobody who looks for a controller's fault.
    format!("warn,{}{more}", OURS.map(|part| format!("{part}={level}")).join(","))
}

/// The crates whose log lines are wanted.
const OURS: [&str; 5] = ["engine", "runtime", "hooks", "cli", "jsonnet"];

fn filter(default: &str) -> EnvFilter {
    EnvFilter::try_from_env("WINDLASS_LOG").unwrap_or_else(|_| EnvFilter::new(default))
}

/// Writes the time as it was asked for.
struct Time(TimeEncoding);

impl FormatTime for Time {
    fn format_time(&self, line: &mut Writer<'_>) -> fmt::Result {
        line.write_str(&written(self.0, SystemClock.now()))
    }
}

fn written(encoding: TimeEncoding, now: Timestamp) -> String {
    match encoding {
        TimeEncoding::Epoch => {
            format!("{}.{:06}", now.as_second(), now.subsec_nanosecond() / 1000)
        }
        TimeEncoding::Millis => now.as_millisecond().to_string(),
        TimeEncoding::Nano => now.as_nanosecond().to_string(),
        TimeEncoding::Iso8601 => now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        TimeEncoding::Rfc3339 => now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        TimeEncoding::Rfc3339Nano => now.strftime("%Y-%m-%dT%H:%M:%S%.fZ").to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_tells_more() {
        for (level, of_engine, more) in [
            (LogLevel::Error, "engine=error", ""),
            (LogLevel::Info, "engine=info", ""),
            (LogLevel::More(1), "engine=debug", ""),
            (LogLevel::More(4), "engine=debug", ""),
            (LogLevel::More(5), "engine=debug", ",engine::diff=trace"),
            (LogLevel::More(6), "engine=debug", ",engine::body=trace"),
            (LogLevel::More(7), "engine=trace", ""),
        ] {
            let text = directives(level);
            assert!(
                text.starts_with(&format!("warn,{of_engine}")) && text.ends_with(more),
                "{text}"
            );
            assert!(EnvFilter::try_new(&text).is_ok(), "{text}");
        }
    }

    #[test]
    fn the_time_is_written_as_it_was_asked_for() {
        let now: Timestamp = "2026-01-02T03:04:05.678901Z".parse().unwrap();
        for (encoding, text) in [
            (TimeEncoding::Epoch, "1767323045.678901"),
            (TimeEncoding::Millis, "1767323045678"),
            (TimeEncoding::Nano, "1767323045678901000"),
            (TimeEncoding::Iso8601, "2026-01-02T03:04:05.678Z"),
            (TimeEncoding::Rfc3339, "2026-01-02T03:04:05Z"),
            (TimeEncoding::Rfc3339Nano, "2026-01-02T03:04:05.678901Z"),
        ] {
            assert_eq!(written(encoding, now), text);
        }
    }
}
