//! Single requests, as many as there can be, and long lists.

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;

use super::{Bench, Figures, Often, Sizes, mebibytes, row};
use crate::{
    load::{self, Shot},
    server::Server,
    table::{Row, Target, median, p99},
    timing::Stopwatch,
};

impl Bench {
    pub(super) async fn creates(&self) -> anyhow::Result<Vec<Row>> {
        let mut samples = self.alternate(3, Often::EachPair, creates).await?.into_iter();
        Ok(vec![
            row(&mut samples, "creates of 1 KiB, 32 connections", "/s", Target::Times(4.0)),
            row(&mut samples, "  99 of 100 within", "ms", Target::AtMost(20.0)),
            row(&mut samples, "  server's processor time each", "us", Target::None),
        ])
    }

    pub(super) async fn gets(&self) -> anyhow::Result<Vec<Row>> {
        let mut samples = self.alternate(3, Often::Once, gets).await?.into_iter();
        Ok(vec![
            row(&mut samples, "gets, 32 connections", "/s", Target::AtLeast(25_000.0)),
            row(&mut samples, "  99 of 100 within", "ms", Target::AtMost(3.0)),
            row(&mut samples, "  server's processor time each", "us", Target::None),
        ])
    }

    pub(super) async fn lists(&self) -> anyhow::Result<Vec<Row>> {
        let mut samples = self.alternate(4, Often::Once, lists).await?.into_iter();
        Ok(vec![
            row(&mut samples, "list of 10,000 pods of 2 KiB", "ms", Target::AtMost(150.0)),
            row(&mut samples, "  first byte", "ms", Target::AtMost(20.0)),
            row(&mut samples, "  bytes of one pod", "B", Target::None),
            row(&mut samples, "  memory on top", "MiB", Target::AtMost(16.0)),
        ])
    }
}

async fn creates(server: &Server, sizes: Sizes) -> anyhow::Result<Figures> {
    let path = format!("/api/v1/namespaces/{}/configmaps", server.namespace().await?);
    loaded(server, sizes, |number| Shot {
        method: Method::POST,
        path: path.clone(),
        body: load::configmap(number),
    })
    .await
}

async fn gets(server: &Server, sizes: Sizes) -> anyhow::Result<Figures> {
    let path = format!("/api/v1/namespaces/{}/configmaps", server.namespace().await?);
    load::fill(server, &path, load::CONNECTIONS, load::configmap).await?;
    loaded(server, sizes, |number| Shot {
        method: Method::GET,
        path: format!("{path}/c{}", number % load::CONNECTIONS),
        body: Bytes::new(),
    })
    .await
}

/// Returns requests per second, the time that 99 of 100 keep, and the processor time of each.
async fn loaded(
    server: &Server,
    sizes: Sizes,
    shot: impl Fn(usize) -> Shot,
) -> anyhow::Result<Figures> {
    let mut connections = load::connections(server).await?;
    let before = server.processor_time()?;
    let outcome = load::press(&mut connections, sizes.load, shot).await?;
    let after = server.processor_time()?;
    let mut figures = vec![outcome.per_second, p99(&outcome.times).unwrap_or_default()];
    if let (Some(before), Some(after)) = (before, after) {
        #[expect(clippy::cast_precision_loss, reason = "a count of requests is small")]
        figures.push((after - before) * 1e6 / outcome.times.len() as f64);
    }
    Ok(figures)
}

/// Returns the times of the whole list and of its first byte, the size of a pod, and the memory it all took.
async fn lists(server: &Server, sizes: Sizes) -> anyhow::Result<Figures> {
    let path = format!("/api/v1/namespaces/{}/pods", server.namespace().await?);
    load::fill(server, &path, sizes.pods, load::pod).await?;
    let mut connection = server.connect().await?;
    let (mut whole, mut first, mut memory, mut size) = (vec![], vec![], vec![], 0);
    for _ in 0..5 {
        let before = server.memory()?;
        if server.is_ours() {
            server.forget_peak()?;
        }
        let watch = Stopwatch::start();
        let answer = connection.send(Method::GET, &path, Bytes::new()).await?;
        let (mut body, mut read) = (answer.into_body(), 0);
        while let Some(frame) = body.frame().await.transpose()? {
            if read == 0 {
                first.push(watch.millis());
            }
            read += frame.data_ref().map_or(0, Bytes::len);
        }
        whole.push(watch.millis());
        size = read / sizes.pods;
        if let (Some(before), Some(peak), true) = (before, server.peak()?, server.is_ours()) {
            memory.push(mebibytes(peak - before));
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a pod is small")]
    let size = size as f64;
    // Of the real server nobody knows what else it did meanwhile, so it has no figure for the memory.
    Ok([median(&whole), median(&first), Some(size), median(&memory)]
        .into_iter()
        .flatten()
        .collect())
}
