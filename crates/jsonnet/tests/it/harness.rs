//! Hook directories, runtimes on them and what they answer.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use jsonnet::{
    CallError, ProgramOptions, Routes, Runtime, RuntimeOptions, WORKER_ARGUMENT, WorkerCommand,
    httpd::{AdminListener, Httpd, HttpdOptions},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    task::JoinHandle,
};

/// A directory of programs and a runtime that serves them.
pub(crate) struct Hooks {
    pub(crate) dir: TempDir,
    pub(crate) runtime: Runtime,
}

/// Returns the command that starts the worker example next to this test executable.
pub(crate) fn worker_command() -> WorkerCommand {
    let exe = std::env::current_exe().unwrap();
    let program = exe.parent().unwrap().parent().unwrap().join("examples/worker");
    WorkerCommand { program, args: vec![WORKER_ARGUMENT.into()] }
}

/// Returns options for a directory of programs.
pub(crate) fn options(dir: &Path) -> RuntimeOptions {
    RuntimeOptions {
        workers: 2,
        // A first call waits for a process to start, on a machine that does other things too.
        timeout: Duration::from_secs(30),
        command: worker_command(),
        programs: ProgramOptions { working_dir: dir.to_owned(), ..ProgramOptions::default() },
        ..RuntimeOptions::default()
    }
}

/// Writes files below `dir`.
pub(crate) fn write(dir: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

impl Hooks {
    /// Serves each file `x.jsonnet` as `x`.
    pub(crate) async fn new(files: &[(&str, &str)]) -> Self {
        Self::with(files, |_| ()).await
    }

    /// Serves files with changed options.
    pub(crate) async fn with(
        files: &[(&str, &str)],
        change: impl FnOnce(&mut RuntimeOptions),
    ) -> Self {
        let dir = TempDir::new().unwrap();
        write(dir.path(), files);
        let mut options = options(dir.path());
        change(&mut options);
        let hooks = Self { runtime: Runtime::new(options), dir };
        for (name, _) in files {
            if let Some(route) = name.strip_suffix(".jsonnet") {
                let _ = hooks.runtime.load(route, &PathBuf::from(name)).await;
            }
        }
        hooks
    }

    /// Calls a route and returns the text of the answer.
    pub(crate) async fn call(&self, route: &str, request: &str) -> Result<String, CallError> {
        let answer = self.runtime.call(route, request.to_owned().into(), None).await?;
        Ok(String::from_utf8(answer.json.to_vec()).unwrap())
    }

    /// Calls a route and returns the error.
    pub(crate) async fn fail(&self, route: &str) -> CallError {
        self.call(route, "null").await.unwrap_err()
    }
}

/// A hook server on free ports of this machine, ended with the test.
pub(crate) struct Server {
    pub(crate) dir: TempDir,
    pub(crate) hooks: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) runtime: Runtime,
    serving: JoinHandle<()>,
}

impl Server {
    /// Serves every `*.jsonnet` of the files.
    pub(crate) async fn new(files: &[(&str, &str)]) -> Self {
        Self::with(files, |_| ()).await
    }

    /// Serves files with changed options.
    pub(crate) async fn with(
        files: &[(&str, &str)],
        change: impl FnOnce(&mut HttpdOptions),
    ) -> Self {
        let dir = TempDir::new().unwrap();
        write(dir.path(), files);
        let httpd = Httpd::start(httpd_options(dir.path(), files, change)).await.unwrap();
        let (hooks, admin) = (httpd.address().unwrap(), httpd.admin_address().unwrap());
        let runtime = httpd.runtime().clone();
        let serving = tokio::spawn(async move {
            httpd.serve(std::future::pending()).await.unwrap();
        });
        Self { dir, hooks, admin, runtime, serving }
    }

    /// Posts to a route.
    pub(crate) async fn post(&self, route: &str, body: &str) -> Reply {
        self.send("POST", route, &[], body.as_bytes()).await
    }

    /// Sends a request to the hook listener.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        send(self.hooks, method, path, headers, body).await
    }

    /// Asks the admin listener.
    pub(crate) async fn ask(&self, path: &str) -> Reply {
        send(self.admin, "GET", path, &[], b"").await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Returns options that serve every `*.jsonnet` of the files on free ports.
pub(crate) fn httpd_options(
    dir: &Path,
    files: &[(&str, &str)],
    change: impl FnOnce(&mut HttpdOptions),
) -> HttpdOptions {
    let programs = files.iter().map(|(name, _)| *name).filter(|name| name.ends_with(".jsonnet"));
    let routes = Routes::from_args(&programs.collect::<Vec<_>>(), |_| false).unwrap();
    let mut httpd = HttpdOptions::new(routes, options(dir));
    "127.0.0.1:0".clone_into(&mut httpd.listen);
    httpd.admin = AdminListener::At("127.0.0.1:0".to_owned());
    httpd.watch = false;
    change(&mut httpd);
    httpd
}

/// An HTTP response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// Sends one request over its own connection.
pub(crate) async fn send(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Reply {
    let mut stream = BufReader::new(TcpStream::connect(to).await.unwrap());
    exchange(&mut stream, method, path, headers, body).await
}

/// Sends one request over an open connection.
pub(crate) async fn exchange(
    stream: &mut BufReader<TcpStream>,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Reply {
    let mut head =
        format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    stream.write_all((head + "\r\n").as_bytes()).await.unwrap();
    // A server that refuses a large body need not read it.
    let _ = stream.write_all(body).await;
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let status = lines[0].split(' ').nth(1).unwrap().parse().unwrap();
    let pairs = lines[1..].iter().filter_map(|line| line.split_once(": "));
    let headers: BTreeMap<_, _> =
        pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    Reply { status, headers, body: String::from_utf8(body).unwrap() }
}
