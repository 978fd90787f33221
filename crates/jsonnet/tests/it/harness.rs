//! Hook directories, runtimes on them and what they answer.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use jsonnet::{CallError, ProgramOptions, Runtime, RuntimeOptions, WORKER_ARGUMENT, WorkerCommand};
use tempfile::TempDir;

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
