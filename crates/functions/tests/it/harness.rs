//! Programs, the hosts that serve them, and what they answer.

use std::{
    collections::BTreeMap,
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use functions::{Health, Host, Launcher, Log, Means, Settings, Totals};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use k8s::{Activity, Clock, ObjectKey, SharedClock, SystemClock};
use runtime::Metrics;
use rustix::process::{Pid, test_kill_process};
use tempfile::TempDir;

/// A language and what runs it.
pub(crate) struct Language {
    /// What its runtimes are called.
    pub(crate) runtime: &'static str,
    /// The file of the module.
    file: &'static str,
    /// What interprets it, and how that says where it is.
    interpreter: (&'static str, [&'static str; 2]),
}

pub(crate) const PYTHON: Language = Language {
    runtime: "python3",
    file: "a.py",
    interpreter: ("python3", ["-c", "import sys; print(sys.executable)"]),
};

pub(crate) const NODEJS: Language = Language {
    runtime: "nodejs20",
    file: "a.js",
    interpreter: ("node", ["-p", "process.execPath"]),
};

/// A program that is compiled already: it is run as it is. Here it is a script.
pub(crate) const COMPILED: Language = Language {
    runtime: "go",
    file: "a",
    interpreter: ("python3", ["-c", "import sys; print(sys.executable)"]),
};

/// A program while it is served.
pub(crate) struct Served {
    pub(crate) host: Arc<Host>,
    pub(crate) lines: Arc<Lines>,
    /// What is counted of all functions together.
    pub(crate) totals: Metrics,
    pub(crate) dir: TempDir,
}

/// What a host wrote down.
#[derive(Debug, Default)]
pub(crate) struct Lines(Mutex<Vec<String>>);

/// An answer as a whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Log for Lines {
    fn line(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}

impl Lines {
    /// Returns the lines that hold a text.
    pub(crate) fn with(&self, text: &str) -> Vec<String> {
        self.0.lock().unwrap().iter().filter(|line| line.contains(text)).cloned().collect()
    }
}

/// Serves the function `f` of a program once it is loaded, or has failed to. Returns nothing if this machine
/// cannot run its language.
pub(crate) async fn serve(
    language: &Language,
    source: &str,
    variables: &[(&str, &str)],
) -> Option<Served> {
    serve_files(language, &[(language.file, source)], variables).await
}

/// Serves files, of which one is the program.
pub(crate) async fn serve_files(
    language: &Language,
    files: &[(&str, &str)],
    variables: &[(&str, &str)],
) -> Option<Served> {
    let served = start(Arc::new(SystemClock), language, files, variables)?;
    served.health(|health| health.is_ready || health.failure.is_some()).await;
    Some(served)
}

/// Serves a program by another clock, and does not wait for it.
pub(crate) fn serve_by(
    clock: SharedClock,
    language: &Language,
    source: &str,
    variables: &[(&str, &str)],
) -> Option<Served> {
    start(clock, language, &[(language.file, source)], variables)
}

