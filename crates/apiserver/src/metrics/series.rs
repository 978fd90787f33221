//! Pure: numbers by their labels, and their text in the format of Prometheus.
//!
//! The text is written here, not by a library: those write OpenMetrics, whose names and types differ from
//! the reference's.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

/// What tells requests apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Labels {
    pub(crate) dry_run: bool,
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) scope: &'static str,
    pub(crate) subresource: String,
    pub(crate) verb: &'static str,
    pub(crate) version: String,
}

/// What is counted.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    requests: BTreeMap<(Labels, u16), u64>,
    durations: BTreeMap<Labels, Histogram>,
    watches: BTreeMap<Labels, i64>,
    events: BTreeMap<[String; 3], u64>,
    work: Histogram,
    work_left: usize,
}

/// What is looked up when the text is asked for.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// How many objects there are, by group and plural.
    pub(crate) objects: Vec<([String; 2], usize)>,
    pub(crate) revision: u64,
    /// How long all objects are together.
    pub(crate) bytes: usize,
    /// How many past events are kept.
    pub(crate) events: usize,
}

/// How often something took how long.
#[derive(Clone, Debug, Default)]
struct Histogram {
    /// The counts of the buckets, each without those before it.
    counts: Vec<u64>,
    count: u64,
    sum: f64,
}

/// The upper bounds of the reference's buckets for requests, in seconds.
const REQUEST_BUCKETS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0,
    10.0, 15.0, 20.0, 30.0, 45.0, 60.0,
];
const WORK_BUCKETS: [f64; 6] = [0.0001, 0.001, 0.01, 0.1, 1.0, 10.0];

impl Labels {
    fn text(&self) -> String {
        let dry_run = if self.dry_run { "All" } else { "" };
        format!("component=\"apiserver\",dry_run=\"{dry_run}\",{}", self.tail())
    }

    fn tail(&self) -> String {
        let Self { group, resource, scope, subresource, verb, version, .. } = self;
        let [group, resource, subresource, version] =
            [group, resource, subresource, version].map(|text| escaped(text));
        format!(
            "group=\"{group}\",resource=\"{resource}\",scope=\"{scope}\",\
             subresource=\"{subresource}\",verb=\"{verb}\",version=\"{version}\""
        )
    }
}

impl Counted {
    pub(super) fn answered(&mut self, labels: Labels, code: u16, took: Duration) {
        // Watches last as long as they are wanted: their time says nothing.
        if labels.verb != "WATCH" {
            let durations = self.durations.entry(labels.clone()).or_default();
            durations.add(took, &REQUEST_BUCKETS);
        }
        *self.requests.entry((labels, code)).or_default() += 1;
    }

    pub(super) fn watching(&mut self, labels: &Labels, begins: bool) {
        let watches = self.watches.entry(labels.clone()).or_default();
        *watches += if begins { 1 } else { -1 };
    }

    pub(super) fn sent(&mut self, labels: &Labels, events: u64) {
        let Labels { group, resource, version, .. } = labels;
        let key = [group, resource, version].map(Clone::clone);
        *self.events.entry(key).or_default() += events;
    }

    pub(super) fn worked(&mut self, took: Duration, left: usize) {
        self.work.add(took, &WORK_BUCKETS);
        self.work_left = left;
    }
}

impl Histogram {
    fn add(&mut self, took: Duration, buckets: &[f64]) {
        let seconds = took.as_secs_f64();
        let bucket = buckets.partition_point(|bound| *bound < seconds);
        self.counts.resize(buckets.len() + 1, 0);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.count += 1;
        self.sum += seconds;
    }

    fn write(&self, to: &mut String, name: &str, labels: &str, buckets: &[f64]) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut total = 0;
        let bounds = buckets.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(self.counts.iter().chain(std::iter::repeat(&0))) {
            total += count;
            let _ = writeln!(to, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {total}");
        }
        let braced = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let _ =
            writeln!(to, "{name}_sum{braced} {}\n{name}_count{braced} {}", self.sum, self.count);
    }
}

/// Returns everything as Prometheus reads it.
pub(crate) fn text(counted: &Counted, gathered: &Gathered) -> String {
    let mut to = String::new();
    head(&mut to, "apiserver_admission_webhook_admission_duration_seconds", "histogram");
    head(&mut to, "apiserver_longrunning_requests", "gauge");
    for (labels, count) in &counted.watches {
        let labels = labels.tail();
        let name = "apiserver_longrunning_requests";
        let _ = writeln!(to, "{name}{{component=\"apiserver\",{labels}}} {count}");
    }
    head(&mut to, "apiserver_request_duration_seconds", "histogram");
    for (labels, durations) in &counted.durations {
        let name = "apiserver_request_duration_seconds";
        durations.write(&mut to, name, &labels.text(), &REQUEST_BUCKETS);
    }
    head(&mut to, "apiserver_request_total", "counter");
    for ((labels, code), count) in &counted.requests {
        let labels = labels.text();
        let _ = writeln!(to, "apiserver_request_total{{code=\"{code}\",{labels}}} {count}");
    }
    objects(&mut to, gathered);
    head(&mut to, "apiserver_watch_events_total", "counter");
    for ([group, resource, version], count) in &counted.events {
        let labels = format!("group=\"{group}\",resource=\"{resource}\",version=\"{version}\"");
        let _ = writeln!(to, "apiserver_watch_events_total{{{labels}}} {count}");
    }
    head(&mut to, "windlass_controller_queue_depth", "gauge");
    let _ = writeln!(to, "windlass_controller_queue_depth {}", counted.work_left);
    head(&mut to, "windlass_controller_sync_seconds", "histogram");
    counted.work.write(&mut to, "windlass_controller_sync_seconds", "", &WORK_BUCKETS);
    for (name, number) in [
        ("windlass_store_bytes", gathered.bytes.to_string()),
        ("windlass_store_history_events", gathered.events.to_string()),
        ("windlass_store_revision", gathered.revision.to_string()),
    ] {
        head(&mut to, name, "gauge");
        let _ = writeln!(to, "{name} {number}");
    }
    to
}

