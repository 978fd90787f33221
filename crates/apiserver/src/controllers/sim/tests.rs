use std::sync::Arc;

use k8s::Object;
use serde_json::json;

use super::*;

/// A pod that is led through its stages.
struct Story {
    pod: Value,
    now: Timestamp,
    stages: Vec<String>,
}

impl Story {
    /// Leads a pod with these annotations on for an hour, and notes each stage.
    fn of(restart_policy: &str, annotations: &[(&str, &str)]) -> Vec<String> {
        let annotations = annotations
            .iter()
            .map(|(name, value)| (format!("sim.windlass.dev/{name}"), json!(value)));
        let annotations: serde_json::Map<_, _> = annotations.collect();
        let mut story = Self {
            pod: json!({
                "metadata": {"name": "p", "namespace": "a", "uid": "u", "annotations": annotations},
                "spec": {"nodeName": "windlass-0", "restartPolicy": restart_policy,
                    "containers": [{"name": "main", "image": "x"}]},
                "status": {"phase": "Pending"},
            }),
            now: Timestamp::UNIX_EPOCH,
            stages: vec![],
        };
        while story.step() {}
        story.stages
    }

    fn step(&mut self) -> bool {
        let pod = Pod::read(Arc::new(Object::from_value(&self.pod).unwrap()));
        let observed = Observed {
            pod: &pod,
            address: "10.244.0.1",
            host: "172.18.0.2",
            started: None,
            now: self.now,
        };
        let Plan { actions, look_again } = plan(&observed);
        for action in actions {
            if let Action::Status { object, .. } = action {
                self.pod = object;
                self.stages.push(self.stage());
                return true;
            }
        }
        let Some(due) = look_again else { return false };
        self.now = due;
        true
    }

    /// Returns `SECONDS PHASE [READY] CONTAINER`.
    fn stage(&self) -> String {
        let container = &self.pod["status"]["containerStatuses"][0];
        let state = container["state"].as_object().and_then(|it| it.iter().next());
        let (state, detail) = state.unwrap();
        let detail = detail["reason"].as_str().unwrap_or(state);
        let ready = if container["ready"] == true { " ready" } else { "" };
        let restarts = container["restartCount"].as_i64().unwrap();
        let restarts = if restarts > 0 { format!(" x{restarts}") } else { String::new() };
        let phase = fields::text(&self.pod, "/status/phase");
        format!("{} {phase}{ready} {detail}{restarts}", self.now.as_second())
    }
}

#[test]
fn a_pod_that_runs_for_ever_is_ready_at_once() {
    assert_eq!(Story::of("Always", &[]), ["0 Running ready running"]);
    assert_eq!(
        Story::of("Always", &[("ready-after", "1m")]),
        ["0 Running running", "60 Running ready running"]
    );
}

#[test]
fn others_end_after_a_second_or_when_they_are_told() {
    assert_eq!(Story::of("Never", &[]), ["0 Running ready running", "1 Succeeded Completed"]);
    assert_eq!(
        Story::of("Never", &[("complete-after", "5s"), ("exit-code", "2")]),
        ["0 Running ready running", "5 Failed Error"]
    );
    assert_eq!(
        Story::of("OnFailure", &[("exit-code", "2")]),
        ["0 Running ready running", "1 Running CrashLoopBackOff x1"]
    );
    assert_eq!(
        Story::of("Never", &[("ready-after", "9s")]),
        ["0 Running running", "1 Succeeded Completed"]
    );
}

#[test]
fn failures_look_as_they_do_on_a_node() {
    for (failure, stages) in [
        ("ImagePullBackOff", vec!["0 Pending ImagePullBackOff"]),
        ("CrashLoopBackOff", vec!["0 Running CrashLoopBackOff x1"]),
        ("OOMKilled", vec!["0 Running OOMKilled x1"]),
        ("Unready", vec!["0 Running running"]),
        ("Evicted", vec!["0 Running ready running", "10 Failed Error"]),
        ("Stuck", vec!["0 Pending ContainerCreating"]),
    ] {
        assert_eq!(Story::of("Always", &[("fail", failure)]), stages, "{failure}");
    }
    assert_eq!(Story::of("Never", &[("fail", "OOMKilled")]), ["0 Failed OOMKilled"]);
}
