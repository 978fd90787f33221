use std::{collections::BTreeMap, env, fs, path::Path};

use super::*;

/// What the definitions that people have installed say of each field: its path, its type, whether it must be
/// there, and the names it may be.
const FACTS: &str = include_str!("facts.txt");

/// Collects each field's type, whether it is required, and its names, by its path.
fn collect(schema: &Value, path: String, required: bool, into: &mut BTreeMap<String, String>) {
    let mut fact = schema["type"].as_str().unwrap_or("any").to_owned();
    if required {
        fact += " required";
    }
    let names: Vec<_> = schema["enum"].as_array().into_iter().flatten().collect();
    if !names.is_empty() {
        let names: Vec<_> = names.into_iter().filter_map(Value::as_str).collect();
        fact = format!("{fact} {}", names.join(","));
    }
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        let required = schema["required"].as_array().is_some_and(|all| all.contains(&json!(name)));
        collect(below, format!("{path}.{name}"), required, into);
    }
    for (key, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let Some(below) = schema.get(key) {
            collect(below, format!("{path}{mark}"), false, into);
        }
    }
    into.insert(if path.is_empty() { ".".to_owned() } else { path }, fact);
}

#[test]
fn no_field_is_missing_or_narrower_than_in_the_definitions_that_people_have() {
    let mut ours = BTreeMap::new();
    for definition in all().into_iter().chain(of_functions()) {
        let plural = definition["spec"]["names"]["plural"].as_str().unwrap().to_owned();
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let mut fields = BTreeMap::new();
        collect(schema, String::new(), false, &mut fields);
        ours.extend(fields.into_iter().map(|(path, fact)| (format!("{plural} {path}"), fact)));
    }
    let mut theirs = BTreeMap::new();
    for line in FACTS.lines() {
        let mut words = line.splitn(3, ' ');
        let path = format!("{} {}", words.next().unwrap(), words.next().unwrap());
        theirs.insert(path, words.next().unwrap().to_owned());
    }
    let differing: Vec<_> = theirs
        .iter()
        .filter(|(path, fact)| ours.get(*path) != Some(fact))
        .map(|(path, fact)| format!("{path}: {fact}, ours {:?}", ours.get(path)))
        .collect();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    // What is ours alone may not be asked for.
    let is_asked_for = |(path, fact): &(&String, &String)| {
        let parent = path.rsplit_once('.').map_or("", |(parent, _)| parent);
        !theirs.contains_key(*path) && fact.contains("required") && theirs.contains_key(parent)
    };
    let asked: Vec<_> = ours.iter().filter(is_asked_for).collect();
    assert!(asked.is_empty(), "{asked:?}");
}

/// `WINDLASS_BLESS=1` writes the committed definitions anew.
#[test]
fn the_committed_definitions_are_those_of_the_types() {
    for definition in all().into_iter().chain(of_functions()) {
        let plural = definition["spec"]["names"]["plural"].as_str().unwrap();
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
        let (path, text) = (dir.join(format!("{plural}.yaml")), k8s::yaml::to_string(&definition));
        if env::var_os("WINDLASS_BLESS").is_some() {
            fs::write(&path, &text).unwrap();
        }
        assert!(fs::read_to_string(&path).unwrap_or_default() == text, "{path:?} is stale");
    }
}
