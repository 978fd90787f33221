//! Pure: the cells of server-side apply, and of requests that the rules of a kind refuse.

use k8s::patch::merge;
use serde_json::{Value, json};

use super::{Kind, Step};

/// What most of these cells apply to.
const NAME: &str = "app";

/// Returns the cells in which managers share an object, take fields from each other and give them up.
pub(super) fn applies(kind: &Kind) -> Option<Vec<Step>> {
    let apply = |name: &str, query: &str, body: Value| {
        let path = format!("{}{query}", kind.path(NAME));
        Step::new(name, "PATCH", path)
            .header("content-type", "application/apply-patch+yaml")
            .body(body)
    };
    let whole = with(kind.object(NAME, "full")?, &json!({"labels": {"keep": "1", "drop": "1"}}));
    let mut others = named(&whole, &json!({"labels": {"keep": "2"}}));
    let change = kind.filled(NAME, kind.fixture("change")?)?;
    merge(&mut others, &change);
    let mut less = kind.object(NAME, "full")?;
    merge(&mut less, &others);
    let mut elsewhere = apply("apply-missing-uid", "?fieldManager=one", {
        let uid = json!({"uid": "7b2e1c5e-3f33-4d57-8c9a-0f4b8a9e5d11"});
        with(kind.object("dry", "full")?, &uid)
    });
    elsewhere.path = format!("{}?fieldManager=one", kind.path("dry"));
    let dry = named(&whole, &json!({"labels": {"dry": "1"}}));
    let minimal = kind.object(NAME, "minimal")?;
    let mut steps = vec![
        apply("apply-create", "?fieldManager=one", whole.clone()),
        apply("apply-same", "?fieldManager=one", whole.clone()),
        apply("apply-conflict", "?fieldManager=two", others.clone()),
        apply("apply-force", "?fieldManager=two&force=true", others),
        apply("apply-remove", "?fieldManager=one", less),
        apply("apply-dry-run", "?fieldManager=three&dryRun=All", dry),
        elsewhere,
        apply("apply-no-manager", "", whole),
    ];
    steps.extend(status(kind, &minimal));
    steps.push(apply("apply-minimal", "?fieldManager=one&force=true", minimal));
    Some(steps)
}

/// Returns the cell of an apply to the status.
fn status(kind: &Kind, object: &Value) -> Option<Step> {
    let mut body = named(object, &json!({}));
    body["status"] = kind.fixture("status")?.clone();
    let path = format!("{}/status?fieldManager=one&force=true", kind.path(NAME));
    // What controllers wrote to the status before stays beside what is applied.
    let step = Step::new("apply-status", "PATCH", path)
        .header("content-type", "application/apply-patch+yaml");
    Some(step.body(body))
}

/// Returns one request for each rule that the fixtures break; no object is left changed by it.
///
/// A rule of creating is broken by a change of the minimal object, one of updating by a patch of the full
/// object or of one made for it.
pub(super) fn wrong(kind: &Kind) -> Option<Vec<Step>> {
    let mut steps = vec![];
    for (name, rule) in kind.fixture("wrong")?.as_object()? {
        let step = format!("wrong-{name}");
        if let Some(change) = rule.get("create") {
            let mut body = kind.object("wrong", "minimal")?;
            merge(&mut body, &kind.filled("wrong", change)?);
            // What is handed out by the server is only refused where it would be taken.
            let dry_run = if rule["commit"] == true { "" } else { "?dryRun=All" };
            let path = format!("{}{dry_run}", kind.collection());
            steps.push(Step::new(&step, "POST", path).body(body));
            continue;
        }
        let mut target = "full".to_owned();
        if let Some(own) = rule.get("of") {
            target = format!("w-{name}");
            let mut body = kind.object(&target, "minimal")?;
            merge(&mut body, &kind.filled(&target, own)?);
            let make = format!("make-{name}");
            steps.push(Step::new(&make, "POST", kind.collection()).body(body).setup());
        }
        let (how, patch) = match rule.get("json") {
            Some(patch) => ("json", patch),
            None => ("merge", rule.get("update")?),
        };
        let path = format!("{}?dryRun=All", kind.path(&target));
        let patch = Step::new(&step, "PATCH", path)
            .header("content-type", &format!("application/{how}-patch+json"))
            .body(kind.filled(&target, patch)?);
        steps.push(patch);
    }
    Some(steps)
}

/// Returns an object with more metadata.
fn with(mut object: Value, metadata: &Value) -> Value {
    merge(&mut object["metadata"], metadata);
    object
}

/// Returns what identifies an object, with other metadata.
fn named(object: &Value, metadata: &Value) -> Value {
    let named = json!({"apiVersion": object["apiVersion"], "kind": object["kind"],
        "metadata": {"name": object["metadata"]["name"]}});
    with(named, metadata)
}
