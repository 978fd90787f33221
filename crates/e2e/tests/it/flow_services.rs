//! Hooks behind Services: `dev` finds them without a cluster's network.

use std::{
    fs, io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use apiserver::Settings;
use cli::dev::{self, DevOptions};
use functions::Launcher;
use jsonnet::WorkerCommand;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const CRD: &str = include_str!("../../../../examples/useless-pod/crd.yaml");
const CONTROLLER: &str = include_str!("../../../../examples/useless-pod/controller.yaml");
const PARENT: &str = include_str!("../../../../examples/useless-pod/test1.yaml");
/// What the hook always answers.
const ANSWER: &str = r#"{"status": {}, "children": []}"#;

/// What `dev` prints.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts a hook and returns its address and the heads of the requests it gets.
async fn hook() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
    let heads = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut text = vec![0; 64 * 1024];
            let length = stream.read(&mut text).await.unwrap();
            text.truncate(length);
            heads.lock().unwrap().push(String::from_utf8_lossy(&text).into_owned());
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: ";
            let answer = format!("{head}{}\r\n\r\n{ANSWER}", ANSWER.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (address, asked)
}

/// Runs `dev --once` on the useless-pod and these manifests, and returns how it ended and what it printed.
async fn once(manifests: &str, settings: Settings) -> (bool, String) {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("crd.yaml", CRD);
    let host = "http://useless-controller.metacontroller/";
    assert!(CONTROLLER.contains(host));
    write("controller.yaml", &CONTROLLER.replace(host, "http://hook.default.svc:81/"));
    write("parent.yaml", PARENT);
    write("service.yaml", manifests);
    let page = Page::default();
    let ended = dev::run(options(dir.path(), page.clone(), settings)).await;
    let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
    (ended.is_ok(), text)
}

fn options(dir: &Path, page: Page, settings: Settings) -> DevOptions {
    DevOptions {
        console: None,
        gateway: None,
        paths: vec![dir.to_owned()],
        hook_map: Vec::new(),
        hooks: None,
        watch: false,
        once: true,
        timeout: Duration::from_mins(1),
        kubeconfig: dir.join("kubeconfig"),
        settings,
        audit_log: None,
        api: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        out: Box::new(page),
        worker: WorkerCommand::default(),
        launcher: Launcher::default(),
    }
}

/// Breaks when `dev` calls hooks without asking where their Services are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_is_reached_through_its_service() {
    let (address, asked) = hook().await;
    let manifests = format!(
        "
apiVersion: v1
kind: Service
metadata: {{name: hook}}
spec: {{ports: [{{name: http, port: 81}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: hook-laptop, labels: {{kubernetes.io/service-name: hook}}}}
addressType: IPv4
ports: [{{name: http, port: {}}}]
endpoints: [{{addresses: [127.0.0.1]}}]
",
        address.port()
    );
    let settings = Settings { loopback_endpoints: true, ..Settings::default() };
    let (ended, text) = once(&manifests, settings).await;
    assert!(ended, "{text}");
    let asked = asked.lock().unwrap();
    let first = asked.first().unwrap().to_lowercase();
    assert!(first.starts_with("post /sync http/1.1\r\n"), "{first}");
    assert!(first.contains("host: hook.default.svc:81\r\n"), "{first}");
}

/// Breaks when `--service-map` does not go before everything else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_is_reached_where_the_map_says() {
    let (address, asked) = hook().await;
    let services = vec![format!("default/hook=http://{address}/base").parse().unwrap()];
    let (ended, text) = once("", Settings { services, ..Settings::default() }).await;
    assert!(ended, "{text}");
    let first = asked.lock().unwrap().first().unwrap().clone();
    assert!(first.starts_with("POST /base/sync HTTP/1.1\r\n"), "{first}");
}

/// Breaks when a Service without endpoints is left to DNS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_that_cannot_be_reached_is_told_with_the_flag() {
    let service = "
apiVersion: v1
kind: Service
metadata: {name: hook}
spec: {ports: [{port: 81}]}
";
    let (ended, text) = once(service, Settings::default()).await;
    assert!(!ended, "{text}");
    assert!(text.contains("nothing behind Service `default/hook`"), "{text}");
    assert!(text.contains("--service-map default/hook=URL"), "{text}");
}
