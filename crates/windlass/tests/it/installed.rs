//! A server with the engine installed as `windlass manifests` says, and kubectl for the rest.
#![expect(clippy::disallowed_methods, reason = "other processes are watched in real time")]

use std::{
    env, fs,
    io::{Seek, Write},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::process::{NOTHING_SERVED, Running, dir, run};

/// How long a server may take for what others bring about.
const PATIENCE: Duration = Duration::from_secs(90);

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A server with the types and the account of the engine, and a namespace for one test.
pub(crate) struct Installed {
    pub(crate) dir: TempDir,
    /// The administrator's kubeconfig, whose namespace is the test's.
    pub(crate) admin: PathBuf,
    /// The engine's account.
    pub(crate) account: PathBuf,
    /// The namespace, and a name that nobody else has.
    pub(crate) id: String,
    server: Option<Running>,
}

impl Installed {
    /// Starts an embedded server; nothing without kubectl.
    pub(crate) fn embedded(story: &str) -> Option<Self> {
        let installed = Self::bare(story)?;
        install(installed.dir.path(), &installed.admin);
        Some(installed)
    }

    /// Starts an embedded server with nothing of the engine in it; nothing without kubectl.
    pub(crate) fn bare(story: &str) -> Option<Self> {
        if !has_program("kubectl") {
            not_run(&format!("{story} on the embedded server"), "no kubectl");
            return None;
        }
        let dir = dir(&[]);
        let arguments = ["apiserver", "--bind", "127.0.0.1:0", "--kubeconfig", "admin"];
        let mut server = Running::start(dir.path(), &arguments);
        server.until("api https://");
        let admin = dir.path().join("admin");
        Some(Self::new(dir, &admin, admin.clone(), Some(server)))
    }

    /// Installs the engine in the real server, which keeps it; nothing without one.
    ///
    /// # Panics
    ///
    /// If there is none although `WINDLASS_REAL` is `required`.
    pub(crate) fn real(story: &str) -> Option<Self> {
        let written = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/cluster/kubeconfig");
        let given = env::var_os("WINDLASS_E2E_KUBECONFIG").map(PathBuf::from);
        let admin = given.unwrap_or_else(|| written.into());
        let has_kubectl = has_program("kubectl");
        if !has_kubectl || kubectl(&admin, &["get", "--raw", "/readyz"], None).is_err() {
            let required = env::var("WINDLASS_REAL").is_ok_and(|real| real == "required");
            assert!(!required, "WINDLASS_REAL=required, but no kubectl or no real API server");
            not_run(&format!("{story} on the real server"), "no kubectl or no server");
            return None;
        }
        let dir = dir(&[]);
        install(dir.path(), &admin);
        let account = restricted(dir.path(), &admin);
        Some(Self::new(dir, &admin, account, None))
    }

    fn new(dir: TempDir, from: &Path, account: PathBuf, server: Option<Running>) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = format!("it{}-{number}", std::process::id());
        let admin = dir.path().join("here");
        fs::copy(from, &admin).unwrap();
        let installed = Self { dir, admin, account, id, server };
        installed.kubectl(&["create", "namespace", &installed.id]).unwrap();
        let here = format!("--namespace={}", installed.id);
        installed.kubectl(&["config", "set-context", "--current", &here]).unwrap();
        until("the namespace has its account", || {
            installed.kubectl(&["get", "serviceaccount", "default"]).is_ok()
        });
        installed
    }

    /// Whether nobody runs its pods.
    pub(crate) fn is_real(&self) -> bool {
        self.server.is_none()
    }

    /// Starts an engine that runs the controllers with this test's label.
    pub(crate) fn engine(&self) -> Running {
        let account = self.account.display().to_string();
        let targets = format!("--target-label-selector=run={}", self.id);
        let arguments = [&["engine", "--kubeconfig", &account, &targets][..], &NOTHING_SERVED];
        Running::start(self.dir.path(), &arguments.concat())
    }

    /// Runs kubectl in the test's namespace and returns what it printed.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        kubectl(&self.admin, arguments, None)
    }

    /// Returns a field of an object; nothing if there is no such object or field.
    pub(crate) fn field(&self, object: &str, path: &str) -> String {
        let output = format!("jsonpath={path}");
        self.kubectl(&["get", object, "-o", &output]).unwrap_or_default()
    }

    /// Returns a field of all objects of a type in the namespace, in the order of their names.
    pub(crate) fn fields(&self, of: &str, path: &str) -> Vec<String> {
        let output = format!("jsonpath={{range .items[*]}}{path}{{\"\\n\"}}{{end}}");
        let text = self.kubectl(&["get", of, "-o", &output]).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Applies manifests once the types they are of are served.
    pub(crate) fn apply(&self, manifests: &str) {
        until("the manifests are applied", || {
            kubectl(&self.admin, &["apply", "-f", "-"], Some(manifests)).is_ok()
        });
    }

    /// Changes an object by a merge patch.
    pub(crate) fn patch(&self, object: &str, patch: &str) {
        self.kubectl(&["patch", object, "--type=merge", "-p", patch]).unwrap();
    }

    /// Says of all pods that they run, which nobody does on a server without nodes.
    pub(crate) fn play_kubelet(&self) {
        if !self.is_real() {
            return;
        }
        let ready =
            r#"{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}"#;
        for pod in self.fields("pods", "{.metadata.name}") {
            let patch = ["patch", "pod", &pod, "--subresource=status", "--type=merge", "-p", ready];
            // It may be gone by now.
            let _ = self.kubectl(&patch);
        }
    }

    /// Removes from a server that stays what is in no namespace of the test.
    pub(crate) fn clean_up(&self, cluster_scoped: &[(&str, &str)]) {
        if !self.is_real() {
            return;
        }
        let namespace = [("namespace", self.id.as_str())];
        for (kind, name) in cluster_scoped.iter().chain(&namespace) {
            let delete = ["delete", kind, name, "--ignore-not-found", "--wait=false"];
            let _ = self.kubectl(&delete);
        }
    }
}

