//! The audit log: each request as one line of JSON.

use std::{
    fmt,
    io::Write,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use crate::requests::RequestRecord;

/// Where requests are noted. Clones write to the same place.
#[derive(Clone)]
pub(crate) struct AuditLog(Arc<Mutex<dyn Write + Send>>);

impl AuditLog {
    pub(crate) fn new(to: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(to)))
    }

    /// Notes a request that was answered at a revision of the store.
    pub(crate) fn note(&self, record: &RequestRecord, revision: u64) {
        let line = format!("{}\n", entry(record, revision));
        let mut to = self.0.lock().expect("the lock of the audit log is never poisoned");
        // There is nobody to tell: a full disk must not take the server down.
        let _ = to.write_all(line.as_bytes());
    }
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditLog")
    }
}

fn entry(record: &RequestRecord, revision: u64) -> Value {
    json!({
        "time": record.time,
        "user": record.user,
        "verb": record.verb,
        "gvr": gvr(record),
        "subresource": record.subresource,
        "ns": record.namespace,
        "name": record.name,
        "code": record.code,
        "latency_us": record.latency_us,
        "patch_type": record.patch_type,
        "dry_run": record.dry_run,
        "rv": revision,
    })
}

/// Returns group, version and resource as a path; of other requests the path itself.
fn gvr(record: &RequestRecord) -> String {
    let parts = [&record.group, &record.version, &record.resource];
    let parts: Vec<_> = parts.into_iter().filter(|it| !it.is_empty()).map(String::as_str).collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_what_was_asked_of_what() {
        let record = RequestRecord {
            verb: "get".to_owned(),
            group: "apps".to_owned(),
            version: "v1".to_owned(),
            resource: "deployments".to_owned(),
            code: 404,
            ..RequestRecord::default()
        };
        assert_eq!(
            entry(&record, 7).to_string(),
            r#"{"code":404,"dry_run":false,"gvr":"apps/v1/deployments","latency_us":0,"name":"","ns":"","patch_type":"","rv":7,"subresource":"","time":"1970-01-01T00:00:00Z","user":"","verb":"get"}"#
        );
    }
}
