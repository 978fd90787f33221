#![expect(clippy::needless_pass_by_value, reason = "tests read better with owned JSON")]

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn parse(value: Value) -> Result<Schema, Vec<String>> {
    Schema::parse(&FieldPath::new("s"), &value)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

/// Returns the schema of objects whose spec is `spec`.
fn with_spec(spec: Value) -> Schema {
    parse(json!({"type": "object", "properties": {"spec": spec}})).unwrap()
}

fn refused(value: Value) -> Vec<String> {
    parse(value).unwrap_err()
}

/// Returns what is wrong with an object whose spec has the one field `x`.
fn wrong(field: Value, value: Value) -> Vec<String> {
    let schema = with_spec(json!({"type": "object", "properties": {"x": field}}));
    let errors = schema.validate(&json!({"spec": {"x": value}}));
    errors.iter().map(ToString::to_string).collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of values and errors")]
fn values_are_checked_in_the_words_of_the_api() {
    for (field, value, error) in [
        (
            json!({"type": "integer"}),
            json!("3"),
            r#"spec.x: Invalid value: "string": spec.x in body must be of type integer: "string""#,
        ),
        (
            json!({"type": "integer", "format": "int32"}),
            json!(true),
            r#"spec.x: Invalid value: "": spec.x in body must be of type int32: """#,
        ),
        (
            json!({"type": "integer", "format": "int32"}),
            json!(3_000_000_000_i64),
            r#"<nil>: Invalid value: "": Checked value must be of type integer with format int32 in spec.x"#,
        ),
        (
            json!({"type": "string"}),
            json!(null),
            r#"spec.x: Invalid value: "null": spec.x in body must be of type string: "null""#,
        ),
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!(true),
            r#"spec.x: Invalid value: "boolean": spec.x in body must be of type integer,string: "boolean""#,
        ),
        (
            json!({"type": "string", "enum": ["a", "b"]}),
            json!("c"),
            r#"spec.x: Unsupported value: "c": supported values: "a", "b""#,
        ),
        (
            json!({"type": "integer", "maximum": 10}),
            json!(11),
            "spec.x: Invalid value: 11: spec.x in body should be less than or equal to 10",
        ),
        (
            json!({"type": "integer", "minimum": 1, "exclusiveMinimum": true}),
            json!(1),
            "spec.x: Invalid value: 1: spec.x in body should be greater than 1",
        ),
        (
            json!({"type": "number", "multipleOf": 0.5}),
            json!(0.7),
            "spec.x: Invalid value: 0.7: spec.x in body should be a multiple of 0.5",
        ),
        (
            json!({"type": "string", "maxLength": 2}),
            json!("abc"),
            "spec.x: Too long: may not be more than 2 bytes",
        ),
        (
            json!({"type": "string", "minLength": 2}),
            json!("ä"),
            r#"spec.x: Invalid value: "ä": spec.x in body should be at least 2 chars long"#,
        ),
        (
            json!({"type": "string", "pattern": "^a$"}),
            json!("b"),
            r#"spec.x: Invalid value: "b": spec.x in body should match '^a$'"#,
        ),
        (
            json!({"type": "string", "format": "date-time"}),
            json!("now"),
            r#"spec.x: Invalid value: "now": spec.x in body must be of type date-time: "now""#,
        ),
        (
            json!({"type": "array", "maxItems": 1, "items": {"type": "string"}}),
            json!(["a", "b"]),
            "spec.x: Too many: 2: must have at most 1 item",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}}),
            json!(["a", 1]),
            r#"spec.x[1]: Invalid value: "integer": spec.x[1] in body must be of type string: "integer""#,
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            json!({"k": 1}),
            r#"spec.x.k: Invalid value: "integer": spec.x.k in body must be of type string: "integer""#,
        ),
        (
            json!({"type": "object", "required": ["y"], "properties": {"y": {"type": "string"}}}),
            json!({}),
            "spec.x.y: Required value",
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}),
            json!(["a", "b", "a", "a"]),
            r#"spec.x[2]: Duplicate value: "a""#,
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["n"],
                "items": {"type": "object", "required": ["n"], "properties": {"n": {"type": "string"},
                    "v": {"type": "string"}}}}),
            json!([{"n": "a", "v": "1"}, {"n": "a"}]),
            r#"spec.x[1]: Duplicate value: {"n":"a"}"#,
        ),
    ] {
        assert_eq!(wrong(field, value), [error]);
    }
}

#[test]
fn values_that_fit_pass() {
    for (field, value) in [
        (json!({"type": "integer"}), json!(1.0)),
        (json!({"type": "number", "format": "double"}), json!(1)),
        (json!({"type": "string", "nullable": true}), json!(null)),
        (json!({"x-kubernetes-int-or-string": true, "pattern": "^[0-9]+%$"}), json!("5%")),
        (json!({"type": "string", "format": "made-up"}), json!("x")),
        (json!({"type": "integer", "enum": [1, 2]}), json!(2.0)),
        (json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}), json!({"a": 1})),
    ] {
        assert_eq!(wrong(field, value), Vec::<String>::new());
    }
}

