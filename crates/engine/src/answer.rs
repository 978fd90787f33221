//! Pure: what a hook's answer means.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use api::{HookReply, controller::UnmarshallMode};
use http::header;
use jiff::fmt::rfc2822::DateTimeParser;
use k8s::{Timestamp, json::Fields};
use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::{
    controller::Form,
    related::{RULE_KEYS, RuleSpec},
};

/// What a sync or finalize hook wants.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    /// The status the parent should have, without `observedGeneration`, if the hook says one.
    pub(crate) status: Option<Map<String, Value>>,
    /// The children or attachments the parent should have, each an object with a kind.
    pub(crate) children: Vec<Value>,
    /// The labels a target should have, and those it should not.
    pub(crate) labels: BTreeMap<String, Option<String>>,
    /// The annotations a target should have, and those it should not.
    pub(crate) annotations: BTreeMap<String, Option<String>>,
    /// After how long the hook wants to be asked once more.
    pub(crate) resync_after: Option<Duration>,
    /// Whether nothing holds the parent any more.
    pub(crate) finalized: bool,
    /// What the hook tells about the parent.
    pub(crate) events: Vec<HookEvent>,
}

/// An event that a hook asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct HookEvent {
    /// `Normal` or `Warning`.
    pub r#type: String,
    /// The machine-readable reason.
    pub(crate) reason: String,
    /// What a person reads.
    pub(crate) message: String,
}

/// Why an answer cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum AnswerError {
    /// The hook is too busy; the parent is looked at again later.
    #[error("hook asks to wait")]
    Throttled {
        /// How long the hook asks to wait.
        after: Option<Duration>,
    },
    /// The hook failed.
    #[error("unsupported status code: {code} body: {body}")]
    Status {
        /// The HTTP status.
        code: u16,
        /// The text, cut if it is long.
        body: String,
    },
    /// The text is not what a hook may answer.
    #[error("can't unmarshal: {0}")]
    Unmarshal(String),
    /// The text has keys that strict mode refuses.
    #[error("strict validation failed: {0}")]
    Strict(String),
}

/// The fields whose content is no business of strict mode: others than the hook decide what may stand there.
const FOREIGN: [&str; 3] = ["status", "children", "attachments"];

/// How much of a failed answer is quoted.
const QUOTED: usize = 1024;

/// The keys that the answer of a customize hook may have.
const CUSTOMIZE: [&str; 1] = ["relatedResources"];
/// The keys that the answers to each form of controller may have.
const COMPOSITE: [&str; 5] = ["status", "children", "resyncAfterSeconds", "finalized", "events"];
const DECORATOR: [&str; 7] =
    ["status", "attachments", "labels", "annotations", "resyncAfterSeconds", "finalized", "events"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    status: Option<Map<String, Value>>,
    #[serde(alias = "attachments")]
    children: Option<Vec<Option<Map<String, Value>>>>,
    labels: Option<BTreeMap<String, Option<String>>>,
    annotations: Option<BTreeMap<String, Option<String>>>,
    resync_after_seconds: Option<f64>,
    finalized: Option<bool>,
    events: Option<Vec<Option<HookEvent>>>,
}

/// Reads the answer of a sync or finalize hook.
///
/// Status 200 alone is success. `finalized` counts only while the parent is going away.
pub(crate) fn read(
    reply: &HookReply,
    form: Form,
    mode: UnmarshallMode,
    (finalizing, now): (bool, Timestamp),
) -> Result<Answer, AnswerError> {
    let object = object(reply, known(form), mode, now)?;
    let wire: Wire =
        serde_json::from_value(Value::Object(object)).map_err(|error| unmarshal(&error))?;
    let children: Vec<_> = wire.children.into_iter().flatten().flatten().collect();
    let has_kind = |child: &Map<String, Value>| {
        child.get("kind").and_then(Value::as_str).is_some_and(|kind| !kind.is_empty())
    };
    if !children.iter().all(has_kind) {
        return Err(unmarshal(&"a child has no `kind`"));
    }
    let mut events: Vec<_> = wire.events.into_iter().flatten().flatten().collect();
    events.retain(|event| !event.reason.is_empty());
    let resync = wire.resync_after_seconds.filter(|seconds| 0.0 < *seconds);
    Ok(Answer {
        status: wire.status,
        children: children.into_iter().map(Value::Object).collect(),
        labels: wire.labels.unwrap_or_default(),
        annotations: wire.annotations.unwrap_or_default(),
        resync_after: resync
            .map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)),
        finalized: finalizing && wire.finalized.unwrap_or_default(),
        events,
    })
}