fn start(
    clock: SharedClock,
    language: &Language,
    files: &[(&str, &str)],
    variables: &[(&str, &str)],
) -> Option<Served> {
    let mut interpreter = interpreter(language)?;
    let dir = TempDir::new().unwrap();
    for (name, text) in files {
        let file = dir.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let first = format!("#!{}\n", interpreter.display());
        fs::write(&file, text.replace("#!python3\n", &first)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    if language.runtime == COMPILED.runtime {
        interpreter = dir.path().join(language.file);
    }
    let (lines, totals) = (Arc::<Lines>::default(), Metrics::default());
    let means = Means {
        clock,
        activity: Activity::default(),
        launcher: launcher(),
        interpreter,
        log: Arc::clone(&lines) as Arc<dyn Log>,
        totals: Some(Totals {
            metrics: totals.clone(),
            function: ObjectKey::new("ops", "f"),
            pod: "f-1".to_owned(),
        }),
    };
    let settings = Settings::read(&environment(language, variables), dir.path().to_owned());
    let host = Arc::new(Host::start(settings.unwrap(), means).unwrap());
    Some(Served { host, lines, totals, dir })
}

/// Returns a launcher that needs no binary of ours: `sh` sets the limit and becomes the program.
fn launcher() -> Launcher {
    let script = "ulimit -c 0; [ $1 = 0 ] || ulimit -d $(($1 / 1024)); shift; exec \"$@\"";
    Launcher { program: "sh".into(), args: ["-c", script, "sh"].map(Into::into).to_vec() }
}

fn environment(language: &Language, variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    let usual = [("MOD_NAME", "a"), ("FUNC_HANDLER", "f"), ("WINDLASS_RUNTIME", language.runtime)];
    let inherited = ["PATH", "PYTHONPATH"].map(|name| (name, env::var(name).unwrap_or_default()));
    let inherited = inherited.iter().map(|(name, value)| (*name, value.as_str()));
    let all = inherited.chain(usual).chain(variables.iter().copied());
    all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Returns what runs a language, or says that there is nothing.
fn interpreter(language: &Language) -> Option<PathBuf> {
    // Some are found by scripts, which take their time.
    static FOUND: Mutex<BTreeMap<&str, Option<PathBuf>>> = Mutex::new(BTreeMap::new());
    let (program, arguments) = language.interpreter;
    let found = FOUND
        .lock()
        .unwrap()
        .entry(program)
        .or_insert_with(|| {
            let output = Command::new(program).args(arguments).output().ok()?;
            let path = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
            Some(PathBuf::from(path.trim()))
        })
        .clone();
    if found.is_none() {
        not_run(&format!("no {program}"));
    }
    found
}

/// Says that this test is not run, and what this machine lacks. Where all is installed, that is a failure.
#[expect(clippy::print_stderr, reason = "`cargo xtask test` collects these lines at its end")]
pub(crate) fn not_run(why: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    assert_ne!(env::var("CI").as_deref(), Ok("true"), "{test} cannot run: {why}");
    eprintln!("not run: {test}: {why}");
}

/// Asks until something is true.
pub(crate) async fn until(what: &str, is_true: impl Fn() -> bool) {
    let clock = SystemClock;
    for _ in 0..600 {
        if is_true() {
            return;
        }
        clock.sleep_until(clock.now() + Duration::from_millis(50)).await;
    }
    panic!("{what} did not come true");
}

/// Returns whether there is a process of an id, which a test was told as text.
pub(crate) fn is_alive(pid: &str) -> bool {
    // One that ended and was not waited for yet is a process, too, but does nothing.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    test_kill_process(self::pid(pid)).is_ok() && !stat.contains(") Z ")
}

pub(crate) fn pid(text: &str) -> Pid {
    Pid::from_raw(text.parse().unwrap()).unwrap()
}

impl Served {
    /// Waits until the workers are in some state.
    pub(crate) async fn health(&self, is_so: impl Fn(&Health) -> bool) -> Health {
        let mut health = self.host.health();
        let wait = health.wait_for(|now| is_so(now));
        let wait = tokio::time::timeout(Duration::from_mins(1), wait).await;
        wait.expect("the workers get there within a minute").unwrap().clone()
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.send("GET", target, &[], "").await
    }

    pub(crate) async fn post(&self, kind: &str, body: impl Into<Bytes>) -> Answer {
        self.send("POST", "/", &[("content-type", kind)], body).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.host.handle(request.body(Full::new(body.into())).unwrap()).await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    /// Returns a value of the metrics.
    pub(crate) async fn metric(&self, series: &str) -> Option<f64> {
        let text = self.get("/metrics").await.text();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map(|value| value.parse().unwrap())
    }

    /// Returns a file that the program can see, too.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        Path::new(self.dir.path()).join(name)
    }
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Returns status, type and body.
    pub(crate) fn parts(&self) -> (u16, &str, String) {
        (self.status, self.header("content-type"), self.text())
    }
}
