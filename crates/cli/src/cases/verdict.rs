//! Pure: whether a program answered what is expected.

use serde_json::{Number, Value};
use similar::TextDiff;

/// What is expected of a case.
pub(super) enum Expected {
    /// This JSON text.
    Answer(String),
    /// An error with this text in it.
    Error(String),
    /// There is no file that says it.
    Nothing,
    /// Two files contradict each other.
    Both,
}

/// Returns what is wrong with an answer, or with the error in place of one.
pub(super) fn judge(expected: &Expected, got: &Result<Value, String>) -> Option<String> {
    match (expected, got) {
        (Expected::Answer(text), Ok(got)) => match k8s::json::parse(text.as_bytes()) {
            Ok(wanted) => difference(&wanted, got),
            Err(error) => Some(format!("the expected answer is not JSON: {error}")),
        },
        (Expected::Answer(_), Err(error)) => Some(format!("it failed:\n{}", error.trim_end())),
        (Expected::Error(part), Err(error)) => {
            let part = part.trim();
            let is_there = !part.is_empty() && error.contains(part);
            let told = error.trim_end();
            (!is_there).then(|| format!("the error has no `{part}`:\n{told}"))
        }
        (Expected::Error(part), Ok(got)) => {
            Some(format!("it should have failed with `{}`, but answered\n{got:#}", part.trim()))
        }
        (Expected::Nothing, _) => {
            Some("nothing says what is expected: --update writes it".to_owned())
        }
        (Expected::Both, _) => Some("both an answer and an error are expected".to_owned()),
    }
}

/// Returns how two values differ, as lines. Numbers are compared by what they mean: `1` is `1.0`.
fn difference(wanted: &Value, got: &Value) -> Option<String> {
    let (wanted, got) = (plain(wanted), plain(got));
    if wanted == got {
        return None;
    }
    let (wanted, got) = (format!("{wanted:#}\n"), format!("{got:#}\n"));
    let diff = TextDiff::from_lines(&wanted, &got);
    let diff = diff.unified_diff().context_radius(3).header("expected", "answered").to_string();
    Some(diff.trim_end().to_owned())
}

/// Writes whole numbers without a fraction.
fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(plain_number(number)),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), plain(value))).collect()
        }
        other => other.clone(),
    }
}

fn plain_number(number: &Number) -> Number {
    // Jsonnet knows nothing but floats, so that larger integers are not told apart.
    let Some(float) = number.as_f64() else { return number.clone() };
    let whole = format!("{float:.0}").parse::<i64>().ok();
    match whole.filter(|_| float.fract() == 0.0) {
        Some(whole) => whole.into(),
        None => Number::from_f64(float).unwrap_or_else(|| number.clone()),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_count_by_what_they_mean_and_lists_by_their_order() {
        let answer = |text: &str| Expected::Answer(text.to_owned());
        assert_eq!(
            judge(&answer(r#"{"a": 1.0, "b": [1, 2]}"#), &Ok(json!({"b": [1, 2.0], "a": 1}))),
            None
        );
        assert_snapshot!(judge(&answer("[1, 2]"), &Ok(json!([2, 1]))).unwrap(), @r"
        --- expected
        +++ answered
        @@ -1,4 +1,4 @@
         [
        -  1,
        -  2
        +  2,
        +  1
         ]
        ");
    }

    #[test]
    fn an_error_is_known_by_a_part_of_it() {
        let error = Expected::Error("Field does not exist\n".to_owned());
        let failed = |text: &str| Err(text.to_owned());
        assert_eq!(judge(&error, &failed("RUNTIME ERROR: Field does not exist: a\n\tx")), None);
        assert_snapshot!(judge(&error, &failed("RUNTIME ERROR: boom\n")).unwrap(), @r"
        the error has no `Field does not exist`:
        RUNTIME ERROR: boom
        ");
        assert_snapshot!(judge(&error, &Ok(json!({"a": 1}))).unwrap(), @r#"
        it should have failed with `Field does not exist`, but answered
        {
          "a": 1
        }
        "#);
        assert!(judge(&Expected::Error("\n".to_owned()), &failed("boom")).is_some());
    }
}
