//! The engine as a program of its own: its flags, what it serves, and that one of several leads.
#![expect(clippy::disallowed_methods, reason = "other processes are watched in real time")]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{self, Command},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    installed::{Installed, has_program, kubectl, until},
    process::{NOTHING_SERVED, Running, dir, run},
};

/// Starts an embedded server and returns it with its kubeconfig.
fn embedded(dir: &Path) -> (Running, PathBuf) {
    let arguments = ["apiserver", "--bind", "127.0.0.1:0", "--kubeconfig", "admin"];
    let mut server = Running::start(dir, &arguments);
    server.until("api https://");
    (server, dir.join("admin"))
}

/// Starts an engine that logs for people, with its endpoints on any ports.
fn engine(dir: &Path, kubeconfig: &Path, more: &[&str]) -> (Running, String, String) {
    let kubeconfig = kubeconfig.display().to_string();
    let mut arguments = vec!["engine", "-kubeconfig", &kubeconfig, "-zap-encoder=console"];
    arguments.extend(["-metrics-address=127.0.0.1:0", "-health-probe-bind-address", "127.0.0.1:0"]);
    arguments.extend(more);
    let mut engine = Running::logging(dir, &arguments);
    let mut address = |what: &str| {
        let line = engine.until(&format!("what=\"{what}\""));
        line.split("address=").nth(1).unwrap().split(' ').next().unwrap().to_owned()
    };
    let (metrics, health) = (address("metrics"), address("health"));
    (engine, metrics, health)
}

/// Starts a server of hooks in a directory and returns it with its port.
fn hooks(dir: &Path, hooks: &[(&str, &str)]) -> (Running, String) {
    let mut arguments = vec!["httpd", "-l", "127.0.0.1:0", "--admin-listen-addr", "off"];
    for (file, text) in hooks {
        std::fs::write(dir.join(file), text).unwrap();
        arguments.push(file);
    }
    let mut httpd = Running::logging(dir, &arguments);
    let line = httpd.until("serving hook");
    let address = line.split("address=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let port = address.rsplit(':').next().unwrap().to_owned();
    (httpd, port)
}

/// Returns the status and the body of a page, `0` if nobody answers.
fn get(address: &str, path: &str) -> (u16, String) {
    let Ok(mut stream) = TcpStream::connect(address) else { return (0, String::new()) };
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn apply(kubeconfig: &Path, manifest: &str) {
    kubectl(kubeconfig, &["apply", "-f", "-"], Some(manifest)).unwrap();
}

#[test]
fn a_flag_that_is_unknown_or_means_nothing_is_told_with_all_flags() {
    let dir = dir(&[]);
    for argument in ["-nope", "--workers=many", "--discovery-interval=30"] {
        let ended = run(dir.path(), &["engine", argument]);
        assert_eq!(ended.code, Some(2), "{argument}");
        assert!(ended.stderr.contains("Usage of") && ended.stderr.contains("-workers int"));
        assert_eq!(ended.stdout, "");
    }
    assert_eq!(run(dir.path(), &["engine", "-help"]).code, Some(0));
}

#[test]
fn called_as_metacontroller_the_binary_is_the_engine() {
    let dir = dir(&[]);
    let metacontroller = dir.path().join("metacontroller");
    symlink(env!("CARGO_BIN_EXE_windlass"), &metacontroller).unwrap();
    let ended = Command::new(&metacontroller).arg("-nope").output().unwrap();
    assert_eq!(ended.status.code(), Some(2));
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(told.starts_with("error: flag provided but not defined: -nope\n"), "{told}");
}

#[test]
fn what_cannot_be_obeyed_ends_the_engine() {
    let dir = dir(&[("kc", "apiVersion: v1\nkind: Config\n")]);
    for (arguments, told) in [
        (&["--apply-strategy=magic"][..], "unknown apply strategy: `magic`"),
        (
            &["-apply-strategy", "Server-Side-Apply", "--apply-strategy-ssa-field-manager=me"],
            "unknown apply strategy: `Server-Side-Apply`",
        ),
        (
            &["--apply-strategy=dynamic-apply", "-apply-strategy=", "--apply-strategy", "none"],
            "unknown apply strategy: `none`",
        ),
        (
            &["--apply-strategy=server-side-apply", "--apply-strategy-ssa-field-manager="],
            "the field manager of server-side apply has no name",
        ),
        (
            &["--apply-strategy=server-side-apply", "-leader-election"],
            "the namespace of the leader election is not known",
        ),
        (&["--target-label-selector=a in b"], "cannot read the target label selector"),
        (&["--leader-election"], "the namespace of the leader election is not known"),
        (
            &["--leader-election", "--leader-election-resource-lock=endpoints"],
            "unknown resource lock of the leader election: `endpoints`",
        ),
        (&["--kubeconfig=nowhere"], "cannot connect to the cluster"),
    ] {
        let arguments = [&["engine"], arguments].concat();
        let ended = run(dir.path(), &arguments);
        assert_eq!(ended.code, Some(1), "{arguments:?}");
        assert!(ended.stderr.contains(told), "{arguments:?}: {}", ended.stderr);
    }
}

/// Breaks when `ApplyStrategy::check` is not asked, or takes an object that was stored for one that was tried.
#[test]
fn a_server_that_cannot_merge_ends_an_engine_that_lets_it() {
    let object = r#"{"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "uid": "1"}}"#;
    for (status, body, told) in [
        ("415 Unsupported Media Type", "{}", "the API server has no server-side apply"),
        ("200 OK", object, "the API server has no dry run, which server-side apply needs"),
    ] {
        let server = play(status, body);
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: \
            'http://{server}'}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
            users: [{{name: u, user: {{}}}}]\n"
        );
        let dir = dir(&[("kc", &kubeconfig)]);
        let arguments = ["engine", "--kubeconfig=kc", "--apply-strategy=server-side-apply"];
        let arguments = [&arguments[..], &NOTHING_SERVED].concat();
        let mut engine = Running::logging(dir.path(), &arguments);
        engine.until(told);
        assert_eq!(engine.child.wait().unwrap().code(), Some(1));
    }
}

