//! `cargo xtask test`: all tests, against the real parts this machine has, and a word on which it had.

use std::{
    env,
    ffi::{OsStr, OsString},
    num::NonZero,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};

use anyhow::Context;

use crate::{
    cluster,
    places::Places,
    program::{cargo, on_path},
};

/// Names the kubeconfig of the real API server for the tests.
const KUBECONFIG: &str = "WINDLASS_E2E_KUBECONFIG";
/// Says how many tests of a program run at once.
const THREADS: &str = "RUST_TEST_THREADS";
/// With the value `required`, a real part that is missing is a failure.
const REAL: &str = "WINDLASS_REAL";

/// What the machine has besides a Rust toolchain.
#[derive(Debug, Default)]
struct RealParts {
    kubeconfig: Option<PathBuf>,
    kubectl: Option<PathBuf>,
}

/// Runs `cargo test --workspace` with `arguments`, all of it even if some fail, then tells which real parts took part.
pub(crate) fn run(places: &Places, arguments: &[String]) -> anyhow::Result<ExitCode> {
    let required = is_required(|name| env::var(name).ok());
    let parts = if required { bring_up(places)? } else { find(places) };
    let mut command = cargo(&places.root);
    command.args(["test", "--workspace", "--no-fail-fast"]).args(arguments);
    if let Some(kubeconfig) = &parts.kubeconfig {
        command.env(KUBECONFIG, kubeconfig);
    }
    if required {
        command.env(REAL, "required");
    }
    if let Some(kubectl) = &parts.kubectl {
        command.env("PATH", path_with(kubectl, env::var_os("PATH").as_deref())?);
    }
    if env::var_os(THREADS).is_none() {
        command.env(THREADS, threads().to_string());
    }
    let status = command.status().context("failed to start `cargo test`")?;
    eprintln!("{}", report(&parts));
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns more threads than there are cores: most stories wait for a server, not for a core.
fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get) * 2
}

/// Returns whether a missing real part is a failure: in automation, or because someone says so.
fn is_required(variable: impl Fn(&str) -> Option<String>) -> bool {
    variable("CI").as_deref() == Some("true") || variable(REAL).as_deref() == Some("required")
}

fn bring_up(places: &Places) -> anyhow::Result<RealParts> {
    let kubectl = match on_path("kubectl") {
        Some(kubectl) => kubectl,
        None => cluster::kubectl(places)?,
    };
    let kubeconfig = match env::var_os(KUBECONFIG) {
        Some(given) => PathBuf::from(given),
        None => cluster::bring_up(places)?,
    };
    Ok(RealParts { kubeconfig: Some(kubeconfig), kubectl: Some(kubectl) })
}

fn find(places: &Places) -> RealParts {
    let given = env::var_os(KUBECONFIG).map(PathBuf::from);
    RealParts {
        kubeconfig: given.or_else(|| cluster::running(places)),
        kubectl: on_path("kubectl"),
    }
}

/// Returns the search path with the folder of `program` behind all others.
fn path_with(program: &Path, path: Option<&OsStr>) -> anyhow::Result<OsString> {
    let own = program.parent().map(Path::to_path_buf);
    let folders = env::split_paths(path.unwrap_or_default()).chain(own);
    env::join_paths(folders).context("a folder of the search path has a colon in its name")
}

fn report(parts: &RealParts) -> String {
    let mut present = Vec::new();
    let mut absent = Vec::new();
    match &parts.kubeconfig {
        Some(path) => present.push(format!("API server of `{}`", path.display())),
        None => absent
            .push("suites on a real API server (`cargo xtask cluster up` starts one)".to_owned()),
    }
    match &parts.kubectl {
        Some(path) => present.push(format!("kubectl `{}`", path.display())),
        None => absent.push("tests that run kubectl (it is not on the search path)".to_owned()),
    }
    let lines = [("real parts: ", present), ("not run: ", absent)];
    let lines = lines.into_iter().filter(|(_, items)| !items.is_empty());
    lines.map(|(head, items)| format!("{head}{}", items.join("; "))).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn automation_requires_the_real_parts() {
        let required = |name: &str, value: &str| {
            is_required(|asked| (asked == name).then(|| value.to_owned()))
        };
        assert!(required("CI", "true"));
        assert!(required("WINDLASS_REAL", "required"));
        assert!(!required("CI", "false"));
        assert!(!required("WINDLASS_REAL", "1"));
    }

    #[test]
    fn the_report_names_what_was_missing() {
        let parts = RealParts { kubeconfig: None, kubectl: Some("/bin/kubectl".into()) };
        assert_eq!(
            report(&parts),
            "real parts: kubectl `/bin/kubectl`\n\
             not run: suites on a real API server (`cargo xtask cluster up` starts one)"
        );
    }

    #[test]
    fn an_own_program_never_hides_one_of_the_machine() {
        let path = path_with(Path::new("/cache/kubectl"), Some(OsStr::new("/bin:/usr/bin")));
        assert_eq!(path.unwrap(), "/bin:/usr/bin:/cache");
    }
}
