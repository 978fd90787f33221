#![expect(clippy::needless_pass_by_value, reason = "tests read better with owned JSON")]

use serde_json::json;

use super::*;

/// Returns a definition that nothing is wrong with.
fn things() -> Value {
    let mut crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com", "generation": 1},
        "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing", "shortNames": ["th"]},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {"color": {"type": "string"}}}}}}}]}});
    apply_defaults(&mut crd);
    crd
}

/// Returns what is wrong with the definition after `pointer` was set to `value`.
fn wrong(pointer: &str, value: Value) -> Vec<String> {
    let mut crd = things();
    set(&mut crd, pointer, value);
    texts_of(validate(&crd, None))
}

fn texts_of(errors: Vec<FieldError>) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn set(crd: &mut Value, pointer: &str, value: Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    crd.pointer_mut(parent).unwrap()[name] = value;
}

#[test]
fn names_and_conversion_have_defaults() {
    let crd = things();
    assert_eq!(text(&crd, "/spec/names/singular"), "thing");
    assert_eq!(text(&crd, "/spec/names/listKind"), "ThingList");
    assert_eq!(text(&crd, "/spec/conversion/strategy"), "None");
    assert_eq!(texts_of(validate(&crd, None)), Vec::<String>::new());
}

#[test]
fn wrong_definitions_are_refused_in_the_words_of_the_api() {
    for (pointer, value, error) in [
        (
            "/metadata/name",
            json!("x.example.com"),
            r#"metadata.name: Invalid value: "x.example.com": must be spec.names.plural+"."+spec.group"#,
        ),
        (
            "/spec/scope",
            json!("Galaxy"),
            r#"spec.scope: Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced""#,
        ),
        (
            "/spec/versions/0/schema",
            json!(null),
            "spec.versions[0].schema.openAPIV3Schema: Required value",
        ),
        (
            "/spec/versions/0/schema/openAPIV3Schema/type",
            json!("string"),
            r#"spec.validation.openAPIV3Schema.type: Invalid value: "string": must be object at the root"#,
        ),
        (
            "/spec/versions/0/subresources",
            json!({"scale": {"specReplicasPath": ".x", "statusReplicasPath": ".status.n"}}),
            r#"spec.subresources.scale.specReplicasPath: Invalid value: ".x": should be a json path under .spec"#,
        ),
        (
            "/spec/versions/0/additionalPrinterColumns",
            json!([{"name": "A", "type": "int", "jsonPath": ".a"}]),
            r#"spec.additionalPrinterColumns[0].type: Invalid value: "int": must be one of boolean,date,integer,number,string"#,
        ),
        (
            "/spec/versions/0/selectableFields",
            json!([{"jsonPath": ".spec.size"}]),
            r#"spec.selectableFields[0].jsonPath: Invalid value: ".spec.size": is an invalid path: does not refer to a valid field"#,
        ),
        (
            "/spec/names/listKind",
            json!("Thing"),
            r#"spec.names.listKind: Invalid value: "Thing": kind and listKind may not be the same"#,
        ),
        (
            "/spec/conversion",
            json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"]}}),
            "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
        ),
        (
            "/spec/preserveUnknownFields",
            json!(true),
            "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set \
             x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        ),
        (
            "/status",
            json!({"storedVersions": ["v0"]}),
            r#"status.storedVersions[0]: Invalid value: "v0": missing from spec.versions; v0 was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in v0 and removes v0 from status.storedVersions"#,
        ),
    ] {
        assert_eq!(wrong(pointer, value), [error]);
    }
}

#[test]
fn a_rule_that_cannot_be_evaluated_is_refused() {
    let rules = json!([{"rule": "self == other"}]);
    let pointer =
        "/spec/versions/0/schema/openAPIV3Schema/properties/spec/x-kubernetes-validations";
    assert_eq!(
        wrong(pointer, rules),
        [
            "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule: Invalid \
             value: {\"Rule\":\"self == other\",\"Message\":\"\",\"MessageExpression\":\"\",\"Reason\":null,\
             \"FieldPath\":\"\",\"OptionalOldSelf\":null}: compilation failed: ERROR: <input>:1:9: \
             undeclared reference to 'other' (in container '')\n | self == other\n | ........^"
        ]
    );
}

#[test]
fn groups_of_the_project_need_leave() {
    let mut crd = things();
    set(&mut crd, "/spec/group", json!("things.k8s.io"));
    set(&mut crd, "/metadata/name", json!("things.things.k8s.io"));
    assert_eq!(
        texts_of(validate(&crd, None)),
        [
            "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have \
             approval annotation \"api-approved.kubernetes.io\", see \
             https://github.com/kubernetes/enhancements/pull/1111"
        ]
    );
    crd["metadata"]["annotations"] = json!({APPROVED: "unapproved, a test"});
    assert!(validate(&crd, None).is_empty());
}

#[test]
fn names_of_an_established_definition_stay() {
    let mut old = things();
    set_conditions(&mut old, "now", &TakenNames::default());
    let mut new = old.clone();
    set(&mut new, "/spec/names/kind", json!("Thingy"));
    assert_eq!(
        texts_of(validate(&new, Some(&old))),
        [r#"spec.names.kind: Invalid value: "Thingy": field is immutable"#]
    );
}

#[test]
fn free_names_are_accepted_at_once() {
    let mut crd = things();
    set_conditions(&mut crd, "2026-01-01T00:00:00Z", &TakenNames::default());
    assert_eq!(
        crd["status"],
        json!({
            "acceptedNames": {"plural": "things", "singular": "thing", "kind": "Thing",
                "listKind": "ThingList", "shortNames": ["th"]},
            "conditions": [
                {"type": "NamesAccepted", "status": "True", "reason": "NoConflicts",
                    "message": "no conflicts found", "lastTransitionTime": "2026-01-01T00:00:00Z"},
                {"type": "Established", "status": "True", "reason": "InitialNamesAccepted",
                    "message": "the initial names have been accepted",
                    "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            "storedVersions": ["v1"]})
    );
    let once = crd.clone();
    set_conditions(&mut crd, "2027-01-01T00:00:00Z", &TakenNames::default());
    assert_eq!(crd, once);
}

#[test]
fn clashing_names_are_not_accepted() {
    let mut first = things();
    set_conditions(&mut first, "now", &TakenNames::default());
    let mut second = things();
    set(&mut second, "/metadata/name", json!("others.example.com"));
    set(&mut second, "/spec/names/plural", json!("others"));
    let taken = TakenNames::of(&second, [&first]);
    set_conditions(&mut second, "now", &taken);
    assert_eq!(second["status"]["conditions"][0]["reason"], "ShortNamesConflict");
    assert_eq!(second["status"]["conditions"][0]["message"], r#""th" is already in use"#);
    assert_eq!(second["status"]["conditions"][1]["reason"], "NotAccepted");
    assert_eq!(second["status"]["acceptedNames"]["plural"], "others");
    assert_eq!(second["status"]["acceptedNames"]["kind"], "");
}

#[test]
fn versions_carry_what_is_needed_to_serve_them() {
    let mut crd = things();
    set(&mut crd, "/spec/versions/0/subresources", json!({"status": {}}));
    set(&mut crd, "/spec/versions/0/deprecated", json!(true));
    let versions = versions(&crd).unwrap();
    let [version] = versions.as_slice() else { panic!("one version") };
    assert_eq!(version.resource, Resource::namespaced("example.com/v1", "Thing", "things"));
    assert!(version.served && version.storage && version.status);
    assert_eq!(version.scale, None);
    assert_eq!(version.warning.as_deref(), Some("example.com/v1 Thing is deprecated"));
}
