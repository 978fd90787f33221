use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Merges values below `spec`, so that nothing is put back.
fn merged(observed: Value, last: Value, desired: Value) -> Value {
    let spec = |value| json!({"spec": value});
    three_way(&spec(observed), &spec(last), &spec(desired))["spec"].take()
}

#[expect(clippy::needless_pass_by_value, reason = "calls read better with `json!` alone")]
fn check(observed: Value, last: Value, desired: Value, result: Value) {
    assert_eq!(merged(observed, last, desired), result);
}

#[test]
fn objects_lose_what_is_no_longer_desired() {
    check(
        json!({"a": 1, "foreign": 2, "gone": 3}),
        json!({"a": 0, "gone": 3}),
        json!({"a": 4, "new": {"b": null, "c": 5}}),
        json!({"a": 4, "foreign": 2, "new": {"c": 5}}),
    );
}

#[test]
fn a_server_s_answer_is_cut_to_what_is_desired() {
    for (answer, desired, cut) in [
        (json!({"a": "1", "added": 2}), json!({"a": "1000m", "pruned": 3}), json!({"a": "1"})),
        (
            json!([{"name": "side", "x": 1}, {"name": "web", "x": 2, "y": 3}]),
            json!([{"name": "web", "x": 0}]),
            json!([{"name": "web", "x": 2}]),
        ),
        (
            json!([{"key": "a"}, {"key": "b"}]),
            json!([{"key": "a"}]),
            json!([{"key": "a"}, {"key": "b"}]),
        ),
    ] {
        assert_eq!(project(&answer, &desired), cut);
    }
}

#[test]
fn null_means_absent() {
    check(json!({"a": 1, "b": 2}), json!({"a": 1}), json!({"a": null, "b": null}), json!({"b": 2}));
    check(json!({"a": null}), json!({}), json!({"a": null}), json!({"a": null}));
    check(json!({"a": 1}), json!({"a": null}), json!({}), json!({"a": 1}));
    check(json!([1, {"a": 2}]), json!([]), json!([1, {"a": 2, "b": null}]), json!([1, {"a": 2}]));
}

#[test]
fn equal_numbers_stay_as_observed() {
    check(json!({"a": 1.0}), json!({}), json!({"a": 1}), json!({"a": 1.0}));
    check(json!([1.0, 2]), json!([]), json!([1, 2.0]), json!([1.0, 2]));
    check(
        json!([{"port": 80.0, "a": 1}]),
        json!([]),
        json!([{"port": 80}]),
        json!([{"port": 80.0, "a": 1}]),
    );
}

#[test]
fn a_change_of_type_replaces() {
    check(json!([1]), json!({"a": 1}), json!({"b": 1}), json!({"b": 1}));
    check(json!({"a": 1}), json!([1]), json!([2]), json!([2]));
    check(json!({"a": 1}), json!("x"), json!({"b": 2}), json!({"a": 1, "b": 2}));
    check(json!({"a": 1}), json!({"a": 1}), json!("x"), json!("x"));
}

#[test]
fn lists_of_scalars_are_replaced() {
    check(json!([1, 2, 3]), json!([1]), json!([4]), json!([4]));
    check(json!([{"name": "a"}, 1]), json!([]), json!([{"name": "b"}]), json!([{"name": "b"}]));
    check(json!([{"x": 1}]), json!([]), json!([{"x": 2}]), json!([{"x": 2}]));
}

#[test]
fn lists_merge_by_their_key() {
    check(
        json!([{"name": "foreign"}, {"name": "gone"}, {"name": "a", "server": 1, "x": 1}]),
        json!([{"name": "gone"}, {"name": "a", "x": 1}]),
        json!([{"name": "new"}, {"name": "a", "y": 2}]),
        json!([{"name": "foreign"}, {"name": "a", "server": 1, "y": 2}, {"name": "new"}]),
    );
    check(
        json!([{"name": "a"}, {"name": "b"}]),
        json!([{"name": "b"}]),
        json!([]),
        json!([{"name": "a"}]),
    );
    check(
        json!([{"port": 80, "x": 1}]),
        json!([]),
        json!([{"port": "80", "y": 1}]),
        json!([{"port": "80", "x": 1, "y": 1}]),
    );
}

