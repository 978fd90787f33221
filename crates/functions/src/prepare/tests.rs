//! Programs from their ConfigMap to the answer of a host, with real interpreters and compilers.

use std::{
    collections::BTreeMap,
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use api::{Fetch, FetchError, FetchRequest, SharedFetch};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use k8s::{Activity, SharedClock, SystemClock};
use tempfile::TempDir;

use super::{Means, Tools, place};
use crate::{
    content::Digest,
    host::{Host, Log, Settings},
    install::COMPILED,
    interpreters::Interpreters,
    launch::{LAUNCH_ARGUMENT, Launcher},
    preparation::{Preparation, PrepareError, sources},
    runtimes::{Language, Version},
    store::Store,
};

/// The program that is packed in every way.
const PROGRAM: &str = "def answer(event, context):\n    return 'answered'\n";
/// The same as `hooks.py` of a tar file that `xz` compressed.
const XZ: &str = "/Td6WFoAAATm1rRGAgAhARwAAAAQz1jM4Cf/AI1dADQb7NZ2SKVaB4TL9PMbj+e8duhOlba5Re/Yho7wMx3RQaQfTfl5OhFnwsUgEbGiPVEy1OW/Nkrn1IijIH9QB1SLzlTXL0rOnWZH2ruIQtpbepewTzlW906GmxYPLw4PRb6if9QBqMlVecRqS9TmHmhifZFz8D0ifuM+SJxBU+sBB2sXmKkHifoaSYrgAAAAAAA2wXg9Ub9x2AABqQGAUAAAwCXDQbHEZ/sCAAAAAARZWg==";

/// A machine with a directory for its data.
struct Machine {
    data: TempDir,
    tools: Tools,
    interpreters: Interpreters,
    clock: SharedClock,
}

/// What a Function says.
#[derive(Clone, Copy)]
struct Program<'a> {
    language: Language,
    handler: &'a str,
    content_type: &'a str,
    function: &'a str,
    checksum: &'a str,
    deps: &'a str,
}

/// The only files there are at URLs.
#[derive(Debug, Default)]
struct Files(BTreeMap<String, Vec<u8>>);

impl Fetch for Files {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<Bytes, FetchError>> {
        let found = self.0.get(&request.url).map(|bytes| Bytes::from(bytes.clone()));
        let url = request.url;
        async { found.ok_or(FetchError::Refused { url, status: 404 }) }.boxed()
    }
}

#[derive(Debug)]
struct Silent;

impl Log for Silent {
    fn line(&self, _: &str) {}
}

