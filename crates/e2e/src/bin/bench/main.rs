//! Measures the embedded API server beside a real one: a process of its own, so that what it costs to make
//! the load is not counted as the server's.
//!
//! `cargo xtask bench` builds it and says where both servers are.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for the terminal prints")]

mod apiserver;
mod load;
mod server;
mod table;
mod timing;
mod wire;

use std::{path::PathBuf, process::ExitCode};

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
    /// Serves the embedded API server, for a look at the measuring itself.
    Serve {
        #[arg(long)]
        bind: std::net::SocketAddr,
        #[arg(long)]
        kubeconfig: PathBuf,
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
    /// Runs only the measurements whose names start with this.
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
    let rows = bench.run().await?;
    print!("{}", table::text(&rows));
    let missed = !sides.small && rows.iter().any(table::Row::is_missed);
    Ok(if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
