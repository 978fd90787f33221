use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::{
    runtimes::{Language, Version},
    table::table,
};

fn object(name: &str, spec: &Value) -> Object {
    let object = json!({"apiVersion": "kubeless.io/v1beta1", "kind": "Function",
        "metadata": {"name": name, "namespace": "ops", "uid": "u"}, "spec": spec});
    Object::from_value(&object).unwrap()
}

fn python() -> Value {
    json!({"runtime": "python3.11", "handler": "a.b", "function": "x"})
}

fn configured(data: &Value) -> Watched {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "kubeless-config", "uid": "c"}, "data": data});
    let mut watched = Watched::default();
    watched.read(Some(&Object::from_value(&object).unwrap()));
    watched
}

fn foreign(kind: &str) -> Arc<Object> {
    let object =
        json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "f", "namespace": "ops"}});
    Arc::new(Object::from_value(&object).unwrap())
}

fn planned(object: &Object, watched: &Watched, live: &Live, is_cluster: bool) -> Plan {
    let table = table(&watched.config().runtimes, &BTreeMap::new());
    let found = [Interpreter {
        language: Language::Python,
        version: Version::parse("3.11").unwrap(),
        path: "/usr/bin/python3.11".into(),
    }];
    let offered = if is_cluster { Offered::Images } else { Offered::Machine(&found) };
    let surroundings = Surroundings { image: "windlass".to_owned(), executor: None };
    let seen = Seen { watched, table: &table, offered, surroundings: &surroundings, live };
    plan(object, seen)
}

fn reason(plan: &Plan) -> &str {
    match plan {
        Plan::Refuse { reason, .. } | Plan::Wait { reason, .. } => reason,
        Plan::Make(make) if make.fault.is_some() => "ConfigInvalid",
        Plan::Make(_) => "",
    }
}

/// Breaks when `ContentType::parse` takes whatever it does not know, or the last of two sources.
#[test]
fn acceptance_5_contradictory_content_types_are_refused() {
    let none = configured(&json!({}));
    for (content_type, expected) in [
        ("zip+rar", "InvalidContentType"),
        ("text+url", "InvalidContentType"),
        ("zip + base64", ""),
    ] {
        let mut spec = python();
        spec["function-content-type"] = json!(content_type);
        let plan = planned(&object("f", &spec), &none, &Live::default(), true);
        assert_eq!(reason(&plan), expected, "{content_type}");
    }
}

/// Breaks when a number is no timeout.
#[test]
fn acceptance_6_every_spec_that_cannot_run_has_its_reason() {
    let none = configured(&json!({}));
    let with = |field: &str, value: Value| {
        let mut spec = python();
        spec[field] = value;
        spec
    };
    for (name, spec, expected) in [
        ("f", python(), ""),
        ("f", with("timeout", json!(5)), ""),
        ("f", with("timeout", json!("5")), ""),
        ("9f", python(), "InvalidName"),
        ("f", with("handler", json!("a")), "InvalidHandler"),
        ("f", with("handler", json!(".b")), "InvalidHandler"),
        ("f", with("handler", json!("../a.b")), "InvalidHandler"),
        ("f", with("function-content-type", json!("text+url")), "InvalidContentType"),
        ("f", with("checksum", json!("sha256:1")), "InvalidChecksum"),
        ("f", with("timeout", json!("soon")), "InvalidTimeout"),
        (
            "f",
            with("service", json!({"ports": [{"port": 80, "targetPort": "web"}]})),
            "InvalidService",
        ),
        ("f", with("runtime", json!("cobol85")), "UnknownRuntime"),
        ("f", json!({}), "NothingToRun"),
    ] {
        let plan = planned(&object(name, &spec), &none, &Live::default(), true);
        assert_eq!(reason(&plan), expected, "{name} {spec}");
        assert_eq!(matches!(plan, Plan::Make(_)), expected.is_empty());
    }
    let refused =
        planned(&object("f", &with("handler", json!("a"))), &none, &Live::default(), true);
    let Plan::Refuse { message, .. } = refused else { panic!("{refused:?}") };
    assert!(message.contains("It should be module_name.handler_name"));
}

/// Breaks when a Service is not looked at for what stands in the way.
#[test]
fn acceptance_16_what_others_made_stands_in_the_way() {
    let none = configured(&json!({}));
    for live in [
        Live { config_map: Some(foreign("ConfigMap")), ..Live::default() },
        Live { service: Some(foreign("Service")), ..Live::default() },
        Live { deployment: Some(foreign("Deployment")), ..Live::default() },
    ] {
        let plan = planned(&object("f", &python()), &none, &live, true);
        let Plan::Refuse { reason: "Conflict", message } = &plan else { panic!("{plan:?}") };
        assert!(message.starts_with("Found a conflicting ") && message.ends_with(" object ops/f"));
    }
    let live = Live { autoscaler: Some(foreign("HorizontalPodAutoscaler")), ..Live::default() };
    assert_eq!(reason(&planned(&object("f", &python()), &none, &live, true)), "", "none is wanted");
}

#[test]
fn what_is_not_there_is_waited_for() {
    let none = configured(&json!({}));
    let of = |spec: &Value| planned(&object("f", spec), &none, &Live::default(), false);
    let mut node = python();
    node["runtime"] = json!("nodejs20");
    assert_eq!(reason(&of(&node)), "RuntimeUnavailable");
    let image =
        json!({"deployment": {"spec": {"template": {"spec": {"containers": [{"image": "i"}]}}}}});
    assert_eq!(reason(&of(&image)), "ContainerRuntimeRequired");
    let Plan::Make(make) = of(&python()) else { panic!() };
    let with = ("interpreter", "/usr/bin/python3.11".to_owned());
    assert_eq!(make.runs, Some(Runs { name: "python3.11".to_owned(), is_substitute: false, with }));
}

#[test]
fn a_configuration_that_means_nothing_changes_nothing() {
    let mut watched = configured(&json!({"deployment": "spec: {replica: 1}"}));
    let of = |watched: &Watched| planned(&object("f", &python()), watched, &Live::default(), true);
    assert!(matches!(of(&watched), Plan::Refuse { reason: "ConfigInvalid", .. }));
    watched.read(None);
    assert_eq!(reason(&of(&watched)), "");
    let bad = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "uid": "d"},
        "data": {"deployment": "spec: {replica: 1}"}});
    watched.read(Some(&Object::from_value(&bad).unwrap()));
    let Plan::Make(make) = of(&watched) else { panic!() };
    assert!(make.fault.unwrap().contains("`spec.replica` is unknown"));
}
