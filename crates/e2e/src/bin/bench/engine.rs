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
        if self.is_wanted("rounds") {
            rows.extend(self.rounds().await?);
        }
        if self.is_wanted("single") {
            rows.extend(self.singles().await?);
        }
        if self.is_wanted("inside") {
            rows.push(inside::row(self.sizes)?);
        }
        if self.is_wanted("memory") {
            rows.extend(self.memory().await?);
        }
        Ok(rows)
    }

    fn is_wanted(&self, name: &str) -> bool {
        name.starts_with(&self.only)
    }

    /// Measures the engine and the writes by hand in turn.
    async fn rounds(&self) -> anyhow::Result<Vec<Row>> {
        let place = self.place().await?;
        let mut rounds = vec![];
        for number in 0..self.sizes.pairs {
            // That nothing happens in quiet is looked at once: it takes no less time on a fast machine.
            let idle = if number == 0 { self.sizes.idle } else { Duration::ZERO };
            let sizes = Sizes { idle, ..self.sizes };
            let costs = driven::round(&place, &self.engine, sizes).await?;
            let raw = raw::round(place.server(), sizes).await?;
            let Times { created, updated } = costs.times;
            eprintln!(
                "pair {}: created in {created:.2} s, by hand {:.2} s; updated in {updated:.2} s, by hand {:.2} s",
                number + 1,
                raw.created,
                raw.updated
            );
            rounds.push((costs, raw));
        }
        Ok(rows(&rounds, self.sizes))
    }

    /// Measures how long one parent takes that comes alone.
    async fn singles(&self) -> anyhow::Result<Vec<Row>> {
        let place = self.place().await?;
        let (mut both, mut above) = (Samples::default(), Samples::default());
        for _ in 0..self.sizes.pairs {
            let ours = driven::singles(&place, &self.engine, self.sizes).await?;
            let raw = raw::singles(place.server(), self.sizes).await?;
            both.ours.push(ours);
            both.reference.push(raw);
            above.ours.push(ours - raw);
        }
        Ok(vec![
            both.row("one parent until its last child", "ms", Target::None),
            above.row("  more than by hand", "ms", Target::AtMost(3.0)),
        ])
    }

    /// Returns the real control plane, or the embedded server where there is none.
    async fn place(&self) -> anyhow::Result<Place<'_>> {
        let place = if let Some((server, kubeconfig)) = &self.reference {
            Place::Real { server, kubeconfig }
        } else {
            let (server, _) = Server::start(&self.server).await?;
            let kubeconfig = fs::read(&server.kubeconfig)?;
            Place::Embedded { server, kubeconfig }
        };
        Ground::prepare(place.server()).await?;
        Ok(place)
    }
}

/// A server with the engine's credentials.
pub(crate) enum Place<'a> {
    Real { server: &'a Server, kubeconfig: &'a [u8] },
    Embedded { server: Server, kubeconfig: Vec<u8> },
}

impl Place<'_> {
    fn server(&self) -> &Server {
        match self {
            Self::Real { server, .. } => server,
            Self::Embedded { server, .. } => server,
        }
    }

    fn kubeconfig(&self) -> &[u8] {
        match self {
            Self::Real { kubeconfig, .. } => kubeconfig,
            Self::Embedded { kubeconfig, .. } => kubeconfig,
        }
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
    let quiet = format!("hook calls in {} s of quiet", sizes.idle.as_secs());
    let what = |verb: &str| format!("{} parents x {} {verb}", sizes.parents, sizes.children);
    let (at_most, exactly) = (Target::AtMost, Target::Exactly);
    vec![
        both(|it| it.created).row(&what("created"), "s", Target::AtMostTimes(1.15)),
        ours(&|it| writes(&it.create)).row("  writes each", "", exactly(children + 2.0)),
        ours(&|it| Some(each(it.create.calls))).row("  hook calls each", "", at_most(3.05)),
        ours(&|it| Some(it.create.processor)).row("  engine's CPU", "s", at_most(2.0 * share)),
        both(|it| it.updated).row(&what("updated"), "s", Target::AtMostTimes(1.15)),
        ours(&|it| writes(&it.update)).row("  writes each", "", exactly(children + 1.0)),
        ours(&|it| Some(each(it.update.calls))).row("  hook calls each", "", at_most(2.05)),
        ours(&|it| Some(it.update.processor)).row("  engine's CPU", "s", at_most(1.8 * share)),
        ours(&gets).row("GETs in both", "", at_most(0.0)),
        ours(&forbidden).row("requests forbidden", "", at_most(0.0)),
        ours(&|it| it.idle_calls.map(number)).row(&quiet, "", exactly(0.0)),
        ours(&|it| Some(it.peak / f64::from(1 << 20))).row(
            "peak memory (PSS)",
            "MiB",
            at_most(50.0),
        ),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn number(count: usize) -> f64 {
    count as f64
}
