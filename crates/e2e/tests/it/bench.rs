//! The measuring program, on next to nothing: what it measures is no matter here, but that it does.

use std::process::Command;

#[test]
fn every_measurement_of_the_embedded_server_can_be_made() {
    let bench = env!("CARGO_BIN_EXE_bench");
    let server = format!("{bench} serve");
    let names = ["start", "resident", "creates of", "gets", "list", "events", "memory", "1,000"];
    assert_measures(&["apiserver", "--small", "--server", &server], &names);
}

#[test]
fn every_measurement_of_the_engine_can_be_made() {
    let bench = env!("CARGO_BIN_EXE_bench");
    let (server, engine) = (format!("{bench} serve"), format!("{bench} control"));
    let names = [
        "10 parents x 3 created",
        "10 parents x 3 updated",
        "  hook calls each",
        "  engine's CPU",
        "peak",
        "one parent",
        "10 parents x 3 in process",
        "memory",
        "  time",
    ];
    assert_measures(&["engine", "--small", "--server", &server, "--engine", &engine], &names);
}

/// Runs the program, and looks for the lines of its table.
fn assert_measures(arguments: &[&str], names: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_bench")).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let table = String::from_utf8(output.stdout).unwrap();
    for name in names {
        assert!(table.lines().any(|line| line.starts_with(name)), "{name} in\n{table}");
    }
    assert!(!table.contains("NaN"), "{table}");
}
