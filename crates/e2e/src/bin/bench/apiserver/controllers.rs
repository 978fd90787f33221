//! What controllers do on their own: collecting garbage, emptying namespaces, serving new kinds, workloads.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::{Bench, Figures, Often, Sizes, row};
use crate::{
    load,
    server::{Server, gone},
    table::{Row, Samples, Target},
    timing::{Stopwatch, patiently, pause},
    wire::Connection,
};

impl Bench {
    pub(super) async fn controllers(&self) -> anyhow::Result<Vec<Row>> {
        let mut collected = self.alternate(1, Often::Once, collected).await?.into_iter();
        let mut emptied = self.alternate(1, Often::Once, emptied).await?.into_iter();
        let mut defined = self.alternate(1, Often::Once, defined).await?.into_iter();
        let (mut available, mut writes) = (Samples::default(), Samples::default());
        for _ in 0..self.sizes.pairs {
            // The real control plane has no nodes here.
            let (server, _) = Server::start(&self.command).await?;
            let (time, revisions) = rolled_out(&server).await?;
            available.ours.push(time);
            writes.ours.push(revisions);
        }
        Ok(vec![
            row(&mut collected, "1,000 dependents collected", "ms", Target::AtMost(500.0)),
            row(&mut emptied, "namespace of 1,000 objects deleted", "ms", Target::AtMost(500.0)),
            row(&mut defined, "definition until first instance", "ms", Target::AtMost(20.0)),
            available.row("deployment of 3 available", "ms", Target::AtMost(200.0)),
            writes.row("  writes", "", Target::AtMost(25.0)),
        ])
    }
}

async fn collected(server: &Server, sizes: Sizes) -> anyhow::Result<Figures> {
    let path = format!("/api/v1/namespaces/{}/configmaps", server.namespace().await?);
    let mut connection = server.connect().await?;
    let owner = json!({"metadata": {"name": "owner"}});
    let owner = connection.create(&path, &owner).await?;
    load::fill(server, &path, sizes.dependents, |number| load::owned_configmap(number, &owner))
        .await?;
    let mut watcher = server.connect().await?;
    let revision = revision(&mut connection, &path).await?;
    let mut lines = watcher.watch(&format!("{path}?watch=1&resourceVersion={revision}")).await?;
    let watch = Stopwatch::start();
    connection.delete(&format!("{path}/owner")).await?;
    let all_gone = async {
        let mut gone = 0;
        let is_end = |line: &[u8]| line.starts_with(br#"{"type":"DELETED""#);
        while gone <= sizes.dependents {
            ensure!(lines.next(|line| gone += usize::from(is_end(line))).await?, "the watch ended");
        }
        Ok(())
    };
    patiently("dependents to go", all_gone).await?;
    Ok(vec![watch.millis()])
}

async fn emptied(server: &Server, sizes: Sizes) -> anyhow::Result<Figures> {
    let namespace = format!("/api/v1/namespaces/{}", server.namespace().await?);
    let small =
        |number| Bytes::from(json!({"metadata": {"name": format!("e{number}")}}).to_string());
    load::fill(server, &format!("{namespace}/configmaps"), sizes.dependents, small).await?;
    let mut connection = server.connect().await?;
    let watch = Stopwatch::start();
    connection.delete(&namespace).await?;
    patiently("a namespace to go", gone(&mut connection, &namespace)).await?;
    Ok(vec![watch.millis()])
}

async fn defined(server: &Server, _: Sizes) -> anyhow::Result<Figures> {
    let namespace = server.namespace().await?;
    let mut connection = server.connect().await?;
    let group = format!("{namespace}.example.com");
    let schema = json!({"type": "object", "properties":
        {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}});
    let definition = json!({
        "metadata": {"name": format!("boxes.{group}")},
        "spec": {"group": group, "scope": "Namespaced",
            "names": {"plural": "boxes", "singular": "box", "kind": "Box"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": schema}}]}});
    let instance = json!({"apiVersion": format!("{group}/v1"), "kind": "Box",
        "metadata": {"name": "first"}, "spec": {"size": 1}});
    let instance = Bytes::from(instance.to_string());
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let path = format!("/apis/{group}/v1/namespaces/{namespace}/boxes");
    let watch = Stopwatch::start();
    connection.create(definitions, &definition).await?;
    let served = async {
        while connection.call(Method::POST, &path, instance.clone()).await?.0 != 201 {
            pause(Duration::from_millis(1)).await;
        }
        Ok(())
    };
    patiently("a definition to be served", served).await?;
    let time = watch.millis();
    connection.delete(&format!("{definitions}/boxes.{group}")).await?;
    Ok(vec![time])
}

/// Returns the milliseconds until a Deployment is available, and how many writes it took in all.
async fn rolled_out(server: &Server) -> anyhow::Result<(f64, f64)> {
    let path = format!("/apis/apps/v1/namespaces/{}/deployments", server.namespace().await?);
    let mut connection = server.connect().await?;
    let before = quiet(&mut connection, &path).await?;
    let mut watcher = server.connect().await?;
    let mut lines = watcher.watch(&format!("{path}?watch=1&resourceVersion={before}")).await?;
    let labels = json!({"app": "a"});
    let deployment = json!({"metadata": {"name": "a"}, "spec": {
        "replicas": 3, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels},
            "spec": {"containers": [{"name": "main", "image": "nginx"}]}}}});
    let watch = Stopwatch::start();
    connection.create(&path, &deployment).await?;
    let available = async {
        let mut is_available = false;
        while !is_available {
            ensure!(lines.next(|line| is_available |= has_all(line)).await?, "the watch ended");
        }
        Ok(())
    };
    patiently("a deployment", available).await?;
    let time = watch.millis();
    let after = quiet(&mut connection, &path).await?;
    #[expect(clippy::cast_precision_loss, reason = "a count of writes is small")]
    Ok((time, (after - before) as f64))
}

fn has_all(line: &[u8]) -> bool {
    let event: Value = serde_json::from_slice(line).unwrap_or_default();
    event.pointer("/object/status/availableReplicas") == Some(&json!(3))
}

/// Returns the revision once it no longer changes.
async fn quiet(connection: &mut Connection, path: &str) -> anyhow::Result<u64> {
    let mut last = revision(connection, path).await?;
    loop {
        pause(Duration::from_millis(100)).await;
        let now = revision(connection, path).await?;
        if now == last {
            return Ok(now);
        }
        last = now;
    }
}

async fn revision(connection: &mut Connection, path: &str) -> anyhow::Result<u64> {
    let list = connection.get(&format!("{path}?limit=1")).await?;
    let revision = list.pointer("/metadata/resourceVersion").and_then(Value::as_str);
    Ok(revision.context("a list has no revision")?.parse()?)
}
