//! `windlass hook test`.

use std::{fmt::Write, process::ExitCode};

use cli::cases::{self, Case, CasesOptions, Outcome};
use jsonnet::RuntimeOptions;

use crate::{args::HookTestArgs, commands::print, failure};

pub(crate) async fn run(args: HookTestArgs) -> ExitCode {
    let HookTestArgs { dir, update, programs } = args;
    let programs = match programs.options() {
        Ok(programs) => programs,
        Err(error) => return failure::print(&error, None, 2),
    };
    let runtime = RuntimeOptions { programs, ..RuntimeOptions::default() };
    match cases::run(CasesOptions { dir, update, runtime }).await {
        Ok(cases) => {
            let printed = print(&text(&cases));
            let is_failed = |case: &Case| matches!(case.outcome, Outcome::Failed(_));
            if cases.iter().any(is_failed) { ExitCode::FAILURE } else { printed }
        }
        Err(error) => failure::print(&error, error.hint(), if error.is_usage() { 2 } else { 1 }),
    }
}

/// Returns a line for each case, what is wrong with it, and how many passed.
fn text(cases: &[Case]) -> String {
    let (mut text, mut failed) = (String::new(), 0);
    for Case { name, outcome } in cases {
        let verb = match outcome {
            Outcome::Passed => "passed",
            Outcome::Updated => "updated",
            Outcome::Failed(_) => "failed",
        };
        let _ = writeln!(text, "{verb:<8} {name}");
        if let Outcome::Failed(problem) = outcome {
            failed += 1;
            for line in problem.lines() {
                let _ = writeln!(text, "{}", format!("         {line}").trim_end());
            }
        }
    }
    let _ = writeln!(text, "{} passed, {failed} failed", cases.len() - failed);
    text
}
