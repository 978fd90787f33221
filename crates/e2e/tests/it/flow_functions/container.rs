//! What the container of a function gets, and what only a cluster can give.

use std::{fs, process::Command};

use e2e::not_run;
use futures::AsyncReadExt as _;
use http::Request;
use k8s::Resource;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{Dev, GREETER, python};

/// A function that begins its answer, and ends it once there is a file.
const SLOW: &str = "
const fs = require('fs');
exports.sync = async ({ extensions: { request, response } }) => {
  if (request.path === '/gateway') return process.env.WINDLASS_GATEWAY;
  response.write('first');
  while (!fs.existsSync(request.query.file)) await new Promise((resolve) => setTimeout(resolve, 10));
  return 'last';
};
";

/// Whoever calls gets the first byte before the last one is made, whichever way the call goes.
///
/// Breaks when `Endpoint` waits for the end of an answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_come_bit_by_bit_through_services_and_the_gateway() {
    if Command::new("node").arg("--version").output().is_err() {
        return not_run("answers that come bit by bit", "no node");
    }
    let dev = Dev::start(GREETER).await;
    let slow = json!({"runtime": "nodejs", "handler": "hooks.sync", "function": SLOW});
    dev.create("slow", &json!({}), &slow).await;
    dev.ready("slow").await;

    let file = dev.dir.path().join("through-the-service");
    let path = format!("/api/v1/namespaces/ops/services/slow/proxy/?file={}", file.display());
    let request = Request::get(path).body(vec![]).unwrap();
    let mut body = Box::pin(dev.kube.request_stream(request).await.unwrap());
    let mut first = [0; 5];
    futures::AsyncReadExt::read_exact(&mut body, &mut first).await.unwrap();
    assert_eq!(&first, b"first");
    fs::write(&file, "").unwrap();
    let mut rest = String::new();
    body.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "last");

    let gateway = dev.get_path("slow", "gateway").await.unwrap();
    let address = gateway.strip_prefix("http://").unwrap();
    let file = dev.dir.path().join("through-the-gateway");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "GET /?file={} HTTP/1.1\r\nhost: slow.ops\r\nconnection: close\r\n\r\n",
        file.display()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut text = Vec::new();
    while !text.ends_with(b"first\r\n") {
        assert_ne!(stream.read_buf(&mut text).await.unwrap(), 0, "{}", text.escape_ascii());
    }
    fs::write(&file, "").unwrap();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut text).await.unwrap();
    assert!(text.ends_with(b"last\r\n0\r\n\r\n"), "{}", text.escape_ascii());
}

/// Variables and volumes come from where the container says.
///
/// Breaks when `Run::ready` looks for no objects.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn variables_and_volumes_are_those_of_the_container() {
    let dev = Dev::start(GREETER).await;
    for (kind, plural, name, data) in [
        ("Secret", "secrets", "login", json!({"password": "aHVudGVyMg=="})),
        ("ConfigMap", "configmaps", "words", json!({"MORE": "words", "file.txt": "in a file"})),
    ] {
        let object = json!({"apiVersion": "v1", "kind": kind,
            "metadata": {"name": name, "namespace": "ops"}, "data": data});
        let resource = Resource::namespaced("v1", kind, plural);
        dev.client.create(&resource, "ops", object.to_string()).await.unwrap();
    }
    let mut reads = python(
        "import json, os\ndef sync(event, context):\n    \
         root = os.environ['WINDLASS_MOUNTS']\n    \
         read = lambda path: open(root + path).read()\n    \
         open(root + '/scratch/new', 'w').write('kept')\n    \
         return [os.environ['PASSWORD'], os.environ['OF_MORE'], os.environ['WHERE'],\n            \
         read('/etc/login/password'), read('/etc/words/file.txt'), read('/scratch/new'), 1]\n",
    );
    reads["deployment"] = json!({"spec": {"template": {"spec": {
        "volumes": [
            {"name": "login", "secret": {"secretName": "login"}},
            {"name": "words", "projected": {"sources": [{"configMap": {"name": "words"}}]}},
            {"name": "scratch", "emptyDir": {}}],
        "containers": [{
            "envFrom": [{"prefix": "OF_", "configMapRef": {"name": "words"}}],
            "env": [
                {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}},
                {"name": "WHERE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}],
            "volumeMounts": [
                {"name": "login", "mountPath": "/etc/login"}, {"name": "words", "mountPath": "/etc/words"},
                {"name": "scratch", "mountPath": "/scratch"}]}]}}}});
    dev.create("reads", &json!({}), &reads).await;
    dev.ready("reads").await;
    let answer: Value = serde_json::from_str(&dev.call("reads").await.unwrap()).unwrap();
    let expected = ["hunter2", "words", "ops", "hunter2", "in a file", "kept"];
    assert_eq!(answer.as_array().unwrap()[..6], expected.map(|text| json!(text)));
    let told = dev.event("reads", "MountRelocated").await;
    assert!(told.contains("/etc/login, /etc/words, /scratch"), "{told}");
}

/// What only containers can have is refused, and a scaler that nobody obeys is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_a_cluster_is_told() {
    let dev = Dev::start(GREETER).await;
    let source = "def sync(event, context):\n    return 'x'\n";
    let mut image = python(source);
    image["deployment"] =
        json!({"spec": {"template": {"spec": {"containers": [{"image": "example.com/own"}]}}}});
    dev.create("image", &json!({}), &image).await;
    let mut volume = python(source);
    volume["deployment"] = json!({"spec": {"template": {"spec": {
        "volumes": [{"name": "host", "hostPath": {"path": "/"}}],
        "containers": [{"volumeMounts": [{"name": "host", "mountPath": "/host"}]}]}}}});
    dev.create("volume", &json!({}), &volume).await;
    let mut scaled = python(source);
    scaled["horizontalPodAutoscaler"] = json!({"metadata": {"name": "scaled"}, "spec": {
        "maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "scaled"}}});
    dev.create("scaled", &json!({}), &scaled).await;
    for (name, message) in [
        ("image", "nothing here runs image `example.com/own`"),
        ("volume", "volume `host` needs containers"),
    ] {
        assert_eq!(dev.fails(name, "Built", "ContainerRuntimeRequired").await, message);
    }
    dev.ready("scaled").await;
    let told = dev.event("scaled", "AutoscalingNotEnforced").await;
    assert_eq!(told, "Warning nothing scales by a HorizontalPodAutoscaler here");
}
