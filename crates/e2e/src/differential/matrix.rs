//! Pure: the script of one kind: every cell of the matrix that its fixtures allow.

mod apply;

use k8s::patch::merge;
use serde_json::{Value, json};

use super::{Kind, Script, Step};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const PARTIAL: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
const PARTIAL_LIST: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
const SELECTOR: &str = "labelSelector=run%3D$RUN";

/// Returns the script of a kind.
///
/// What the fixtures do not allow is not in it; that a cell is missing shows by [`super::required_cells`].
pub fn matrix(kind: &Kind) -> Script {
    let steps = [
        before(kind),
        creates(kind),
        Some(reads(kind)),
        updates(kind),
        patches(kind),
        status(kind),
        scale(kind),
        Some(watches(kind)),
        apply::applies(kind),
        apply::wrong(kind),
        deletes(kind),
    ];
    let steps = steps.into_iter().flatten().flatten().map(|mut step| {
        if step.controlled.is_empty() {
            step.controlled.clone_from(&kind.controlled);
        }
        step
    });
    Script { name: kind.name.clone(), steps: steps.collect() }
}

fn before(kind: &Kind) -> Option<Vec<Step>> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "$RUN", "labels": {"made-by": "differential"}}});
    let account = "/api/v1/namespaces/$RUN/serviceaccounts/default";
    let mut steps = vec![
        Step::new("namespace", "POST", "/api/v1/namespaces".to_owned()).body(namespace).setup(),
        Step::new("account", "GET", account.to_owned()).setup(),
    ];
    if let Some(definition) = kind.before.first() {
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions".to_owned();
        steps.push(Step::new("definition", "POST", path).body(definition.clone()).setup());
        steps.push(Step::new("served", "GET", kind.collection()).setup());
        // A real server takes writes of a new resource a moment after it takes reads.
        let probe = kind.object("probe", "minimal")?;
        steps.push(Step::new("probe", "POST", kind.collection()).body(probe).setup());
        steps.push(Step::new("no-probe", "DELETE", kind.path("probe")).setup());
    }
    Some(steps)
}

fn creates(kind: &Kind) -> Option<Vec<Step>> {
    let post =
        |name: &str, query: &str| Step::new(name, "POST", format!("{}{query}", kind.collection()));
    let minimal = |name: &str| kind.object(name, "minimal");
    let mut generated = minimal("gen")?;
    let base = if kind.is_namespaced { "gen-" } else { "$RUN-gen-" };
    merge(&mut generated, &json!({"metadata": {"name": null, "generateName": base}}));
    let unknown = |mode: &str| {
        let mut object = minimal(&format!("u-{}", mode.to_lowercase()))?;
        object["bogus"] = json!(1);
        object["metadata"]["bogus"] = json!({"a": 1});
        if object["spec"].is_object() {
            object["spec"]["bogus"] = json!([1]);
        }
        let query = format!("?fieldValidation={mode}&dryRun=All");
        Some(post(&format!("unknown-{}", mode.to_lowercase()), &query).body(object))
    };
    Some(vec![
        post("create-minimal", "").body(minimal("min")?),
        post("create-full", "").body(kind.object("full", "full")?),
        post("create-generate", "").body(generated),
        post("create-exists", "").body(minimal("min")?),
        post("create-dry-run", "?dryRun=All").body(minimal("dry")?),
        unknown("Ignore")?,
        unknown("Warn")?,
        unknown("Strict")?,
    ])
}

fn reads(kind: &Kind) -> Vec<Step> {
    let get = |name: &str, of: &str| Step::new(name, "GET", kind.path(of));
    let list = format!("{}?{SELECTOR}", kind.collection());
    let list = |name: &str| Step::new(name, "GET", list.clone());
    vec![
        get("get", "full"),
        get("get-missing", "dry"),
        get("get-table", "full").header("accept", TABLE),
        get("get-partial", "full").header("accept", PARTIAL),
        list("list").keep("LIST", "/metadata/resourceVersion"),
        list("list-table").header("accept", TABLE),
        list("list-partial").header("accept", PARTIAL_LIST),
    ]
}

/// Returns a body made from a kept object, without its version if a write need not name one.
fn from(kind: &Kind, kept: &str, change: &Value) -> Value {
    let mut body = json!({"$from": kept});
    merge(&mut body, change);
    if !kind.is_versioned {
        body["metadata"]["resourceVersion"] = Value::Null;
    }
    body
}

