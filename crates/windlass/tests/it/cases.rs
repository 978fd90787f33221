//! `windlass hook test`: hooks on requests that were kept.

use std::fs;

use insta::assert_snapshot;

use crate::process::{Ended, dir, run};

const DOUBLE: &str = "function(request, by=2) { twice: request.n * by, list: request.list }\n";

fn told(ended: &Ended) -> String {
    format!("exit {}\n{}{}", ended.code.unwrap_or(-1), ended.stdout, ended.stderr)
}

/// Breaks when numbers are compared by how they are written.
#[test]
fn answers_and_errors_are_compared_with_what_is_expected() {
    let here = dir(&[
        ("hooks/double.jsonnet", DOUBLE),
        ("hooks/double/good.request.json", r#"{"n": 1, "list": []}"#),
        ("hooks/double/good.response.json", r#"{"list": [], "twice": 2.0}"#),
        ("hooks/double/order.request.json", r#"{"n": 1, "list": [2, 1]}"#),
        ("hooks/double/order.response.json", r#"{"list": [1, 2], "twice": 2}"#),
        ("hooks/double/text.request.json", r#"{"list": []}"#),
        ("hooks/double/text.error.txt", "Field does not exist: n\n"),
        ("hooks/double/unknown.request.json", r#"{"n": 3, "list": []}"#),
        ("hooks/gone/a.request.json", "{}"),
        ("hooks/sub/id.jsonnet", "function(request) request"),
        ("hooks/sub/id/bad.request.json", "{"),
    ]);
    assert_snapshot!(told(&run(here.path(), &["hook", "test", "hooks"])), @r#"
    exit 1
    passed   double/good
    failed   double/order
             --- expected
             +++ answered
             @@ -1,7 +1,7 @@
              {
                "list": [
             -    1,
             -    2
             +    2,
             +    1
                ],
                "twice": 2
              }
    passed   double/text
    failed   double/unknown
             nothing says what is expected: --update writes it
    failed   gone/a
             nothing says what is expected: --update writes it
    failed   sub/id/bad
             hooks/sub/id/bad.request.json is not JSON: EOF while parsing an object at line 1 column 1
    2 passed, 4 failed
    "#);
}

#[test]
fn what_is_expected_is_written_on_request() {
    let here = dir(&[
        ("double.jsonnet", DOUBLE),
        ("double/a.request.json", r#"{"n": 1.5, "list": [1]}"#),
        ("double/b.request.json", "{}"),
        ("double/b.response.json", "{}"),
    ]);
    let test = |more: &[&str]| run(here.path(), &[&["hook", "test", "."], more].concat());
    let by_three = ["--tla-code", "by=3"];
    assert_eq!(test(&["--update", "--tla-code", "by=3"]).code, Some(0));
    let written = |file: &str| fs::read_to_string(here.path().join("double").join(file));
    assert_snapshot!(written("a.response.json").unwrap(), @r#"
    {
      "list": [
        1
      ],
      "twice": 4.5
    }
    "#);
    assert_snapshot!(written("b.error.txt").unwrap(), @"RUNTIME ERROR: Field does not exist: list");
    assert!(written("b.response.json").is_err());
    assert_eq!(
        test(&by_three).stdout,
        "passed   double/a\npassed   double/b\n2 passed, 0 failed\n"
    );
    assert_eq!(test(&[]).code, Some(1));
}

#[test]
fn without_cases_the_command_line_is_wrong() {
    let here = dir(&[("empty/sync.jsonnet", "1")]);
    assert_snapshot!(told(&run(here.path(), &["hook", "test", "nope"])), @r"
    exit 2
    error: no such directory: `nope`

    hint: give the directory of NAME.jsonnet
    ");
    assert_snapshot!(told(&run(here.path(), &["hook", "test", "empty"])), @r"
    exit 2
    error: there is no case in `empty`

    hint: put a request into NAME/CASE.request.json beside NAME.jsonnet
    ");
}
