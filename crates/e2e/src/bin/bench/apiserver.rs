//! What is measured of API servers, and what is wanted.

mod controllers;
mod inside;
mod requests;
mod space;
mod watching;

use std::time::Duration;

use crate::{
    server::Server,
    table::{Row, Samples, Target},
    timing::Stopwatch,
};

/// How much is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// How often both sides are measured.
    pairs: usize,
    /// How long a load lasts.
    load: Duration,
    pods: usize,
    watchers: usize,
    /// How many writes the watchers see, 100 a second.
    writes: usize,
    /// How many objects fill the memory.
    objects: usize,
    dependents: usize,
}

impl Sizes {
    /// Returns the sizes the targets are meant for.
    pub(crate) fn of_pairs(pairs: usize) -> Self {
        Self {
            pairs,
            load: Duration::from_secs(3),
            pods: 10_000,
            watchers: 100,
            writes: 500,
            objects: 30_000,
            dependents: 1_000,
        }
    }

    /// Returns the least that shows that the measuring works.
    pub(crate) fn small() -> Self {
        Self {
            pairs: 1,
            load: Duration::from_millis(20),
            pods: 100,
            watchers: 3,
            writes: 3,
            objects: 50,
            dependents: 5,
        }
    }
}

/// Both servers, and what is asked of them.
pub(crate) struct Bench {
    command: String,
    reference: Option<Server>,
    sizes: Sizes,
    only: String,
}

/// What can be measured, by the names that people give.
const NAMES: [&str; 8] =
    ["start", "create", "inside", "get", "list", "watch", "memory", "controllers"];

/// How often the real server is measured. It takes many times as long as ours, most of it to put away what was
/// made: where no target is about the ratio, once is enough to see where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Often {
    Once,
    EachPair,
}

/// What one measurement of one side comes to, in the order of its lines.
type Figures = Vec<f64>;

impl Bench {
    pub(crate) fn new(
        command: String,
        reference: Option<Server>,
        sizes: Sizes,
        only: String,
    ) -> Self {
        Self { command, reference, sizes, only }
    }

    /// Measures everything.
    pub(crate) async fn run(&self) -> anyhow::Result<Vec<Row>> {
        let mut rows = vec![];
        for name in NAMES.into_iter().filter(|name| name.starts_with(&self.only)) {
            let watch = Stopwatch::start();
            rows.extend(self.measure(name).await?);
            // Who waits for the table wants to know what takes so long.
            eprintln!("{name}: {:.1} s", watch.elapsed().as_secs_f64());
        }
        Ok(rows)
    }

    async fn measure(&self, name: &str) -> anyhow::Result<Vec<Row>> {
        match name {
            "start" => self.start().await,
            "create" => self.creates().await,
            "inside" => Ok(vec![inside::row(self.sizes)?]),
            "get" => self.gets().await,
            "list" => self.lists().await,
            "watch" => self.watches().await,
            "memory" => self.memory().await,
            _ => self.controllers().await,
        }
    }

    async fn start(&self) -> anyhow::Result<Vec<Row>> {
        let (mut start, mut idle) = (Samples::default(), Samples::default());
        for _ in 0..self.sizes.pairs {
            let (server, time) = Server::start(&self.command).await?;
            start.ours.push(time);
            idle.ours.extend(server.memory()?.map(mebibytes));
            idle.reference.extend(match &self.reference {
                Some(reference) => reference.memory()?.map(mebibytes),
                None => None,
            });
        }
        Ok(vec![
            start.row("start until ready", "ms", Target::AtMost(150.0)),
            idle.row("resident memory", "MiB", Target::AtMost(48.0)),
        ])
    }

    /// Measures our server, newly started, and the real one in turn, and returns the samples of each figure.
    async fn alternate(
        &self,
        figures: usize,
        often: Often,
        measure: impl AsyncFn(&Server, Sizes) -> anyhow::Result<Figures>,
    ) -> anyhow::Result<Vec<Samples>> {
        let mut samples = vec![Samples::default(); figures];
        for pair in 0..self.sizes.pairs {
            let (server, _) = Server::start(&self.command).await?;
            let ours = measure(&server, self.sizes).await?;
            drop(server);
            samples.iter_mut().zip(ours).for_each(|(it, figure)| it.ours.push(figure));
            if let Some(reference) = &self.reference
                && (pair == 0 || often == Often::EachPair)
            {
                let measured = measure(reference, self.sizes).await;
                reference.clear().await?;
                let measured = measured?;
                samples.iter_mut().zip(measured).for_each(|(it, figure)| it.reference.push(figure));
            }
        }
        Ok(samples)
    }
}

fn mebibytes(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

/// Returns the line of the next samples.
fn row(
    samples: &mut impl Iterator<Item = Samples>,
    what: &str,
    unit: &'static str,
    target: Target,
) -> Row {
    samples.next().unwrap_or_default().row(what, unit, target)
}