fn updates(kind: &Kind) -> Option<Vec<Step>> {
    let put = |name: &str| Step::new(name, "PUT", kind.path("full"));
    let change = kind.fixture("change")?;
    let mut stale = from(kind, "PUT", &json!({}));
    stale["metadata"]["resourceVersion"] = json!("1");
    let mut dry =
        put("put-dry-run").body(from(kind, "NOW", &json!({"metadata": {"labels": {"dry": "1"}}})));
    dry.path.push_str("?dryRun=All");
    let mut elsewhere = put("put-name").body(from(kind, "PUT", &json!({})));
    elsewhere.path = kind.path("elsewhere");
    let read =
        |name: &str, kept: &str| Step::new(name, "GET", kind.path("full")).keep(kept, "").setup();
    Some(vec![
        read("get-for-put", "OBJ"),
        put("put").body(from(kind, "OBJ", change)).keep("PUT", ""),
        read("get-for-same", "NOW"),
        put("put-same").body(from(kind, "NOW", &json!({}))),
        put("put-stale").body(stale),
        elsewhere,
        read("get-for-dry-run", "NOW"),
        dry,
    ])
}

fn patches(kind: &Kind) -> Option<Vec<Step>> {
    let (change, json_patch) = (kind.fixture("change")?, kind.fixture("json")?);
    let patch = |name: &str, of: &str, how: &str, query: &str| {
        let path = format!("{}{query}", kind.path(of));
        Step::new(name, "PATCH", path)
            .header("content-type", &format!("application/{how}-patch+json"))
    };
    Some(vec![
        patch("json-patch", "full", "json", "").body(json_patch.clone()),
        patch("merge-patch", "full", "merge", "").body(change.clone()),
        patch("strategic-patch", "full", "strategic-merge", "").body(change.clone()),
        patch("patch-dry-run", "full", "merge", "?dryRun=All")
            .body(json!({"metadata": {"labels": {"dry": "1"}}})),
        patch("patch-missing", "dry", "merge", "").body(change.clone()),
    ])
}

fn status(kind: &Kind) -> Option<Vec<Step>> {
    let status = kind.fixture("status")?;
    let path = format!("{}/status", kind.path("full"));
    let step = |name: &str, method: &str| Step::new(name, method, path.clone());
    let mut body = from(kind, "STATUS", &json!({}));
    body["$replace"] = json!({"status": status});
    let patch = json!({"metadata": {"labels": {"ignored": "yes"}}, "status": status});
    let mut put = step("put-status", "PUT").body(body);
    put.controlled = kind.controlled_beside_status();
    Some(vec![
        step("get-status", "GET").keep("STATUS", ""),
        put,
        step("patch-status", "PATCH")
            .header("content-type", "application/merge-patch+json")
            .body(patch),
    ])
}

fn scale(kind: &Kind) -> Option<Vec<Step>> {
    let replicas = kind.fixture("scale")?;
    let path = format!("{}/scale", kind.path("full"));
    let step = |name: &str, method: &str| Step::new(name, method, path.clone());
    let body = json!({"apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": {"name": kind.full_name("full"), "namespace": "$RUN"}, "spec": {"replicas": replicas}});
    Some(vec![
        step("get-scale", "GET"),
        step("put-scale", "PUT").body(body),
        step("patch-scale", "PATCH")
            .header("content-type", "application/merge-patch+json")
            .body(json!({"spec": {"replicas": 0}})),
    ])
}

fn watches(kind: &Kind) -> Vec<Step> {
    let watch = |name: &str, query: &str| {
        Step::new(name, "GET", format!("{}?watch=true&{SELECTOR}{query}", kind.collection()))
    };
    let initial =
        "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    // Where controllers write as well, how many changes there are since the list is theirs to say.
    let since = if kind.controlled.is_empty() { "&resourceVersion=$LIST" } else { "" };
    vec![
        watch("watch", since),
        watch("watch-initial", initial),
        watch("watch-table", "").header("accept", TABLE),
    ]
}

fn deletes(kind: &Kind) -> Option<Vec<Step>> {
    let mut steps = vec![];
    let make = |name: &str| {
        let body = kind.object(name, "minimal")?;
        Some(Step::new(&format!("make-{name}"), "POST", kind.collection()).body(body).setup())
    };
    let delete = |name: &str, of: &str| Step::new(name, "DELETE", kind.path(of));
    let options = |fields: Value| {
        let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        merge(&mut options, &fields);
        options
    };
    steps.push(delete("delete-dry-run", "min").body(options(json!({"dryRun": ["All"]}))));
    let precondition = json!({"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}});
    steps.push(delete("delete-uid", "min").body(options(precondition)));
    steps.push(delete("delete", "min"));
    steps.push(delete("delete-missing", "dry"));
    for policy in ["Orphan", "Foreground", "Background"] {
        let name = policy.to_lowercase();
        steps.push(make(&name)?);
        let body = options(json!({"propagationPolicy": policy}));
        steps.push(delete(&format!("delete-{name}"), &name).body(body));
    }
    for name in ["one", "two"] {
        let mut step = make(name)?;
        step.body["metadata"]["labels"]["group"] = json!("c");
        steps.push(step);
    }
    // Namespaces are not deleted as a collection, which the answer says.
    let path = format!("{}?{SELECTOR},group%3Dc", kind.collection());
    steps.push(Step::new("delete-collection", "DELETE", path));
    Some(steps)
}