/// Plays a server that answers every patch like this, and returns its address.
fn play(status: &str, body: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = |status: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
    };
    let (patched, other) = (answer(status, body), answer("200 OK", "{}"));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && request.read_line(&mut head).unwrap() != 0 {}
            let length = head.to_lowercase();
            let length =
                length.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
            request.read_exact(&mut body).unwrap();
            let answer = if head.starts_with("PATCH ") { &patched } else { &other };
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    address
}

/// Names, types, labels and bounds as the text of Prometheus tells them.
fn facts(text: &str) -> BTreeMap<String, String> {
    let mut kinds = BTreeMap::new();
    let mut facts = BTreeMap::<String, (BTreeSet<String>, Vec<String>)>::new();
    for line in text.lines() {
        if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            kinds.insert(name.to_owned(), kind.to_owned());
        } else if !line.starts_with('#') {
            let (name, rest) = line.split_once(['{', ' ']).unwrap();
            let labels = rest.rsplit_once('}').map_or("", |(labels, _)| labels);
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let base = base.filter(|base| kinds.contains_key(*base)).unwrap_or(name);
            let (names, bounds) = facts.entry(base.to_owned()).or_default();
            for label in labels.split("\",") {
                match label.split_once("=\"") {
                    Some(("le", bound)) => {
                        let bound = bound.trim_end_matches('"').to_owned();
                        if !bounds.contains(&bound) {
                            bounds.push(bound);
                        }
                    }
                    Some((name, _)) => drop(names.insert(name.to_owned())),
                    None => {}
                }
            }
        }
    }
    let fact = |(name, (labels, bounds)): (String, (BTreeSet<String>, Vec<String>))| {
        let labels: Vec<_> = labels.into_iter().collect();
        let number = |bound: &String| bound.parse::<f64>().unwrap().to_string();
        let bounds: Vec<_> = bounds.iter().map(number).collect();
        let text = format!("{} {} | {}", kinds[&name], labels.join(" "), bounds.join(" "));
        (name, text)
    };
    facts.into_iter().map(fact).collect()
}

