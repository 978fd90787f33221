use proptest::prelude::*;
use serde_json::json;

use super::*;

fn labels(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn check(selector: &str, matching: &[&str], others: &[&str]) {
    let selector = Selector::parse(selector).unwrap();
    for text in matching {
        assert!(selector.matches(&labels(text)), "{selector} should match {text}");
    }
    for text in others {
        assert!(!selector.matches(&labels(text)), "{selector} should not match {text}");
    }
}

#[test]
fn each_operator_matches_as_it_reads() {
    check("", &["", "a=b"], &[]);
    check("a=b", &["a=b", "a=b,c=d"], &["", "a=c"]);
    check("a == b", &["a=b"], &["a=c"]);
    check("a!=b", &["", "a=c"], &["a=b"]);
    check("a in (b, c)", &["a=b", "a=c"], &["", "a=d"]);
    check("a notin (b,c)", &["", "a=d"], &["a=b"]);
    check("a", &["a=", "a=b"], &["b=a"]);
    check("!a", &["", "b=a"], &["a=b"]);
    check("a>1", &["a=2", "a=10"], &["", "a=1", "a=x"]);
    check("a<1", &["a=0", "a=-3"], &["a=1"]);
    check("a=", &["a="], &["", "a=b"]);
    check("a=b,c!=d,e in (x,y),!h", &["a=b,e=x"], &["a=b,e=x,h=1", "a=b,e=x,c=d"]);
    check("in in (in)", &["in=in"], &["in=x"]);
}

#[test]
fn the_canonical_form_is_sorted() {
    let text = |text: &str| Selector::parse(text).unwrap().to_string();
    assert_eq!(text("z, !h, e in (y,x,y) , a==b"), "a=b,e in (x,y),!h,z");
    assert_eq!(text(" "), "");
    assert_eq!(text("example.com/a notin (b),c>7"), "c>7,example.com/a notin (b)");
}

#[test]
fn a_wrong_query_says_what_is_wrong() {
    let error = |text: &str| Selector::parse(text).unwrap_err().to_string();
    assert_eq!(error("a=b,"), "found ``, expected a label key after `,`");
    assert_eq!(error("a b"), "found `b`, expected an operator");
    assert_eq!(error("a in b"), "found `b`, expected `(`");
    assert_eq!(error("a in (b"), "found ``, expected `,` or `)`");
    assert_eq!(error("a=b c"), "found `c`, expected `,` or the end");
    assert_eq!(error("a>x"), "`x`, which label `a` is compared with, is no integer");
    assert_eq!(
        error("-a=b"),
        "`-a` is not a label key: it must start and end with a letter or digit"
    );
    assert_eq!(
        error("A/b/c=d"),
        "`A/b/c` is not a label key: the part before `/` must be a DNS subdomain"
    );
    assert_eq!(
        error("a=b/c"),
        "`b/c` is not a value of label `a`: only letters, digits, `-`, `_` and `.` are allowed"
    );
}

#[test]
fn label_selectors_of_objects_become_queries() {
    let text = |value: Value| match Selector::from_label_selector(&value) {
        Ok(selector) => selector.to_string(),
        Err(error) => error.to_string(),
    };
    assert_eq!(text(json!({})), "");
    assert_eq!(text(json!({"matchLabels": null, "matchExpressions": null})), "");
    assert_eq!(
        text(json!({"matchLabels": {"a": "b"}, "matchExpressions": [
            {"key": "c", "operator": "In", "values": ["y", "x"]},
            {"key": "d", "operator": "NotIn", "values": ["x"]},
            {"key": "e", "operator": "Exists"},
            {"key": "f", "operator": "DoesNotExist", "values": []}]})),
        "a=b,c in (x,y),d notin (x),e,!f"
    );
    assert_eq!(text(json!(null)), "`selector` of the label selector must be an object");
    assert_eq!(
        text(json!({"matchLabels": {"a": 1}})),
        "`matchLabels` of the label selector must be a map of strings"
    );
    assert_eq!(
        text(json!({"matchExpressions": [{"key": "a", "operator": "Like"}]})),
        "`Like` is not an operator of a label selector"
    );
    assert_eq!(
        text(json!({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]})),
        "operator `exists` of `a` takes no values"
    );
}

#[test]
fn field_selectors_unescape_their_values() {
    let selector = FieldSelector::parse(r"metadata.name=a,spec.x!=b\,c\\,,status.y==").unwrap();
    let parts = selector
        .requirements()
        .iter()
        .map(|FieldRequirement { path, value, negated }| format!("{path} {value} {negated}"));
    assert_eq!(
        parts.collect::<Vec<_>>(),
        ["metadata.name a false", r"spec.x b,c\ true", "status.y  false"]
    );
    assert_eq!(selector.to_string(), r"metadata.name=a,spec.x!=b\,c\\,status.y=");
    assert!(selector.requirements()[1].is_met(""));
    assert!(FieldSelector::parse("").unwrap().is_empty());
}

#[test]
fn wrong_field_selectors_are_refused() {
    let error = |text: &str| FieldSelector::parse(text).unwrap_err().to_string();
    assert_eq!(error("metadata.name"), "`metadata.name` of the field selector has no operator");
    assert_eq!(error("a=b=c"), "`b=c` of the field selector is not escaped right");
    assert_eq!(error(r"a=b\c"), r"`b\c` of the field selector is not escaped right");
}

proptest! {
    #[test]
    fn what_was_written_reads_the_same(text in "[a-c!=<>, ()1]{0,20}", any: String) {
        for text in [text, any] {
            if let Ok(selector) = Selector::parse(&text) {
                prop_assert_eq!(Selector::parse(&selector.to_string()), Ok(selector));
            }
            if let Ok(selector) = FieldSelector::parse(&text) {
                prop_assert_eq!(FieldSelector::parse(&selector.to_string()), Ok(selector));
            }
        }
    }
}
