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
    process::{Child, Command},
    sync::watch,
};

use super::{Log, settings::Settings};
use crate::launch::Launcher;

/// How much of what a process says while it loads is kept for the message that it failed.
const LAST_WORDS: usize = 4096;

/// The longest line that is taken as one.
const LONGEST_LINE: u64 = 64 * 1024;

/// The header by which a host asks whether a process is still there; the program does not see it.
const PING: &str = "windlass-ping";
/// How long the answer to that may take.
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
    exited: watch::Receiver<Option<String>>,
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
    pub(super) launcher: &'a Launcher,
    pub(super) settings: &'a Settings,
    /// What is run, with its arguments.
    pub(super) command: &'a [std::ffi::OsString],
    /// The directory of its socket.
    pub(super) scratch: &'a Path,
    pub(super) id: u64,
    pub(super) log: &'a Arc<dyn Log>,
}

impl Worker {
    pub(super) fn start(start: &Start<'_>) -> io::Result<Self> {
        let Start { launcher, settings, command, scratch, id, log } = start;
        let socket = scratch.join(format!("{id}.sock"));
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut child = Command::new(&launcher.program)
            .args(&launcher.args)
            .arg(settings.memory_limit().to_string())
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
        follow(child.stdout.take(), log, &words);
        follow(child.stderr.take(), log, &words);
        let (sender, exited) = watch::channel(None);
        tokio::spawn(wait(child, sender));
        let control = tokio::sync::Mutex::new(BufReader::new(UnixStream::from_std(ours)?));
        Ok(Self { pid, socket, connections: Mutex::default(), control, words, exited })
    }

    /// Waits until the program is loaded.
    ///
    /// # Errors
    ///
    /// What a person should know of why it is not.
    pub(super) async fn loaded(&self) -> Result<(), String> {
        let mut line = Vec::new();
        let mut control = self.control.lock().await;
        // Whatever sits there may say anything, and for ever.
        let read = (&mut *control).take(LONGEST_LINE).read_until(b'\n', &mut line).await;
        drop(control);
        match serde_json::from_slice::<Loaded>(&line) {
            Ok(Loaded { error: None }) if read.is_ok() => Ok(()),
            Ok(Loaded { error: Some(error) }) => Err(error),
            // What is no such line comes from no shim, and its process would go on.
            _ => {
                self.kill();
                let how = self.exit().await;
                let words = self.words.lock().expect("the lock of words is never poisoned").clone();
                Err(if words.trim().is_empty() { how } else { words.trim().to_owned() })
            }
        }
    }

    /// Waits for the end of the process and says how it ended.
    ///
    /// Waiting for it does not keep the process alive.
    pub(super) fn exit(&self) -> impl Future<Output = String> + use<> {
        let mut exited = self.exited.clone();
        async move {
            let ended = exited.wait_for(Option::is_some).await;
            ended.ok().and_then(|how| how.clone()).unwrap_or_else(|| "the process ended".to_owned())
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

async fn wait(mut child: Child, exited: watch::Sender<Option<String>>) {
    let how = child.wait().await;
    exited.send_replace(Some(how.map_or_else(|error| error.to_string(), |how| how.to_string())));
}

/// Hands on what the process prints, line by line.
fn follow(
    output: Option<impl AsyncRead + Unpin + Send + 'static>,
    log: &Arc<dyn Log>,
    words: &Arc<Mutex<String>>,
) {
    let Some(output) = output else { return };
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
            if words.len() + text.len() <= LAST_WORDS {
                words.push_str(&text);
            }
            drop(words);
            line.clear();
        }
    });
}
