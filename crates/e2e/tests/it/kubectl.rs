//! What people type: kubectl, unmodified, says the same on both servers.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{self, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use apiserver::{ApiServer, Listen};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout},
    time::timeout,
};

use story::{ANY_RUN, Command, Story};

mod story;

/// Tells the stories of this process apart.
static NEXT: AtomicU32 = AtomicU32::new(1);

/// How long one line may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// How often a question is asked whose answer comes with time; each takes kubectl a while.
const TRIES: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded() {
    on_embedded("kubectl").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real() {
    on_real("kubectl").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_embedded() {
    on_embedded("kubectl-more").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_real() {
    on_real("kubectl-more").await;
}

/// Breaks when `serviceaccounts/NAME/token` is not served, or its tokens are not taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_kubectl_asked_for_lets_it_in() {
    if !is_installed("tokens") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    let server = ApiServer::builder().start().await.unwrap();
    let bind = SocketAddr::from(([127, 0, 0, 1], 0));
    let listen = Listen { bind, kubeconfig: Some(kubeconfig.clone()), ..Listen::default() };
    server.listen(&listen).await.unwrap();
    let kubectl = async |line: &str| {
        let args = line.split(' ').collect::<Vec<_>>();
        let mut kubectl = tokio::process::Command::new("kubectl");
        let output =
            kubectl.arg("--kubeconfig").arg(&kubeconfig).args(args).output().await.unwrap();
        let [stdout, stderr] =
            [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it).into_owned());
        stdout + &stderr
    };
    let token = kubectl("create token default").await;
    kubectl(&format!("config set-credentials account --token={}", token.trim())).await;
    let whoami = "--user=account auth whoami -o jsonpath={.status.userInfo.username}";
    assert_eq!(kubectl(whoami).await, "system:serviceaccount:default:default");
    assert_eq!(
        kubectl("create token default --duration=5m").await,
        "error: failed to create token: TokenRequest.authentication.k8s.io \"\" is invalid: \
         spec.expirationSeconds: Invalid value: 300: may not specify a duration less than 10 \
         minutes\n"
    );
    kubectl("delete serviceaccount default").await;
    assert!(kubectl("--user=account get pods").await.contains("You must be logged in"));
    server.shutdown().await;
}

/// Tells a story to an embedded server and compares it with what was recorded.
async fn on_embedded(name: &str) {
    if !is_installed(name) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    let server = ApiServer::builder().start().await.unwrap();
    let bind = SocketAddr::from(([127, 0, 0, 1], 0));
    let listen = Listen { bind, kubeconfig: Some(kubeconfig.clone()), ..Listen::default() };
    server.listen(&listen).await.unwrap();
    let recorded = Story::parse(&read(&format!("{name}.txt")));
    let told = tell(&recorded, &kubeconfig).await;
    server.shutdown().await;
    let differences = story::differences(&read(&format!("{name}.differences")));
    let expected = differences.iter().try_fold(recorded, Story::with).unwrap();
    assert_same(&expected, &told);
}

/// Tells a story to the real server and compares it with what was recorded, or records it.
async fn on_real(name: &str) {
    if !is_installed(name) {
        return;
    }
    let Some(kubeconfig) = e2e::real_kubeconfig(name) else { return };
    let file = format!("{name}.txt");
    let recorded = Story::parse(&read(&file));
    let told = tell(&recorded, &kubeconfig).await;
    if env::var_os("WINDLASS_BLESS").is_some() {
        fs::write(stories().join(file), told.text()).unwrap();
    } else {
        assert_same(&recorded, &told);
    }
}

fn stories() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories")
}

fn read(name: &str) -> String {
    fs::read_to_string(stories().join(name)).unwrap()
}

fn is_installed(test: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = env::split_paths(&path).any(|directory| directory.join("kubectl").exists());
    if !is_there {
        e2e::not_run(test, "no kubectl on PATH");
    }
    is_there
}

fn assert_same(expected: &Story, told: &Story) {
    let steps = expected.steps.iter().zip(&told.steps);
    let mut report = String::new();
    for (expected, told) in steps.filter(|(expected, told)| expected != told) {
        let parts = ["\n$ ", &expected.line, "\n--- recorded\n", &expected.output];
        report.extend(parts.into_iter().chain(["\n--- told\n", &told.output, "\n"]));
    }
    assert!(report.is_empty(), "{report}");
}