fn objects(to: &mut String, gathered: &Gathered) {
    head(to, "apiserver_resource_objects", "gauge");
    for ([group, plural], count) in &gathered.objects {
        let labels = format!("group=\"{group}\",resource=\"{plural}\"");
        let _ = writeln!(to, "apiserver_resource_objects{{{labels}}} {count}");
    }
    head(to, "apiserver_storage_objects", "gauge");
    for ([group, plural], count) in &gathered.objects {
        let dot = if group.is_empty() { "" } else { "." };
        let _ =
            writeln!(to, "apiserver_storage_objects{{resource=\"{plural}{dot}{group}\"}} {count}");
    }
}

/// Writes what a metric is.
fn head(to: &mut String, name: &str, kind: &str) {
    let about = match name {
        "apiserver_admission_webhook_admission_duration_seconds" => {
            "How long admission webhooks took, in seconds."
        }
        "apiserver_longrunning_requests" => "How many watches are open.",
        "apiserver_request_duration_seconds" => "How long requests took, in seconds.",
        "apiserver_request_total" => "How many requests were answered.",
        "apiserver_resource_objects" | "apiserver_storage_objects" => {
            "How many objects are kept, by resource."
        }
        "apiserver_watch_events_total" => "How many events were sent to watches.",
        "windlass_controller_queue_depth" => "How much the controllers have to do.",
        "windlass_controller_sync_seconds" => "How long each piece of work took, in seconds.",
        "windlass_store_bytes" => "How long the texts of all objects are.",
        "windlass_store_history_events" => "How many past events can be watched from.",
        _ => "The revision of the newest write.",
    };
    let _ = writeln!(to, "# HELP {name} {about}\n# TYPE {name} {kind}");
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(verb: &'static str) -> Labels {
        let (resource, version) = ("pods".to_owned(), "v1".to_owned());
        Labels { resource, version, scope: "namespace", verb, ..Labels::default() }
    }

    fn lines(counted: &Counted, start: &str) -> Vec<String> {
        let text = text(counted, &Gathered::default());
        text.lines().filter(|line| line.starts_with(start)).map(ToOwned::to_owned).collect()
    }

    #[test]
    fn requests_are_counted_by_code_and_their_time_by_bucket() {
        let mut counted = Counted::default();
        counted.answered(labels("LIST"), 200, Duration::from_millis(30));
        counted.answered(labels("LIST"), 200, Duration::from_millis(1));
        assert_eq!(
            lines(&counted, "apiserver_request_total"),
            [
                r#"apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="pods",scope="namespace",subresource="",verb="LIST",version="v1"} 2"#
            ]
        );
        let buckets = lines(&counted, "apiserver_request_duration_seconds_bucket");
        let ends: Vec<_> = buckets.iter().filter_map(|line| line.split_once(",le=")).collect();
        assert_eq!(
            ends.iter().take(3).map(|it| it.1).collect::<Vec<_>>(),
            [r#""0.005"} 1"#, r#""0.025"} 1"#, r#""0.05"} 2"#]
        );
        assert_eq!(ends.last().unwrap().1, r#""+Inf"} 2"#);
        let count = lines(&counted, "apiserver_request_duration_seconds_count");
        assert!(count[0].ends_with("} 2"), "{count:?}");
    }

    #[test]
    fn watches_come_and_go() {
        let mut counted = Counted::default();
        counted.watching(&labels("WATCH"), true);
        counted.watching(&labels("WATCH"), true);
        counted.watching(&labels("WATCH"), false);
        counted.sent(&labels("WATCH"), 3);
        assert_eq!(
            lines(&counted, "apiserver_longrunning_requests"),
            [
                r#"apiserver_longrunning_requests{component="apiserver",group="",resource="pods",scope="namespace",subresource="",verb="WATCH",version="v1"} 1"#
            ]
        );
        assert_eq!(
            lines(&counted, "apiserver_watch_events_total"),
            [r#"apiserver_watch_events_total{group="",resource="pods",version="v1"} 3"#]
        );
    }

    #[test]
    fn objects_are_told_by_group_and_resource() {
        let objects = vec![(["apps".to_owned(), "deployments".to_owned()], 4)];
        let text = text(&Counted::default(), &Gathered { objects, ..Gathered::default() });
        for line in [
            r#"apiserver_resource_objects{group="apps",resource="deployments"} 4"#,
            r#"apiserver_storage_objects{resource="deployments.apps"} 4"#,
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
