//! Pure: what a watch starts with, and what each write means to it.

use std::sync::Arc;

use k8s::Object;
use serde_json::json;

use crate::{
    error::ApiError,
    field::FieldError,
    http::query::{Query, list_options, parse_revision},
    list::Filter,
    store::{Event, EventKind},
};

/// What a watch was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WatchPlan {
    pub(crate) start: Start,
    /// Whether bookmarks are wanted.
    pub(crate) bookmarks: bool,
    /// After how many seconds the watch ends.
    pub(crate) timeout: Option<u64>,
}

/// What comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// What happens from now on.
    Now,
    /// The objects there are, then a bookmark that says so, then what happens.
    Current,
    /// What happened after a revision.
    After(u64),
}

/// What happened, as a watch tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Added,
    Modified,
    Deleted,
}

impl Change {
    /// Returns the type of the watch event.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// Reads what a watch is asked for.
pub(crate) fn plan(query: &Query) -> Result<WatchPlan, ApiError> {
    query.number("limit")?;
    let timeout = query.number("timeoutSeconds")?.and_then(|seconds| u64::try_from(seconds).ok());
    let initial = query.flag("sendInitialEvents");
    let errors = conflicts(initial.is_some(), query);
    if !errors.is_empty() {
        return Err(list_options(&errors));
    }
    // A list says more of a revision that it cannot read; to a watch that is a failure of the server.
    let revision = parse_revision(query.get("resourceVersion")).map_err(|error| {
        let message = error.to_string();
        ApiError::failure(message.strip_prefix("invalid resource version: ").unwrap_or(&message))
    })?;
    let revision = revision.unwrap_or(0);
    let start = match (initial, revision) {
        (Some(true), _) | (None, 0) => Start::Current,
        (Some(false), 0) => Start::Now,
        (_, revision) => Start::After(revision),
    };
    let bookmarks = query.is_true("allowWatchBookmarks");
    Ok(WatchPlan { start, bookmarks, timeout: timeout.filter(|seconds| 0 < *seconds) })
}

/// Returns which parameters of a watch do not go together.
fn conflicts(is_initial: bool, query: &Query) -> Vec<FieldError> {
    let (field, matching) = ("resourceVersionMatch", query.get("resourceVersionMatch"));
    let mut errors = vec![];
    if is_initial && matching != "NotOlderThan" {
        let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        errors.push(FieldError::forbidden(field, why));
    }
    if !is_initial && !matching.is_empty() {
        let why =
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
        errors.push(FieldError::forbidden(field, why));
    }
    if !["", "NotOlderThan"].contains(&matching) {
        errors.push(FieldError::not_supported(field, matching, &["NotOlderThan"]));
    }
    if !query.get("continue").is_empty() {
        let why = "resourceVersionMatch is forbidden when continue is provided";
        errors.push(FieldError::forbidden(field, why));
    }
    errors
}

/// Returns what a write means to a watch, and the object to show; nothing if it is not concerned.
pub(crate) fn change(filter: &Filter, event: &Event) -> Option<(Change, Arc<Object>)> {
    let before = event.old.as_ref().is_some_and(|old| filter.matches(old));
    let after = event.kind != EventKind::Deleted && filter.matches(&event.object);
    let object = &event.object;
    match (before, after) {
        (false, true) => Some((Change::Added, object.clone())),
        (true, true) => Some((Change::Modified, object.clone())),
        (true, false) if event.kind == EventKind::Deleted => {
            Some((Change::Deleted, object.clone()))
        }
        (true, false) => {
            let old = event.old.as_ref()?;
            Some((Change::Deleted, Arc::new(at_revision(old, event.revision))))
        }
        (false, false) => None,
    }
}

/// Returns an object that left the selector: its last matching content at the revision of the change.
fn at_revision(object: &Object, revision: u64) -> Object {
    let mut value = object.to_value();
    value["metadata"]["resourceVersion"] = json!(revision.to_string());
    Object::from_value(&value).expect("a kept object is an object")
}

#[cfg(test)]
mod tests {
    use k8s::{Resource, selector::Selector};

    use super::*;

    fn object(app: &str) -> Arc<Object> {
        let value = json!({"metadata": {"name": "a", "labels": {"app": app}}});
        Arc::new(Object::from_value(&value).unwrap())
    }

    fn event(kind: EventKind, old: Option<&str>, new: &str) -> Event {
        Event {
            revision: 9,
            kind,
            resource: Arc::new(Resource::namespaced("v1", "ConfigMap", "configmaps")),
            object: object(new),
            old: old.map(object),
        }
    }

    #[test]
    fn entering_and_leaving_a_selector_look_like_birth_and_death() {
        let labels = Selector::parse("app=x").unwrap();
        let filter = Filter { labels, ..Filter::default() };
        for (kind, old, new, expected) in [
            (EventKind::Added, None, "x", Some(Change::Added)),
            (EventKind::Added, None, "y", None),
            (EventKind::Modified, Some("y"), "x", Some(Change::Added)),
            (EventKind::Modified, Some("x"), "x", Some(Change::Modified)),
            (EventKind::Modified, Some("x"), "y", Some(Change::Deleted)),
            (EventKind::Deleted, Some("x"), "x", Some(Change::Deleted)),
            (EventKind::Deleted, Some("y"), "y", None),
        ] {
            let found = change(&filter, &event(kind, old, new));
            assert_eq!(found.map(|it| it.0), expected, "{kind:?} {old:?} {new}");
        }
        let (_, left) = change(&filter, &event(EventKind::Modified, Some("x"), "y")).unwrap();
        assert_eq!((left.meta().labels["app"].as_str(), left.meta().revision()), ("x", Some(9)));
    }

    #[test]
    fn a_watch_starts_where_it_is_told_to() {
        for (query, expected) in [
            ("", Ok(Start::Current)),
            ("resourceVersion=0", Ok(Start::Current)),
            ("resourceVersion=7", Ok(Start::After(7))),
            ("sendInitialEvents=true&resourceVersionMatch=NotOlderThan", Ok(Start::Current)),
            ("sendInitialEvents=false&resourceVersionMatch=NotOlderThan", Ok(Start::Now)),
            ("sendInitialEvents=true", Err(422)),
            ("resourceVersionMatch=NotOlderThan", Err(422)),
            ("resourceVersion=x", Err(500)),
        ] {
            let found = plan(&Query::parse(query)).map(|it| it.start).map_err(|it| it.code());
            assert_eq!(found, expected, "{query}");
        }
    }
}
