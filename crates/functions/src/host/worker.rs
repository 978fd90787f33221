//! One process that runs a program, and the private socket over which it is called.
//!
//! Standard input of the process is a socket as well: on it the process says that it has loaded the program,
//! or why not, and its end tells the process that it is no longer wanted.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use futures::future::join_all;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use k8s::SharedClock;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader},
    net::UnixStream,
    process::Command,
    sync::watch,
    task::JoinHandle,
};

use super::{
    Log, Means,
    end::{End, end},
    settings::Settings,
};
use crate::runtimes::Language;

/// How much of the last that a process printed is kept to tell why it ended.
const LAST_WORDS: usize = 4096;

/// The longest line that is taken as one.
const LONGEST_LINE: u64 = 64 * 1024;

/// The header by which a host asks whether a process is still there; the program does not see it.
const PING: &str = "windlass-ping";
/// How long the answer to that may take, and the last words of a process that has ended.
const PATIENCE: Duration = Duration::from_secs(1);

/// A running process. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Worker {
    pid: Option<Pid>,
    socket: PathBuf,
    connections: Mutex<Vec<Connection>>,
    /// Kept open: its end is the process's.
    control: tokio::sync::Mutex<BufReader<UnixStream>>,
    words: Arc<Mutex<String>>,
    exited: watch::Receiver<Option<End>>,
}

/// A connection to the process, which takes one request after another.
pub(super) type Connection = SendRequest<Full<Bytes>>;

/// What a process says once it has loaded the program, or has not.
#[derive(Debug, Deserialize)]
struct Loaded {
    error: Option<String>,
}

/// A response, and the connection it comes over.
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    pub(super) connection: Connection,
}

/// How a worker is started.
pub(super) struct Start<'a> {
    pub(super) means: &'a Means,
    pub(super) settings: &'a Settings,
    /// What is run, with its arguments.
    pub(super) command: &'a [std::ffi::OsString],
    /// The directory of its socket.
    pub(super) scratch: &'a Path,
    pub(super) id: u64,
}

impl Worker {
    pub(super) fn start(start: &Start<'_>) -> io::Result<Self> {
        let Start { means, settings, command, scratch, id } = start;
        let Means { launcher, log, clock, .. } = means;
        let socket = scratch.join(format!("{id}.sock"));
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut child = Command::new(&launcher.program)
            .args(&launcher.args)
            .arg(settings.system_limit().to_string())
            .args(*command)
            .env_clear()
            .envs(&settings.env)
            .env("WINDLASS_SOCKET", &socket)
            .env("HOME", scratch)
            .current_dir(&settings.dir)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        let words = Arc::<Mutex<String>>::default();
        let printed = [
            child.stdout.take().map(|it| follow(it, log, &words)),
            child.stderr.take().map(|it| follow(it, log, &words)),
        ];
        let (sender, exited) = watch::channel(None);
        // The program itself decides that a Jsonnet function has a limit.
        let has_limit = settings.memory_limit() != 0 || settings.language == Language::Jsonnet;
        let (clock, last) = (Arc::clone(clock), Arc::clone(&words));
        tokio::spawn(async move {
            let how = child.wait().await;
            let how = how.map_or_else(|error| error.to_string(), |how| how.to_string());
            if let Some(pid) = pid {
                // What it has started goes with it.
                let _ = kill_process_group(pid, Signal::KILL);
            }
            // A process that left the group may keep the pipe open.
            tokio::select! {
                _ = join_all(printed.into_iter().flatten()) => {}
                () = clock.sleep_until(clock.after(PATIENCE)) => {}
            }
            let last = last.lock().expect("the lock of words is never poisoned").clone();
            sender.send_replace(Some(end(how, &last, has_limit)));
        });
        let control = tokio::sync::Mutex::new(BufReader::new(UnixStream::from_std(ours)?));
        Ok(Self { pid, socket, connections: Mutex::default(), control, words, exited })
    }

