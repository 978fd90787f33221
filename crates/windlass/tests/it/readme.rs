//! The commands of the README and of the examples, run as they stand there.

use std::{fs, path::Path, process::Command};

use crate::{
    installed::has_program,
    process::{Running, example, free_port},
};

/// Returns the lines after `$ ` of the console blocks of a document, each with the output shown below it.
pub(crate) fn commands(document: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for line in document.lines() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            _ if !inside => {}
            _ => match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(command), _) => commands.push((command.to_owned(), String::new())),
                (None, Some((_, output))) => *output = format!("{output}{line}\n"),
                (None, None) => {}
            },
        }
    }
    commands
}

pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Runs a line as it stands in a document, with the binary of this test in place of `cargo run`.
fn run(command: &str, dir: &Path) -> (Option<i32>, String) {
    let binary = env!("CARGO_BIN_EXE_windlass");
    let line = command.replace("cargo run --release --", binary);
    let line = line.replace("examples/", &format!("{}/examples/", root().display()));
    let output = Command::new("sh").args(["-c", &line]).current_dir(dir).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// Masks what differs from run to run: times, ports and the place of the examples.
fn masked(output: &str) -> Vec<String> {
    let here = format!("{}/", root().display());
    let mut lines: Vec<String> = output
        .replace(&here, "")
        .lines()
        .map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let masked = words.iter().map(|word| match word.parse::<f64>() {
                Ok(_) if word.contains('.') => "TIME".to_owned(),
                _ if word.starts_with("https://127.0.0.1:") => "ADDRESS".to_owned(),
                _ => (*word).to_owned(),
            });
            masked.collect::<Vec<_>>().join(" ")
        })
        .collect();
    // The order of what happens at the same time is free.
    if let Some(end) = lines.iter().position(String::is_empty) {
        lines[..end].sort();
    }
    lines
}

/// Every console line of the README is run here, but for the one that runs this test.
#[test]
fn the_readme_s_commands_do_what_it_shows() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for (command, shown) in commands(&readme) {
        if command == "cargo xtask test" {
            continue;
        }
        let is_kubectl = command.starts_with("kubectl ");
        if is_kubectl && Command::new("kubectl").arg("version").arg("--client").output().is_err() {
            eprintln!("not run: `{command}`: no kubectl");
            continue;
        }
        // The README's kubectl talks to the `dev` that keeps running.
        let _dev = is_kubectl.then(|| {
            let mut dev = Running::start(dir.path(), &["dev", &example("useless-pod")]);
            dev.until("created Deployment");
            dev
        });
        let (code, output) = run(&command, dir.path());
        assert_eq!(code, Some(0), "{command}:\n{output}");
        if !shown.is_empty() {
            assert_eq!(masked(&output), masked(&shown), "{command}:\n{output}");
        }
        assert!(!is_kubectl || output.contains("deployment.apps/useless-instance1"), "{output}");
    }
}

/// `cargo run` in a workspace needs to be told which of the binaries is meant.
#[test]
fn cargo_run_means_this_binary() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("default-members = [\"crates/windlass\"]"));
}

#[test]
fn the_examples_run_by_the_commands_of_their_readmes() {
    for (name, needs, ending) in [
        ("useless-pod", "sh", "1 parent synced, 1 child, 0 failing\n"),
        ("hello-python", "python3", "1 parent synced, 1 child, 0 failing\n"),
        ("stateful-set", "sh", "1 parent synced, 6 children, 0 failing\n"),
        ("blue-green", "node", "1 parent synced, 2 children, 0 failing\n"),
        ("config-propagator", "python3", "1 parent synced, 1 child, 0 failing\n"),
        ("pod-service", "sh", "1 parent synced, 1 child, 0 failing\n"),
        ("secured-hook", "openssl", "1 parent synced, 1 child, 0 failing\n"),
    ] {
        if !has_program(needs) {
            eprintln!("not run: the README of {name}: no {needs}");
            continue;
        }
        let readme = fs::read_to_string(root().join(format!("examples/{name}/README.md"))).unwrap();
        let commands = commands(&readme);
        let once = commands.iter().position(|(command, _)| command.contains("--once")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut output = String::new();
        for (command, _) in &commands[..=once] {
            (_, output) = run(&with_a_free_port(command), dir.path());
        }
        assert!(output.ends_with(ending), "{name}:\n{output}");
    }
}

/// Has a hook listen on a port that nobody else has, if its command says on which one.
fn with_a_free_port(command: &str) -> String {
    let said = command.split("=http").nth(1).and_then(|url| url.split([':', ' ']).nth(2));
    said.map_or_else(|| command.to_owned(), |port| command.replace(port, &free_port().to_string()))
}
