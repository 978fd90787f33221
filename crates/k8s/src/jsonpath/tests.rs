use proptest::prelude::*;
use serde_json::json;

use super::*;

fn all(path: &str) -> Value {
    let value = json!({
        "metadata": {"name": "a", "labels": {"a.b/c": "d"}},
        "spec": {"items": [{"name": "x", "n": 1}, {"name": "y", "n": 2.0, "on": true}, {"n": 3}]},
        "status": {"conditions": [
            {"type": "Synced", "status": "False"}, {"type": "Ready", "status": "True"}]}
    });
    match JsonPath::parse(path) {
        Ok(path) => path.all(&value).into(),
        Err(error) => error.to_string().into(),
    }
}

#[test]
fn paths_select_what_they_say() {
    for (path, found) in [
        (".metadata.name", json!(["a"])),
        ("{.metadata.name}", json!(["a"])),
        ("{ $.metadata['name'] }", json!(["a"])),
        (r".metadata.labels.a\.b/c", json!(["d"])),
        (".metadata.labels['a.b/c']", json!(["d"])),
        (".missing.name", json!([])),
        (".spec.items[0].name", json!(["x"])),
        (".spec.items[-1].n", json!([3])),
        (".spec.items[3]", json!([])),
        (".spec.items[-4]", json!([])),
        (".spec.items[*].name", json!(["x", "y"])),
        (".metadata.labels.*", json!(["d"])),
        ("..name", json!(["a", "x", "y"])),
        (".spec..n", json!([1, 2.0, 3])),
        (r#".status.conditions[?(@.type=="Ready")].status"#, json!(["True"])),
        (".status.conditions[?( @.type == 'Ready' )].status", json!(["True"])),
        (".status.conditions[?(@.type!='Ready')].status", json!(["False"])),
        (".spec.items[?(@.n==2)].name", json!(["y"])),
        (".spec.items[?(@.n>=2)].n", json!([2.0, 3])),
        (".spec.items[?(@.n<2)].n", json!([1])),
        (".spec.items[?(@.on==true)].name", json!(["y"])),
        (".spec.items[?(@.on)].name", json!(["y"])),
        (".spec.items[?(@['name']>'x')].name", json!(["y"])),
    ] {
        assert_eq!(all(path), found, "{path}");
    }
    assert_eq!(
        JsonPath::parse("..n").unwrap().first(&json!({"a": {"n": 1}, "n": 2})),
        Some(json!(2))
    );
    assert_eq!(JsonPath::parse("").unwrap().first(&json!(1)), Some(json!(1)));
}

#[test]
fn wrong_paths_say_what_is_wrong() {
    assert_eq!(all("a"), "found `a` in the JSONPath, expected `.` or `[`");
    assert_eq!(
        all(".a[x]"),
        "found `x]` in the JSONPath, expected an index, `*`, a filter or a field in quotes"
    );
    assert_eq!(all(".a[0"), "found `` in the JSONPath, expected `]`");
    assert_eq!(
        all(".a["),
        "found `` in the JSONPath, expected an index, `*`, a filter or a field in quotes"
    );
    assert_eq!(all(".a['b]"), "found `'b]` in the JSONPath, expected a text with a closing quote");
    assert_eq!(
        all(".a[?(@.b==c)]"),
        "found `c)]` in the JSONPath, expected a text in quotes, a number or a boolean"
    );
    assert_eq!(all(".a..b..c"), "more than one `..` in a JSONPath is not supported");
    assert_eq!(all(".a[?(@.b[?(@.c)])]"), "nested filters in a JSONPath are not supported");
    assert_eq!(all(".a. .b{"), "found `{` in the JSONPath, expected `.` or `[`");
}

proptest! {
    #[test]
    fn any_path_is_parsed_or_refused(any: String, path in "[.\\[\\]?(@)='\"a0*{}$\\\\<!-]{0,20}") {
        for text in [any, path] {
            if let Ok(path) = JsonPath::parse(&text) {
                let _ = path.all(&json!({"a": [{"a": 0}, [[1]]], "0": {"a": "a"}}));
            }
        }
    }
}
