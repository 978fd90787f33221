//! Pure: scripts, the requests they are made of, and answers.

use std::{collections::BTreeMap, sync::LazyLock};

use k8s::patch::merge;
use regex::{Captures, Regex};
use serde_json::{Map, Value, json};

/// Values that later requests of a script are made from, by name.
pub type Kept = BTreeMap<String, Value>;

/// A sequence of requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    /// What the script is called by in lists and recordings.
    pub name: String,
    /// The requests in order.
    pub steps: Vec<Step>,
}

/// One request of a script. `$RUN` and what earlier steps kept stand in its texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// The name of the step, which no other step of the script has.
    pub name: String,
    /// The HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The headers that are sent.
    pub headers: BTreeMap<String, String>,
    /// The body: `null` for none, a string as it is, anything else as JSON.
    pub body: Value,
    /// What of the answer later steps use: a name and a JSON pointer.
    pub keep: BTreeMap<String, String>,
    /// Whether the request is only made for what follows: it is repeated until it succeeds and not compared.
    pub is_setup: bool,
    /// JSON pointers into objects at what controllers write on a real cluster.
    pub controlled: Vec<String>,
}

/// What a server answered to one step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The name of the step.
    pub step: String,
    /// The HTTP status code.
    pub code: u16,
    /// The headers that are compared.
    pub headers: BTreeMap<String, String>,
    /// The body: parsed JSON, the events of a watch as a list, or text.
    pub body: Value,
}

impl Script {
    /// Reads a script written by hand; nothing if it is not one.
    pub fn parse(name: &str, text: &str) -> Option<Self> {
        let documents = k8s::yaml::documents(text).ok()?;
        let steps = documents.first()?.value.as_array()?;
        let steps = steps.iter().map(Step::parse).collect::<Option<_>>()?;
        Some(Self { name: name.to_owned(), steps })
    }
}

impl Step {
    /// Returns a step without body and headers.
    pub fn new(name: &str, method: &str, path: String) -> Self {
        Self { name: name.to_owned(), method: method.to_owned(), path, ..Self::default() }
    }

    /// Sends this body.
    #[must_use]
    pub fn body(self, body: Value) -> Self {
        Self { body, ..self }
    }

    /// Sends this header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Keeps what the pointer finds in the answer.
    #[must_use]
    pub fn keep(mut self, name: &str, pointer: &str) -> Self {
        self.keep.insert(name.to_owned(), pointer.to_owned());
        self
    }

    /// Repeats the request until it succeeds, and does not compare it.
    #[must_use]
    pub fn setup(self) -> Self {
        Self { is_setup: true, ..self }
    }

    /// Returns whether the answer is a stream of events.
    pub fn is_watch(&self) -> bool {
        self.method == "GET" && self.path.contains("watch=")
    }

    fn parse(value: &Value) -> Option<Self> {
        let (setup, step) = (value["setup"].as_str(), value["step"].as_str());
        let (method, path) = value["request"].as_str()?.split_once(' ')?;
        let mut parsed = Self::new(setup.or(step)?, method, path.to_owned());
        parsed.is_setup = setup.is_some();
        parsed.headers = texts(&value["headers"]);
        parsed.keep = texts(&value["keep"]);
        parsed.body = value["body"].clone();
        let controlled = value["controlled"].as_array().into_iter().flatten();
        parsed.controlled = controlled.filter_map(|it| Some(it.as_str()?.to_owned())).collect();
        Some(parsed)
    }
}

impl Answer {
    /// Returns the answer as a recording holds it, on one line.
    pub fn to_line(&self) -> String {
        let Self { step, code, headers, body } = self;
        json!({"step": step, "code": code, "headers": headers, "body": body}).to_string()
    }

    /// Reads a line of a recording.
    pub fn parse(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        Some(Self {
            step: value["step"].as_str()?.to_owned(),
            code: u16::try_from(value["code"].as_u64()?).ok()?,
            headers: texts(&value["headers"]),
            body: value["body"].clone(),
        })
    }
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    let fields = value.as_object().into_iter().flatten();
    fields.filter_map(|(name, text)| Some((name.clone(), text.as_str()?.to_owned()))).collect()
}

/// Puts what was kept into a text; a name that nothing was kept under stays.
pub fn filled_text(text: &str, kept: &Kept) -> String {
    static NAME: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\$([A-Z]+)").unwrap());
    let value = |found: &Captures<'_>| match kept.get(&found[1]) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => found[0].to_owned(),
    };
    NAME.replace_all(text, value).into_owned()
}

/// Puts what was kept into a body.
///
/// An object with `$from` starts as what was kept under that name; its other fields are merged into it, and
/// the fields of `$replace` are set.
pub fn filled(body: &Value, kept: &Kept) -> Value {
    match body {
        Value::String(text) => filled_text(text, kept).into(),
        Value::Array(items) => items.iter().map(|item| filled(item, kept)).collect(),
        Value::Object(fields) => filled_object(fields, kept),
        other => other.clone(),
    }
}

fn filled_object(fields: &Map<String, Value>, kept: &Kept) -> Value {
    let mut rest: Map<_, _> =
        fields.iter().map(|(name, value)| (filled_text(name, kept), filled(value, kept))).collect();
    let replace = rest.remove("$replace");
    let Some(from) = rest.remove("$from") else { return rest.into() };
    let mut object = from.as_str().and_then(|name| kept.get(name)).cloned().unwrap_or_default();
    merge(&mut object, &rest.into());
    if let (Some(object), Some(Value::Object(replace))) = (object.as_object_mut(), replace) {
        object.extend(replace);
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_starts_from_what_was_kept() {
        let kept = Kept::from([
            ("RUN".to_owned(), json!("r1")),
            ("OBJ".to_owned(), json!({"a": {"b": 1, "c": 2}, "status": {"x": 1}})),
        ]);
        let body = json!({"$from": "OBJ", "a": {"b": null, "d": "$RUN-$patch"},
            "$replace": {"status": {"y": 2}}});
        let expected = json!({"a": {"c": 2, "d": "r1-$patch"}, "status": {"y": 2}});
        assert_eq!(filled(&body, &kept), expected);
    }

    #[test]
    fn a_script_is_read_and_an_answer_read_back() {
        let text = "- step: a\n  request: GET /x\n  headers: {accept: y}\n- setup: b\n  request: POST /z\n  body: {q: 1}\n";
        let script = Script::parse("s", text).unwrap();
        assert!(!script.steps[0].is_setup && script.steps[1].is_setup);
        assert_eq!(script.steps[0].headers["accept"], "y");
        let answer = Answer { step: "a".to_owned(), code: 200, ..Answer::default() };
        assert_eq!(Answer::parse(&answer.to_line()), Some(answer));
    }
}
