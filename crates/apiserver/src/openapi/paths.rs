//! Pure: the operations of a resource, as far as clients look at them.
//!
//! kubectl and Helm look for the query parameters of PATCH to learn that fields are validated here.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{openapi::schemas::reference, registry::Registered};

/// Adds the paths of a resource whose objects have the schema `name`.
pub(super) fn add(registered: &Registered, name: &str, paths: &mut BTreeMap<String, Value>) {
    let resource = &registered.resource;
    let root = resource.gvk.group_version().path();
    let all = format!("{root}/{}", resource.plural);
    let (collection, namespace) = if resource.is_namespaced() {
        if registered.offers("list") {
            let list = operation(registered, name, ("get", "list"), "ListForAllNamespaces");
            paths.insert(all, json!({"get": list}));
        }
        (format!("{root}/namespaces/{{namespace}}/{}", resource.plural), vec!["namespace"])
    } else {
        (all, vec![])
    };
    let item = format!("{collection}/{{name}}");
    let item_parameters = [namespace.as_slice(), &["name"]].concat();

    let of_item = [("get", "get"), ("put", "update"), ("patch", "patch"), ("delete", "delete")];
    let of_collection = [("get", "list"), ("post", "create"), ("delete", "deletecollection")];
    let mut insert = |path: &str, parameters: &[&str], verbs: &[(&str, &str)], suffix| {
        let operations = path_item(registered, name, parameters, verbs, suffix);
        paths.extend(operations.map(|operations| (path.to_owned(), operations)));
    };
    insert(&collection, &namespace, &of_collection, "");
    insert(&item, &item_parameters, &of_item, "");
    if registered.status {
        insert(&format!("{item}/status"), &item_parameters, &of_item[..3], "Status");
    }
}

/// Returns the operations of one path, nothing if no verb is offered there.
fn path_item(
    registered: &Registered,
    name: &str,
    parameters: &[&str],
    verbs: &[(&str, &str)],
    suffix: &str,
) -> Option<Value> {
    let offered = verbs.iter().filter(|(_, verb)| registered.offers(verb));
    let mut item: Map<String, Value> = offered
        .map(|verb| (verb.0.to_owned(), operation(registered, name, *verb, suffix)))
        .collect();
    if item.is_empty() {
        return None;
    }
    let mut all: Vec<Value> = parameters
        .iter()
        .map(|name| {
            json!({"name": name, "in": "path", "required": true,
                "schema": {"type": "string", "uniqueItems": true}})
        })
        .collect();
    all.push(query("pretty", "string"));
    item.insert("parameters".to_owned(), Value::Array(all));
    Some(Value::Object(item))
}

fn operation(
    registered: &Registered,
    name: &str,
    (method, verb): (&str, &str),
    suffix: &str,
) -> Value {
    let gvk = &registered.resource.gvk;
    let scope = if registered.resource.is_namespaced() { "Namespaced" } else { "" };
    let group = gvk.group.split('.').next().filter(|group| !group.is_empty()).unwrap_or("core");
    let id = format!("{method}_{group}_{}_{scope}{}{suffix}", gvk.version, gvk.kind);
    let content = |types: &[&str]| -> Value {
        types
            .iter()
            .map(|media_type| ((*media_type).to_owned(), json!({"schema": reference(name)})))
            .collect::<Map<_, _>>()
            .into()
    };
    let answered = content(&["application/json", "application/yaml"]);
    let mut operation = json!({"operationId": id, "x-kubernetes-action": verb,
        "x-kubernetes-group-version-kind": gvk, "parameters": parameters(verb),
        "responses": {"200": {"description": "OK", "content": answered}}});
    let body = match verb {
        "create" | "update" => content(&["*/*"]),
        "patch" if registered.is_custom() => content(&[
            "application/apply-patch+yaml",
            "application/json-patch+json",
            "application/merge-patch+json",
        ]),
        "patch" => content(&[
            "application/apply-patch+yaml",
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/strategic-merge-patch+json",
        ]),
        _ => return operation,
    };
    operation["requestBody"] = json!({"required": true, "content": body});
    operation
}

fn parameters(verb: &str) -> Vec<Value> {
    let texts = |names: &[&str]| names.iter().map(|name| query(name, "string")).collect::<Vec<_>>();
    match verb {
        "create" | "update" => texts(&["dryRun", "fieldManager", "fieldValidation"]),
        "patch" => {
            let mut all = texts(&["dryRun", "fieldManager", "fieldValidation"]);
            all.push(query("force", "boolean"));
            all
        }
        "list" | "deletecollection" => {
            let mut all = texts(&[
                "continue",
                "fieldSelector",
                "labelSelector",
                "resourceVersion",
                "resourceVersionMatch",
            ]);
            all.extend([query("limit", "integer"), query("timeoutSeconds", "integer")]);
            all.extend([query("watch", "boolean"), query("allowWatchBookmarks", "boolean")]);
            all
        }
        "delete" => {
            let mut all = texts(&["dryRun", "propagationPolicy"]);
            all.push(query("gracePeriodSeconds", "integer"));
            all
        }
        _ => Vec::new(),
    }
}

fn query(name: &str, data_type: &str) -> Value {
    json!({"name": name, "in": "query", "schema": {"type": data_type, "uniqueItems": true}})
}