#[test]
fn required_fields_of_the_root_are_named_without_a_dot() {
    let schema = parse(json!({"type": "object", "required": ["spec"],
        "properties": {"spec": {"type": "object"}}}));
    assert_eq!(schema.unwrap().validate(&json!({}))[0].to_string(), "spec: Required value");
}

#[test]
fn alternatives_say_how_many_fit() {
    let one_of = json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
    assert_eq!(
        wrong(one_of.clone(), json!({})),
        [
            r#"<nil>: Invalid value: "": "spec.x" must validate one and only one schema (oneOf). Found none valid"#,
            "spec.x.a: Required value"
        ]
    );
    assert_eq!(
        wrong(one_of.clone(), json!({"a": "", "b": ""})),
        [
            r#"<nil>: Invalid value: "": "spec.x" must validate one and only one schema (oneOf). Found 2 valid alternatives"#
        ]
    );
    assert!(wrong(one_of, json!({"a": ""})).is_empty());
    let not = json!({"type": "string", "not": {"enum": ["a"]}});
    assert_eq!(
        wrong(not, json!("a")),
        [r#"<nil>: Invalid value: "": "spec.x" must not validate the schema (not)"#]
    );
}

#[test]
fn schemas_that_are_not_structural_are_refused() {
    let object = |field: Value| json!({"type": "object", "properties": {"x": field}});
    for (schema, error) in [
        (json!({}), "s.type: Required value: must not be empty at the root"),
        (
            json!({"type": "array", "items": {"type": "string"}}),
            r#"s.type: Invalid value: "array": must be object at the root"#,
        ),
        (
            object(json!({})),
            "s.properties[x].type: Required value: must not be empty for specified object fields",
        ),
        (
            object(json!({"type": "array"})),
            "s.properties[x].items: Required value: must be specified",
        ),
        (
            object(json!({"type": "string", "anyOf": [{"type": "string"}]})),
            "s.properties[x].anyOf[0].type: Forbidden: must be empty to be structural",
        ),
        (
            object(json!({"type": "string", "pattern": "("})),
            r#"s.properties[x].pattern: Invalid value: "(": must be a valid regular expression, but isn't: error parsing regexp: missing closing ): `(`"#,
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            "s.additionalProperties: Forbidden: must not be used at the root",
        ),
        (
            json!({"type": "object", "properties": {"metadata": {"type": "object",
            "properties": {"labels": {"type": "object"}}}}}),
            "s.properties[metadata]: Forbidden: must not specify anything other than name and \
             generateName, but metadata is implicitly specified",
        ),
        (
            object(json!({"type": "array", "uniqueItems": true, "items": {"type": "string"}})),
            "s.properties[x].uniqueItems: Forbidden: uniqueItems cannot be set to true since the \
             runtime complexity becomes quadratic",
        ),
        (
            object(json!({"type": "object", "properties": {"a": {"type": "string"}},
            "additionalProperties": {"type": "string"}})),
            "s.properties[x].additionalProperties: Forbidden: additionalProperties and properties are \
             mutual exclusive",
        ),
        (
            object(json!({"type": "string", "$ref": "#/x"})),
            "s.properties[x].$ref: Forbidden: $ref is not supported",
        ),
        (
            object(json!({"type": "strung"})),
            r#"s.properties[x].type: Unsupported value: "strung": supported values: "array", "boolean", "integer", "number", "object", "string""#,
        ),
        (
            object(json!({"type": "string", "default": 1})),
            r#"s.properties[x].default: Invalid value: "integer":  in body must be of type string: "integer""#,
        ),
        (
            object(json!({"type": "object", "default": {"y": 1}})),
            r#"s.properties[x].default: Invalid value: {"y":1}: must not have unknown fields"#,
        ),
        (
            object(json!({"type": "string", "x-kubernetes-validations": [{"rule": " "}]})),
            "s.properties[x].x-kubernetes-validations[0].rule: Required value: rule is not specified",
        ),
        (
            object(
                json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "properties": {"k": {"type": "string"}}}}),
            ),
            "s.properties[x].items.properties[k].default: Required value: this property is in \
             x-kubernetes-list-map-keys, so it must have a default or be a required property",
        ),
    ] {
        assert_eq!(refused(schema), [error]);
    }
}

#[test]
fn int_or_string_may_name_its_types() {
    parse(json!({"type": "object", "properties": {"x": {"x-kubernetes-int-or-string": true,
        "anyOf": [{"type": "integer"}, {"type": "string"}]}}}))
    .unwrap();
}