/// Reads the answer of a customize hook.
pub(crate) fn read_rules(
    reply: &HookReply,
    mode: UnmarshallMode,
    now: Timestamp,
) -> Result<Vec<RuleSpec>, AnswerError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Wire {
        related_resources: Option<Vec<Option<RuleSpec>>>,
    }
    let object = object(reply, &CUSTOMIZE, mode, now)?;
    if mode == UnmarshallMode::Strict {
        check_rules(&reply.body)?;
    }
    let wire: Wire =
        serde_json::from_value(Value::Object(object)).map_err(|error| unmarshal(&error))?;
    Ok(wire.related_resources.into_iter().flatten().flatten().collect())
}

/// Returns what strict mode would refuse in an answer of a sync or finalize hook that was read loosely.
pub(crate) fn passed_over(reply: &HookReply, form: Form) -> Option<AnswerError> {
    check_strictly(&reply.body, known(form)).err()
}

/// Returns the same of an answer of a customize hook.
pub(crate) fn passed_over_in_rules(reply: &HookReply) -> Option<AnswerError> {
    check_strictly(&reply.body, &CUSTOMIZE).and_then(|()| check_rules(&reply.body)).err()
}

fn known(form: Form) -> &'static [&'static str] {
    if form == Form::Decorator { &DECORATOR } else { &COMPOSITE }
}

/// Returns the object that a hook answered, with the keys that are known.
fn object(
    reply: &HookReply,
    known: &[&str],
    mode: UnmarshallMode,
    now: Timestamp,
) -> Result<Map<String, Value>, AnswerError> {
    let retry_after = retry_after(reply, now);
    match reply.status {
        200 => {}
        429 => return Err(AnswerError::Throttled { after: retry_after }),
        503 if retry_after.is_some() => return Err(AnswerError::Throttled { after: retry_after }),
        code => {
            let body: String = String::from_utf8_lossy(&reply.body).chars().take(QUOTED).collect();
            return Err(AnswerError::Status { code, body: body.trim_end().to_owned() });
        }
    }
    let value = k8s::json::parse(&reply.body).map_err(|error| unmarshal(&error))?;
    let Value::Object(mut object) = value else {
        return Err(unmarshal(&"the answer is not an object"));
    };
    if mode == UnmarshallMode::Strict {
        check_strictly(&reply.body, known)?;
    }
    object.retain(|key, _| known.contains(&key.as_str()));
    Ok(object)
}

fn unmarshal(error: &dyn std::fmt::Display) -> AnswerError {
    AnswerError::Unmarshal(error.to_string())
}

/// Checks that the keys of an answer are known, and that none comes twice.
fn check_strictly(body: &[u8], known: &[&str]) -> Result<(), AnswerError> {
    let fields = serde_json::from_slice(body).map_err(|error| unmarshal(&error))?;
    check_keys(&fields, known).and_then(|()| check_repeats(&fields)).map_err(AnswerError::Strict)
}

/// Checks that the keys of the rules in an answer are known.
fn check_rules(body: &[u8]) -> Result<(), AnswerError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Rules<'a> {
        #[serde(borrow)]
        related_resources: Option<Vec<Option<Fields<'a>>>>,
    }
    let rules: Rules<'_> = serde_json::from_slice(body).map_err(|error| unmarshal(&error))?;
    for rule in rules.related_resources.iter().flatten().flatten() {
        check_keys(rule, &RULE_KEYS).map_err(AnswerError::Strict)?;
    }
    Ok(())
}

/// Checks that keys are known.
fn check_keys(fields: &Fields<'_>, known: &[&str]) -> Result<(), String> {
    match fields.0.iter().find(|(key, _)| !known.contains(&key.as_str())) {
        Some((key, _)) => {
            Err(format!("unknown field `{key}`, expected one of {}", known.join(", ")))
        }
        None => Ok(()),
    }
}

/// Checks that no key comes twice, but inside of what is the parent's or a child's.
fn check_repeats(fields: &Fields<'_>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for (key, value) in &fields.0 {
        if !seen.insert(key) {
            return Err(format!("duplicate key `{key}`"));
        }
        if !FOREIGN.contains(&key.as_str()) {
            let read = k8s::json::parse_strict(value.get().as_bytes());
            read.map_err(|error| format!("{} in `{key}`", error.reason))?;
        }
    }
    Ok(())
}

