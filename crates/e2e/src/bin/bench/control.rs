//! The engine in a process of its own: what `windlass engine` runs.

use std::future::pending;

use cli::engine::{EngineFlags, run as run_engine};

/// Runs the engine by its own flags until the process is killed, or the engine loses the lead.
pub(crate) async fn run(flags: Vec<String>) -> anyhow::Result<()> {
    Ok(run_engine(EngineFlags::parse(flags)?, pending()).await?)
}
