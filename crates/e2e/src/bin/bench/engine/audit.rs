//! Pure: counts, in the audit log of an API server, what the engine asked for.

use serde_json::Value;

/// As whom the engine acts where `windlass manifests` was applied.
const ENGINE: &str = "system:serviceaccount:metacontroller:metacontroller";

/// How much the engine asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) writes: usize,
    pub(crate) gets: usize,
    pub(crate) forbidden: usize,
}

/// Counts the engine's requests for the objects of a namespace, events apart.
pub(crate) fn count(log: &str, namespace: &str) -> Asked {
    let mut asked = Asked::default();
    // Most lines are of others.
    for line in log.lines().filter(|line| line.contains(ENGINE)) {
        let entry: Value = serde_json::from_str(line).unwrap_or_default();
        if entry["user"]["username"] != ENGINE {
            continue;
        }
        asked.forbidden += usize::from(entry["responseStatus"]["code"] == 403);
        let about = &entry["objectRef"];
        if about["namespace"] != namespace || about["resource"] == "events" {
            continue;
        }
        match entry["verb"].as_str() {
            Some("create" | "update" | "patch" | "delete") => asked.writes += 1,
            Some("get") => asked.gets += 1,
            _ => {}
        }
    }
    asked
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_of_the_engine_in_its_namespace_count() {
        let line = |user: &str, verb: &str, namespace: &str, resource: &str, code: u16| {
            json!({"user": {"username": user}, "verb": verb, "responseStatus": {"code": code},
                "objectRef": {"namespace": namespace, "resource": resource}})
            .to_string()
        };
        let log = [
            line(ENGINE, "create", "n", "configmaps", 201),
            line(ENGINE, "update", "n", "things", 409),
            line(ENGINE, "get", "n", "things", 200),
            line(ENGINE, "watch", "n", "things", 200),
            line(ENGINE, "create", "n", "events", 201),
            line(ENGINE, "create", "m", "configmaps", 403),
            line("admin", "create", "n", "configmaps", 201),
        ];
        let asked = Asked { writes: 2, gets: 1, forbidden: 1 };
        assert_eq!(count(&log.join("\n"), "n"), asked);
    }
}
