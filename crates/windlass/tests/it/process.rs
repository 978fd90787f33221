//! Runs the binary in a directory of its own.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use tempfile::TempDir;

/// The flags of an engine that takes no ports from others.
pub(crate) const NOTHING_SERVED: [&str; 2] =
    ["--metrics-address=0", "--health-probe-bind-address=0"];

/// How a run ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Returns a directory with these files.
pub(crate) fn dir(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

/// Returns the binary, to be run in a directory.
pub(crate) fn windlass(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
    command.args(arguments).current_dir(dir).env_remove("KUBECONFIG").stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
pub(crate) fn run(dir: &Path, arguments: &[&str]) -> Ended {
    let output = windlass(dir, arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// How long a line may let wait for itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// A process that is killed with the test, and the lines it prints.
pub(crate) struct Running {
    pub(crate) child: Child,
    lines: Receiver<String>,
}

impl Running {
    pub(crate) fn start(dir: &Path, arguments: &[&str]) -> Self {
        let mut child = windlass(dir, arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines = lines(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// Starts a process whose log is read instead of its output.
    pub(crate) fn logging(dir: &Path, arguments: &[&str]) -> Self {
        let mut child = windlass(dir, arguments).stderr(Stdio::piped()).spawn().unwrap();
        let lines = lines(child.stderr.take().unwrap());
        Self { child, lines }
    }

    /// Starts a program of another kind, whose output is of no interest.
    pub(crate) fn other(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        let output = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = output.spawn().unwrap();
        let lines = lines(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// Serves the Jsonnet programs of a directory and returns where.
    pub(crate) fn httpd(dir: &Path, hooks: &str) -> (Self, String) {
        let listen = ["httpd", hooks, "-l", "127.0.0.1:0", "--admin-listen-addr", "off"];
        let mut httpd = Self::logging(dir, &listen);
        let line = httpd.until("serving hook");
        let address = line.split("address=\"").nth(1).and_then(|rest| rest.split('"').next());
        (httpd, address.unwrap().to_owned())
    }

    /// Reads up to the first line that has this text, and returns it.
    pub(crate) fn until(&mut self, text: &str) -> String {
        let mut seen = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            if line.contains(text) {
                return line;
            }
            seen.push(line);
        }
        panic!("no line with `{text}` in {PATIENCE:?}:\n{}", seen.join("\n"));
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn signal(&mut self, signal: rustix::process::Signal) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads lines beside the test, so that it can give up waiting for one.
fn lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        let read = BufReader::new(output).lines().map_while(Result::ok);
        // The test may end before the process does.
        read.map(|line| sender.send(line)).take_while(Result::is_ok).for_each(drop);
    });
    lines
}

/// Returns a port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Returns the path of an example.
pub(crate) fn example(name: &str) -> String {
    format!("{}/../../examples/{name}", env!("CARGO_MANIFEST_DIR"))
}