/// Returns how long a `Retry-After` header asks to wait, by seconds or by date, in whole seconds; a time
/// that is over is none.
fn retry_after(reply: &HookReply, now: Timestamp) -> Option<Duration> {
    let text = reply.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = text.parse::<u64>().ok().or_else(|| {
        let at = DateTimeParser::new().parse_timestamp(text).ok()?;
        let wait = Duration::try_from(at.duration_since(now)).ok()?;
        Some(wait.as_secs() + u64::from(0 < wait.subsec_nanos()))
    })?;
    (0 < seconds).then_some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;
    const COMPOSED: Form = Form::Composite { generate_selector: false };

    fn reply(status: u16, body: &str) -> HookReply {
        HookReply { status, headers: http::HeaderMap::new(), body: body.to_owned().into() }
    }

    fn loose(body: &str) -> Result<Answer, String> {
        read(&reply(200, body), COMPOSED, UnmarshallMode::Loose, (false, NOW))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn null_and_absent_are_empty() {
        assert_eq!(loose("{}"), Ok(Answer::default()));
        assert_eq!(loose(r#"{"status":null,"children":null}"#), Ok(Answer::default()));
        assert_eq!(loose(r#"{"children":[null]}"#), Ok(Answer::default()));
    }

    #[test]
    fn fractions_of_seconds_count() {
        let answer = loose(r#"{"resyncAfterSeconds":0.1}"#).unwrap();
        assert_eq!(answer.resync_after, Some(Duration::from_millis(100)));
        assert_eq!(loose(r#"{"resyncAfterSeconds":0}"#).unwrap().resync_after, None);
    }

    #[test]
    fn finalized_counts_only_while_finalizing() {
        let reply = reply(200, r#"{"finalized":true}"#);
        assert!(!read(&reply, COMPOSED, UnmarshallMode::Loose, (false, NOW)).unwrap().finalized);
        assert!(read(&reply, COMPOSED, UnmarshallMode::Loose, (true, NOW)).unwrap().finalized);
    }

    #[test]
    fn what_is_no_answer_is_told() {
        for (body, error) in [
            (r#"{"children":[{"apiVersion":"v1"}]}"#, "can't unmarshal: a child has no `kind`"),
            ("[]", "can't unmarshal: the answer is not an object"),
        ] {
            assert_eq!(loose(body).unwrap_err(), error);
        }
        assert!(loose("no").unwrap_err().starts_with("can't unmarshal: "));
        assert!(loose(r#"{"children":{}}"#).unwrap_err().starts_with("can't unmarshal: "));
        let error =
            read(&reply(500, "boom\n"), COMPOSED, UnmarshallMode::Loose, (false, NOW)).unwrap_err();
        assert_eq!(error.to_string(), "unsupported status code: 500 body: boom");
    }

    #[test]
    fn strict_mode_refuses_unknown_and_repeated_keys() {
        for body in [
            r#"{"more":1}"#,
            r#"{"status":{},"status":{}}"#,
            r#"{"events":[{"reason":"A","reason":"B"}]}"#,
        ] {
            let error = read(&reply(200, body), COMPOSED, UnmarshallMode::Strict, (false, NOW))
                .unwrap_err();
            assert!(matches!(error, AnswerError::Strict(_)), "{body}");
            assert!(loose(body).is_ok(), "{body}");
        }
        let inside = r#"{"status":{"a":1,"a":2},"children":[{"kind":"X","x":1}]}"#;
        assert!(read(&reply(200, inside), COMPOSED, UnmarshallMode::Strict, (false, NOW)).is_ok());
    }

    #[test]
    fn what_loose_mode_passes_over_can_be_told() {
        let told =
            |body: &str| passed_over(&reply(200, body), COMPOSED).map(|error| error.to_string());
        let unknown = told(r#"{"Children":[],"status":{"more":1}}"#).unwrap();
        assert!(unknown.starts_with("strict validation failed: unknown field `Children`"));
        assert!(told(r#"{"status":{},"status":{}}"#).unwrap().contains("duplicate key `status`"));
        assert_eq!(told(r#"{"status":{"a":1,"a":2},"children":[{"kind":"X","x":1}]}"#), None);
        let rules =
            |body: &str| passed_over_in_rules(&reply(200, body)).map(|error| error.to_string());
        assert!(rules(r#"{"relatedResources":[{"nams":[]}]}"#).unwrap().contains("`nams`"));
        assert_eq!(rules(r#"{"relatedResources":[{"names":[]},null]}"#), None);
    }

    #[test]
    fn keys_have_their_capitals() {
        let answer = loose(r#"{"Status":{"a":1},"children":[],"FINALIZED":true}"#);
        assert_eq!(answer, Ok(Answer::default()));
    }

    #[test]
    fn events_need_a_reason() {
        let body = r#"{"events":[{"reason":"R","message":"m"},{"message":"n"},null]}"#;
        let told = HookEvent { reason: "R".into(), message: "m".into(), ..HookEvent::default() };
        assert_eq!(loose(body).unwrap().events, [told]);
    }

    #[test]
    fn a_decorator_says_labels_and_leaves_the_status_alone() {
        let body = r#"{"attachments":[{"kind":"A"}],"labels":{"a":"1","b":null},"children":5}"#;
        let decorated =
            read(&reply(200, body), Form::Decorator, UnmarshallMode::Loose, (false, NOW));
        let decorated = decorated.unwrap();
        assert_eq!(decorated.status, None);
        assert_eq!(decorated.children, [json!({"kind": "A"})]);
        let labels = [("a".to_owned(), Some("1".to_owned())), ("b".to_owned(), None)];
        assert_eq!(decorated.labels, labels.into());
        assert!(loose(body).is_err(), "`children` of a composite are a list");
    }

    #[test]
    fn rules_are_read_by_the_same_strictness() {
        let rules = |body: &str, mode| {
            read_rules(&reply(200, body), mode, NOW)
                .map(|rules| rules.len())
                .map_err(|it| it.to_string())
        };
        let rule = r#"{"relatedResources":[{"apiVersion":"v1","resource":"pods","nams":[]}]}"#;
        assert_eq!(rules(rule, UnmarshallMode::Loose), Ok(1));
        let error = rules(rule, UnmarshallMode::Strict).unwrap_err();
        assert!(error.starts_with("strict validation failed: unknown field `nams`"), "{error}");
        assert_eq!(rules("{}", UnmarshallMode::Strict), Ok(0));
        assert_eq!(rules(r#"{"relatedResources":[null]}"#, UnmarshallMode::Strict), Ok(0));
        assert!(rules(r#"{"relatedResources":[{}]}"#, UnmarshallMode::Loose).is_err());
        let twice = r#"{"relatedResources":[{"apiVersion":"v1","resource":"pods","labelSelector":
            {"matchLabels":{"a":"1","a":"2"}}}]}"#;
        assert_eq!(rules(twice, UnmarshallMode::Loose), Ok(1));
        assert!(rules(twice, UnmarshallMode::Strict).unwrap_err().contains("duplicate key `a`"));
    }

    #[test]
    fn a_busy_hook_names_its_time() {
        let mut busy = reply(429, "");
        let throttled =
            |reply: &HookReply| read(reply, COMPOSED, UnmarshallMode::Loose, (false, NOW));
        assert_eq!(throttled(&busy), Err(AnswerError::Throttled { after: None }));
        busy.headers.insert(header::RETRY_AFTER, "2".parse().unwrap());
        let after = Some(Duration::from_secs(2));
        assert_eq!(throttled(&busy), Err(AnswerError::Throttled { after }));
        busy.status = 503;
        assert_eq!(throttled(&busy), Err(AnswerError::Throttled { after }));
    }

    #[test]
    fn a_time_to_wait_is_given_in_seconds_or_as_a_date() {
        let after = |text: &str| {
            let mut busy = reply(429, "");
            busy.headers.insert(header::RETRY_AFTER, text.parse().unwrap());
            let now = "1994-11-06T08:49:34.5Z".parse().unwrap();
            retry_after(&busy, now).map(|wait| wait.as_secs())
        };
        for (text, seconds) in [
            ("2", Some(2)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(3)),
            ("Sun, 06 Nov 1994 08:49:30 GMT", None),
            ("0", None),
            ("-1", None),
            ("soon", None),
        ] {
            assert_eq!(after(text), seconds, "{text}");
        }
    }

    #[test]
    fn children_come_in_the_hook_s_order() {
        let answer = loose(r#"{"children":[{"kind":"B"},{"kind":"A"}]}"#).unwrap();
        assert_eq!(answer.children, [json!({"kind": "B"}), json!({"kind": "A"})]);
    }
}
