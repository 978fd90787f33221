//! Pure: what is written down and counted of a call.

use http::{HeaderMap, Method, StatusCode, header, request};
use k8s::Timestamp;
use runtime::{Metric, MetricKind, USUAL_BOUNDS};

/// Calls that reached the function.
pub(super) const CALLS: Metric = Metric::new(
    "function_calls_total",
    "Calls of the function by HTTP method",
    MetricKind::Counter,
);
/// Calls that ended in an exception, took too long, or lost their process.
pub(super) const FAILURES: Metric = Metric::new(
    "function_failures_total",
    "Exceptions, timeouts and ends of processes by HTTP method",
    MetricKind::Counter,
);
/// From the start of a call to the last byte of its answer.
pub(super) const DURATION: Metric = Metric::new(
    "function_duration_seconds",
    "How long calls of the function took by HTTP method",
    MetricKind::Histogram(USUAL_BOUNDS),
);

/// Processes of a pod.
pub(super) static WORKERS: Metric =
    Metric::new("function_workers", "Processes that run the function", MetricKind::Gauge);
/// Calls of a pod that wait for a process.
pub(super) static QUEUE: Metric =
    Metric::new("function_queue_depth", "Calls that wait for a process", MetricKind::Gauge);
/// Calls for which the first process had to start.
pub(super) const COLD_STARTS: Metric = Metric::new(
    "function_cold_starts_total",
    "Calls that waited for the first process to start",
    MetricKind::Counter,
);
/// Processes that ended by themselves, or did not load the program.
pub(super) const RESTARTS: Metric = Metric::new(
    "function_restarts_total",
    "Processes that ended although they should not have",
    MetricKind::Counter,
);

/// What is written down of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    method: Method,
    target: String,
    caller: String,
    referer: String,
    agent: String,
}

impl Record {
    pub(super) fn of(head: &request::Parts) -> Self {
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        Self {
            method: head.method.clone(),
            target: target.to_owned(),
            caller: caller(&head.headers),
            referer: quoted(&head.headers, &header::REFERER),
            agent: quoted(&head.headers, &header::USER_AGENT),
        }
    }

    /// Returns whether the answer must have no body.
    pub(super) fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }

    /// Returns the line of the log, in the combined format of web servers.
    pub(super) fn line(&self, now: Timestamp, status: StatusCode, bytes: u64) -> String {
        let Self { method, target, caller, referer, agent } = self;
        let time = now.strftime("%d/%b/%Y:%H:%M:%S +0000");
        let status = status.as_u16();
        format!(
            "{caller} - - [{time}] \"{method} {target} HTTP/1.1\" {status} {bytes} \"{referer}\" \"{agent}\""
        )
    }

    /// Returns the label of the metrics. Methods are the caller's choice, and each would be kept for good.
    pub(super) fn label(&self) -> &'static str {
        const KNOWN: [&str; 9] =
            ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
        KNOWN.into_iter().find(|known| self.method == *known).unwrap_or("other")
    }
}

/// Returns who calls, as the first of those on the way wrote it down.
fn caller(headers: &HeaderMap) -> String {
    let all = headers.get("x-forwarded-for").and_then(|all| all.to_str().ok());
    let first = all.and_then(|all| all.split(',').next()).map(str::trim);
    let is_address = |text: &&str| text.parse::<std::net::IpAddr>().is_ok();
    first.filter(is_address).unwrap_or("-").to_owned()
}

/// Returns a header as it stands between quotes: nothing for none, as Kubeless wrote it and scripts look for it.
fn quoted(headers: &HeaderMap, name: &header::HeaderName) -> String {
    let value = headers.get(name).map_or("".into(), |it| String::from_utf8_lossy(it.as_bytes()));
    value.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn record(method: &str, headers: &[(&str, &str)]) -> Record {
        let mut request = Request::builder().method(method).uri("http://f.ops/a?b=c");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Record::of(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_line_is_what_web_servers_write() {
        let now = Timestamp::from_second(1_000_000_000).unwrap();
        let line = |headers: &[(&str, &str)]| record("PUT", headers).line(now, StatusCode::OK, 12);
        assert_eq!(
            line(&[]),
            r#"- - - [09/Sep/2001:01:46:40 +0000] "PUT /a?b=c HTTP/1.1" 200 12 "" """#
        );
        let headers =
            [("x-forwarded-for", "10.0.0.1, 10.0.0.2"), ("user-agent", "a\"b"), ("referer", "r")];
        assert_eq!(
            line(&headers),
            r#"10.0.0.1 - - [09/Sep/2001:01:46:40 +0000] "PUT /a?b=c HTTP/1.1" 200 12 "r" "a\"b""#
        );
        assert!(line(&[("x-forwarded-for", "a [b")]).starts_with("- - - ["));
    }

    #[test]
    fn made_up_methods_share_a_label() {
        assert_eq!(record("PATCH", &[]).label(), "PATCH");
        assert_eq!(record("MYOWN", &[]).label(), "other");
    }
}
