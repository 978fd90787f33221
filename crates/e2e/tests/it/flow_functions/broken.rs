//! Functions that are not what they should be: what they say of it, and who answers meanwhile.

use std::{fs, path::Path, process::Command};

use super::*;

/// The digest of what answers `new`.
const RIGHT: &str = "sha256:bed857369c0552e8716ba9ec49ac9b6617ce91500a2c48d948a1d4a17eb9e259";

fn answering(word: &str) -> String {
    format!("def sync(event, context):\n    return '{word}'\n")
}

/// A program is not served unless it is the one that its checksum names.
///
/// Breaks when `Work::verify` finds nothing wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acceptance_4_the_old_program_answers_while_the_new_one_is_another() {
    let dev = Dev::start(GREETER).await;
    dev.create("checked", &json!({}), &python(&answering("old"))).await;
    dev.ready("checked").await;
    let wrong = format!("{}8", &RIGHT[..RIGHT.len() - 1]);
    dev.change("checked", &json!({"function": answering("new"), "checksum": wrong})).await;
    let function = dev.told("checked", "Built", "ChecksumMismatch").await;
    let built = condition(&function, "Built");
    let message = built["message"].as_str().unwrap();
    assert!(message.contains(RIGHT) && message.contains(&wrong), "{message}");
    assert_eq!(
        (&built["status"], &condition(&function, "Available")["status"]),
        (&json!("False"), &json!("True"))
    );
    assert_eq!(condition(&function, "Ready")["reason"], "ChecksumMismatch");
    assert_eq!(dev.call("checked").await.unwrap(), "old");
    assert_eq!(dev.event("checked", "ChecksumMismatch").await, format!("Warning {message}"));
    dev.change("checked", &json!({"checksum": RIGHT})).await;
    dev.ready("checked").await;
    assert_eq!(dev.call("checked").await.unwrap(), "new");
    assert!(dev.event("checked", "FunctionReady").await.starts_with("Normal "));
}

/// Whatever is wrong with an update, it is told by a condition and an event, and the program before it answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_failed_update_takes_the_old_program_away() {
    let dev = Dev::start(GREETER).await;
    let policy = json!({"windlass.dev/runtime-policy": "Exact"});
    let good = answering("good");
    dev.create("updated", &policy, &python(&good)).await;
    dev.ready("updated").await;
    let image = json!({"spec": {"template": {"spec": {"containers": [{"image": "web"}]}}}});
    for (spec, kind, reason, words) in [
        (
            json!({"function-content-type": "url", "function": "http://127.0.0.1:9/none"}),
            "Built",
            "FetchFailed",
            "failed to get `http://127.0.0.1:9/none`",
        ),
        (
            json!({"function-content-type": "base64", "function": "%%%"}),
            "Built",
            "FetchFailed",
            "`spec.function` is not base64",
        ),
        (
            json!({"function-content-type": "base64+zip", "function": "bm8="}),
            "Built",
            "BadArchive",
            "the archive cannot be read",
        ),
        (
            json!({"function-content-type": null, "function": "def sync(:\n"}),
            "Ready",
            "LoadFailed",
            "SyntaxError",
        ),
        (
            json!({"function": good, "runtime": "python2.7"}),
            "Built",
            "RuntimeUnavailable",
            "`python2.7` is not there",
        ),
        (
            json!({"deployment": image}),
            "Built",
            "ContainerRuntimeRequired",
            "nothing here runs image `web`",
        ),
        (
            json!({"deployment": null, "runtime": "ruby3.2"}),
            "Accepted",
            "UnknownRuntime",
            "`ruby3.2` is not supported yet",
        ),
    ] {
        dev.change("updated", &spec).await;
        let function = dev.told("updated", kind, reason).await;
        let told = condition(&function, kind);
        assert!(told["message"].as_str().unwrap().contains(words), "{told}");
        let of = |kind: &str| condition(&function, kind)["status"].clone();
        assert_eq!(
            (of(kind), of("Ready"), of("Available")),
            (json!("False"), json!("False"), json!("True"))
        );
        let event = dev.event("updated", reason).await;
        assert!(event.starts_with("Warning "), "{event}");
        assert_eq!(dev.call("updated").await.unwrap(), "good", "{reason}");
    }
    dev.change("updated", &json!({"function": answering("better"), "runtime": "python3"})).await;
    dev.ready("updated").await;
    assert_eq!(dev.call("updated").await.unwrap(), "better");
}

