//! Pure: which pods of a Function have a log.

use k8s::ObjectKey;
use serde_json::Value;

/// Returns the path of the pods of a Function.
pub fn pods_path(function: &ObjectKey) -> String {
    let ObjectKey { namespace, name } = function;
    format!("/api/v1/namespaces/{namespace}/pods?labelSelector=function%3D{name}")
}

/// Returns the paths of the logs of the pods in a list; those that answer calls come first.
pub fn log_paths(function: &ObjectKey, list: &Value, follow: bool) -> Vec<String> {
    let ObjectKey { namespace, name } = function;
    let mut pods: Vec<_> = list["items"].as_array().into_iter().flatten().collect();
    pods.sort_by_key(|pod| !is_ready(pod));
    let names = pods.iter().filter_map(|pod| pod["metadata"]["name"].as_str());
    let follow = if follow { "&follow=true" } else { "" };
    let path =
        |pod| format!("/api/v1/namespaces/{namespace}/pods/{pod}/log?container={name}{follow}");
    names.map(path).collect()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|it| it["type"] == "Ready" && it["status"] == "True")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_log_of_a_ready_pod_comes_first() {
        let function = ObjectKey::new("ops", "f");
        assert_eq!(pods_path(&function), "/api/v1/namespaces/ops/pods?labelSelector=function%3Df");
        let pod = |name: &str, ready: &str| json!({"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": ready}]}});
        let list = json!({"items": [pod("f-1", "False"), pod("f-2", "True")]});
        let path = |pod: &str| format!("/api/v1/namespaces/ops/pods/{pod}/log?container=f");
        assert_eq!(log_paths(&function, &list, false), [path("f-2"), path("f-1")]);
        assert_eq!(log_paths(&function, &list, true)[0], format!("{}&follow=true", path("f-2")));
        assert!(log_paths(&function, &json!({}), false).is_empty());
    }
}
