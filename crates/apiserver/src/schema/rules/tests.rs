use std::thread;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    field::FieldPath,
    schema::{Schema, rules::KEYWORD},
};

fn fields() -> Value {
    json!({
        "min": {"type": "integer"},
        "max": {"type": "integer"},
        "s": {"type": "string"},
        "f": {"type": "number", KEYWORD: [{"rule": "self > 0.5"}]},
        "positive": {"type": "integer", KEYWORD: [{"rule": "self >= 0", "message": "must be positive"}]},
        "l": {"type": "array", "items": {"type": "integer"}, KEYWORD: [{"rule": "self.all(x, x > 0)"}]},
        "m": {"type": "object", "additionalProperties":
            {"type": "string", KEYWORD: [{"rule": "self != 'bad'"}]}},
        "lm": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"},
                "v": {"type": "integer", KEYWORD: [{"rule": "self >= oldSelf", "message": "v shrinks"}]}}}},
        "ios": {"x-kubernetes-int-or-string": true},
        "d": {"type": "string", "format": "date-time",
            KEYWORD: [{"rule": "self > timestamp('2020-01-01T00:00:00Z')"}]},
        "n": {"type": "string", "nullable": true, KEYWORD: [{"rule": "self == 'a'"}]},
        "foo-bar": {"type": "string"}, "x_y": {"type": "string"}, "x__y": {"type": "string"},
        "namespace": {"type": "string"},
    })
}

/// Reads a schema with rules at its `spec`.
fn schema(rules: &Value) -> Result<Schema, String> {
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": fields(), KEYWORD: rules}}});
    Schema::parse(&FieldPath::new("S"), &schema).map_err(|errors| texts(&errors))
}

