//! Starts the process of a worker with the limits it sets on itself before it becomes what it is to run.

use std::{
    env,
    ffi::OsString,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, ExitCode},
};

use rustix::process::{
    Resource, Rlimit, Signal, getppid, set_parent_process_death_signal, setrlimit,
};

/// The first argument of this binary when it is to become a worker.
pub const LAUNCH_ARGUMENT: &str = "function-launch";

/// How a worker's process is started: this executable, which becomes the worker's own.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// The executable.
    pub program: PathBuf,
    /// Its first arguments.
    pub args: Vec<OsString>,
}

impl Default for Launcher {
    /// Returns the way to start this very executable, even after its file was replaced.
    fn default() -> Self {
        let link = PathBuf::from("/proc/self/exe");
        let program = if link.exists() { link } else { env::current_exe().unwrap_or(link) };
        Self { program, args: vec![LAUNCH_ARGUMENT.into()] }
    }
}

/// Becomes the program that the arguments name, after the number of bytes it may use; 0 is no limit.
///
/// The binary calls this when its first argument is [`LAUNCH_ARGUMENT`]. It returns only if that fails.
pub fn launch_main() -> ExitCode {
    let mut arguments = env::args_os().skip(2);
    let limit = arguments.next().and_then(|limit| limit.to_str()?.parse::<u64>().ok());
    let (Some(limit), Some(program)) = (limit, arguments.next()) else {
        return ExitCode::from(2);
    };
    // A program in an endless loop hears of nothing: the system ends it with its parent.
    let parent = getppid();
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    if getppid() != parent {
        return ExitCode::FAILURE;
    }
    let _ = rustix::thread::set_no_new_privs(true);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    if limit != 0 {
        let _ = setrlimit(Resource::Data, Rlimit { current: Some(limit), maximum: Some(limit) });
    }
    let error = Command::new(&program).args(arguments).exec();
    // There is no logger in this process: who started it reads what it says.
    let _ = std::io::Write::write_all(
        &mut std::io::stderr(),
        format!("cannot run `{}`: {error}\n", program.to_string_lossy()).as_bytes(),
    );
    ExitCode::from(127)
}