#[test]
fn unknown_fields_are_removed_and_named() {
    let schema = with_spec(json!({"type": "object", "properties": {
        "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
        "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
            "properties": {"known": {"type": "object"}}},
        "template": {"type": "object", "x-kubernetes-embedded-resource": true,
            "properties": {"spec": {"type": "object"}}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}}}}));
    let mut object = json!({"apiVersion": "a/v1", "kind": "K", "metadata": {"odd": 1}, "extra": 1, "spec": {
        "list": [{"a": "1", "b": 2}], "any": {"kept": {"deep": 1}, "known": {"gone": 1}}, "y": {},
        "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"gone": 1}, "x": 1},
        "labels": {"k": "v"}}});
    assert_eq!(
        schema.prune(&mut object),
        [
            "extra",
            "spec.any.known.gone",
            "spec.list[0].b",
            "spec.template.spec.gone",
            "spec.template.x",
            "spec.y"
        ]
    );
    assert_eq!(
        object,
        json!({"apiVersion": "a/v1", "kind": "K", "metadata": {"odd": 1}, "spec": {
            "list": [{"a": "1"}], "any": {"kept": {"deep": 1}, "known": {}},
            "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {}},
            "labels": {"k": "v"}}})
    );
}

#[test]
fn defaults_fill_what_is_missing() {
    let schema = with_spec(json!({"type": "object", "default": {}, "properties": {
        "replicas": {"type": "integer", "default": 1},
        "note": {"type": "string"},
        "maybe": {"type": "string", "nullable": true, "default": "x"},
        "list": {"type": "array", "items": {"type": "object", "properties": {"p": {"type": "string", "default": "TCP"}}}}}}));
    for (given, expected) in [
        (json!({}), json!({"spec": {"replicas": 1, "maybe": "x"}})),
        (
            json!({"spec": {"replicas": null, "note": null, "maybe": null, "list": [{}]}}),
            json!({"spec": {"replicas": 1, "maybe": null, "list": [{"p": "TCP"}]}}),
        ),
    ] {
        let mut object = given;
        schema.apply_defaults(&mut object);
        assert_eq!(object, expected);
    }
}

#[test]
fn a_status_is_checked_alone() {
    let schema = parse(json!({"type": "object", "required": ["spec"], "properties": {
        "spec": {"type": "object"}, "status": {"type": "object", "properties": {"n": {"type": "integer"}}}}}))
    .unwrap();
    let errors = schema.validate_status(&json!({"status": {"n": "x"}}));
    assert_eq!(
        errors[0].to_string(),
        r#"status.n: Invalid value: "string": n in body must be of type integer: "string""#
    );
}

#[test]
fn embedded_resources_need_a_type() {
    let field = json!({"type": "object", "x-kubernetes-embedded-resource": true,
        "x-kubernetes-preserve-unknown-fields": true});
    assert_eq!(
        wrong(field, json!({"kind": ""})),
        [
            "spec.x.apiVersion: Required value",
            r#"spec.x.kind: Invalid value: "": must not be empty"#
        ]
    );
}

/// Returns any small JSON value whose keys often meet those of `schemas`.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..3).prop_map(Value::from),
        "[ab]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[abk]|metadata|kind", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Returns any structural node over the keys of `values`.
fn nodes() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "string", "default": "d"})),
        Just(json!({"type": "integer", "minimum": 0, "default": 2})),
        Just(json!({"type": "boolean", "nullable": true})),
        Just(json!({"x-kubernetes-int-or-string": true})),
        Just(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|items| json!({"type": "array", "items": items})),
            inner.clone().prop_map(|each| json!({"type": "object", "additionalProperties": each})),
            (prop::collection::btree_map("[abk]", inner, 0..3), any::<bool>()).prop_map(
                |(properties, embedded)| json!({"type": "object", "properties": properties,
                    "x-kubernetes-embedded-resource": embedded,
                    "x-kubernetes-preserve-unknown-fields": embedded.then_some(true)})
            ),
        ]
    })
}

proptest! {
    #[test]
    fn pruning_and_defaulting_twice_changes_nothing(node in nodes(), value in values()) {
        let schema = with_spec(node);
        let mut object = json!({"spec": value});
        schema.prune(&mut object);
        let once = object.clone();
        prop_assert_eq!(schema.prune(&mut object), Vec::<String>::new());
        prop_assert_eq!(&object, &once);
        schema.apply_defaults(&mut object);
        let once = object.clone();
        schema.apply_defaults(&mut object);
        prop_assert_eq!(&object, &once);
        schema.validate(&object);
    }

    #[test]
    fn any_json_is_a_schema_or_refused(value in values()) {
        let _ = Schema::parse(&FieldPath::new("s"), &value);
    }
}
