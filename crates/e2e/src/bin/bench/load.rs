//! Load: objects of a given size, and many requests at once.

use std::{cell::Cell, time::Duration};

use anyhow::ensure;
use bytes::Bytes;
use futures::future::{join_all, try_join_all};
use http::Method;
use serde_json::json;

use crate::{server::Server, timing::Stopwatch, wire::Connection};

/// How many connections make load.
pub(crate) const CONNECTIONS: usize = 32;

/// One request of many: the n-th.
pub(crate) struct Shot {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Bytes,
}

/// What came of a load.
pub(crate) struct Outcome {
    pub(crate) per_second: f64,
    /// How long each request took, in milliseconds.
    pub(crate) times: Vec<f64>,
}

/// Opens the connections of a load.
pub(crate) async fn connections(server: &Server) -> anyhow::Result<Vec<Connection>> {
    try_join_all((0..CONNECTIONS).map(|_| server.connect())).await
}

/// Sends requests over all connections for a while; each must succeed.
pub(crate) async fn press(
    connections: &mut [Connection],
    time: Duration,
    shot: impl Fn(usize) -> Shot,
) -> anyhow::Result<Outcome> {
    let watch = Stopwatch::start();
    shoot(connections, |_| watch.elapsed() < time, &shot).await
}

/// Creates `count` objects under a path.
pub(crate) async fn fill(
    server: &Server,
    path: &str,
    count: usize,
    object: impl Fn(usize) -> Bytes,
) -> anyhow::Result<Outcome> {
    let shot = |number| Shot { method: Method::POST, path: path.to_owned(), body: object(number) };
    send(&mut connections(server).await?, count, shot).await
}

/// Sends `count` requests over all connections; each must succeed.
pub(crate) async fn send(
    connections: &mut [Connection],
    count: usize,
    shot: impl Fn(usize) -> Shot,
) -> anyhow::Result<Outcome> {
    shoot(connections, |number| number < count, &shot).await
}

async fn shoot(
    connections: &mut [Connection],
    goes_on: impl Fn(usize) -> bool,
    shot: &impl Fn(usize) -> Shot,
) -> anyhow::Result<Outcome> {
    let (next, watch) = (Cell::new(0), Stopwatch::start());
    let (next, goes_on) = (&next, &goes_on);
    let lanes = connections.iter_mut().map(|connection| async move {
        let mut times = vec![];
        while goes_on(next.get()) {
            let Shot { method, path, body } = shot(next.replace(next.get() + 1));
            let watch = Stopwatch::start();
            let (code, answer) = connection.call(method, &path, body).await?;
            times.push(watch.millis());
            ensure!(code < 300, "{path}: {code} {}", String::from_utf8_lossy(&answer));
        }
        Ok(times)
    });
    let lanes: anyhow::Result<Vec<_>> = join_all(lanes).await.into_iter().collect();
    let times = lanes?.concat();
    #[expect(clippy::cast_precision_loss, reason = "a count of requests is small")]
    let per_second = times.len() as f64 / watch.elapsed().as_secs_f64();
    Ok(Outcome { per_second, times })
}

/// Returns a ConfigMap with 1 KiB of data.
pub(crate) fn configmap(number: usize) -> Bytes {
    let data = "x".repeat(1024);
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"c{number}"}},"data":{{"text":"{data}"}}}}"#
    )
    .into()
}

/// Returns a ConfigMap that an object owns.
pub(crate) fn owned_configmap(number: usize, owner: &serde_json::Value) -> Bytes {
    let metadata = &owner["metadata"];
    let reference = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": metadata["name"],
        "uid": metadata["uid"]});
    let metadata = json!({"name": format!("d{number}"), "ownerReferences": [reference]});
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}).to_string().into()
}

/// Returns a Pod that no scheduler looks at, of 2 KiB as it is kept.
pub(crate) fn pod(number: usize) -> Bytes {
    let container = json!({"name": "main", "image": "registry.example.com/team/app:1.2.3",
        "env": [{"name": "TEXT", "value": "x".repeat(700)}]});
    let metadata = json!({"name": format!("p{number}"), "labels": {"app": "bench"}});
    let spec = json!({"schedulerName": "nobody", "automountServiceAccountToken": false,
        "containers": [container]});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        .to_string()
        .into()
}