/// Applies what `windlass manifests` prints.
fn install(dir: &Path, admin: &Path) {
    let manifests = run(dir, &["manifests"]).stdout;
    kubectl(admin, &["apply", "-f", "-"], Some(&manifests)).unwrap();
}

/// Writes a kubeconfig that has the engine's account instead of the administrator's.
fn restricted(dir: &Path, admin: &Path) -> PathBuf {
    let token = ["create", "token", "metacontroller", "-n", "metacontroller"];
    let token = kubectl(admin, &token, None).unwrap();
    let restricted = dir.join("restricted");
    fs::copy(admin, &restricted).unwrap();
    let user = ["config", "view", "-o", "jsonpath={.users[0].name}"];
    let user = kubectl(admin, &user, None).unwrap();
    kubectl(&restricted, &["config", "unset", &format!("users.{user}")], None).unwrap();
    let token = format!("--token={}", token.trim());
    kubectl(&restricted, &["config", "set-credentials", &user, &token], None).unwrap();
    restricted
}

/// Says what a machine lacks for a test.
#[expect(clippy::print_stderr, reason = "`cargo xtask test` collects these lines at its end")]
pub(crate) fn not_run(what: &str, why: &str) {
    eprintln!("not run: {what}: {why}");
}

/// Asks until something is true.
pub(crate) fn until(what: &str, is_true: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_true() {
        assert!(since.elapsed() < PATIENCE, "not in {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Returns whether a program can be started.
pub(crate) fn has_program(name: &str) -> bool {
    let version = if name == "openssl" { "version" } else { "--help" };
    Command::new(name).arg(version).output().is_ok()
}

/// Runs kubectl and returns what it printed, or its error.
pub(crate) fn kubectl(
    kubeconfig: &Path,
    arguments: &[&str],
    input: Option<&str>,
) -> Result<String, String> {
    let mut command = Command::new("kubectl");
    command.arg("--kubeconfig").arg(kubeconfig);
    if let Some(input) = input {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(input.as_bytes()).unwrap();
        file.rewind().unwrap();
        command.stdin(file);
    }
    let output = command.args(arguments).output().map_err(|error| error.to_string())?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}
