//! The inside of a worker process: takes programs and requests from its parent, does no other I/O.

use std::{
    collections::HashMap,
    fs::File,
    io,
    os::{
        fd::AsFd,
        unix::{fs::FileExt, net::UnixStream},
    },
    process::ExitCode,
    sync::Arc,
    thread,
};

use bytes::Bytes;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Resource, Rlimit, Signal, getpid, getppid, kill_process, setrlimit},
};

use crate::{
    bundle::{Bundle, Revision},
    failure::{CallError, ErrorKind},
    interpreter::{Form, Interpreter, Session},
    wire::{self, Order, Reply},
};

/// After so many calls a program's state is dropped: names of fields are never freed otherwise.
const MAX_CALLS: u32 = 1000;

/// How often a small call is followed by a look at the memory in use.
const CALLS_PER_LOOK: u32 = 16;

/// A request of this size is always followed by a look at the memory in use.
const LARGE_REQUEST: usize = 256 * 1024;

/// How often the parent is looked at, besides waiting for its end of the lifeline to close.
const PARENT_CHECK: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// Runs a worker: the socket to the parent is standard input, the lifeline standard output, and the
/// last argument the number of bytes it may use.
///
/// The binary calls this when its first argument is [`WORKER_ARGUMENT`](crate::WORKER_ARGUMENT).
pub fn worker_main() -> ExitCode {
    let max_memory = std::env::args().next_back().and_then(|bytes| bytes.parse().ok());
    match max_memory.ok_or(io::ErrorKind::InvalidInput.into()).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(max_memory: u64) -> io::Result<()> {
    limit(Resource::As, max_memory)?;
    limit(Resource::Core, 0)?;
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let parent = getppid();
    thread::Builder::new().stack_size(64 * 1024).spawn(move || follow_parent(parent))?;
    let programs = Programs { memory: Memory::open(max_memory), programs: HashMap::new() };
    serve(UnixStream::from(socket), programs)
}

fn limit(resource: Resource, value: u64) -> io::Result<()> {
    Ok(setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })?)
}

/// Ends this process when the parent has gone away, whatever the other thread does.
fn follow_parent(parent: Option<Pid>) {
    let lifeline = io::stdout();
    loop {
        let mut fds = [PollFd::new(&lifeline, PollFlags::IN)];
        let ready = poll(&mut fds, Some(&PARENT_CHECK));
        let interrupted = ready == Err(rustix::io::Errno::INTR);
        // Nothing is ever written to the lifeline: an event is its end.
        if (ready != Ok(0) && !interrupted) || getppid() != parent {
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }
}

fn serve(mut socket: UnixStream, mut programs: Programs) -> io::Result<()> {
    while let Some((order, body)) = wire::read::<Order>(&mut socket)? {
        let (reply, body) = match order {
            Order::Load { revision, bundle } => {
                (programs.load(revision, bundle, body), String::new())
            }
            Order::Call { revision, form, max_response } => {
                let (mut reply, body) = programs.call(&revision, &body, form);
                if max_response < body.len() {
                    reply.outcome = Err(CallError::new(
                        ErrorKind::Manifest,
                        format!("RUNTIME ERROR: the result is larger than {max_response} bytes"),
                    ));
                }
                let body = if reply.outcome.is_ok() { body } else { String::new() };
                (reply, body)
            }
            Order::Forget { revisions } => {
                programs.programs.retain(|known, _| !revisions.contains(known));
                (Reply::plain(Ok(())), String::new())
            }
        };
        wire::write(&mut socket, &reply, body.as_bytes())?;
        if reply.retires {
            break;
        }
    }
    Ok(())
}

/// The programs this worker knows.
struct Programs {
    memory: Memory,
    programs: HashMap<Revision, Program>,
}

/// A program's text and, after its first call, its state in the interpreter.
struct Program {
    bundle: Arc<Bundle>,
    session: Option<Session>,
    calls: u32,
}

impl Programs {
    fn load(&mut self, revision: Revision, bundle: Bundle, contents: Bytes) -> Reply {
        let Some(bundle) = bundle.with_contents(contents).map(Arc::new) else {
            return Reply::plain(Err(CallError::new(ErrorKind::Load, "program is incomplete")));
        };
        let loaded = Session::load(Arc::clone(&bundle));
        Reply::plain(loaded.map(|session| {
            self.programs.insert(revision, Program { bundle, session: Some(session), calls: 0 });
        }))
    }

    fn call(&mut self, revision: &Revision, request: &[u8], form: Form) -> (Reply, String) {
        let Some(program) = self.programs.get_mut(revision) else {
            let error = CallError::new(ErrorKind::Load, "program is not loaded");
            return (Reply::plain(Err(error)), String::new());
        };
        let (mut reply, body) = program.call(request, form);
        if program.calls.is_multiple_of(CALLS_PER_LOOK) || LARGE_REQUEST <= request.len() {
            reply.retires = self.make_room();
        }
        (reply, body)
    }

    /// Drops all state if too much memory is in use; returns whether that did not help.
    fn make_room(&mut self) -> bool {
        if !self.memory.is_half_used() {
            return false;
        }
        for program in self.programs.values_mut() {
            program.session = None;
        }
        self.memory.is_half_used()
    }
}

impl Program {
    fn call(&mut self, request: &[u8], form: Form) -> (Reply, String) {
        let session = match self.session.take() {
            Some(session) => Ok(session),
            None => Session::load(Arc::clone(&self.bundle)),
        };
        let mut session = match session {
            Ok(session) => session,
            Err(error) => return (Reply::plain(Err(error)), String::new()),
        };
        let result = session.call(request, form);
        let (traces, undeclared) = (session.take_traces(), session.take_undeclared());
        self.calls += 1;
        if result.is_ok() && !self.calls.is_multiple_of(MAX_CALLS) {
            session.recycle();
            self.session = Some(session);
        }
        let (outcome, body) = match result {
            Ok(body) => (Ok(()), body),
            Err(error) => (Err(error), String::new()),
        };
        (Reply { outcome, traces, undeclared, retires: false }, body)
    }
}

/// How much address space this process uses, which is what its limit is on.
struct Memory {
    status: Option<File>,
    /// What the executable itself takes, before any program.
    floor: u64,
    max: u64,
}

impl Memory {
    fn open(max: u64) -> Self {
        let mut memory = Self { status: File::open("/proc/self/status").ok(), floor: 0, max };
        memory.floor = memory.used().unwrap_or_default();
        memory
    }

    fn is_half_used(&self) -> bool {
        let most = self.floor + self.max.saturating_sub(self.floor) / 2;
        self.used().is_some_and(|used| most < used)
    }

    fn used(&self) -> Option<u64> {
        let mut text = [0; 4096];
        let length = self.status.as_ref()?.read_at(&mut text, 0).ok()?;
        let text = String::from_utf8_lossy(text.get(..length)?);
        let line = text.lines().find_map(|line| line.strip_prefix("VmSize:"))?;
        let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kilobytes * 1024)
    }
}
