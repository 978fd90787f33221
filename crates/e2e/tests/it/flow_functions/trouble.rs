//! Functions that go wrong, and what is told of them.

use serde_json::{Value, json};

use super::{Dev, GREETER, condition, eventually, python};

/// A program that does not load leaves the one before it in service.
///
/// Breaks when the version of a pod does not count in `status::current`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_does_not_load_leaves_the_one_before_it_in_service() {
    let dev = Dev::start(GREETER).await;
    let good = "def sync(event, context):\n    return 'good'\n";
    dev.create("wavers", &json!({}), &python(good)).await;
    dev.ready("wavers").await;
    dev.change_source("wavers", "import nothing_like_it\n").await;
    let message = dev.fails("wavers", "Ready", "LoadFailed").await;
    assert_eq!(message, "ModuleNotFoundError: No module named 'nothing_like_it'");
    assert_eq!(dev.event("wavers", "LoadFailed").await, format!("Warning {message}"));
    assert_eq!(dev.call("wavers").await.unwrap(), "good");
    let available = |function: Value| condition(&function, "Available")["status"].clone();
    assert_eq!(available(dev.get(&api::function::resource(), "wavers").await), "True");
    dev.change_source("wavers", &good.replace("good", "better")).await;
    dev.ready("wavers").await;
    assert_eq!(dev.call("wavers").await.unwrap(), "better");
}

/// A program that ends whenever it is loaded is said to crash in a loop, by then for seven seconds.
///
/// Breaks when a pod does not tell how often its processes ended in a row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_always_ends_is_a_crash_loop() {
    let dev = Dev::start(GREETER).await;
    let source = "import os\nprint('so long', flush=True)\nos._exit(7)\n";
    dev.create("falls", &json!({}), &python(source)).await;
    assert_eq!(dev.fails("falls", "Ready", "LoadFailed").await, "so long");
    let message = dev.fails("falls", "Available", "CrashLoop").await;
    assert_eq!(message, "so long");
    assert_eq!(dev.event("falls", "CrashLoop").await, format!("Warning {message}"));
    let pods = dev.pods("falls").await;
    let state = &pods[0]["status"]["containerStatuses"][0]["state"]["waiting"];
    assert_eq!(state["reason"], "CrashLoopBackOff", "{pods:?}");
    assert!(dev.call("falls").await.is_err());
}

/// What takes more memory than it may is ended and told, and others go on.
///
/// Breaks when `End` does not say what the process died of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_too_much_memory_is_told() {
    let dev = Dev::start(GREETER).await;
    let mut hog = python(
        "def sync(event, context):\n    size = 10**9 if 'much' in event['extensions']['request'].path else 1\n    \
         return str(len(bytearray(size)))\n",
    );
    hog["deployment"] = json!({"spec": {"template": {"spec": {"containers": [
        {"resources": {"limits": {"memory": "200Mi"}}}]}}}});
    dev.create("hog", &json!({}), &hog).await;
    dev.ready("hog").await;
    let refused = dev.get_path("hog", "much").await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 502), "{refused:?}");
    assert!(
        dev.event("hog", "OOMKilled").await.ends_with("wanted more memory than its limit of 200Mi")
    );
    eventually("it answers again", || async { dev.call("hog").await.is_ok_and(|it| it == "1") })
        .await;
    eventually("the pod tells it", || async {
        let pods = dev.pods("hog").await;
        let status = &pods[0]["status"]["containerStatuses"][0];
        status["lastState"]["terminated"]["reason"] == "OOMKilled" && status["restartCount"] == 1
    })
    .await;
}
