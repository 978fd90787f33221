//! `cargo xtask cluster`: etcd, kube-apiserver and kube-controller-manager on 127.0.0.1, no nodes.
//!
//! Everything is under `target/cluster`: tests look for `target/cluster/kubeconfig`. Without nodes and a
//! scheduler pods stay pending; whoever needs a ready pod writes its status.

mod arguments;
mod build;
mod credentials;
mod launch;
mod ready;
mod state;
mod toolbox;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Subcommand;

use crate::{places::Places, program::Stopwatch};
use launch::Launched;
use state::State;

/// What to do with the control plane.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the control plane, after building it if this machine never did.
    Up {
        /// Print nothing but the path of the kubeconfig on standard output.
        #[arg(long)]
        print_kubeconfig: bool,
    },
    /// Stop the control plane and remove all it held.
    Down,
    /// Say where the control plane is; exit with 1 if it does not run.
    Status,
}

/// Carries out a command.
pub(crate) fn run(places: &Places, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up { print_kubeconfig } => {
            let state = up(places)?;
            if print_kubeconfig {
                println!("{}", state.kubeconfig.display());
            } else {
                print!("{}", state.text());
            }
        }
        Command::Down => {
            let _lock = lock(&places.cluster)?;
            down(&places.cluster)?;
            eprintln!("cluster: down");
        }
        Command::Status => {
            let Some(state) = State::of_running(&places.cluster) else {
                eprintln!("cluster: not running; `cargo xtask cluster up` starts it");
                return Ok(ExitCode::FAILURE);
            };
            print!("{}", state.text());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts the control plane unless it runs, and returns the path of its kubeconfig.
pub(crate) fn bring_up(places: &Places) -> anyhow::Result<PathBuf> {
    Ok(up(places)?.kubeconfig)
}

/// Returns the path of the kubeconfig if the control plane runs.
pub(crate) fn running(places: &Places) -> Option<PathBuf> {
    Some(State::of_running(&places.cluster)?.kubeconfig)
}

/// Returns the numbers of the processes if the control plane runs.
pub(crate) fn processes(places: &Places) -> Vec<u32> {
    let state = State::of_running(&places.cluster);
    state.into_iter().flat_map(|it| it.processes).map(|process| process.pid).collect()
}

/// Returns a kubectl of the control plane's version, building it if this machine never did.
pub(crate) fn kubectl(places: &Places) -> anyhow::Result<PathBuf> {
    build::kubectl(&places.cache)
}

fn up(places: &Places) -> anyhow::Result<State> {
    let _lock = lock(&places.cluster)?;
    if let Some(state) = State::of_running(&places.cluster) {
        return Ok(state);
    }
    let programs = build::programs(&places.cache)?;
    down(&places.cluster)?;
    let watch = Stopwatch::start();
    let launched = Launched::start(&places.cluster, &programs)?;
    let state = launched.keep()?;
    eprintln!("cluster: ready in {:.1} s", watch.elapsed().as_secs_f64());
    Ok(state)
}

/// Kills what runs in `folder` and removes it.
fn down(folder: &Path) -> anyhow::Result<()> {
    if let Some(state) = State::load(folder) {
        launch::kill(folder, &state.processes)?;
    }
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove `{}`", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Waits until no other task starts or stops the control plane in `folder`; the file's end of life unlocks.
fn lock(folder: &Path) -> anyhow::Result<File> {
    let path = folder.with_extension("lock");
    let lock = || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        let file = File::create(&path)?;
        file.lock()?;
        Ok(file)
    };
    lock().map_err(|error: std::io::Error| {
        anyhow::Error::new(error).context(format!("failed to lock `{}`", path.display()))
    })
}