#[test]
fn metrics_are_named_and_labelled_as_metacontroller_does() {
    if !has_program("kubectl") {
        eprintln!("not run: metrics of the engine: no kubectl");
        return;
    }
    let dir = dir(&[]);
    let (_server, admin) = embedded(dir.path());
    apply(&admin, &run(dir.path(), &["manifests"]).stdout);
    let (_hooks, port) = hooks(
        dir.path(),
        &[
            ("sync.jsonnet", "function(request) {}"),
            ("finalize.jsonnet", "function(request) { finalized: true }"),
            ("customize.jsonnet", "function(request) { relatedResources: [] }"),
        ],
    );
    let election = ["--leader-election", "--leader-election-namespace=default"];
    let (_engine, metrics, health) = engine(dir.path(), &admin, &election);
    until("it is ready", || get(&health, "/readyz").0 == 200);
    assert_eq!(get(&health, "/healthz"), (200, "ok".to_owned()));
    apply(&admin, &controller(&port));
    let room = "apiVersion: v1\nkind: Namespace\nmetadata: {name: room, labels: {story: room}}\n";
    apply(&admin, room);
    until("it was synced", || {
        get(&metrics, "/metrics").1.contains("metacontroller_sync_requests_total{")
    });
    kubectl(&admin, &["delete", "namespace", "room"], None).unwrap();

    let text = get(&metrics, "/metrics").1;
    let (told, known) = (facts(&text), include_str!("../engine/metrics.txt"));
    for line in known.lines().filter(|line| !line.starts_with('#')) {
        let (kind, rest) = line.split_once(' ').unwrap();
        let (name, rest) = rest.split_once(' ').unwrap();
        let (labels, bounds) = rest.split_once(" | ").unwrap_or((rest, ""));
        let number = |bound: &str| bound.parse::<f64>().unwrap().to_string();
        let bounds: Vec<_> = bounds.split_whitespace().map(number).collect();
        // Nothing here speaks TLS, nothing fails, and all hooks share the connection of the first.
        let is_first = name.starts_with("metacontroller_customize_");
        let is_absent = name.contains("_tls_")
            || name.contains("_dns_") && !is_first
            || name == "workqueue_retries_total";
        if is_absent {
            continue;
        }
        let fact = format!("{kind} {labels} | {}", bounds.join(" "));
        assert_eq!(told.get(name), Some(&fact), "{name}:\n{text}");
    }
    for name in
        ["windlass_sync_total", "windlass_sync_duration_seconds", "windlass_stale_finalizers"]
    {
        assert!(told.contains_key(name), "{name}:\n{text}");
    }
    assert!(text.contains("workqueue_adds_total{controller=\"CompositeController-rooms\""));

    kubectl(&admin, &["delete", "compositecontroller", "rooms"], None).unwrap();
    until("its series disappear", || !get(&metrics, "/metrics").1.contains("rooms"));
}

/// Returns a controller of namespaces with all hooks.
fn controller(port: &str) -> String {
    let hook = |name: &str| {
        format!("    {name}: {{webhook: {{url: 'http://localhost:{port}/{name}'}}}}\n")
    };
    format!(
        "apiVersion: metacontroller.k8s.io/v1alpha1\nkind: CompositeController\nmetadata: {{name: rooms}}\n\
        spec:\n  generateSelector: true\n  parentResource:\n    {{apiVersion: v1, resource: namespaces, \
        labelSelector: {{matchLabels: {{story: room}}}}}}\n  hooks:\n{}{}{}",
        hook("sync"),
        hook("finalize"),
        hook("customize"),
    )
}