fn texts(errors: &[impl ToString]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Returns what is wrong with a `spec` that was `old` by one rule.
fn told(rule: &Value, old: Option<&Value>, spec: &Value) -> String {
    let wrap = |spec: &Value| json!({"metadata": {"name": "a"}, "spec": spec});
    let schema = schema(&json!([rule])).unwrap();
    texts(&schema.check_rules(&wrap(spec), old.map(wrap).as_ref(), &[]))
}

fn refused(rule: &Value) -> String {
    let path = "S.properties[spec].x-kubernetes-validations[0].";
    schema(&json!([rule])).unwrap_err().replace(path, "")
}

#[test]
fn broken_rules_are_told_as_the_reference_does() {
    for (rule, spec, text) in [
        (
            json!({"rule": "self.min <= self.max", "message": "min must not exceed max"}),
            json!({"min": 3, "max": 2}),
            "spec: Invalid value: min must not exceed max",
        ),
        (
            json!({"rule": "self.s != 'x'"}),
            json!({"s": "x"}),
            "spec: Invalid value: failed rule: self.s != 'x'",
        ),
        (
            json!({"rule": "self.s != 'x'", "reason": "FieldValueRequired", "message": "need it",
                "fieldPath": ".s"}),
            json!({"s": "x"}),
            "spec.s: Required value: need it",
        ),
        (
            json!({"rule": "self.s != 'x'", "reason": "FieldValueDuplicate", "fieldPath": ".foo-bar"}),
            json!({"s": "x"}),
            "spec.foo-bar: Duplicate value",
        ),
        (
            json!({"rule": "self.s != 'x'", "reason": "FieldValueForbidden", "fieldPath": "['foo-bar']"}),
            json!({"s": "x"}),
            "spec.foo-bar: Forbidden: failed rule: self.s != 'x'",
        ),
        (
            json!({"rule": "self.s != 'x'", "messageExpression": "'s is ' + self.s", "message": "m"}),
            json!({"s": "x"}),
            "spec: Invalid value: s is x",
        ),
        (
            json!({"rule": "self.s != 'x'", "messageExpression": "self.m['z']", "message": "m"}),
            json!({"s": "x"}),
            "spec: Invalid value: m",
        ),
        (
            json!({"rule": "self.s != 'x'", "messageExpression": "'a\\nb'"}),
            json!({"s": "x"}),
            "spec: Invalid value: failed rule: self.s != 'x'",
        ),
        (
            json!({"rule": "true"}),
            json!({"positive": -1}),
            "spec.positive: Invalid value: -1: must be positive",
        ),
        (
            json!({"rule": "true"}),
            json!({"m": {"a.b": "bad"}}),
            "spec.m[a.b]: Invalid value: \"bad\": failed rule: self != 'bad'",
        ),
        (
            json!({"rule": "true"}),
            json!({"l": [0]}),
            "spec.l: Invalid value: failed rule: self.all(x, x > 0)",
        ),
        (
            json!({"rule": "true"}),
            json!({"d": "2019-01-01T00:00:00Z"}),
            "spec.d: Invalid value: \"2019-01-01T00:00:00Z\": failed rule: self > \
             timestamp('2020-01-01T00:00:00Z')",
        ),
        (json!({"rule": "true"}), json!({"f": 1, "n": null}), ""),
        (
            json!({"rule": "true"}),
            json!({"f": 0.25}),
            "spec.f: Invalid value: 0.25: failed rule: self > 0.5",
        ),
    ] {
        assert_eq!(told(&rule, None, &spec), text, "{rule}");
    }
}

#[test]
fn what_cannot_be_evaluated_is_broken() {
    for (rule, spec, why) in [
        (
            "self.l[10] == 1",
            json!({"l": [1]}),
            "index out of bounds: 10 evaluating rule: failed rule: RULE",
        ),
        (
            "self.min / 0 == 1",
            json!({"min": 1}),
            "division by zero evaluating rule: failed rule: RULE",
        ),
        ("self.m['k'] == 'v'", json!({}), "no such key: m evaluating rule: failed rule: RULE"),
        (
            "self.m['k'] == 'v'",
            json!({"m": {}}),
            "no such key: k evaluating rule: failed rule: RULE",
        ),
        (
            "self.ios + 1 == 5",
            json!({"ios": "a"}),
            "'no such overload': call arguments did not match a supported operator, function or macro \
             signature for rule: failed rule: RULE",
        ),
        (
            "self.ios.x",
            json!({"ios": "a"}),
            "'no such overload': call arguments did not match a supported operator, function or macro \
             signature for rule: failed rule: RULE",
        ),
        (
            "self.l.all(a, self.l.all(b, self.l.all(c, self.l.all(d, a + b + c + d > 0))))",
            json!({"l": vec![1; 200]}),
            "'operation cancelled: actual cost limit exceeded': no further validation rules will be \
             run due to call cost exceeds limit for rule: failed rule: RULE",
        ),
    ] {
        let why = why.replace("failed rule: RULE", &format!("failed rule: {rule}"));
        let expected = format!("spec: Invalid value: \"object\": {why}");
        assert_eq!(told(&json!({"rule": rule}), None, &spec), expected, "{rule}");
    }
}

#[test]
fn rules_that_hold_say_nothing() {
    let spec = json!({"min": 1, "max": 2, "s": "abc", "l": [1, 2], "m": {"a-b": "c"}, "ios": 4,
        "foo-bar": "c", "x_y": "a", "x__y": "b", "namespace": "d", "f": 2,
        "lm": [{"k": "a", "v": 1}, {"k": "b"}]});
    for rule in [
        "self.x_y == 'a' && self.x__underscores__y == 'b' && self.foo__dash__bar == 'c'",
        "self.__namespace__ == 'd'",
        "self.ios + 1 == 5",
        "self.f == 2.0",
        "self.m['a-b'] == 'c' && 'a-b' in self.m && self.m.all(k, self.m[k] == 'c')",
        "has(self.min) && !has(self.positive)",
        "self.?positive.orValue(7) == 7 && self.?min.orValue(7) == 1",
        "!self.?m.?nope.hasValue()",
        "self.lm.exists_one(x, x.k == 'a') && self.lm.filter(x, has(x.v)).size() == 1",
        "self.lm.map(x, x.k) == ['a', 'b']",
        "self.s.matches('^a.c$') && self.s.startsWith('a') && self.s.size() == 3",
        "quantity('1Gi').isGreaterThan(quantity('500Mi')) && isIP('10.0.0.1')",
        "ip('10.0.0.1').family() == 4 && cidr('10.0.0.0/8').containsIP('10.1.2.3')",
        "duration('1h') > duration('1m') && url('https://a.b/c').getHost() == 'a.b'",
        "semver('1.2.3').isLessThan(semver('2.0.0')) && sets.contains([1, 2], [1])",
        "dyn(self.min) == 1 && self.s.split('b').join('-') == 'a-c' && '%s'.format([self.s]) == 'abc'",
        "!format.dns1123Label().validate(self.s).hasValue()",
        "self.l.sum() == 3 && self.l.isSorted() && self.l.max() == 2",
        "self.min == 1 ? self.max == 2 : false",
    ] {
        assert_eq!(told(&json!({"rule": rule}), None, &spec), "", "{rule}");
    }
}

#[test]
fn rules_may_look_at_what_was_before() {
    let old = json!({"min": 1, "max": 2, "lm": [{"k": "a", "v": 5}, {"k": "b", "v": 1}]});
    let grows = json!({"rule": "oldSelf.min <= self.min", "message": "min must not shrink"});
    let optional = json!({"rule": "!oldSelf.hasValue() || oldSelf.value().max <= self.max",
        "optionalOldSelf": true, "message": "max must not shrink"});
    for (rule, old, new, text) in [
        (&grows, None, json!({"min": 0}), ""),
        (&grows, Some(&old), json!({"min": 0}), "spec: Invalid value: min must not shrink"),
        (&optional, None, json!({"max": 0}), ""),
        (&optional, Some(&old), json!({"max": 1}), "spec: Invalid value: max must not shrink"),
        (&optional, Some(&old), json!({"max": 2}), ""),
        (
            &json!({"rule": "true"}),
            Some(&old),
            json!({"lm": [{"k": "b", "v": 0}, {"k": "a", "v": 4}, {"k": "c", "v": 0}]}),
            "spec.lm[0].v: Invalid value: 0: v shrinks; spec.lm[1].v: Invalid value: 4: v shrinks",
        ),
    ] {
        assert_eq!(told(rule, old, &new), text, "{rule} {new}");
    }
}

#[test]
fn what_was_broken_before_may_stay() {
    let old = json!({"positive": -1});
    assert_eq!(told(&json!({"rule": "true"}), Some(&old), &json!({"positive": -1, "s": "x"})), "");
    let text = told(&json!({"rule": "true"}), Some(&old), &json!({"positive": -2}));
    assert_eq!(text, "spec.positive: Invalid value: -2: must be positive");
}

#[test]
fn rules_wait_for_a_form_that_is_right() {
    let schema = schema(&json!([])).unwrap();
    let object = json!({"spec": {"positive": "a"}});
    let found = schema.validate(&object);
    assert_eq!(
        texts(&schema.check_rules(&object, None, &found)),
        "<nil>: Invalid value: null: some validation rules were not checked because the object was \
         invalid; correct the existing errors to complete validation"
    );
}

#[test]
fn rules_that_mean_nothing_are_refused() {
    for (rule, text) in [
        (
            "self.min <= other",
            "1:13: undeclared reference to 'other' (in container '')\n | self.min <= other\n | ............^",
        ),
        (
            "self.min.frob()",
            "1:14: undeclared reference to 'frob' (in container '')\n | self.min.frob()\n | .............^",
        ),
        (
            "frob(self.min)",
            "1:5: undeclared reference to 'frob' (in container '')\n | frob(self.min)\n | ....^",
        ),
        ("self.nope > 1", "1:5: undefined field 'nope'\n | self.nope > 1\n | ....^"),
        (
            "apiVersion == 'v1'",
            "1:1: undeclared reference to 'apiVersion' (in container '')\n | apiVersion == 'v1'\n | ^",
        ),
        (
            "self.metadata.name == 'a'",
            "1:5: undefined field 'metadata'\n | self.metadata.name == 'a'\n | ....^",
        ),
        (
            "self.s.matches('[')",
            "1:16: invalid matches argument\n | self.s.matches('[')\n | ...............^",
        ),
        (
            "self.s.x == 1",
            "1:7: type 'string' does not support field selection\n | self.s.x == 1\n | ......^",
        ),
        (
            "self.l.sortBy(x, x) == self.l",
            "1:14: 'sortBy': sortBy is not supported yet\n | self.l.sortBy(x, x) == self.l\n | .............^",
        ),
        (
            "self.l.all(i, v, v > i)",
            "1:11: 'all': two-variable comprehensions are not supported yet\n | self.l.all(i, v, v > i)\n | ..........^",
        ),
        (
            "type(self) == int",
            "1:5: 'type': types as values are not supported yet\n | type(self) == int\n | ....^\nERROR: <input>:1:15: 'int': types as values are not supported yet\n | type(self) == int\n | ..............^",
        ),
    ] {
        let refused = refused(&json!({"rule": rule}));
        let shown = rule.replace('<', "\\u003c").replace('>', "\\u003e");
        let expected = format!(
            "rule: Invalid value: {{\"Rule\":\"{shown}\",\"Message\":\"\",\"MessageExpression\":\"\",\
             \"Reason\":null,\"FieldPath\":\"\",\"OptionalOldSelf\":null}}: compilation failed: ERROR: \
             <input>:{text}"
        );
        assert_eq!(refused, expected);
    }
}

#[test]
fn rules_of_the_wrong_form_are_refused() {
    for (rule, text) in [
        (json!({"message": "m"}), "rule: Required value: rule is not specified"),
        (json!({"rule": " "}), "rule: Required value: rule is not specified"),
        (
            json!({"rule": "true", "message": "  "}),
            "message: Invalid value: \"  \": must be non-empty if specified",
        ),
        (
            json!({"rule": "true", "message": "a\nb"}),
            "message: Invalid value: \"a\\nb\": must not contain line breaks",
        ),
        (
            json!({"rule": "true\n&& true"}),
            "message: Required value: message must be specified if rule contains line breaks",
        ),
        (
            json!({"rule": "true", "messageExpression": " "}),
            "messageExpression: Required value: messageExpression must be non-empty if specified",
        ),
        (
            json!({"rule": "true", "reason": "Odd"}),
            "reason: Unsupported value: \"Odd\": supported values: \"FieldValueDuplicate\", \
             \"FieldValueForbidden\", \"FieldValueInvalid\", \"FieldValueRequired\"",
        ),
        (
            json!({"rule": "true", "fieldPath": "nope"}),
            "fieldPath: Invalid value: \"nope\": must be a valid path",
        ),
        (
            json!({"rule": "true", "fieldPath": ".nope"}),
            "fieldPath: Invalid value: \".nope\": must be a valid path",
        ),
        (
            json!({"rule": "true", "optionalOldSelf": true}),
            "optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule",
        ),
        (
            json!({"rule": "self.min"}),
            "rule: Invalid value: {\"Rule\":\"self.min\",\"Message\":\"\",\"MessageExpression\":\"\",\
             \"Reason\":null,\"FieldPath\":\"\",\"OptionalOldSelf\":null}: cel expression must evaluate to \
             a bool",
        ),
        (
            json!({"rule": "true", "messageExpression": "self.min"}),
            "messageExpression: Invalid value: {\"Rule\":\"true\",\"Message\":\"\",\
             \"MessageExpression\":\"self.min\",\"Reason\":null,\"FieldPath\":\"\",\
             \"OptionalOldSelf\":null}: messageExpression must evaluate to a string",
        ),
    ] {
        assert_eq!(refused(&rule), text);
    }
}

#[test]
fn what_does_not_parse_is_shown_with_its_place() {
    for (rule, place) in [
        (
            "self.min <=",
            "1:12: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        ("self.min in [1, 2", "1:18: Syntax error: mismatched input '<EOF>' expecting {']', ','}"),
    ] {
        let refused = refused(&json!({"rule": rule}));
        let expected = format!("compilation failed: ERROR: <input>:{place}\n | {rule}\n | ");
        assert!(refused.contains(&expected), "{refused}");
    }
}

#[test]
fn old_items_of_plain_lists_are_nobodys() {
    let schema = json!({"type": "object", "properties": {"l": {"type": "array",
        "items": {"type": "object", KEYWORD: [{"rule": "self == oldSelf"}]}}}});
    let errors = Schema::parse(&FieldPath::new("S"), &schema).unwrap_err();
    assert_eq!(
        texts(&errors),
        "S.properties[l].items.x-kubernetes-validations[0].rule: Invalid value: \"self == oldSelf\": \
         oldSelf cannot be used on the uncorrelatable portion of the schema within S.properties[l]"
    );
}

#[test]
fn rules_of_the_whole_object_see_its_name() {
    let schema = json!({"type": "object", KEYWORD: [
        {"rule": "self.metadata.name != 'bad'", "message": "bad name"}]});
    let schema = Schema::parse(&FieldPath::new("S"), &schema).unwrap();
    let named = |name| json!({"apiVersion": "v1", "kind": "K", "metadata": {"name": name}});
    assert_eq!(
        texts(&schema.check_rules(&named("bad"), None, &[])),
        "<nil>: Invalid value: bad name"
    );
    assert_eq!(texts(&schema.check_rules(&named("good"), None, &[])), "");
}

#[test]
fn deep_rules_fit_on_a_small_stack_or_are_refused() {
    let small = thread::Builder::new().stack_size(2 << 20);
    let work = || {
        for rule in [
            format!("{}true{}", "(".repeat(9000), ")".repeat(9000)),
            format!("{}1 == 1", "-(".repeat(1000) + &")".repeat(1000)),
            format!("1{} > 0", " + 1".repeat(3000)),
            format!("self{}", ".a".repeat(7000)),
            format!("{}true", "true ? false : ".repeat(1000)),
            format!("{}1{} == 1", "[".repeat(500), "]".repeat(500)),
            "x".repeat(20_000),
        ] {
            schema(&json!([{ "rule": rule }])).unwrap_err();
        }
        let deep = format!("1{} > 0", " + 1".repeat(50));
        let calls = format!("{}true{}", "[true].all(x, ".repeat(15), " && x)".repeat(15));
        for rule in [deep, calls] {
            assert_eq!(told(&json!({ "rule": rule }), None, &json!({})), "");
        }
    };
    small.spawn(work).unwrap().join().unwrap();
}

/// Sources that look like rules: pieces of rules in any order, and changed rules.
fn sources() -> impl Strategy<Value = String> {
    let pieces = [
        "self",
        "oldSelf",
        ".min",
        ".l",
        ".s",
        ".?m",
        "[0]",
        "['a']",
        "[?",
        "]",
        "(",
        ")",
        "{",
        "}",
        ",",
        " in ",
        " && ",
        " || ",
        " ? ",
        " : ",
        "!",
        "-",
        "+",
        "/",
        "%",
        "==",
        "<",
        "1",
        "0",
        "1.5",
        "1u",
        "9223372036854775807",
        "'a'",
        "b'a'",
        "r\"\\d\"",
        "'''",
        "\"",
        "\\",
        "null",
        "true",
        "has(",
        ".all(x, ",
        ".map(x, x",
        ".filter(x, true)",
        ".exists_one(",
        "size(",
        ".matches('",
        ".orValue(",
        "duration('",
        "timestamp(",
        "quantity('1')",
        ".format([",
        "'%.999999999f'",
        "x",
        "@",
        "\u{0}",
        "é",
        "\n",
        "// c",
        "Msg{a: 1}",
        "{'a': ?x}",
        "ip('1')",
        ".replace('', self.s)",
        ".substring(-1, 9)",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..14).prop_map(|all| all.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn any_source_is_a_rule_or_refused(source in sources(), text in "\\PC{0,20}") {
        for source in [source.clone(), text, format!("self.s == {source}"), format!("{source} == 1")] {
            let rules = json!([{"rule": source, "message": "m", "messageExpression": source}]);
            for rules in [rules, json!([{"rule": source, "message": "m"}])] {
                if let Ok(schema) = schema(&rules) {
                    let object = json!({"spec": {"min": 1, "s": "é", "l": [1], "m": {"a": "b"}}});
                    schema.check_rules(&object, Some(&json!({"spec": {"min": 2}})), &[]);
                }
            }
        }
    }
}
