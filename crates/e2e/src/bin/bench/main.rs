//! Measures the embedded API server beside a real one, and the engine beside the same writes made by hand: a
//! process of its own, so that what it costs to make the load is not counted as theirs.
//!
//! `cargo xtask bench` builds it and says where both servers are.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for the terminal prints")]

mod apiserver;
mod control;
mod engine;
mod functions;
mod load;
mod process;
mod server;
mod table;
mod timing;
mod wire;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use crate::apiserver::Sizes;

/// Measures windlass beside the real parts.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The embedded API server, alternating with the real control plane.
    Apiserver(Sides),
    /// The engine, alternating with the same writes made by hand.
    Engine(Controlled),
    /// Functions, called through the gateway of `dev`.
    Functions(Called),
    /// Serves the embedded API server, for a look at the measuring itself.
    Serve {
        #[arg(long)]
        bind: std::net::SocketAddr,
        #[arg(long)]
        kubeconfig: PathBuf,
    },
    /// Runs the engine, for a look at the measuring itself and for stories of engines that are killed.
    Control {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        flags: Vec<String>,
    },
}

/// The servers, and how much is asked of them.
#[derive(Debug, Args)]
struct Sides {
    /// The command that starts our server, without the arguments that say where.
    #[arg(long)]
    server: String,
    /// The kubeconfig of the real control plane.
    #[arg(long)]
    reference: Option<PathBuf>,
    /// A process of the real control plane.
    #[arg(long)]
    reference_process: Vec<u32>,
    /// How often both sides are measured, one after the other.
    #[arg(long, default_value_t = 3)]
    pairs: usize,
    /// Runs only the measurements whose names start with this: `start`, `create`, `inside`, `get`, `list`,
    /// `watch`, `memory`, `controllers`.
    #[arg(long, default_value = "")]
    only: String,
    /// Asks next to nothing and judges nothing: shows that the measuring works.
    #[arg(long)]
    small: bool,
}

/// The engine, the servers, and how much is asked of it.
#[derive(Debug, Args)]
struct Controlled {
    /// The command that starts our server, without the arguments that say where.
    #[arg(long)]
    server: String,
    /// The command that starts the engine, without the arguments that say where and for whom.
    #[arg(long)]
    engine: String,
    /// The kubeconfig of the real control plane; without one the embedded server takes its place.
    #[arg(long)]
    reference: Option<PathBuf>,
    /// How often the engine and the writes by hand are measured, one after the other.
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// The number of parents.
    #[arg(short, long, default_value_t = 1500)]
    n: usize,
    /// The number of children of each.
    #[arg(short, long, default_value_t = 3)]
    k: usize,
    /// The number of parents that fill the memory.
    #[arg(long, default_value_t = 100_000)]
    many: usize,
    /// Runs only the measurements whose names start with this: `rounds` (parents created and changed, by
    /// pairs), `single` (one parent at a time), `inside` (all in one process), `memory` (many parents).
    #[arg(long, default_value = "")]
    only: String,
    /// Asks next to nothing and judges nothing: shows that the measuring works.
    #[arg(long)]
    small: bool,
}

/// What runs Functions, and how much is asked of it.
#[derive(Debug, Args)]
struct Called {
    /// The command that starts `dev`, without the arguments that say where.
    #[arg(long)]
    dev: String,
    /// How many seconds a function is called.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// The number of Functions that nobody calls.
    #[arg(long, default_value_t = 300)]
    idle: usize,
    /// Runs only the measurements whose names start with this: `python`, `jsonnet`, `cold` (the first call of a
    /// function that sleeps), `idle` (many that sleep).
    #[arg(long, default_value = "")]
    only: String,
    /// Asks next to nothing and judges nothing: shows that the measuring works.
    #[arg(long)]
    small: bool,
}

fn main() -> ExitCode {
    match run(Arguments::parse().what) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(what: What) -> anyhow::Result<ExitCode> {
    // One thread: the load takes no more of the machine than it must.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match what {
        What::Apiserver(sides) => runtime.block_on(apiserver(sides)),
        What::Engine(controlled) => runtime.block_on(engine(controlled)),
        What::Functions(called) => runtime.block_on(functions(called)),
        What::Control { flags } => {
            runtime.block_on(control::run(flags))?;
            Ok(ExitCode::SUCCESS)
        }
        What::Serve { bind, kubeconfig } => {
            runtime.block_on(server::serve(bind, kubeconfig))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn apiserver(sides: Sides) -> anyhow::Result<ExitCode> {
    let sizes = if sides.small { Sizes::small() } else { Sizes::of_pairs(sides.pairs) };
    let reference = match &sides.reference {
        Some(kubeconfig) => {
            let attached = server::Server::attach(kubeconfig, &sides.reference_process).await;
            Some(attached.context("the real API server does not answer")?)
        }
        None => None,
    };
    let bench = apiserver::Bench::new(sides.server, reference, sizes, sides.only);
    Ok(judge(&bench.run().await?, sides.small))
}

async fn engine(asked: Controlled) -> anyhow::Result<ExitCode> {
    let sizes = engine::Sizes {
        pairs: asked.pairs,
        parents: asked.n,
        children: asked.k,
        singles: 200,
        idle: Duration::from_secs(30),
        inside: 2000,
        many: asked.many,
    };
    let small = engine::Sizes {
        pairs: 1,
        parents: 10,
        singles: 2,
        idle: Duration::ZERO,
        inside: 10,
        many: 20,
        ..sizes
    };
    let reference = match &asked.reference {
        Some(kubeconfig) => {
            let attached = server::Server::attach(kubeconfig, &[]).await;
            let attached = attached.context("the real API server does not answer")?;
            let credentials = e2e::engine_kubeconfig(kubeconfig).await;
            Some((attached, serde_json::to_vec(&credentials)?))
        }
        None => None,
    };
    let Controlled { server, engine, only, .. } = asked;
    let sizes = if asked.small { small } else { sizes };
    let bench = engine::Bench { server, engine, reference, sizes, only };
    Ok(judge(&bench.run().await?, asked.small))
}

async fn functions(asked: Called) -> anyhow::Result<ExitCode> {
    let time = Duration::from_secs(asked.seconds);
    let sizes = functions::Sizes { time, updates: 50, wakes: 10, idle: asked.idle };
    let small = functions::Sizes { time: Duration::from_secs(1), updates: 1, wakes: 1, idle: 3 };
    let sizes = if asked.small { small } else { sizes };
    let bench = functions::Bench { dev: asked.dev, sizes, only: asked.only };
    Ok(judge(&bench.run().await?, asked.small))
}

/// Shows what was measured, and says whether it is as wanted.
fn judge(rows: &[table::Row], small: bool) -> ExitCode {
    print!("{}", table::text(rows));
    let missed = !small && rows.iter().any(table::Row::is_missed);
    if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
