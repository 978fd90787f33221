//! What processes cost, as `/proc` tells it, and processes that end with who started them.

use std::{
    ffi::OsStr,
    fs,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, ensure};

/// A process of ours with its files; both go with it.
pub(crate) struct Own {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Own {
    /// Starts a command with more arguments.
    pub(crate) fn start<'a>(
        command: &str,
        arguments: impl IntoIterator<Item = &'a OsStr>,
        folder: tempfile::TempDir,
    ) -> anyhow::Result<Self> {
        let mut words = command.split_whitespace();
        let mut process = Command::new(words.next().context("the command is empty")?);
        process.args(words).args(arguments).stdout(Stdio::null());
        let child = process.spawn().with_context(|| format!("failed to start `{command}`"))?;
        Ok(Self { child, _folder: folder })
    }

    /// Returns the number of the process.
    pub(crate) fn number(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // It may have ended on its own.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The unit of processor times on Linux, whatever the kernel's own clock.
const TICKS: f64 = 100.0;

/// Returns the resident memory of a process in bytes.
pub(crate) fn resident(process: u32) -> anyhow::Result<f64> {
    memory(process, "status", "VmRSS:")
}

/// Returns the most memory of a process that was ever resident, in bytes.
pub(crate) fn peak(process: u32) -> anyhow::Result<f64> {
    memory(process, "status", "VmHWM:")
}

/// Returns the resident memory of a process in bytes, what it shares counted in part.
pub(crate) fn proportional(process: u32) -> anyhow::Result<f64> {
    memory(process, "smaps_rollup", "Pss:")
}

/// Returns the seconds of processor time that a process used so far.
pub(crate) fn processor_time(process: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / TICKS)
}

fn memory(process: u32, file: &str, field: &str) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/{file}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    ensure!(kilobytes.is_some(), "process {process} has no `{field}`");
    Ok(kilobytes.unwrap_or_default().parse::<f64>()? * 1024.0)
}
