//! The measuring program, on next to nothing: what it measures is no matter here, but that it does.

use std::process::Command;

#[test]
fn every_measurement_of_the_embedded_server_can_be_made() {
    let bench = env!("CARGO_BIN_EXE_bench");
    let server = format!("{bench} serve");
    let output =
        Command::new(bench).args(["apiserver", "--small", "--server", &server]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let table = String::from_utf8(output.stdout).unwrap();
    let names: Vec<_> =
        table.lines().skip(1).map(|line| line.split("  ").next().unwrap()).collect();
    let row = |name: &str| names.iter().any(|it| it.starts_with(name));
    for name in ["start", "resident", "creates of", "gets", "list", "events", "memory", "1,000"] {
        assert!(row(name), "{name} in\n{table}");
    }
    assert!(table.lines().skip(1).all(|line| !line.contains("NaN")), "{table}");
}