#[test]
fn ports_of_two_protocols_stay_apart() {
    let both = json!([{"port": 53, "protocol": "UDP"}, {"port": 53, "targetPort": 1}]);
    let observed = json!([
        {"port": 53, "protocol": "TCP", "nodePort": 7, "targetPort": 1},
        {"port": 53, "protocol": "UDP", "nodePort": 8}]);
    check(observed.clone(), both.clone(), both, observed);
}

#[test]
fn a_key_that_is_not_unique_gives_way_to_the_next() {
    check(
        json!([{"containerPort": 1, "name": "a", "x": 1}, {"containerPort": 1, "name": "b"}]),
        json!([]),
        json!([{"containerPort": 1, "name": "b", "y": 1}]),
        json!([{"containerPort": 1, "name": "a", "x": 1}, {"containerPort": 1, "name": "b", "y": 1}]),
    );
    check(
        json!([{"name": "a", "x": 1}, {"name": "a", "x": 2}]),
        json!([]),
        json!([{"name": "a", "x": 3}]),
        json!([{"name": "a", "x": 3}]),
    );
}

#[test]
fn what_the_server_sets_stays_as_observed() {
    let observed =
        json!({"metadata": {"name": "a", "uid": "u", "labels": {"a": "b"}}, "status": 1});
    let desired =
        json!({"metadata": {"name": "a", "uid": "v", "generation": 7}, "status": {"x": 2}});
    assert_eq!(three_way(&observed, &json!(null), &desired), observed);
    assert_eq!(
        three_way(&observed, &json!({"metadata": {}}), &json!({}))["metadata"],
        json!({"uid": "u"})
    );
}

#[test]
fn last_applied_is_written_as_go_writes_it() {
    assert_eq!(
        last_applied(&json!({"b": [1.0, null, 1e21], "a": "<&>\u{2028}\u{2029}\n\"\u{7f}é"})),
        "{\"a\":\"\\u003c\\u0026\\u003e\\u2028\\u2029\\n\\\"\u{7f}é\",\"b\":[1,null,1e+21]}"
    );
}

fn values() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..3).prop_map(Value::from),
        Just(json!(1.0)),
        "[ab]".prop_map(Value::from),
    ];
    scalar.prop_recursive(4, 40, 4, |inner| {
        let item = || {
            let key = prop::sample::select(vec!["name", "port", "protocol", "a", "b"]);
            prop::collection::btree_map(key, inner.clone(), 0..4)
                .prop_map(|fields| fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
        };
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            item().prop_map(Value::Object),
            prop::collection::vec(item().prop_map(Value::Object), 0..4).prop_map(Value::Array),
        ]
    })
}

/// Returns whether `value` has all that `part` has: lists of objects may have more items in between.
fn contains(value: &Value, part: &Value) -> bool {
    match (value, part) {
        (Value::Object(value), Value::Object(part)) => {
            part.iter().all(|(key, part)| value.get(key).is_some_and(|value| contains(value, part)))
        }
        (Value::Array(value), Value::Array(part)) => {
            part.iter().all(|part| value.iter().any(|value| contains(value, part)))
        }
        _ => json::same(value, part),
    }
}

proptest! {
    #[test]
    fn applying_again_changes_nothing(observed in values(), last in values(), desired in values()) {
        let once = three_way(&observed, &last, &desired);
        prop_assert_eq!(three_way(&once, &desired, &desired), once);
    }

    #[test]
    fn what_is_desired_is_in_the_result(observed in values(), last in values(), desired in values()) {
        let result = three_way(&observed, &last, &desired);
        prop_assert!(contains(&result, &without_null_fields(&desired)), "{result}");
    }

    #[test]
    fn foreign_fields_survive_and_own_ones_go(
        observed in values(),
        last in values(),
        foreign in values(),
        own in values(),
    ) {
        let result = merged(
            json!({"shared": observed, "foreign": foreign, "own": own}),
            json!({"shared": last, "own": true}),
            json!({"shared": last}),
        );
        prop_assert_eq!(&result["foreign"], &foreign);
        prop_assert!(result.get("own").is_none());
    }

    #[test]
    fn last_applied_reads_back(value in values(), text: String) {
        let value = json!({"value": value, "text": text});
        let read = serde_json::from_str(&last_applied(&value)).unwrap();
        prop_assert!(json::same(&read, &value));
    }
}
