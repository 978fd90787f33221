//! Creates in process, by the client that controllers use: what the server costs without sockets.

use std::{collections::BTreeMap, thread};

use anyhow::Context as _;
use apiserver::ApiServer;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};

use super::Sizes;
use crate::{
    table::{Row, Samples, Target},
    timing::Stopwatch,
};

/// How many creates are under way at once.
const TASKS: usize = 16;

/// Measures on threads of its own, for here the server shares the process.
pub(super) fn row(sizes: Sizes) -> anyhow::Result<Row> {
    let measured = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let mut samples = Samples::default();
        for _ in 0..sizes.pairs {
            samples.ours.push(runtime.block_on(creates(sizes))?);
        }
        anyhow::Ok(samples)
    });
    let samples = measured.join().ok().context("a thread panicked")??;
    Ok(samples.row("creates of 1 KiB in process", "/s", Target::AtLeast(15_000.0)))
}

async fn creates(sizes: Sizes) -> anyhow::Result<f64> {
    let server = ApiServer::builder().start().await?;
    let watch = Stopwatch::start();
    let tasks = (0..TASKS).map(|task| {
        let client = Client::new(server.service(), "default");
        tokio::spawn(async move {
            let configmaps = Api::<ConfigMap>::default_namespaced(client);
            let mut created = 0_u32;
            while watch.elapsed() < sizes.load {
                let object = configmap(format!("c{task}-{created}"));
                configmaps.create(&PostParams::default(), &object).await?;
                created += 1;
            }
            anyhow::Ok(created)
        })
    });
    let created: anyhow::Result<u32> = try_join_all(tasks).await?.into_iter().sum();
    Ok(f64::from(created?) / watch.elapsed().as_secs_f64())
}

fn configmap(name: String) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some(name), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([("text".to_owned(), "x".repeat(1024))])),
        ..ConfigMap::default()
    }
}
