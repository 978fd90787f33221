//! `cargo xtask check`: formatting, lints, documentation, dependencies and tidiness, one after another.

use std::process::{Command, ExitCode};

use anyhow::Context;

use crate::{
    places::Places,
    program::{Stopwatch, cargo},
    tidy,
};

/// One check that cargo carries out.
struct Step {
    name: &'static str,
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
}

const STEPS: &[Step] = &[
    Step { name: "fmt", arguments: &["fmt", "--all", "--check"], environment: &[] },
    Step {
        name: "clippy",
        arguments: &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
        environment: &[],
    },
    Step {
        name: "doc",
        arguments: &["doc", "--workspace", "--no-deps"],
        environment: &[("RUSTDOCFLAGS", "-D warnings")],
    },
];

/// Advisories stay out: they need a database that is fetched from elsewhere, and change overnight.
const DENY: Step = Step {
    name: "deny",
    arguments: &["deny", "check", "bans", "licenses", "sources"],
    environment: &[],
};

/// Runs all checks, also those after one that failed.
pub(crate) fn run(places: &Places) -> anyhow::Result<ExitCode> {
    let mut failed = Vec::new();
    for step in STEPS {
        if !passes(places, step)? {
            failed.push(step.name);
        }
    }
    if !has_deny(places) {
        eprintln!("check: deny was not run: `cargo install cargo-deny` brings it");
    } else if !passes(places, &DENY)? {
        failed.push(DENY.name);
    }
    if tidy::run(places)? != ExitCode::SUCCESS {
        failed.push("tidy");
    }
    if failed.is_empty() {
        eprintln!("check: all passed");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("check: failed: {}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

fn passes(places: &Places, step: &Step) -> anyhow::Result<bool> {
    let watch = Stopwatch::start();
    let status = call(places, step)
        .status()
        .with_context(|| format!("failed to start the check `{}`", step.name))?;
    let verdict = if status.success() { "passed" } else { "failed" };
    eprintln!("check: {} {verdict} in {:.1} s", step.name, watch.elapsed().as_secs_f64());
    Ok(status.success())
}

fn call(places: &Places, step: &Step) -> Command {
    let mut command = cargo(&places.root);
    command.args(step.arguments).envs(step.environment.iter().copied());
    command
}

fn has_deny(places: &Places) -> bool {
    cargo(&places.root)
        .args(["deny", "--version"])
        .output()
        .is_ok_and(|output| output.status.success())
}