/// Writes a package that pip can install without a network.
fn wheel(dir: &Path) {
    let info = "wlgreeting-1.0.dist-info";
    fs::create_dir(dir.join(info)).unwrap();
    let write = |name: &str, text: &str| fs::write(dir.join(name), text).unwrap();
    write("wlgreeting.py", "TEXT = 'greetings'\n");
    write(&format!("{info}/METADATA"), "Metadata-Version: 2.1\nName: wlgreeting\nVersion: 1.0\n");
    let about = "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    write(&format!("{info}/WHEEL"), about);
    let record = format!("wlgreeting.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n");
    write(&format!("{info}/RECORD"), &record);
    let packed = ["-m", "zipfile", "-c", "wlgreeting-1.0-py3-none-any.whl", "wlgreeting.py", info];
    assert!(Command::new("python3").args(packed).current_dir(dir).status().unwrap().success());
}

/// Dependencies that cannot be had are told with the installer's own words, and may be corrected.
///
/// Breaks when the words of an installer are told as those of a fetch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acceptance_14_corrected_dependencies_heal_a_function() {
    let dev = Dev::start(GREETER).await;
    let wheels = tempfile::tempdir().unwrap();
    wheel(wheels.path());
    let deps =
        |name: &str| format!("--no-index\n--find-links {}\n{name}\n", wheels.path().display());
    let mut function =
        python("import wlgreeting\ndef sync(event, context):\n    return wlgreeting.TEXT\n");
    function["deps"] = json!(deps("wlmissing==1.0"));
    dev.create("needy", &json!({}), &function).await;
    let needy = dev.told("needy", "Built", "DependencyInstallFailed").await;
    let message = condition(&needy, "Built")["message"].as_str().unwrap().to_owned();
    let line = "No matching distribution found for wlmissing==1.0";
    assert!(message.contains(line), "{message}");
    assert_eq!(condition(&needy, "Available")["reason"], "NoWorkers");
    assert!(dev.event("needy", "DependencyInstallFailed").await.contains(line));
    function["deps"] = json!(deps("wlgreeting==1.0"));
    dev.change("needy", &json!({"deps": function["deps"]})).await;
    dev.create("another", &json!({}), &function).await;
    for name in ["needy", "another"] {
        dev.ready(name).await;
        assert_eq!(dev.call(name).await.unwrap(), "greetings");
    }
    let installed = fs::read_dir(dev.dir.path().join("dependencies")).unwrap();
    assert_eq!(installed.count(), 1);
}

/// A hook in Jsonnet needs nothing but windlass, and nothing that it does harms more than its own calls.
///
/// Breaks when the data of the event are called anything but `request`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acceptance_22_a_jsonnet_function_is_a_hook_that_harms_nobody() {
    let dev = Dev::start(GREETER).await;
    let hook = "function(request) \
                {status: {n: std.length(std.objectFields(request.children))}, children: []}";
    let function =
        json!({"runtime": "jsonnet", "handler": "hooks.sync", "function": hook, "timeout": 1});
    dev.create("greeter-hook", &json!({}), &function).await;
    let greeters = Resource::namespaced("example.com/v1", "Greeter", "greeters");
    let greeter = json!({"apiVersion": "example.com/v1", "kind": "Greeter",
        "metadata": {"name": "ann", "namespace": "ops"}});
    dev.client.create(&greeters, "ops", greeter.to_string()).await.unwrap();
    let counted = |expected: i32| {
        let (dev, greeters) = (&dev, &greeters);
        move || async move { dev.get(greeters, "ann").await["status"]["n"] == expected }
    };
    within(10, "the children are counted", counted(1)).await;
    let own = fs::canonicalize(e2e::worker_program()).unwrap();
    for process in dev.workers() {
        assert_eq!(fs::read_link(process.join("exe")).unwrap(), own);
    }
    for (wild, expected) in [
        ("local f(n) = if n < 0 then n else 1 + f(n + 1); function(request) f(0)", &[500, 408][..]),
        ("local f(n) = if n < 0 then n else f(n + 1) tailstrict; function(request) f(0)", &[408]),
    ] {
        dev.change_source("greeter-hook", wild).await;
        dev.ready("greeter-hook").await;
        let status = dev.status("greeter-hook").await;
        assert!(expected.contains(&status), "{status}: {wild}");
        assert!(counted(1)().await, "nothing else has changed");
    }
    dev.change_source("greeter-hook", &hook.replace("length(", "length([0] + ")).await;
    within(20, "the children are counted again", counted(2)).await;
}
