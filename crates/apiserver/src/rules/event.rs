//! Pure: the rules of events, which are stricter for those of the newer API group.

use serde_json::{Value, json};

use super::Errors;
use crate::{
    field::{FieldError, FieldPath},
    fields::{number, text},
    lifecycle::metadata,
};

/// What the fields of an event are called in one group.
struct Names {
    object: &'static str,
    message: &'static str,
    controller: &'static str,
    source: &'static str,
    first: &'static str,
    last: &'static str,
    count: &'static str,
}

const OLD: Names = Names {
    object: "involvedObject",
    message: "message",
    controller: "reportingComponent",
    source: "source",
    first: "firstTimestamp",
    last: "lastTimestamp",
    count: "count",
};

const NEW: Names = Names {
    object: "regarding",
    message: "note",
    controller: "reportingController",
    source: "deprecatedSource",
    first: "deprecatedFirstTimestamp",
    last: "deprecatedLastTimestamp",
    count: "deprecatedCount",
};

/// How long the words about what happened may be, and the sentence.
const LONGEST_WORD: usize = 128;
const LONGEST_MESSAGE: usize = 1024;

pub(super) fn event(group: &str, new: &Value, old: Option<&Value>, errors: &mut Errors) {
    let names = if group.is_empty() { &OLD } else { &NEW };
    common(names, new, errors);
    if group.is_empty() {
        return;
    }
    match old {
        None => {
            series(new, errors);
            fresh(names, new, errors);
        }
        Some(old) => {
            if new.get("series") != old.get("series") {
                series(new, errors);
            }
            fixed(names, new, old, errors);
        }
    }
}

/// Checks what both groups ask for: more of events that say when they happened.
fn common(names: &Names, new: &Value, errors: &mut Errors) {
    let own = text(new, "/metadata/namespace");
    let other = text(&new[names.object], "/namespace");
    let is_new = is_given(&new["eventTime"]);
    let fits = match (other, is_new) {
        ("", false) => ["", "default"].contains(&own),
        ("", true) => ["default", "kube-system"].contains(&own),
        (other, false) => own == other,
        (_, true) => true,
    };
    if !fits {
        let path = FieldPath::new("involvedObject.namespace");
        errors.invalid(&path, other, "does not match event.namespace");
    }
    if !is_new {
        return;
    }
    let controller = text(&new[names.controller], "");
    let path = FieldPath::new(names.controller);
    if controller.is_empty() {
        errors.required(&path);
    }
    for why in metadata::qualified_name(controller) {
        errors.invalid(&path, controller, why);
    }
    for field in ["reportingInstance", "action", "reason"] {
        let word = text(&new[field], "");
        if word.is_empty() {
            errors.required(&FieldPath::new(field));
        }
        short(field, word, LONGEST_WORD, errors);
    }
    short("message", text(&new[names.message], ""), LONGEST_MESSAGE, errors);
}

fn short(field: &str, words: &str, most: usize, errors: &mut Errors) {
    if most < words.len() {
        let why = format!("can have at most {most} characters");
        errors.invalid(&FieldPath::new(field), "", why);
    }
}

fn series(new: &Value, errors: &mut Errors) {
    let Some(series) = new.get("series").filter(|it| !it.is_null()) else { return };
    if number(series, "/count") < 2 {
        errors.invalid(&FieldPath::new("series.count"), "", "should be at least 2");
    }
    if !is_given(&series["lastObservedTime"]) {
        errors.required(&FieldPath::new("series.lastObservedTime"));
    }
}

/// Checks what only new events of the newer group must and must not say.
fn fresh(names: &Names, new: &Value, errors: &mut Errors) {
    if !is_given(&new["eventTime"]) {
        errors.required(&FieldPath::new("eventTime"));
    }
    let kind = text(&new["type"], "");
    if !["Normal", "Warning"].contains(&kind) {
        errors.invalid(&FieldPath::new("type"), "", format!("has invalid value: {kind}"));
    }
    let source = &new[names.source];
    for (field, is_set) in [
        ("firstTimestamp", is_given(&new[names.first])),
        ("lastTimestamp", is_given(&new[names.last])),
        ("count", number(&new[names.count], "") != 0),
        ("source", ["component", "host"].iter().any(|it| is_given(&source[*it]))),
    ] {
        if is_set {
            errors.invalid(&FieldPath::new(field), "", "needs to be unset");
        }
    }
}

/// Checks what no update of the newer group changes.
fn fixed(names: &Names, new: &Value, old: &Value, errors: &mut Errors) {
    let mut same = |field: &str, shown: fn(&Value) -> Value, name: &str| {
        let (new, old) = (shown(&new[name]), shown(&old[name]));
        if new != old {
            errors.push(FieldError::invalid(field, new, "field is immutable"));
        }
    };
    let plain: fn(&Value) -> Value = Value::clone;
    let word: fn(&Value) -> Value = |value| json!(text(value, ""));
    same("involvedObject", reference, names.object);
    same("reason", word, "reason");
    same("message", word, names.message);
    same("source", plain, names.source);
    same("firstTimestamp", plain, names.first);
    same("lastTimestamp", plain, names.last);
    same("count", plain, names.count);
    same("reason", word, "reason");
    same("type", word, "type");
    same("eventTime", plain, "eventTime");
    same("action", word, "action");
    same("related", related, "related");
    same("reportingController", word, names.controller);
    same("reportingInstance", word, "reportingInstance");
}

/// Returns a reference as the reference's errors show it.
fn reference(value: &Value) -> Value {
    let field = |name: &str| text(&value[name], "");
    json!({"Kind": field("kind"), "Namespace": field("namespace"), "Name": field("name"),
        "UID": field("uid"), "APIVersion": field("apiVersion"),
        "ResourceVersion": field("resourceVersion"), "FieldPath": field("fieldPath")})
}

fn related(value: &Value) -> Value {
    if value.is_null() { Value::Null } else { reference(value) }
}

fn is_given(value: &Value) -> bool {
    !value.is_null() && value != ""
}