    /// Waits until the program is loaded.
    ///
    /// # Errors
    ///
    /// What a person should know of why it is not.
    pub(super) async fn loaded(&self) -> Result<(), End> {
        let mut line = Vec::new();
        let mut control = self.control.lock().await;
        // Whatever sits there may say anything, and for ever.
        let read = (&mut *control).take(LONGEST_LINE).read_until(b'\n', &mut line).await;
        drop(control);
        match serde_json::from_slice::<Loaded>(&line) {
            Ok(Loaded { error: None }) if read.is_ok() => Ok(()),
            Ok(Loaded { error: Some(message) }) => Err(End { message, ..End::default() }),
            // What is no such line comes from no shim, and its process would go on.
            _ => {
                self.kill();
                let end = self.exit().await;
                let words = self.words.lock().expect("the lock of words is never poisoned").clone();
                let words = words.trim();
                Err(if words.is_empty() { end } else { End { message: words.to_owned(), ..end } })
            }
        }
    }

    /// Waits for the end of the process and says how it ended.
    ///
    /// Waiting for it does not keep the process alive.
    pub(super) fn exit(&self) -> impl Future<Output = End> + use<> {
        let mut exited = self.exited.clone();
        async move {
            let ended = exited.wait_for(Option::is_some).await;
            ended.ok().and_then(|end| end.clone()).unwrap_or_default()
        }
    }

    /// Sends a request; the connection is to be given back after the whole answer was read.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, hyper::Error> {
        let mut connection = self.connect().await?;
        let response = connection.send_request(request).await?;
        Ok(Answer { response, connection })
    }

    /// Returns whether the process still answers at all, within a second.
    pub(super) async fn is_responsive(&self, clock: &SharedClock) -> bool {
        let mut ping = Request::new(Full::default());
        let _ = ping.headers_mut().insert(PING, HeaderValue::from_static("1"));
        tokio::select! {
            answer = self.send(ping) => answer.is_ok(),
            () = clock.sleep_until(clock.now() + PATIENCE) => false,
        }
    }

    /// Keeps a connection for the next call.
    pub(super) fn give_back(&self, connection: Connection) {
        self.connections().push(connection);
    }

    /// Kills the process and all that it started.
    pub(super) fn kill(&self) {
        if let Some(pid) = self.pid.filter(|_| self.exited.borrow().is_none()) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }

    async fn connect(&self) -> Result<Connection, hyper::Error> {
        loop {
            let kept = self.connections().pop();
            let Some(mut connection) = kept else { break };
            if connection.ready().await.is_ok() {
                return Ok(connection);
            }
        }
        let stream = UnixStream::connect(&self.socket).await;
        // A socket that is not there any more reads as a connection that ends at once.
        let stream = stream.or_else(|_| {
            StdStream::pair().and_then(|(ours, _)| {
                ours.set_nonblocking(true)?;
                UnixStream::from_std(ours)
            })
        });
        let stream = stream.expect("a process can have one more socket");
        let (connection, driver) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(driver);
        Ok(connection)
    }

    fn connections(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.connections.lock().expect("the lock of connections is never poisoned")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Hands on what the process prints, line by line.
fn follow(
    output: impl AsyncRead + Unpin + Send + 'static,
    log: &Arc<dyn Log>,
    words: &Arc<Mutex<String>>,
) -> JoinHandle<()> {
    let (log, words) = (Arc::clone(log), Arc::clone(words));
    tokio::spawn(async move {
        let (mut output, mut line) = (BufReader::new(output), Vec::new());
        // A line without end comes in parts, because there is no room for all of it.
        while (&mut output)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line)
            .await
            .is_ok_and(|read| read != 0)
        {
            let text = String::from_utf8_lossy(&line);
            log.line(text.trim_end_matches('\n'));
            let mut words = words.lock().expect("the lock of words is never poisoned");
            keep(&mut words, &text);
            drop(words);
            line.clear();
        }
    })
}

/// Adds a text to the last words, whose beginning makes room for it.
fn keep(words: &mut String, text: &str) {
    words.push_str(text);
    let most = words.len().saturating_sub(LAST_WORDS);
    let cut = (most..=words.len()).find(|at| words.is_char_boundary(*at));
    words.drain(..cut.unwrap_or_default());
}
