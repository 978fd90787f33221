//! A worker process as its parent sees it.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    io,
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream},
    path::PathBuf,
    process::Stdio,
};

use bytes::Bytes;
use rustix::{
    pipe::{PipeFlags, pipe_with},
    process::{Pid, Signal, kill_process_group},
};
use tokio::{
    io::AsyncReadExt,
    net::UnixStream,
    process::{Child, ChildStderr, Command},
};

use crate::{
    WORKER_ARGUMENT,
    bundle::Revision,
    failure::{CallError, ErrorKind},
    wire::{self, Order, Reply},
};

/// How a worker is started; the memory limit is added as the last argument.
#[derive(Clone, Debug)]
pub struct WorkerCommand {
    /// The executable.
    pub program: PathBuf,
    /// Its first arguments.
    pub args: Vec<OsString>,
}

impl Default for WorkerCommand {
    /// Returns the command that runs this executable as a worker.
    fn default() -> Self {
        // The link leads to this very executable even after its file was replaced.
        let link = PathBuf::from("/proc/self/exe");
        let program = if link.exists() { link } else { std::env::current_exe().unwrap_or(link) };
        Self { program, args: vec![WORKER_ARGUMENT.into()] }
    }
}

/// A running worker. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Worker {
    child: Child,
    socket: UnixStream,
    /// Closed when this process ends, however it ends.
    _lifeline: OwnedFd,
    last_words: Option<ChildStderr>,
    pub(super) loaded: BTreeSet<Revision>,
}

impl Worker {
    pub(super) fn start(command: &WorkerCommand, max_memory: u64) -> io::Result<Self> {
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        let (lifeline_end, lifeline) = pipe_with(PipeFlags::CLOEXEC)?;
        let mut child = Command::new(&command.program)
            .args(&command.args)
            .arg(max_memory.to_string())
            .env_clear()
            // The arena of a second thread would count against the limit.
            .env("MALLOC_ARENA_MAX", "1")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(lifeline_end))
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let last_words = child.stderr.take();
        let socket = UnixStream::from_std(ours)?;
        Ok(Self { child, socket, _lifeline: lifeline, last_words, loaded: BTreeSet::new() })
    }

    /// Returns the process id as long as the process has not been waited for.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Returns whether the process has not ended while it had nothing to do.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Gives an order and waits for the answer, whose parts are at most `limit` bytes each.
    pub(super) async fn ask(
        &mut self,
        order: &Order,
        body: &[u8],
        limit: usize,
    ) -> io::Result<(Reply, Bytes)> {
        wire::send(&mut self.socket, order, body).await?;
        wire::receive(&mut self.socket, limit).await
    }

    /// Waits for the end of a worker that has hung up, and says what it died of.
    pub(super) async fn cause_of_death(mut self, max_memory: u64) -> CallError {
        self.kill();
        let mut words = Vec::new();
        if let Some(stderr) = self.last_words.take() {
            let _ = stderr.take(16 * 1024).read_to_end(&mut words).await;
        }
        let status = self.child.wait().await.map(|status| status.to_string());
        diagnose(&String::from_utf8_lossy(&words), &status.unwrap_or_default(), max_memory)
    }

    fn kill(&mut self) {
        // The worker leads its own group.
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Tells a lack of memory, which ends a process, from other ends.
fn diagnose(words: &str, status: &str, max_memory: u64) -> CallError {
    const MEMORY: [&str; 4] =
        ["memory allocation of", "out of memory", "capacity overflow", "Out of memory"];
    if MEMORY.iter().any(|sign| words.contains(sign)) {
        let text = format!("RUNTIME ERROR: out of memory: a worker may use {max_memory} bytes");
        return CallError::new(ErrorKind::Memory, text);
    }
    let reason = words.lines().find(|line| !line.is_empty()).unwrap_or(status);
    CallError::new(ErrorKind::Runtime, format!("RUNTIME ERROR: the worker died: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_tell_the_kind() {
        let kind = |words| diagnose(words, "signal: 6", 1).kind;
        assert_eq!(kind("memory allocation of 17 bytes failed\n"), ErrorKind::Memory);
        assert_eq!(kind("thread 'main' has overflowed its stack\n"), ErrorKind::Runtime);
        assert_eq!(diagnose("", "signal: 9", 1).text, "RUNTIME ERROR: the worker died: signal: 9");
    }
}