/// Runs the lines of a story and returns it as it went this time.
async fn tell(story: &Story, kubeconfig: &Path) -> Story {
    let session = Session::new(kubeconfig);
    session.set_up().await;
    let mut told = story.clone();
    let mut beside = Vec::new();
    for (index, step) in told.steps.iter_mut().enumerate() {
        let command = Command::parse(&step.line);
        if let Some(count) = command.stop_after {
            beside.push((index, Beside::start(&session, &command, count).await));
        } else {
            step.output = session.run(&command).await;
        }
    }
    for (index, beside) in beside {
        told.steps[index].output = session.mask(&beside.finish().await);
    }
    session.clean_up().await;
    told
}

/// A place of its own for kubectl, and names of its own for what it makes.
struct Session {
    run: String,
    kubeconfig: PathBuf,
    inputs: TempDir,
}

impl Session {
    fn new(kubeconfig: &Path) -> Self {
        let number = process::id() * 10 + NEXT.fetch_add(1, Ordering::Relaxed);
        let run = format!("-{:06}", number % 1_000_000);
        let inputs = tempfile::tempdir().unwrap();
        for file in fs::read_dir(stories().join("kubectl")).unwrap() {
            let file = file.unwrap();
            let text = fs::read_to_string(file.path()).unwrap().replace(ANY_RUN, &run);
            fs::write(inputs.path().join(file.file_name()), text).unwrap();
        }
        Self { run, kubeconfig: kubeconfig.to_owned(), inputs }
    }

    async fn set_up(&self) {
        let definition = "crd/widgets-000000.kubectl-000000.example.com";
        self.eventually("kubectl apply -f setup.yaml").await;
        self.eventually(&format!("kubectl wait {definition} --for=condition=Established")).await;
        self.eventually("kubectl get widgets-000000").await;
        self.eventually("kubectl explain widgets-000000.spec").await;
    }

    async fn clean_up(&self) {
        self.eventually("kubectl delete -f setup.yaml --wait=false --ignore-not-found").await;
    }

    /// Runs a line, each time without what was cached before, until it succeeds.
    async fn eventually(&self, line: &str) {
        let mut output = String::new();
        for _ in 0..TRIES {
            let home = tempfile::tempdir().unwrap();
            let command = self.command(&Command::parse(line), home.path()).output().await.unwrap();
            if command.status.success() {
                return;
            }
            output = String::from_utf8_lossy(&command.stderr).into_owned();
        }
        panic!("$ {line}\n{output}");
    }

    async fn run(&self, command: &Command) -> String {
        let output = self.command(command, self.inputs.path()).output();
        let output = timeout(PATIENCE, output).await.expect("kubectl hangs").unwrap();
        let [stdout, stderr] =
            [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
        let code = output.status.code().unwrap_or(-1);
        self.mask(&story::output(&stdout, &stderr, code))
    }

    fn mask(&self, text: &str) -> String {
        story::mask(text, &self.run)
    }

    fn command(&self, command: &Command, home: &Path) -> tokio::process::Command {
        let stdin = command.stdin.as_ref().map_or_else(Stdio::null, |name| {
            fs::File::open(self.inputs.path().join(name)).unwrap().into()
        });
        let mut kubectl = tokio::process::Command::new("kubectl");
        kubectl.env_clear().env("PATH", env::var_os("PATH").unwrap_or_default());
        kubectl.env("HOME", home).env("KUBECACHEDIR", home.join(".cache"));
        kubectl
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .arg(format!("--namespace=kubectl{}", self.run));
        kubectl.args(command.args.iter().map(|word| word.replace(ANY_RUN, &self.run)));
        kubectl.current_dir(self.inputs.path()).stdin(stdin).kill_on_drop(true);
        kubectl
    }
}

/// A line that goes on beside the next ones.
struct Beside {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    text: String,
    missing: usize,
}

impl Beside {
    /// Starts a line and waits for its first output: from there on it sees everything.
    async fn start(session: &Session, command: &Command, count: usize) -> Self {
        let mut kubectl = session.command(command, session.inputs.path());
        let mut child = kubectl.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut beside = Self { child, lines, text: String::new(), missing: count };
        beside.read().await;
        beside
    }

    /// Returns all output once there is enough of it, or no more comes.
    async fn finish(mut self) -> String {
        while 0 < self.missing && self.read().await {}
        self.child.kill().await.unwrap();
        story::output(&self.text, "", 0)
    }

    async fn read(&mut self) -> bool {
        let Ok(Ok(Some(line))) = timeout(PATIENCE, self.lines.next_line()).await else {
            return false;
        };
        self.text.push_str(&line);
        self.text.push('\n');
        self.missing = self.missing.saturating_sub(1);
        true
    }
}
