//! What an object costs in memory.

use bytes::Bytes;
use http::Method;

use super::Bench;
use crate::{
    load,
    server::Server,
    table::{Row, Samples, Target},
};

impl Bench {
    /// Measures our server alone: the real one keeps its objects in two processes that also do other things.
    pub(super) async fn memory(&self) -> anyhow::Result<Vec<Row>> {
        let count = self.sizes.objects;
        let (mut each, mut size) = (Samples::default(), 0.0);
        for _ in 0..self.sizes.pairs {
            let (server, _) = Server::start(&self.command).await?;
            let path = format!("/api/v1/namespaces/{}/configmaps", server.namespace().await?);
            // What every connection and the log of requests take is there before.
            warm_up(&server, count.min(REMEMBERED)).await?;
            let before = server.memory()?.unwrap_or_default();
            load::fill(&server, &path, count, load::configmap).await?;
            let after = server.memory()?.unwrap_or_default();
            let list = server.connect().await?.must(Method::GET, &path, Bytes::new()).await?;
            #[expect(clippy::cast_precision_loss, reason = "counts of objects are small")]
            let (count, bytes) = (count as f64, list.len() as f64);
            size = bytes / count;
            each.ours.push((after - before) / count);
        }
        let what = format!("memory per object of {size:.0} B");
        Ok(vec![each.row(&what, "B", Target::AtMost(1.3 * size + 600.0))])
    }
}

/// How many requests the server remembers.
const REMEMBERED: usize = 10_000;

async fn warm_up(server: &Server, requests: usize) -> anyhow::Result<()> {
    let path = "/api/v1/namespaces/default/configmaps/kube-root-ca.crt";
    let mut connections = load::connections(server).await?;
    for _ in 0..requests.div_ceil(load::CONNECTIONS) {
        for connection in &mut connections {
            connection.must(Method::GET, path, Bytes::new()).await?;
        }
    }
    Ok(())
}
