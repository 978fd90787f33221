use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::json::same;

fn values(text: &str) -> Vec<Value> {
    documents(text).unwrap().into_iter().map(|document| document.value).collect()
}

fn value(text: &str) -> Value {
    match values(text).as_slice() {
        [value] => value.clone(),
        other => panic!("{other:?} is not one document"),
    }
}

fn error(text: &str) -> String {
    documents(text).unwrap_err().to_string()
}

#[test]
fn scalars_mean_what_go_reads() {
    for (text, expected) in [
        ("0644", json!(420)),
        ("0o644", json!(420)),
        ("08", json!(8)),
        ("0x1F", json!(31)),
        ("0b11", json!(3)),
        ("-0b11", json!(-3)),
        ("1_000", json!(1000)),
        ("+7", json!(7)),
        ("-7", json!(-7)),
        ("1e3", json!(1000)),
        ("1.0", json!(1)),
        (".5", json!(0.5)),
        ("-.5", json!(-0.5)),
        ("1.5e-7", json!(1.5e-7)),
        ("18446744073709551615", json!(u64::MAX)),
        ("18446744073709551616", json!(18_446_744_073_709_551_616.0)),
        ("1e400", json!("1e400")),
        ("1.2.3", json!("1.2.3")),
        ("0x", json!("0x")),
        ("0xg", json!("0xg")),
        ("--1", json!("--1")),
        ("1:30", json!("1:30")),
        ("2001-01-01", json!("2001-01-01")),
        ("2001-01-01T00:00:00Z", json!("2001-01-01T00:00:00Z")),
        ("y", json!("y")),
        ("N", json!("N")),
        ("yes", json!(true)),
        ("Off", json!(false)),
        ("yEs", json!("yEs")),
        ("~", json!(null)),
        ("", json!(null)),
        ("'1'", json!("1")),
        ("!!str 1", json!("1")),
        ("!!int '3'", json!(3)),
        ("!!float 3", json!(3)),
        ("!custom 1", json!("1")),
        ("!!str", json!("")),
    ] {
        assert_eq!(value(&format!("a: {text}\n")), json!({"a": expected}), "{text}");
    }
}

#[test]
fn documents_are_told_apart_and_placed() {
    assert_eq!(values(""), Vec::<Value>::new());
    assert_eq!(values("# nothing\n"), Vec::<Value>::new());
    assert_eq!(values("---\n"), [json!(null)]);
    assert_eq!(values("\u{feff}mode: 0644\n"), [json!({"mode": 420})]);
    let text = "# first\na: 1\n---\n---\n\nb: 2\n...\n---\n- c\n";
    let lines = documents(text).unwrap().into_iter().map(|each| (each.line, each.value));
    assert_eq!(
        lines.collect::<Vec<_>>(),
        [(2, json!({"a": 1})), (4, json!(null)), (6, json!({"b": 2})), (9, json!(["c"]))]
    );
}

#[test]
fn keys_become_text() {
    assert_eq!(
        value("0644: a\n1.50: b\nyes: c\ny: d\n'null': e\n? f\n: g\n"),
        json!({"420": "a", "1.5": "b", "true": "c", "y": "d", "null": "e", "f": "g"})
    );
    assert_eq!(value("a: 1\na: 2\n"), json!({"a": 2}));
    assert_eq!(error("a: 1\n~: 2\n"), "`null` cannot be a key at line 2 column 1");
    assert_eq!(error("[a]: 2\n"), "a list or mapping cannot be a key at line 1 column 1");
}

#[test]
fn aliases_and_merge_keys_resolve() {
    assert_eq!(
        value("a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*b, *a], z: 3}\nd: *a\n")["c"],
        json!({"x": 1, "y": 2, "z": 3})
    );
    assert_eq!(value("a: &a {x: 1}\nb:\n  x: 2\n  <<: *a\n")["b"], json!({"x": 2}));
    assert_eq!(value("&a k: v\n*a : w\n"), json!({"k": "w"}));
    assert_eq!(value("'<<': 1\n"), json!({"<<": 1}));
    assert_eq!(
        error("a:\n  <<: 1\nb: 2"),
        "`<<` needs a mapping or a list of mappings at line 3 column 1"
    );
    assert!(error("a: &a [*a]\n").starts_with("the alias is within its own anchor"));
    assert!(error("a: &a 1\n---\nb: *a\n").ends_with("at line 3 column 4"));
}

