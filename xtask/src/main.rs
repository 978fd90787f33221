//! The project's own tasks: checks, tests, tidiness and a Kubernetes control plane on this machine.
//!
//! Automation calls the same commands as people do; there is no other task runner.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for the terminal prints")]

mod bench;
mod check;
mod cluster;
mod places;
mod program;
mod suite;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::places::Places;

/// Checks, tests and serves the windlass workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run every check: fmt, clippy, doc, deny (if installed) and tidy.
    Check,
    /// Check the rules of the house that no lint knows.
    Tidy,
    /// Run all tests and say which real parts they ran against.
    Test {
        /// Arguments for `cargo test`, after `--`.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Measure release builds beside the real parts, if they run; exit with 1 if a target is missed.
    #[command(subcommand)]
    Bench(bench::Command),
    /// Serve etcd, kube-apiserver and kube-controller-manager on 127.0.0.1.
    #[command(subcommand)]
    Cluster(cluster::Command),
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            error.chain().skip(1).for_each(|cause| eprintln!("  {cause}"));
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<ExitCode> {
    let places = Places::of_this_machine()?;
    match task {
        Task::Check => check::run(&places),
        Task::Tidy => tidy::run(&places),
        Task::Test { arguments } => suite::run(&places, &arguments),
        Task::Bench(command) => bench::run(&places, &command),
        Task::Cluster(command) => cluster::run(&places, command),
    }
}