impl Machine {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let clock: SharedClock = Arc::new(SystemClock);
        let worker = env::current_exe().unwrap();
        let worker = worker.parent().unwrap().parent().unwrap().join("examples/function_worker");
        let launcher = Launcher { program: worker.clone(), args: vec![LAUNCH_ARGUMENT.into()] };
        let tools = Tools {
            launcher,
            clock: Arc::clone(&clock),
            packages: Store::new(data.path().join("dependencies")),
            cache: data.path().join("cache"),
        };
        Self { data, tools, interpreters: Interpreters::new(Arc::clone(&clock), worker), clock }
    }

    /// Prepares a program in a directory of its own.
    async fn prepare(
        &self,
        program: Program<'_>,
        files: Files,
    ) -> Result<(PathBuf, BTreeMap<String, String>), PrepareError> {
        let Program { language, handler, content_type, function, checksum, deps } = program;
        let facts = language.facts();
        let (module, name) = handler.rsplit_once('.').unwrap();
        let found = self.interpreters.of(language, &Version::default()).await;
        let interpreter = found.first().unwrap();
        let version = interpreter.version.to_string();
        let preparation = Preparation {
            hash: String::new(),
            sources: sources(handler, function, facts.deps.map_or("", |_| deps)),
            content_type: content_type.to_owned(),
            checksum: checksum.to_owned(),
            key: "key".to_owned(),
            file: format!("{module}{}", facts.suffix),
            deps: facts.deps.map(str::to_owned),
        };
        let texts = [("handler", handler), ("key", function), (facts.deps.unwrap_or("-"), deps)];
        let texts = texts.map(|(key, text)| (key.to_owned(), text.to_owned()));
        let work = preparation.plan(&texts.into()).unwrap();
        let dir = tempfile::tempdir_in(self.data.path()).unwrap().keep().join("f");
        fs::create_dir(&dir).unwrap();
        let fetch: SharedFetch = Arc::new(files);
        place(&work, &dir, &fetch).await?;
        let runtime = format!("{}{version}", facts.id);
        let mut variables = vec![
            ("PATH", env::var("PATH").unwrap()),
            ("MOD_NAME", module.to_owned()),
            ("FUNC_HANDLER", name.to_owned()),
            ("FUNC_TIMEOUT", "2".to_owned()),
            ("FUNC_EXPOSE_ERRORS", "true".to_owned()),
            ("WINDLASS_RUNTIME", runtime),
            ("PYTHONPATH", format!("/kubeless/lib/python{version}/site-packages:/kubeless")),
            ("NODE_PATH", "/kubeless/node_modules".to_owned()),
        ];
        // The library of Go is compiled once on this machine, not once in every test.
        let home = env::var("HOME").unwrap_or_default();
        variables.push(("GOCACHE", format!("{home}/.cache/go-build")));
        let variables: BTreeMap<_, _> =
            variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let (version, interpreter, env) = (&*version, &*interpreter.path, &variables);
        self.tools.equip(&work, &dir, &Means { language, version, interpreter, env }).await?;
        Ok((dir, variables))
    }

    /// Serves what was prepared, once it is loaded.
    async fn serve(&self, dir: &Path, env: &BTreeMap<String, String>) -> Host {
        let settings = Settings::read(env, dir.to_owned()).unwrap();
        let interpreter = match settings.language {
            Language::Go => dir.join(COMPILED),
            language => self
                .interpreters
                .of(language, &Version::default())
                .await
                .first()
                .unwrap()
                .path
                .clone(),
        };
        let means = crate::host::Means {
            clock: Arc::clone(&self.clock),
            activity: Activity::default(),
            launcher: self.tools.launcher.clone(),
            interpreter,
            log: Arc::new(Silent),
            totals: None,
        };
        let host = Host::start(settings, means).unwrap();
        let mut health = host.health();
        let now =
            health.wait_for(|now| now.is_ready || now.failure.is_some()).await.unwrap().clone();
        assert_eq!(now.failure, None);
        host
    }

    async fn answer(&self, program: Program<'_>, files: Files) -> Result<String, PrepareError> {
        let (dir, env) = self.prepare(program, files).await?;
        let host = self.serve(&dir, &env).await;
        Ok(call(&host, "").await.1)
    }
}

async fn call(host: &Host, body: &str) -> (StatusCode, String) {
    let request = Request::post("/").header("content-type", "application/json");
    let response = host.handle(request.body(Full::from(body.to_owned())).unwrap()).await;
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, String::from_utf8(body.to_vec()).unwrap())
}

fn python(function: &str) -> Program<'_> {
    let (language, handler) = (Language::Python, "hooks.answer");
    Program { language, handler, content_type: "", function, checksum: "", deps: "" }
}