/// Breaks when `exchange` tells the texts as they are.
#[test]
fn a_verbose_log_tells_what_happens_without_what_secrets_hold() {
    if !has_program("kubectl") {
        eprintln!("not run: the log of the engine: no kubectl");
        return;
    }
    let dir = dir(&[]);
    let (_server, admin) = embedded(dir.path());
    apply(&admin, &run(dir.path(), &["manifests"]).stdout);
    let hook = "function(request) { attachments: [{ apiVersion: 'v1', kind: 'Secret',
        metadata: { name: 's', labels: std.get(request.object, 'data', { l: '0' }) }, data: { k: 'aHVzaA==' } }] }";
    let (_hooks, port) = hooks(dir.path(), &[("sync.jsonnet", hook)]);
    let (mut engine, ..) = engine(dir.path(), &admin, &["-zap-log-level=7"]);
    let rule =
        "attachments: [{apiVersion: v1, resource: secrets, updateStrategy: {method: InPlace}}]";
    apply(&admin, &decorator("quiet", &port).replace("  hooks:", &format!("  {rule}\n  hooks:")));
    let patch = |text: &str| {
        let patch = ["patch", "configmap", "one", "-n", "quiet", "--type=merge", "-p", text];
        kubectl(&admin, &patch, None).unwrap();
    };
    engine.until("discovered");
    engine.until("queued");
    let answer = engine.until("a hook answered");
    assert!(answer.contains("********") && !answer.contains("aHVzaA=="), "{answer}");
    engine.until("create Secret quiet/s: desired, not there");
    patch(r#"{"data":{"l":"2"}}"#);
    engine.until("update Secret quiet/s: metadata.labels.l differs");
    let change = engine.until("engine::diff");
    assert!(change.contains(r#""l":"2""#) && !change.contains("aHVzaA=="), "{change}");
}

#[test]
fn profiles_are_not_there_and_nothing_is_served_where_it_is_off() {
    if !has_program("kubectl") {
        eprintln!("not run: endpoints of the engine: no kubectl");
        return;
    }
    let dir = dir(&[]);
    let (_server, admin) = embedded(dir.path());
    let more = ["-pprof-address=127.0.0.1:0"];
    let (mut running, ..) = engine(dir.path(), &admin, &more);
    let line = running.until("what=\"profiles\"");
    let address = line.split("address=").nth(1).unwrap().split(' ').next().unwrap();
    assert_eq!(get(address, "/debug/pprof/heap").0, 501);
    let off =
        ["engine", "--kubeconfig", "admin", "--metrics-address=0", "--health-probe-bind-address=0"];
    let mut off = Running::logging(dir.path(), &off);
    let first = off.until("\"message\"");
    assert!(first.contains("reached the API server"), "{first}");
    assert_eq!(off.signal(Signal::TERM), Some(0));
}

/// Breaks when a candidate never takes a lease that ran out, or works without one.
#[test]
fn acceptance_27_another_replica_takes_over_on_the_embedded_server() {
    if !has_program("kubectl") {
        eprintln!("not run: two replicas on the embedded server: no kubectl");
        return;
    }
    let dir = dir(&[]);
    let (_server, admin) = embedded(dir.path());
    replicas(dir.path(), &admin);
}

/// Breaks when a candidate never takes a lease that ran out, or works without one.
#[test]
fn acceptance_27_another_replica_takes_over_on_the_real_server() {
    if let Some(installed) = Installed::real("two replicas") {
        replicas(installed.dir.path(), &installed.admin);
        installed.clean_up(&[]);
    }
}

/// Runs two engines and kills the leader; then the other one is told to end, or loses its lease.
fn replicas(dir: &Path, admin: &Path) {
    apply(admin, &run(dir, &["manifests"]).stdout);
    let id = format!("replicas-{}", process::id());
    let (_hooks, port) =
        hooks(dir, &[("sync.jsonnet", "function(request) { labels: { seen: 'yes' } }")]);
    apply(admin, &decorator(&id, &port));
    let namespace = format!("--leader-election-namespace={id}");
    let selector = format!("--target-label-selector=story={id}");
    let more = ["--leader-election", &namespace, &selector];
    let (mut a, _, health_of_a) = engine(dir, admin, &more);
    a.until("Attempting to acquire leader lease");
    a.until("Successfully acquired lease");
    let (mut b, metrics_of_b, health_of_b) = engine(dir, admin, &more);
    b.until("Attempting to acquire leader lease");
    for health in [&health_of_a, &health_of_b] {
        until("both are ready", || get(health, "/readyz").0 == 200);
    }
    until("the leader works", || seen(admin, &id, "one"));
    assert!(
        get(&metrics_of_b, "/metrics")
            .1
            .contains("leader_election_master_status{name=\"metacontroller\"} 0")
    );
    assert!(!get(&metrics_of_b, "/metrics").1.contains("windlass_sync_total"), "it only stands by");

    a.signal(Signal::KILL);
    let since = Instant::now();
    b.until("Successfully acquired lease");
    let took = since.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    apply(admin, &configmap(&id, "two"));
    until("the other works", || seen(admin, &id, "two"));

    assert_eq!(b.signal(Signal::TERM), Some(0));
    let lease =
        ["get", "lease", "metacontroller", "-n", &id, "-o", "jsonpath={.spec.holderIdentity}"];
    assert_eq!(kubectl(admin, &lease, None).as_deref(), Ok(""), "it gave the lease up");
    let (mut c, ..) = engine(dir, admin, &more);
    c.until("Successfully acquired lease");
    let stolen = r#"{"spec":{"holderIdentity":"somebody else"}}"#;
    let steal = ["patch", "lease", "metacontroller", "-n", &id, "--type=merge", "-p", stolen];
    kubectl(admin, &steal, None).unwrap();
    c.until("error: leader election lost");
    assert_eq!(c.child.wait().unwrap().code(), Some(1));
    for gone in [["decoratorcontroller", &id], ["namespace", &id]] {
        kubectl(admin, &["delete", gone[0], gone[1], "--wait=false"], None).unwrap();
    }
}

/// Returns a namespace with a ConfigMap, and a controller that puts a label on it.
fn decorator(id: &str, port: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {id}}}\n---\n{}---\n\
        apiVersion: metacontroller.k8s.io/v1alpha1\nkind: DecoratorController\n\
        metadata: {{name: {id}, labels: {{story: {id}}}}}\nspec:\n  resources:\n  - {{apiVersion: v1, \
        resource: configmaps, labelSelector: {{matchLabels: {{story: {id}}}}}}}\n  \
        hooks: {{sync: {{webhook: {{url: 'http://127.0.0.1:{port}/sync'}}}}}}\n",
        configmap(id, "one")
    )
}

fn configmap(id: &str, name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {id}, labels: {{story: {id}}}}}\n"
    )
}

fn seen(admin: &Path, id: &str, name: &str) -> bool {
    let get = ["get", "configmap", name, "-n", id, "-o", "jsonpath={.metadata.labels.seen}"];
    kubectl(admin, &get, None).is_ok_and(|seen| seen == "yes")
}
