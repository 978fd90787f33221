//! Pure: Functions as rows of a table.

use api::function::FunctionStatus;
use serde::Deserialize;
use serde_json::Value;

use crate::views::table::aligned;

/// How much of a Function a table shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// What fits most terminals.
    Usual,
    /// Memory, variables and labels as well.
    Wide,
}

/// Returns a table of Functions, each with its Deployment if that is there.
pub fn table(functions: &[(Value, Option<Value>)], width: Width) -> String {
    let usual = ["NAME", "NAMESPACE", "HANDLER", "RUNTIME", "DEPENDENCIES", "STATUS"];
    let more: &[_] = if width == Width::Wide { &["MEMORY", "ENV", "LABEL"] } else { &[] };
    let head = usual.iter().chain(more).map(|title| (*title).to_owned()).collect();
    let rows = functions.iter().map(|(function, deployment)| {
        let mut row = usual_cells(function, deployment.as_ref());
        if width == Width::Wide {
            row.extend(wide_cells(function));
        }
        row
    });
    aligned(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

fn usual_cells(function: &Value, deployment: Option<&Value>) -> Vec<String> {
    let (meta, spec) = (&function["metadata"], &function["spec"]);
    vec![
        text(&meta["name"]),
        text(&meta["namespace"]),
        text(&spec["handler"]),
        text(&spec["runtime"]),
        dependencies(&text(&spec["runtime"]), &text(&spec["deps"])),
        status(function, deployment),
    ]
}

fn wide_cells(function: &Value) -> [String; 3] {
    let container = container(function);
    let memory = text(&container["resources"]["requests"]["memory"]);
    let env = container["env"].as_array().into_iter().flatten();
    let env = env.map(|it| format!("{} = {}", text(&it["name"]), text(&it["value"])));
    let labels = function["metadata"]["labels"].as_object().into_iter().flatten();
    let labels = labels.map(|(name, value)| format!("{name} : {}", text(value)));
    [memory, env.collect::<Vec<_>>().join("\n"), labels.collect::<Vec<_>>().join("\n")]
}

/// Says whether a Function answers calls, and otherwise why it does not even have pods.
fn status(function: &Value, deployment: Option<&Value>) -> String {
    if let Some(deployment) = deployment {
        let count = |field: &str| deployment["status"][field].as_u64().unwrap_or_default();
        let word = if count("readyReplicas") == 0 { "NOT READY" } else { "READY" };
        return format!("{}/{} {word}", count("readyReplicas"), count("replicas"));
    }
    format!("MISSING: {}", reason(function).unwrap_or("no controller has seen it"))
}

/// Returns the reason of the first condition that keeps a Function from its pods.
fn reason(function: &Value) -> Option<&str> {
    let conditions = function["status"]["conditions"].as_array()?;
    let failing = ["Accepted", "Built", "Ready"].iter().find_map(|kind| {
        conditions.iter().find(|it| it["type"] == **kind && it["status"] != "True")
    });
    failing?["reason"].as_str()
}

/// Returns what a Function depends on: of Node.js packages their names and versions, else the text itself.
fn dependencies(runtime: &str, deps: &str) -> String {
    let deps = deps.trim_end();
    let package: Option<Value> =
        if runtime.starts_with("nodejs") { serde_json::from_str(deps).ok() } else { None };
    let Some(package) = package else { return deps.to_owned() };
    let wanted = package["dependencies"].as_object().into_iter().flatten();
    let lines = wanted.map(|(name, version)| format!("{name}: {}", text(version)));
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the first container of the pods that a Function describes.
pub(super) fn container(function: &Value) -> &Value {
    const PATH: &str = "/spec/deployment/spec/template/spec/containers/0";
    function.pointer(PATH).unwrap_or(&Value::Null)
}

/// Returns a text as it is, nothing as nothing, and what else stands in its place as JSON.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What is known of a Function that somebody waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The version that was written answers calls.
    Ready,
    /// It may still come to that.
    Coming,
    /// It will not unless something changes.
    Failing {
        /// In a word.
        reason: String,
        /// In a sentence.
        message: String,
    },
}

/// The reasons of conditions that change by themselves.
const PASSING: [&str; 5] =
    ["Fetching", "InstallingDependencies", "Compiling", "RollingOut", "NoWorkers"];

/// Says how a Function stands.
pub fn standing(function: &Value) -> Standing {
    let status = FunctionStatus::deserialize(&function["status"]).unwrap_or_default();
    if status.observed_generation != function["metadata"]["generation"].as_i64() {
        return Standing::Coming;
    }
    let condition = |kind: &str| status.conditions.iter().find(|it| it["type"] == kind);
    if condition("Ready").is_some_and(|it| it["status"] == "True") {
        return Standing::Ready;
    }
    let failing = ["Accepted", "Built", "Ready"].iter().filter_map(|kind| condition(kind));
    let failing = failing
        .filter(|it| it["status"] == "False")
        .find(|it| it["reason"].as_str().is_some_and(|reason| !PASSING.contains(&reason)));
    failing.map_or(Standing::Coming, |it| Standing::Failing {
        reason: text(&it["reason"]),
        message: text(&it["message"]),
    })
}

/// Returns whether all pods of a Deployment are of its latest template.
pub fn is_rolled_out(deployment: &Value) -> bool {
    let count = |field: &str| deployment["status"][field].as_i64().unwrap_or_default();
    deployment["metadata"]["generation"].as_i64() == Some(count("observedGeneration"))
        && count("updatedReplicas") == count("replicas")
        && count("readyReplicas") == count("replicas")
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;

    fn function(name: &str, runtime: &str, deps: &str) -> Value {
        json!({
            "metadata": {"name": name, "namespace": "ops", "generation": 2,
                "labels": {"created-by": "kubeless", "function": name}},
            "spec": {"runtime": runtime, "handler": "a.b", "deps": deps, "deployment": {"spec": {"template":
                {"spec": {"containers": [{"env": [{"name": "A", "value": "b"}],
                    "resources": {"requests": {"memory": "128Mi"}}}]}}}}}})
    }

    fn with_condition(kind: &str, status: &str, reason: &str, generation: i64) -> Value {
        let mut function = function("f", "python3", "");
        let condition = json!({"type": kind, "status": status, "reason": reason, "message": "m"});
        function["status"] = json!({"observedGeneration": generation, "conditions": [condition]});
        function
    }

    #[test]
    fn functions_are_rows() {
        let deployment = |ready| json!({"status": {"readyReplicas": ready, "replicas": 1}});
        let package = r#"{"dependencies": {"left-pad": "1.0", "async": "^2"}}"#;
        let rows = [
            (function("a", "python3.11", "requests\n"), Some(deployment(1))),
            (function("b", "nodejs20", package), Some(deployment(0))),
            (with_condition("Accepted", "False", "InvalidHandler", 2), None),
            (function("d", "nodejs20", "{"), None),
        ];
        assert_snapshot!(table(&rows, Width::Usual), @r"
        NAME  NAMESPACE  HANDLER  RUNTIME     DEPENDENCIES   STATUS
        a     ops        a.b      python3.11  requests       1/1 READY
        b     ops        a.b      nodejs20    async: ^2      0/1 NOT READY
                                              left-pad: 1.0
        f     ops        a.b      python3                    MISSING: InvalidHandler
        d     ops        a.b      nodejs20    {              MISSING: no controller has seen it
        ");
        assert_snapshot!(table(&rows[1..2], Width::Wide), @r"
        NAME  NAMESPACE  HANDLER  RUNTIME   DEPENDENCIES   STATUS         MEMORY  ENV    LABEL
        b     ops        a.b      nodejs20  async: ^2      0/1 NOT READY  128Mi   A = b  created-by : kubeless
                                            left-pad: 1.0                                function : b
        ");
    }

    #[test]
    fn old_pods_are_waited_for() {
        let deployment = |seen: i64, [all, new, ready]: [i64; 3]| {
            json!({"metadata": {"generation": 2}, "status": {"observedGeneration": seen, "replicas": all,
                "updatedReplicas": new, "readyReplicas": ready}})
        };
        assert!(is_rolled_out(&deployment(2, [1, 1, 1])));
        assert!(is_rolled_out(
            &json!({"metadata": {"generation": 1}, "status": {"observedGeneration": 1}})
        ));
        for (seen, counts) in [(1, [1, 1, 1]), (2, [2, 1, 2]), (2, [1, 1, 0])] {
            assert!(!is_rolled_out(&deployment(seen, counts)), "{seen} {counts:?}");
        }
    }

    #[test]
    fn only_what_is_said_of_this_version_counts() {
        assert_eq!(standing(&with_condition("Ready", "True", "", 2)), Standing::Ready);
        assert_eq!(standing(&with_condition("Ready", "True", "", 1)), Standing::Coming);
        assert_eq!(standing(&function("f", "go1", "")), Standing::Coming);
        for (reason, is_failing) in
            [("RollingOut", false), ("Fetching", false), ("LoadFailed", true)]
        {
            let standing = standing(&with_condition("Ready", "False", reason, 2));
            assert_eq!(matches!(standing, Standing::Failing { .. }), is_failing, "{reason}");
        }
        let refused = standing(&with_condition("Accepted", "False", "InvalidName", 2));
        assert!(matches!(refused, Standing::Failing { reason, .. } if reason == "InvalidName"));
    }
}
