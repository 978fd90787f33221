use bytes::Bytes;

use super::*;
use crate::{
    bundle::{Binding, Bound, File},
    failure::ErrorKind,
};

fn bundle(program: &str, tlas: &[(&str, &str)]) -> Arc<Bundle> {
    let content = Bytes::copy_from_slice(program.as_bytes());
    let mut file = File::new("a.jsonnet".to_owned(), "file:///a.jsonnet".to_owned(), content);
    file.code = true;
    let bind = |(name, text): &(&str, &str)| Binding {
        name: (*name).to_owned(),
        value: Bound::Text((*text).to_owned()),
    };
    let tlas = tlas.iter().map(bind).collect();
    Arc::new(Bundle { files: vec![file], tlas, max_stack: 10_000, ..Bundle::default() })
}

fn call(program: &str, request: &str) -> Result<String, CallError> {
    Session::load(bundle(program, &[]))?.call(request.as_bytes(), Form::Compact)
}

fn value(program: &str) -> String {
    call(program, "null").unwrap_or_else(|error| error.text)
}

fn failure(program: &str) -> (ErrorKind, String) {
    let error = call(program, "null").unwrap_err();
    (error.kind, error.text)
}

#[test]
fn a_function_is_called_and_a_value_is_returned() {
    assert_eq!(
        call("function(request) request", r#"{"b":[1.0,2.5],"a":null}"#).unwrap(),
        r#"{"a": null, "b": [1, 2.5]}"#
    );
    assert_eq!(call("{a: 1, b:: 2}", "7").unwrap(), r#"{"a": 1}"#);
}

#[test]
fn results_are_indented_by_three_spaces() {
    let mut session = Session::load(bundle("{a: [], b: {}, c: [1]}", &[])).unwrap();
    let text = "{\n   \"a\": [ ],\n   \"b\": { },\n   \"c\": [\n      1\n   ]\n}\n";
    assert_eq!(session.call(b"null", Form::Pretty).unwrap(), text);
}

#[test]
fn the_prelude_fills_the_gaps_of_std() {
    for (program, expected) in [
        ("std.id(3)", "3"),
        ("std.foldl(function(a, c) a + '-' + c, 'ab', '')", "\"-a-b\""),
        ("std.foldr(function(c, a) a + c, 'ab', '')", "\"ba\""),
        ("std.foldl(function(a, c) a + c, [1, 2], 0)", "3"),
        ("std.escapeStringJson({a: 1})", r#""\"{\\\"a\\\": 1}\"""#),
        ("std.native('nope')", "null"),
        ("std.map(std.round, [2.5, -2.5, 0.4, -1.2])", "[3, -3, 0, -1]"),
        ("std.strReplace('aXb', 'X', '-')", "\"a-b\""),
        ("std.thisFile", "\"file:///a.jsonnet\""),
        ("[std.trim(' x '), std.isNull(null), std.hypot(3, 4)]", r#"["x", true, 5]"#),
    ] {
        assert_eq!(value(program), expected, "{program}");
    }
}

#[test]
fn errors_name_their_place_without_the_prelude() {
    assert_eq!(
        failure("function(request) error 'boom'"),
        (ErrorKind::Runtime, "RUNTIME ERROR: boom\n\ta.jsonnet:1:19-30\t".to_owned())
    );
    let text = failure("local a = {x: 1};\nfunction(request) a.nope").1;
    assert_eq!(text.lines().next(), Some("RUNTIME ERROR: Field does not exist: nope"));
    assert!(text.contains("\ta.jsonnet:2:19-24\t"), "{text}");
}

#[test]
fn fixed_error_texts() {
    for (program, kind, line) in [
        ("function(r) r", ErrorKind::Runtime, "function has no parameter request"),
        ("function(request, x) x", ErrorKind::Runtime, "Missing argument: x"),
        ("assert false : 'no'; 1", ErrorKind::Runtime, "no"),
        ("{assert false : 'no'}", ErrorKind::Runtime, "no"),
        ("std.extVar('x')", ErrorKind::Runtime, "Undefined external variable: x"),
        ("{a: function(x) x}", ErrorKind::Manifest, "couldn't manifest function as JSON"),
        ("local f(x) = f(x) + 1; f(1)", ErrorKind::Stack, "max stack frames exceeded."),
        (
            "std.native('parseJson')(1)",
            ErrorKind::Runtime,
            "parseJson: expected string, got number",
        ),
    ] {
        let (found, text) = failure(program);
        assert_eq!(found, kind, "{program}");
        assert_eq!(text.lines().next(), Some(format!("RUNTIME ERROR: {line}").as_str()));
    }
}

#[test]
fn load_errors_name_file_line_and_column() {
    let error = call("{\n  a: }", "null").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Load);
    assert!(error.text.starts_with("a.jsonnet:2:6 expected "), "{}", error.text);
    let error = call("x", "null").unwrap_err();
    assert_eq!(error.text, "a.jsonnet:1:1 Unknown variable: x");
    let error = call("", "null").unwrap_err();
    assert!(error.text.starts_with("a.jsonnet:1:1 expected "), "{}", error.text);
}

#[test]
fn undeclared_arguments_are_left_out_and_named_once() {
    let tlas = [("region", "eu"), ("zone", "b")];
    let program = "function(request, zone) [request, zone]";
    let mut session = Session::load(bundle(program, &tlas)).unwrap();
    assert_eq!(session.call(b"1", Form::Compact).unwrap(), r#"[1, "b"]"#);
    assert_eq!(session.take_undeclared(), ["region"]);
    assert_eq!(session.call(b"2", Form::Compact).unwrap(), r#"[2, "b"]"#);
    assert_eq!(session.take_undeclared().len(), 0);
}

#[test]
fn traces_are_kept_with_their_place() {
    let program = "function(request)\n  std.trace('hello', request)";
    let mut session = Session::load(bundle(program, &[])).unwrap();
    session.call(b"1", Form::Compact).unwrap();
    let expected = Trace { place: "a.jsonnet:2".to_owned(), message: "hello".to_owned() };
    assert_eq!(session.take_traces(), [expected]);
}

#[test]
fn requests_may_be_deep_but_not_too_deep() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(call("function(request) 1", &nested(512)).is_ok());
    assert_eq!(call("function(request) 1", &nested(513)).unwrap_err().kind, ErrorKind::Request);
}

#[test]
fn tail_calls_run_in_constant_stack() {
    let program = "local sum(n, acc) = if n == 0 then acc else sum(n - 1, acc + n) tailstrict; sum(100000, 0)";
    assert_eq!(value(program), "5000050000");
}
