//! What many parents cost an engine in memory, and how the time to settle grows with their number.

use super::{Bench, driven::Running, ground::Ground};
use crate::{
    load, process,
    server::Server,
    table::{Row, Samples, Target},
    timing::Stopwatch,
};

/// What a number of parents took.
struct Taken {
    /// The most memory above that of an engine without parents, in bytes.
    memory: f64,
    /// The seconds until all were settled.
    time: f64,
}

impl Bench {
    /// Measures on the embedded server: the real one would take too long for so many.
    pub(super) async fn memory(&self) -> anyhow::Result<Vec<Row>> {
        let many = self.sizes.many;
        let (mut each, mut growth) = (Samples::default(), Samples::default());
        let half = self.fill(many / 2).await?;
        let whole = self.fill(many).await?;
        #[expect(clippy::cast_precision_loss, reason = "counts of objects are small")]
        let objects = (2 * many) as f64;
        each.ours.push(whole.memory / 1024.0 / objects);
        growth.ours.push(whole.time / half.time);
        let what = format!("memory per object, {many} parents of 1 child");
        Ok(vec![
            each.row(&what, "KiB", Target::AtMost(2.5)),
            growth.row("  time, by that of half of them", "", Target::AtMost(2.2)),
        ])
    }

    async fn fill(&self, parents: usize) -> anyhow::Result<Taken> {
        let (server, _) = Server::start(&self.server).await?;
        Ground::prepare(&server).await?;
        let ground = Ground::new(&server).await?;
        let kubeconfig = std::fs::read(&server.kubeconfig)?;
        let running = Running::start(&self.engine, &kubeconfig, &ground, 1).await?;
        let before = process::peak(running.process())?;
        let mut connections = load::connections(&server).await?;
        let watch = Stopwatch::start();
        load::send(&mut connections, parents, |number| ground.creation(number)).await?;
        ground.settled("p", "a", 1, parents).await?;
        let time = watch.elapsed().as_secs_f64();
        running.hook.hook.quiet().await;
        Ok(Taken { memory: process::peak(running.process())? - before, time })
    }
}
