//! Counts requests, and watches as long as they are open.

use std::sync::Arc;

use http::Method;
use http_body::Frame;
use http_body_util::BodyExt as _;

use crate::{
    backend::Backend,
    http::{
        Core, media,
        query::Query,
        resource,
        respond::{self, Answer},
        route::{Route, Target},
    },
    metrics::{Gathered, Labels},
    requests::RequestRecord,
};

/// Keeps a watch counted until its body is dropped.
struct Open {
    core: Arc<Core>,
    labels: Labels,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.core.backend.metrics().watching(&self.labels, false);
    }
}

/// Returns what tells a request apart, nothing if it is about nothing that is served.
pub(crate) fn labels(
    method: &Method,
    route: &Route,
    query: &Query,
    record: &RequestRecord,
) -> Option<Labels> {
    let Route::Resource(target) = route else {
        let is_known = !matches!(route, Route::Unknown | Route::Windlass(_));
        // Labels must not grow with what clients make up.
        let subresource = if matches!(route, Route::Health | Route::Version | Route::Metrics) {
            record.resource.clone()
        } else {
            String::new()
        };
        let verb = upper(method.as_str());
        return is_known.then(|| Labels { subresource, verb, ..Labels::default() });
    };
    let verb = resource::verb(method, target, query);
    Some(Labels {
        dry_run: record.dry_run,
        group: target.version.group.clone(),
        resource: target.plural.clone(),
        scope: scope(target, verb),
        subresource: target.subresource.clone(),
        verb: reported(method, verb, record),
        version: target.version.version.clone(),
    })
}

/// Counts what a watch sends, and that it is open.
pub(crate) fn watch(core: &Arc<Core>, labels: Labels, answer: Answer) -> Answer {
    core.backend.metrics().watching(&labels, true);
    let open = Open { core: core.clone(), labels };
    answer.map(|body| {
        body.map_frame(move |frame: Frame<bytes::Bytes>| {
            if let Some(data) = frame.data_ref() {
                #[expect(clippy::naive_bytecount, reason = "fast enough as it is compiled")]
                let events = data.iter().filter(|byte| **byte == b'\n').count();
                open.core
                    .backend
                    .metrics()
                    .sent(&open.labels, u64::try_from(events).unwrap_or_default());
            }
            frame
        })
        .boxed_unsync()
    })
}

/// Answers with all numbers as text.
pub(crate) fn answer(core: &Core) -> Answer {
    let text = core.backend.metrics().text(&gather(&core.backend));
    respond::bytes(200, "text/plain; version=0.0.4; charset=utf-8; escaping=underscores", text)
}

fn gather(backend: &Backend) -> Gathered {
    let mut gathered = Gathered {
        revision: backend.revision(),
        events: backend.store().history_events(),
        ..Gathered::default()
    };
    let registry = backend.registry();
    for registered in
        registry.all().iter().filter(|it| it.is_stored() && it.resource == *it.storage)
    {
        let objects = backend.store().list(&registered.storage, "").objects;
        gathered.bytes += objects.iter().map(|object| object.json().len()).sum::<usize>();
        let resource = &registered.resource;
        let key = [resource.gvk.group.clone(), resource.plural.clone()];
        gathered.objects.push((key, objects.len()));
    }
    gathered
}

fn scope(target: &Target, verb: &str) -> &'static str {
    match (target.name.is_empty(), target.namespace.is_empty()) {
        _ if verb == "create" => "resource",
        (false, _) => "resource",
        (true, false) => "namespace",
        (true, true) => "cluster",
    }
}

/// Returns the verb as metrics name it.
fn reported(method: &Method, verb: &str, record: &RequestRecord) -> &'static str {
    if record.subresource == "proxy" {
        return "CONNECT";
    }
    match verb {
        "list" => "LIST",
        "watch" => "WATCH",
        "deletecollection" => "DELETECOLLECTION",
        "patch" if record.patch_type == media::APPLY => "APPLY",
        _ => upper(method.as_str()),
    }
}

fn upper(method: &str) -> &'static str {
    match method {
        "GET" | "HEAD" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    }
}