fn zipped(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in files {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn tarred(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        // The builder itself refuses names that lead outside.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Breaks when `place` verifies a source after it is unpacked.
#[tokio::test]
async fn acceptance_4_a_program_with_another_digest_is_not_even_unpacked() {
    let machine = Machine::new();
    let packed = zipped(&[("hooks.py", PROGRAM)]);
    let function = STANDARD.encode(&packed);
    let right = Digest::of(&packed).to_string();
    let last = if right.ends_with('0') { "1" } else { "0" };
    let wrong = format!("{}{last}", &right[..right.len() - 1]);
    let program = Program { content_type: "base64+zip", checksum: &wrong, ..python(&function) };
    let error = machine.prepare(program, Files::default()).await.unwrap_err();
    assert!(error.last_words().starts_with("ChecksumMismatch: "), "{error}");
    assert!(error.to_string().contains(&right) && error.to_string().contains(&wrong), "{error}");
    let left = fs::read_dir(machine.data.path()).unwrap().map(|dir| dir.unwrap().path().join("f"));
    assert_eq!(left.map(|dir| fs::read_dir(dir).unwrap().count()).sum::<usize>(), 0);
    let program = Program { checksum: &right, ..program };
    assert_eq!(machine.answer(program, Files::default()).await.unwrap(), "answered");
}

/// Breaks when the first bytes of bzip2 are others.
#[tokio::test]
async fn acceptance_5_a_program_is_the_same_however_it_comes() {
    let machine = Machine::new();
    let files = [("hooks.py", PROGRAM)];
    let (zip, tar) = (zipped(&files), tarred(&files));
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&tar).unwrap();
    let gz = gz.finish().unwrap();
    let mut bz2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bz2.write_all(&tar).unwrap();
    let bz2 = bz2.finish().unwrap();
    let fast = ruzstd::encoding::CompressionLevel::Fastest;
    let zstd = ruzstd::encoding::compress_to_vec(&tar[..], fast);
    let encoded = |bytes: &[u8]| STANDARD.encode(bytes);
    for (content_type, function, file) in [
        ("", PROGRAM.to_owned(), None),
        ("text", PROGRAM.to_owned(), None),
        ("base64", encoded(PROGRAM.as_bytes()), None),
        ("url", "http://h/x".to_owned(), Some(PROGRAM.as_bytes())),
        ("base64+zip", encoded(&zip), None),
        ("zip+url", "http://h/x?y".to_owned(), Some(&*zip)),
        ("base64+compressedtar", encoded(&gz), None),
        ("base64+compressedtar", encoded(&bz2), None),
        ("base64+compressedtar", XZ.to_owned(), None),
        ("base64+compressedtar", encoded(&zstd), None),
        ("compressedtar+base64", encoded(&tar), None),
    ] {
        let files = file.map(|file| (function.clone(), file.to_vec()));
        let program = Program { content_type, ..python(&function) };
        let answer = machine.answer(program, Files(files.into_iter().collect())).await;
        assert_eq!(answer.as_deref(), Ok("answered"), "{content_type}");
    }
    let missing = Program { content_type: "url", ..python("http://h/none") };
    let error = machine.answer(missing, Files::default()).await.unwrap_err();
    assert_eq!(error.last_words(), "FetchFailed: `http://h/none` answered 404");
}

/// Breaks when `inside` lets `..` pass.
#[tokio::test]
async fn acceptance_5_nothing_is_written_outside() {
    let machine = Machine::new();
    for (content_type, packed) in [
        ("base64+compressedtar", tarred(&[("hooks.py", PROGRAM), ("../x", "outside")])),
        ("base64+zip", zipped(&[("hooks.py", PROGRAM), ("../x", "outside")])),
        ("base64+zip", b"no archive".to_vec()),
        ("base64+compressedtar", b"\x1f\x8b no archive".to_vec()),
        ("base64+compressedtar", [b"no archive".as_slice(); 100].concat()),
    ] {
        let function = STANDARD.encode(packed);
        let program = Program { content_type, ..python(&function) };
        let error = machine.prepare(program, Files::default()).await.unwrap_err();
        assert!(error.last_words().starts_with("BadArchive: "), "{content_type}: {error}");
    }
    for dir in fs::read_dir(machine.data.path()).unwrap() {
        assert!(!dir.unwrap().path().join("x").exists());
    }
}

/// Writes a package that pip can install without a network.
fn wheel(dir: &Path) {
    let info = "wlgreeting-1.0.dist-info";
    let metadata = "Metadata-Version: 2.1\nName: wlgreeting\nVersion: 1.0\n";
    let about = "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    let record = format!("wlgreeting.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n");
    let packed = zipped(&[
        ("wlgreeting.py", "TEXT = 'greetings'\n"),
        (&format!("{info}/METADATA"), metadata),
        (&format!("{info}/WHEEL"), about),
        (&format!("{info}/RECORD"), &record),
    ]);
    fs::write(dir.join("wlgreeting-1.0-py3-none-any.whl"), packed).unwrap();
}

/// Breaks when `Store::place` does not look for what is there.
#[tokio::test]
async fn acceptance_14_equal_dependencies_are_installed_once() {
    let machine = Machine::new();
    let wheels = tempfile::tempdir().unwrap();
    let function = "import wlgreeting\ndef answer(event, context):\n    return wlgreeting.TEXT\n";
    let deps =
        |name: &str| format!("--no-index\n--find-links {}\n{name}\n", wheels.path().display());
    let (wrong, right) = (deps("wlmissing==1.0"), deps("wlgreeting==1.0"));
    let error =
        machine.prepare(Program { deps: &wrong, ..python(function) }, Files::default()).await;
    let error = error.unwrap_err().last_words();
    assert!(error.starts_with("DependencyInstallFailed: "), "{error}");
    assert!(error.contains("No matching distribution found for wlmissing==1.0"), "{error}");

    wheel(wheels.path());
    let first = Program { deps: &right, ..python(function) };
    let second = format!("{function}# another\n");
    let second = Program { function: &second, ..first };
    let answers = futures::join!(
        machine.answer(first, Files::default()),
        machine.answer(second, Files::default())
    );
    assert_eq!(answers, (Ok("greetings".to_owned()), Ok("greetings".to_owned())));
    // Nothing is left to install from.
    fs::remove_dir_all(wheels.path()).unwrap();
    let third = format!("{function}# a third\n");
    let third = Program { function: &third, ..first };
    assert_eq!(machine.answer(third, Files::default()).await.as_deref(), Ok("greetings"));
    let installed = fs::read_dir(machine.data.path().join("dependencies")).unwrap();
    assert_eq!(installed.count(), 1);
}

#[tokio::test]
async fn packages_of_npm_are_where_programs_look() {
    let machine = Machine::new();
    let package = tempfile::tempdir().unwrap();
    let about = r#"{"name": "wlgreeting", "version": "1.0.0"}"#;
    fs::write(package.path().join("package.json"), about).unwrap();
    fs::write(package.path().join("index.js"), "module.exports = 'greetings';").unwrap();
    let deps =
        format!(r#"{{"dependencies": {{"wlgreeting": "file:{}"}}}}"#, package.path().display());
    let program = Program {
        language: Language::Nodejs,
        function: "exports.answer = () => require('wlgreeting');",
        deps: &deps,
        ..python("")
    };
    assert_eq!(machine.answer(program, Files::default()).await.as_deref(), Ok("greetings"));
}

/// Breaks when the data of the event are called anything but `request`.
#[tokio::test]
async fn acceptance_22_a_jsonnet_function_needs_no_interpreter() {
    let machine = Machine::new();
    let jsonnet = |function| Program { language: Language::Jsonnet, function, ..python("") };
    let hook = "function(request) \
                {status: {n: std.length(std.objectFields(request.children))}, children: []}";
    let (dir, env) = machine.prepare(jsonnet(hook), Files::default()).await.unwrap();
    let host = machine.serve(&dir, &env).await;
    let (status, body) = call(&host, r#"{"children": {"a": {}, "b": {}}}"#).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body, serde_json::json!({"status": {"n": 2}, "children": []}));

    let wild = "function(request) \
                local f(n) = if n < 0 then n else 1 + f(n + 1); \
                local g(n) = if n < 0 then n else g(n + 1) tailstrict; \
                {recurse: f(0), loop: g(0), fill: std.length(std.makeArray(1e9, function(i) i)), text: 'a text'}[request]";
    let (dir, env) = machine.prepare(jsonnet(wild), Files::default()).await.unwrap();
    let host = machine.serve(&dir, &env).await;
    let (status, body) = call(&host, r#""recurse""#).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(body.starts_with("Error: stack: "), "{body}");
    assert_eq!(call(&host, r#""loop""#).await.0, StatusCode::REQUEST_TIMEOUT);
    let (status, _) = call(&host, r#""fill""#).await;
    assert!(matches!(status.as_u16(), 408 | 500 | 502), "{status}");
    if status == StatusCode::BAD_GATEWAY {
        // The end of a process is seen a moment after that of its connection.
        host.health().wait_for(|now| 0 < now.restarts).await.unwrap();
    }
    assert_eq!(call(&host, r#""text""#).await, (StatusCode::OK, "a text".to_owned()));
}

#[tokio::test]
async fn an_event_is_the_same_in_each_language() {
    let machine = Machine::new();
    let go = "package kubeless

import (
\t\"strings\"

\t\"github.com/kubeless/kubeless/pkg/functions\"
)

func Answer(event functions.Event, context functions.Context) (string, error) {
\tresponse := event.Extensions.Response
\tresponse.Header().Set(\"X-A\", \"b\")
\tresponse.WriteHeader(418)
\t_, hasEnd := event.Extensions.Context.Deadline()
\tif !hasEnd || event.Extensions.Request.URL.Path != \"/a\" {
\t\tpanic(\"no end, or another path\")
\t}
\treturn strings.Join([]string{event.Data, event.EventID, event.EventType, event.EventTime, event.EventNamespace,
\t\tcontext.FunctionName, context.Timeout, context.Runtime, context.MemoryLimit}, \" \"), nil
}
";
    let jsonnet = "function(event, context)
  assert event.extensions.request.path == '/a';
  local fields = ['id', 'type', 'time', 'namespace'];
  std.join(' ', [std.manifestJsonMinified(event.data)] + [event['event-' + field] for field in fields]
    + [context[field] for field in ['function-name', 'timeout', 'runtime', 'memory-limit']])";
    for (language, handler, function, expected) in [
        (Language::Go, "hello.Answer", go, "[1] 7 shop.paid now shop Answer 2 go1 1Gi"),
        (Language::Jsonnet, "hello.answer", jsonnet, "[1] 7 shop.paid now shop answer 2 go1 1Gi"),
    ] {
        let program = Program { language, handler, function, ..python("") };
        let (dir, mut env) = machine.prepare(program, Files::default()).await.unwrap();
        for (name, value) in [("FUNC_RUNTIME", "go1"), ("FUNC_MEMORY_LIMIT", "1Gi")] {
            env.insert(name.to_owned(), value.to_owned());
        }
        let host = machine.serve(&dir, &env).await;
        let mut request = Request::post("/a").header("content-type", "application/json");
        for (name, value) in
            [("id", "7"), ("type", "shop.paid"), ("time", "now"), ("source", "shop")]
        {
            request = request.header(format!("ce-{name}"), value);
        }
        let response = host.handle(request.body(Full::from("[1]")).unwrap()).await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        assert_eq!(String::from_utf8_lossy(&body), expected, "{language:?}");
        let own = (418, Some("b"));
        let told = (head.status.as_u16(), head.headers.get("x-a").map(|it| it.to_str().unwrap()));
        assert_eq!(told, if language == Language::Go { own } else { (200, None) });
    }
}

const GO: &str = "package kubeless

import \"github.com/kubeless/kubeless/pkg/functions\"

func Answer(event functions.Event, context functions.Context) (string, error) {
\treturn event.Data + \" to \" + context.FunctionName, nil
}
";

/// Breaks when the module of the types is not replaced by that of this executable.
#[tokio::test]
async fn acceptance_24_a_go_function_is_built_without_a_network() {
    let machine = Machine::new();
    let (language, handler) = (Language::Go, "hello.Answer");
    let go = |function| Program { language, handler, function, ..python("") };
    let (dir, env) = machine.prepare(go(GO), Files::default()).await.unwrap();
    let host = machine.serve(&dir, &env).await;
    assert_eq!(call(&host, "[1]").await, (StatusCode::OK, "[1] to Answer".to_owned()));

    let broken = GO.replace("return ", "return return ");
    let error = machine.prepare(go(&broken), Files::default()).await.unwrap_err().last_words();
    assert!(error.starts_with("CompileFailed: ") && error.contains("hello.go:6:"), "{error}");

    let failing =
        GO.replace("nil", "errors.New(\"no\")").replace("import ", "import \"errors\"\nimport ");
    let (dir, env) = machine.prepare(go(&failing), Files::default()).await.unwrap();
    let host = machine.serve(&dir, &env).await;
    let (status, body) = call(&host, "[1]").await;
    assert_eq!((status, body.as_str()), (StatusCode::INTERNAL_SERVER_ERROR, "Error: no"));
}
