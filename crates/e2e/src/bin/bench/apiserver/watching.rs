//! Many watchers of the same writes.

use std::time::Duration;

use anyhow::ensure;
use bytes::Bytes;
use http::Method;
use serde::Deserialize;

use super::{Bench, Figures, Often, Sizes, row};
use crate::{
    server::Server,
    table::{Row, Target, p99},
    timing::{Stopwatch, patiently, pause},
    wire::Lines,
};

/// The time between two writes.
const STEP: Duration = Duration::from_millis(10);

/// An event, as far as it is looked at; the rest is checked to be JSON.
#[derive(Deserialize)]
struct Seen {
    object: SeenObject,
}

#[derive(Deserialize)]
struct SeenObject {
    data: SeenData,
}

#[derive(Deserialize)]
struct SeenData {
    /// When it was sent, in microseconds of the common stopwatch.
    sent: String,
}

impl Bench {
    pub(super) async fn watches(&self) -> anyhow::Result<Vec<Row>> {
        let mut samples = self.alternate(3, Often::Once, watches).await?.into_iter();
        Ok(vec![
            row(
                &mut samples,
                "events missed, 100 watchers x 100 writes/s",
                "",
                Target::AtMost(0.0),
            ),
            row(&mut samples, "  99 of 100 within", "ms", Target::AtMost(50.0)),
            row(&mut samples, "  server's processor time each", "us", Target::None),
        ])
    }
}

async fn watches(server: &Server, sizes: Sizes) -> anyhow::Result<Figures> {
    let path = format!("/api/v1/namespaces/{}/configmaps", server.namespace().await?);
    let mut writer = server.connect().await?;
    let start = writer.get(&path).await?["metadata"]["resourceVersion"].clone();
    let start = start.as_str().unwrap_or_default();
    let clock = Stopwatch::start();
    let mut watchers = vec![];
    for _ in 0..sizes.watchers {
        // Each has a connection of its own, which goes with it.
        let mut connection = server.connect().await?;
        let lines = connection.watch(&format!("{path}?watch=1&resourceVersion={start}")).await?;
        watchers.push(tokio::spawn(async move {
            let seen = patiently("events", listen(lines, sizes.writes, clock)).await;
            drop(connection);
            seen
        }));
    }
    let before = server.processor_time()?;
    let pace = Stopwatch::start();
    for number in 0..sizes.writes {
        let due = STEP * u32::try_from(number)?;
        pause(due.saturating_sub(pace.elapsed())).await;
        let body = configmap(number, clock);
        writer.must(Method::POST, &path, body).await?;
    }
    let mut lags = vec![];
    for watcher in watchers {
        lags.extend(watcher.await??);
    }
    let after = server.processor_time()?;
    #[expect(clippy::cast_precision_loss, reason = "counts of events are small")]
    let (wanted, seen) = ((sizes.watchers * sizes.writes) as f64, lags.len() as f64);
    let mut figures = vec![wanted - seen, p99(&lags).unwrap_or_default()];
    if let (Some(before), Some(after)) = (before, after) {
        figures.push((after - before) * 1e6 / seen);
    }
    Ok(figures)
}

/// Reads so many events, decodes each, and returns how many milliseconds each was under way.
async fn listen(mut lines: Lines, wanted: usize, clock: Stopwatch) -> anyhow::Result<Vec<f64>> {
    let (mut lags, mut broken) = (vec![], 0);
    while lags.len() < wanted {
        let goes_on = lines.next(|line| match lag(line, clock) {
            Some(lag) => lags.push(lag),
            None => broken += 1,
        });
        if !goes_on.await? {
            break;
        }
        ensure!(broken == 0, "an event was not readable");
    }
    Ok(lags)
}

fn lag(line: &[u8], clock: Stopwatch) -> Option<f64> {
    let seen: Seen = serde_json::from_slice(line).ok()?;
    let sent: f64 = seen.object.data.sent.parse().ok()?;
    Some(clock.millis() - sent / 1e3)
}

fn configmap(number: usize, clock: Stopwatch) -> Bytes {
    let (sent, text) = (clock.elapsed().as_micros(), "x".repeat(1024));
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"w{number}"}},"data":{{"sent":"{sent}","text":"{text}"}}}}"#
    )
    .into()
}