#[test]
fn bombs_are_defused() {
    let doubling = (1..40).map(|n| format!("a{n}: &a{n} [*a{last}, *a{last}]\n", last = n - 1));
    let text = format!("a0: &a0 [x, x]\n{}", doubling.collect::<String>());
    assert!(error(&text).starts_with("aliases expand to too much"));
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), "*a, ".repeat(100));
    assert!(error(&long).starts_with("aliases expand to too much"));
    assert!(documents(&"[".repeat(100_000)).is_err());
    assert!(error(&"- ".repeat(100_000)).starts_with("nested deeper than 512 levels"));
    let chain = (0..600).map(|level| format!("- &a{} [*a{level}]\n", level + 1));
    let chain = format!("- &a0 []\n{}", chain.collect::<String>());
    assert!(error(&chain).starts_with("nested deeper than 512 levels"));
}

#[test]
fn wrong_text_is_refused_with_its_place() {
    assert_eq!(error("a: [1\nb: 2\n"), "illegal placement of ':' indicator at line 2 column 2");
    assert_eq!(error("a: .nan"), "`.nan` does not exist in JSON at line 1 column 4");
    assert_eq!(error("a: !!int x"), "`x` is not of type `!!int` at line 1 column 4");
}

#[test]
fn values_are_written_in_block_style() {
    assert_eq!(to_string(&json!({"a": "yes", "b": [1]})), "a: \"yes\"\nb:\n- 1\n");
    insta::assert_snapshot!(to_string(&json!({
        "z": {"nested": {"list": [{"b": 1, "a": [[1, 2], [], {}]}, null]}},
        "empty": {"list": [], "map": {}, "text": ""},
        "quoted": ["1", "0x1", "y", "~", "2001-01-01", "1:30", "<<", "a: b", "a #b", "- a", "*a", " a", "it's: x", "tab\t", "\u{7}", "---"],
        "plain": ["-a", "--flag=:80", ":80", "a:b", "é", "a b", "1.2.3", "it's"],
        "numbers": [1.0, 1e21, 0.5, -3],
        "script": "#!/bin/sh\n\nset -e\n",
        "clip": "a\nb",
        "keep": ["a\nb\n\n"],
        "odd": " a\nb",
        "true": true
    })), @r#"
    clip: |-
      a
      b
    empty:
      list: []
      map: {}
      text: ""
    keep:
    - |+
      a
      b

    numbers:
    - 1
    - 1e+21
    - 0.5
    - -3
    odd: " a\nb"
    plain:
    - -a
    - --flag=:80
    - :80
    - a:b
    - é
    - a b
    - 1.2.3
    - it's
    quoted:
    - "1"
    - "0x1"
    - "y"
    - "~"
    - "2001-01-01"
    - "1:30"
    - "<<"
    - 'a: b'
    - 'a #b'
    - '- a'
    - '*a'
    - ' a'
    - 'it''s: x'
    - "tab\t"
    - "\x07"
    - '---'
    script: |
      #!/bin/sh

      set -e
    "true": true
    z:
      nested:
        list:
        - a:
          - - 1
            - 2
          - []
          - {}
          b: 1
        - null
    "#);
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[-?:,\\[\\]{}#&*!|>'\"%@` \n\ta0.~ynN<=+]{0,8}",
        "[a \n\t]{0,12}",
        "[0-9xobe+_:.-]{1,6}",
        "a{995,1005}",
    ]
}

fn trees() -> impl Strategy<Value = Value> {
    let number = any::<f64>().prop_filter("JSON has none", |float| float.is_finite());
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        number.prop_map(Value::from),
        texts().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(texts(), inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_was_written_reads_the_same(tree in trees()) {
        let text = to_string(&tree);
        let read = documents(&text);
        prop_assert!(
            matches!(read.as_deref(), Ok([document]) if same(&document.value, &tree)),
            "{text}\n{read:?}"
        );
    }

    #[test]
    fn any_text_is_read_or_refused(any: String, text in "[-?:,\\[\\]{}#&*!|>'\"%@` \n\tab0.~<]{0,40}") {
        let _ = (documents(&any), documents(&text));
    }
}

#[test]
fn keys_that_stand_twice_are_told_with_the_lines_of_their_values() {
    let text = "a: 1\nb:\n  c: 1\n  c:\n    d: 1\n1: x\n1: y\na: 2\n";
    let documents = documents(text).unwrap();
    let told = |it: &RepeatedKey| format!("{} {} {}", it.key, it.is_text, it.line);
    let repeated: Vec<_> = documents[0].repeated.iter().map(told).collect();
    assert_eq!(repeated, ["c true 5", "1 false 7", "a true 8"]);
}
