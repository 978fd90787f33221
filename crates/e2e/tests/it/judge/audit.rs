//! Pure: reads the audit log of a real API server.

use apiserver::RequestRecord;
use serde_json::Value;

/// As whom the engine acts where `windlass manifests` was applied.
pub(crate) const ENGINE: &str = "system:serviceaccount:metacontroller:metacontroller";

/// Returns the requests of a log for what is in a namespace.
pub(crate) fn requests(log: &str, namespace: &str) -> Vec<RequestRecord> {
    let lines = log.lines().filter(|line| line.contains(namespace));
    lines.filter_map(|line| request(line, namespace)).collect()
}

fn request(line: &str, namespace: &str) -> Option<RequestRecord> {
    let entry: Value = serde_json::from_str(line).ok()?;
    let about = entry.get("objectRef").filter(|about| about["namespace"] == namespace)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Some(RequestRecord {
        verb: text(&entry["verb"]),
        user: text(&entry["user"]["username"]),
        resource: text(&about["resource"]),
        subresource: text(&about["subresource"]),
        namespace: text(&about["namespace"]),
        name: text(&about["name"]),
        dry_run: entry["requestURI"].as_str()?.contains("dryRun="),
        code: u16::try_from(entry["responseStatus"]["code"].as_u64()?).ok()?,
        time: entry["stageTimestamp"].as_str()?.parse().ok()?,
        ..RequestRecord::default()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_a_request() {
        let line = |namespace: &str| {
            json!({"verb": "create", "user": {"username": ENGINE}, "responseStatus": {"code": 201},
                "stageTimestamp": "2026-11-21T18:32:02.387446Z", "requestURI": "/api/v1/namespaces/n/pods?dryRun=All",
                "objectRef": {"namespace": namespace, "resource": "pods", "name": "a"}})
            .to_string()
        };
        let found = requests(&[line("n"), line("n2")].join("\n"), "n");
        assert_eq!(found.len(), 1);
        let RequestRecord { user, name, dry_run, code, .. } = &found[0];
        assert_eq!((user.as_str(), name.as_str(), *dry_run, *code), (ENGINE, "a", true, 201));
    }
}
