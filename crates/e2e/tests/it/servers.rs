//! Which stories run on both servers, and which on one only.

use std::{collections::BTreeSet, env, fs, path::Path, process::Command};

/// Tests of one server only, and why: the whole list.
const ONE_SERVER: &str = include_str!("../one_server.txt");

/// Every test is one of a pair, or stands in the list with its reason; and the list names tests that exist.
///
/// Breaks when a story is told by a test of its own instead of `story!`.
#[test]
fn stories_run_on_both_servers_or_say_why_not() {
    let tests: BTreeSet<String> = own_tests().into_iter().chain(tests_of_the_binary()).collect();
    assert!(60 < tests.len(), "{tests:?}");
    let lines = ONE_SERVER.lines().filter(|line| !line.starts_with('#'));
    let listed: Vec<_> = lines.map(|line| line.split_once(": ").unwrap_or((line, ""))).collect();
    let covers = |entry: &str, test: &str| {
        test == entry || (entry.ends_with("::") && test.starts_with(entry))
    };
    let mut wrong = vec![];
    for test in &tests {
        let is_listed = listed.iter().any(|(entry, _)| covers(entry, test));
        if !is_listed && !tests.contains(&twin(test)) {
            wrong.push(format!("{test} runs on one server only, and nobody says why"));
        }
    }
    for (entry, reason) in listed {
        eprintln!("on one server only: {entry}: {reason}");
        if reason.is_empty() || !tests.iter().any(|test| covers(entry, test)) {
            wrong.push(format!("`{entry}` has no reason, or there is no such test"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Returns what the test is called that does the same on the other server.
fn twin(test: &str) -> String {
    match test.rsplit_once("real") {
        Some((start, end)) => format!("{start}embedded{end}"),
        None => match test.rsplit_once("embedded") {
            Some((start, end)) => format!("{start}real{end}"),
            None => String::new(),
        },
    }
}

/// Returns the tests of this crate that have to do with a server.
fn own_tests() -> Vec<String> {
    let output = Command::new(env::current_exe().unwrap()).arg("--list").output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let names = output.lines().filter_map(|line| line.strip_suffix(": test"));
    let stories =
        names.filter(|name| !name.contains("::tests::") && !name.starts_with("servers::"));
    stories.map(|name| format!("e2e {name}")).collect()
}

/// Returns the tests of the binary, which are in another crate.
fn tests_of_the_binary() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../windlass/tests/it");
    let mut tests = vec![];
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    for file in files.filter(|file| file.is_file()) {
        let module = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&file).unwrap();
        let marked = text.split("#[test]\n").skip(1);
        let named = marked.filter_map(|text| text.split_once("fn ")?.1.split('(').next());
        tests.extend(named.map(|name| format!("windlass {module}::{name}")));
    }
    tests
}
