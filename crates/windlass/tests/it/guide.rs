//! The document about running the engine: its commands as they stand there, and its flags.

use std::fs;

use crate::{
    installed::{Installed, has_program, not_run},
    migrate::shell,
    process::{Running, dir, free_port, run},
    readme::{commands, root},
};

fn document() -> String {
    fs::read_to_string(root().join("docs/engine.md")).unwrap()
}

/// Breaks when the engine does not look its URLs up in `--hook-map`.
#[test]
fn the_commands_of_the_guide_run() {
    let what = "the commands of docs/engine.md";
    if !has_program("curl") {
        return not_run(what, "no curl");
    }
    let Some(installed) = Installed::bare(what) else { return };
    let (metrics, health) = (free_port(), free_port());
    let mut engine = None;
    for (command, _) in commands(&document()) {
        let command = command.replace("examples/", &format!("{}/examples/", root().display()));
        let command = command.replace(":9999", &format!(":{metrics}"));
        let command = command.replace(":8081", &format!(":{health}"));
        match command.strip_prefix("windlass ").and_then(|rest| rest.strip_suffix(" &")) {
            Some(line) => {
                let endpoints = format!(
                    "{line} --metrics-address=127.0.0.1:{metrics} --kubeconfig={} \
                     --health-probe-bind-address=127.0.0.1:{health}",
                    installed.admin.display()
                );
                let arguments: Vec<_> = endpoints.split_whitespace().collect();
                engine = Some(Running::start(installed.dir.path(), &arguments));
            }
            None => drop(shell(&installed, &command)),
        }
    }
    assert!(engine.is_some());
}

#[test]
fn the_guide_has_every_flag() {
    let (usage, document) = (run(dir(&[]).path(), &["engine", "--help"]).stdout, document());
    let flags = usage.lines().filter_map(|line| line.strip_prefix("  -"));
    let names: Vec<_> = flags.filter_map(|flag| flag.split_whitespace().next()).collect();
    assert!(25 < names.len(), "{usage}");
    for name in names {
        let starts = [format!("`--{name}`"), format!("`--{name} ")];
        assert!(starts.iter().any(|start| document.contains(start)), "{name}");
    }
}
