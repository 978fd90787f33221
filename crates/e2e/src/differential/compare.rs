//! Pure: where two servers answered a script differently.

use std::{collections::BTreeSet, fmt};

use serde_json::{Value, json};

use super::Answer;

/// One place where an answer is not the recorded one.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The script.
    pub script: String,
    /// The step, then a JSON pointer into code, headers and body.
    pub path: String,
    /// What the reference answered.
    pub expected: Value,
    /// What was answered here.
    pub actual: Value,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { script, path, expected, actual } = self;
        write!(f, "{script} {path}\n  expected {expected}\n  actual   {actual}")
    }
}

/// Returns where the answers to a script differ from the recorded ones.
pub fn differences(script: &str, recorded: &[Answer], actual: &[Answer]) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut steps: Vec<_> = recorded.iter().map(|it| &it.step).collect();
    for answer in actual {
        if !steps.contains(&&answer.step) {
            steps.push(&answer.step);
        }
    }
    for step in steps {
        let of = |answers: &[Answer]| answers.iter().find(|it| it.step == *step).map(comparable);
        let (Some(a), Some(b)) = (of(recorded), of(actual)) else {
            let is_there = |answers: &[Answer]| json!(of(answers).is_some());
            let (expected, actual) = (is_there(recorded), is_there(actual));
            found.push(Difference {
                script: script.to_owned(),
                path: step.clone(),
                expected,
                actual,
            });
            continue;
        };
        let (a, b) = if a["code"] == b["code"] { (a, b) } else { (brief(&a), brief(&b)) };
        let mut pairs = Vec::new();
        walk(step.clone(), &a, &b, &mut pairs);
        found.extend(pairs.into_iter().map(|(path, expected, actual)| Difference {
            script: script.to_owned(),
            path,
            expected,
            actual,
        }));
    }
    found
}

fn comparable(answer: &Answer) -> Value {
    json!({"code": answer.code, "headers": answer.headers, "body": answer.body})
}

/// Returns what there is to say of an answer whose code is wrong; all else follows from that.
fn brief(answer: &Value) -> Value {
    let message = answer["body"]["message"].as_str().unwrap_or_default();
    json!({"code": format!("{} {message}", answer["code"])})
}

type Pairs = Vec<(String, Value, Value)>;

fn walk(path: String, expected: &Value, actual: &Value, found: &mut Pairs) {
    match (expected, actual) {
        (Value::Object(a), Value::Object(b)) => {
            let names: BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for name in names {
                let pick = |fields: &serde_json::Map<String, Value>| fields.get(name).cloned();
                let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
                match (pick(a), pick(b)) {
                    (Some(a), Some(b)) => walk(path, &a, &b, found),
                    (a, b) => found.push((path, absent(a), absent(b))),
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                walk(format!("{path}/{index}"), a, b, found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push((path, a.clone(), b.clone())),
    }
}

fn absent(value: Option<Value>) -> Value {
    value.unwrap_or_else(|| json!("(absent)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16, body: Value) -> Answer {
        Answer { step: "get".to_owned(), code, body, ..Answer::default() }
    }

    fn texts(recorded: Answer, actual: Answer) -> Vec<String> {
        let found = differences("s", &[recorded], &[actual]);
        found.iter().map(|it| format!("{} {} {}", it.path, it.expected, it.actual)).collect()
    }

    #[test]
    fn differences_have_exact_paths() {
        let recorded = answer(200, json!({"a": {"b/c": 1}, "l": [1, 2], "gone": true}));
        let actual = answer(200, json!({"a": {"b/c": 2}, "l": [1, 3]}));
        let expected =
            ["get/body/a/b~1c 1 2", "get/body/gone true \"(absent)\"", "get/body/l/1 2 3"];
        assert_eq!(texts(recorded, actual), expected);
    }

    #[test]
    fn a_wrong_code_is_one_difference() {
        let recorded = answer(409, json!({"message": "old", "kind": "Status"}));
        let actual = answer(200, json!({"kind": "Pod"}));
        assert_eq!(texts(recorded, actual), ["get/code \"409 old\" \"200 \""]);
    }
}
