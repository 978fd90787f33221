//! What a process that was killed left behind: workers' own processes, their sockets, half-written programs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use k8s::{SignedDuration, Timestamp};
use rustix::process::{Pid, Signal, kill_process};

/// What directories of hosts are called, before the number of the process that made them.
const PREFIX: &str = "windlass-host-";
/// How long programs and logs are kept that nobody used.
const KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Returns how a directory for the sockets of this process begins.
pub(crate) fn prefix() -> String {
    format!("{PREFIX}{}-", std::process::id())
}

/// Ends the processes whose host is gone, and removes its directory.
///
/// Workers end with the process that started them, but not what these have started themselves. All inherited the
/// path of a socket in the directory of their host.
pub(crate) fn reap(dir: &Path) {
    let is_left =
        |path: &PathBuf| owner(path).is_some_and(|pid| !Path::new(&process(pid)).exists());
    let left: Vec<_> = entries(dir).filter(is_left).collect();
    if left.is_empty() {
        return;
    }
    let numbers = entries(Path::new("/proc"))
        .filter_map(|path| path.file_name()?.to_str()?.parse::<u32>().ok());
    for pid in numbers {
        // Processes of others cannot be read, and are none of ours.
        let Ok(environment) = fs::read(format!("{}/environ", process(pid))) else { continue };
        let is_of = |host: &PathBuf| has_socket_in(&environment, host);
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        if let (true, Some(pid)) = (left.iter().any(is_of), pid) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    for host in left {
        let _ = fs::remove_dir_all(host);
    }
}

/// Removes what was begun and not finished, and what has been of no use for a long time.
pub(crate) fn sweep(data: &Path, now: Timestamp) {
    for path in entries(&data.join("functions")).chain(entries(&data.join("logs"))) {
        let is_partial =
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !is_partial && !is_old(&path, now) {
            continue;
        }
        let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
    }
}

fn is_old(path: &Path, now: Timestamp) -> bool {
    let written = fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let written = written.and_then(|time| Timestamp::try_from(time).ok());
    written.is_some_and(|written| KEPT < now.duration_since(written))
}

/// Returns the number of the process that made a directory.
fn owner(path: &Path) -> Option<u32> {
    let rest = path.file_name()?.to_str()?.strip_prefix(PREFIX)?;
    rest.split('-').next()?.parse().ok()
}

fn process(pid: u32) -> String {
    format!("/proc/{pid}")
}

/// Returns whether variables, each with a zero after it, name a socket in the directory.
fn has_socket_in(environment: &[u8], dir: &Path) -> bool {
    let start = format!("WINDLASS_SOCKET={}/", dir.display());
    environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(start.as_bytes()))
}

fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// Breaks when `has_socket_in` is not asked, or directories of processes that live are taken.
    #[test]
    fn what_a_dead_host_started_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let mut gone = Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        let left = dir.path().join(format!("{PREFIX}{}-x", gone.id()));
        let used = dir.path().join(format!("{}y", prefix()));
        let started = [&left, &used].map(|host| {
            fs::create_dir(host).unwrap();
            let mut command = Command::new("sleep");
            command.arg("60").env("WINDLASS_SOCKET", host.join("1.sock")).stdin(Stdio::null());
            command.spawn().unwrap()
        });
        reap(dir.path());
        let [mut orphan, mut child] = started;
        assert!(!orphan.wait().unwrap().success());
        assert_eq!(child.try_wait().unwrap(), None);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!((left.exists(), used.exists()), (false, true));
    }

    #[test]
    fn half_and_old_programs_go() {
        let data = tempfile::tempdir().unwrap();
        let programs = data.path().join("functions");
        for name in [".new-1", "abc"] {
            fs::create_dir_all(programs.join(name)).unwrap();
        }
        let written = fs::metadata(programs.join("abc")).unwrap().modified().unwrap();
        let now = Timestamp::try_from(written).unwrap();
        sweep(data.path(), now);
        assert_eq!(entries(&programs).collect::<Vec<_>>(), [programs.join("abc")]);
        sweep(data.path(), now + KEPT + SignedDuration::from_secs(1));
        assert_eq!(entries(&programs).count(), 0);
    }
}
