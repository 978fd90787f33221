//! `cargo xtask bench`: builds what is measured and what measures, and runs the one against the other.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command as Process, ExitCode},
};

use anyhow::{Context, ensure};
use clap::Subcommand;

use crate::{cluster, places::Places, program::cargo};

/// What is measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The embedded API server, in turn with the real control plane (`cargo xtask cluster up`).
    Apiserver {
        /// Arguments for the measuring program, after `--`, such as `--pairs 5` or `--only create`.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// The engine on the real control plane, in turn with the same writes made by hand.
    Engine {
        /// Arguments for the measuring program, after `--`, such as `--pairs 3 -n 500` or `--only memory`.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Functions, called through the gateway of `dev`.
    Functions {
        /// Arguments for the measuring program, after `--`, such as `--seconds 5` or `--only cold`.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
}

/// Measures and says whether all targets were met.
pub(crate) fn run(places: &Places, command: &Command) -> anyhow::Result<ExitCode> {
    let release = build(places)?;
    let mut process = match command {
        Command::Apiserver { arguments } => apiserver(places, &release, arguments),
        Command::Engine { arguments } => engine(places, &release, arguments),
        Command::Functions { arguments } => functions(&release, arguments),
    };
    let status = process.status().context("failed to start the measuring program")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds both programs and returns their folder.
fn build(places: &Places) -> anyhow::Result<PathBuf> {
    let mut command = cargo(&places.root);
    // Both at once: their common parts are then built for the same features.
    command.args(["build", "--release", "-p", "windlass", "-p", "e2e", "--bins"]);
    let status = command.status().context("failed to start `cargo build`")?;
    ensure!(status.success(), "the programs were not built");
    let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    Ok(places.root.join(target).join("release"))
}

fn apiserver(places: &Places, release: &Path, arguments: &[String]) -> Process {
    let mut process = Process::new(release.join("bench"));
    let server = format!("{} apiserver", release.join("windlass").display());
    process.arg("apiserver").args(["--server", &server]);
    match cluster::running(places) {
        Some(kubeconfig) => {
            process.arg("--reference").arg(kubeconfig);
            for number in cluster::processes(places) {
                process.args(["--reference-process", &number.to_string()]);
            }
        }
        None => missing(),
    }
    process.args(arguments);
    process
}

fn engine(places: &Places, release: &Path, arguments: &[String]) -> Process {
    let mut process = Process::new(release.join("bench"));
    let windlass = release.join("windlass");
    let server = format!("{} apiserver", windlass.display());
    let engine = format!("{} engine", windlass.display());
    process.arg("engine").args(["--server", &server, "--engine", &engine]);
    match cluster::running(places) {
        Some(kubeconfig) => {
            process.arg("--reference").arg(kubeconfig);
        }
        None => missing(),
    }
    process.args(arguments);
    process
}

fn functions(release: &Path, arguments: &[String]) -> Process {
    let mut process = Process::new(release.join("bench"));
    let dev = format!("{} dev", release.join("windlass").display());
    process.arg("functions").args(["--dev", &dev]).args(arguments);
    process
}

fn missing() {
    eprintln!("not run: the real control plane (`cargo xtask cluster up` starts it)");
}
