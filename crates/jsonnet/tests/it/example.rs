//! The hook that the original's documentation starts with, in shape: a Deployment per parent.

use serde_json::{Value, json};

use crate::harness::Hooks;

const SYNC: &str = r"
local process = function(request) {
  name:: 'useless-' + request.parent.spec.name,
  workload:: {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: $.name },
    spec: { replicas: 1, selector: { matchLabels: { app: $.name } } },
  },
  resyncAfterSeconds: 30.0,
  status: {
    observedGeneration: std.get(request.parent.metadata, 'generation', 0),
    ready: std.length(std.objectFields(request.children)) > 0,
  },
  children: [$.workload],
};

function(request)
  local response = process(request);
  std.trace('response: ' + std.manifestJsonEx(response, '  '), response)
";

#[tokio::test]
async fn a_sync_hook_answers_with_status_and_children() {
    let hooks = Hooks::new(&[("sync.jsonnet", SYNC)]).await;
    let request = json!({
        "parent": {"metadata": {"generation": 3}, "spec": {"name": "instance1"}},
        "children": {"Deployment.apps/v1": {}},
    });
    let answer = hooks.call("sync", &request.to_string()).await.unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["resyncAfterSeconds"], 30);
    assert_eq!(answer["status"], json!({"observedGeneration": 3, "ready": true}));
    assert_eq!(answer["children"][0]["metadata"]["name"], "useless-instance1");
    assert_eq!(
        answer["children"][0]["spec"]["selector"]["matchLabels"]["app"],
        "useless-instance1"
    );
}
