//! What is measured of the engine, and what is wanted: it beside the same writes made by hand.

mod audit;
mod census;
mod driven;
mod ground;
mod hook;
mod inside;
mod log;
mod raw;
mod space;

use std::{fs, time::Duration};

use crate::{
    engine::{
        driven::{Costs, Share},
        ground::Ground,
    },
    server::Server,
    table::{Row, Samples, Target},
};

/// How much is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// How often the engine and the writes by hand are measured, one after the other.
    pub(crate) pairs: usize,
    pub(crate) parents: usize,
    /// How many children each parent has.
    pub(crate) children: usize,
    /// How many parents are timed one at a time.
    pub(crate) singles: usize,
    /// How long nothing must happen when nothing changes.
    pub(crate) idle: Duration,
    /// How many parents there are where everything is in one process.
    pub(crate) inside: usize,
    /// How many parents fill the memory.
    pub(crate) many: usize,
}

/// How long one round took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// Seconds until all parents were created and settled.
    created: f64,
    /// Seconds until all parents were changed and settled.
    updated: f64,
    /// Milliseconds from a single create until the last child was seen; the median.
    single: f64,
}

/// The servers, the engine, and what is asked of it.
pub(crate) struct Bench {
    /// The command that starts the embedded server.
    pub(crate) server: String,
    /// The command that starts the engine.
    pub(crate) engine: String,
    /// The real control plane, with credentials for the engine.
    pub(crate) reference: Option<(Server, Vec<u8>)>,
    pub(crate) sizes: Sizes,
    pub(crate) only: String,
}

impl Bench {
    /// Measures everything.
    pub(crate) async fn run(&self) -> anyhow::Result<Vec<Row>> {
        let mut rows = vec![];
        if "rounds".starts_with(&self.only) {
            rows.extend(self.rounds().await?);
        }
        if "inside".starts_with(&self.only) {
            rows.push(inside::row(self.sizes)?);
        }
        if "memory".starts_with(&self.only) {
            rows.extend(self.memory().await?);
        }
        Ok(rows)
    }

    /// Measures the engine and the writes by hand in turn: on the real control plane, or on the embedded
    /// server where there is none.
    async fn rounds(&self) -> anyhow::Result<Vec<Row>> {
        let embedded;
        let (server, kubeconfig) = if let Some((server, kubeconfig)) = &self.reference {
            (server, kubeconfig.clone())
        } else {
            embedded = Server::start(&self.server).await?.0;
            let kubeconfig = fs::read(&embedded.kubeconfig)?;
            (&embedded, kubeconfig)
        };
        Ground::prepare(server).await?;
        let mut rounds = vec![];
        for _ in 0..self.sizes.pairs {
            let costs = driven::round(server, &self.engine, &kubeconfig, self.sizes).await?;
            rounds.push((costs, raw::round(server, self.sizes).await?));
        }
        Ok(rows(&rounds, self.sizes))
    }
}

/// Returns the lines of some pairs of rounds.
fn rows(rounds: &[(Costs, Times)], sizes: Sizes) -> Vec<Row> {
    let both = |figure: fn(&Times) -> f64| {
        let ours = rounds.iter().map(|(costs, _)| figure(&costs.times)).collect();
        Samples { ours, reference: rounds.iter().map(|(_, raw)| figure(raw)).collect() }
    };
    let ours = |figure: &dyn Fn(&Costs) -> Option<f64>| {
        let ours = rounds.iter().filter_map(|(costs, _)| figure(costs)).collect();
        Samples { ours, reference: vec![] }
    };
    let (parents, children) = (number(sizes.parents), number(sizes.children));
    let share = parents / 1500.0;
    let each = |count: usize| number(count) / parents;
    let writes = |share: &Share| share.asked.map(|asked| each(asked.writes));
    let gets = |costs: &Costs| {
        let (create, update) = costs.create.asked.zip(costs.update.asked)?;
        Some(number(create.gets + update.gets))
    };
    let forbidden = |costs: &Costs| {
        let (create, update) = costs.create.asked.zip(costs.update.asked)?;
        Some(number(create.forbidden + update.forbidden))
    };
    let above = rounds.iter().map(|(costs, raw)| costs.times.single - raw.single).collect();
    let above = Samples { ours: above, reference: vec![] };
    let what = |verb: &str| format!("{} parents x {} {verb}", sizes.parents, sizes.children);
    let at_most = Target::AtMost;
    vec![
        both(|it| it.created).row(&what("created"), "s", Target::AtMostTimes(1.15)),
        ours(&|it| writes(&it.create)).row("  writes each", "", at_most(children + 2.0)),
        ours(&|it| Some(each(it.create.calls))).row("  hook calls each", "", at_most(3.05)),
        ours(&|it| Some(it.create.processor)).row("  engine's CPU", "s", at_most(2.0 * share)),
        both(|it| it.updated).row(&what("updated"), "s", Target::AtMostTimes(1.15)),
        ours(&|it| writes(&it.update)).row("  writes each", "", at_most(children + 1.0)),
        ours(&|it| Some(each(it.update.calls))).row("  hook calls each", "", at_most(2.05)),
        ours(&|it| Some(it.update.processor)).row("  engine's CPU", "s", at_most(1.8 * share)),
        ours(&gets).row("GETs in both", "", at_most(0.0)),
        ours(&forbidden).row("requests forbidden", "", at_most(0.0)),
        ours(&|it| Some(number(it.idle_calls))).row("hook calls in quiet", "", at_most(0.0)),
        ours(&|it| Some(it.peak / f64::from(1 << 20))).row("peak memory", "MiB", at_most(50.0)),
        both(|it| it.single).row("one parent until its last child", "ms", Target::None),
        above.row("  more than by hand", "ms", at_most(3.0)),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn number(count: usize) -> f64 {
    count as f64
}
