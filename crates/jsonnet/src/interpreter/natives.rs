//! Pure: the functions behind `std.native`.

mod json;
mod regexp;

use serde_json::Value;

use crate::image;

/// The native functions and their parameters.
pub(super) const SIGNATURES: [(&str, &[&str]); 13] = [
    ("parseJson", &["json"]),
    ("parseYaml", &["yaml"]),
    ("manifestJson", &["value", "indent"]),
    ("manifestYaml", &["value"]),
    ("escapeStringRegex", &["str"]),
    ("regexMatch", &["regex", "string"]),
    ("regexSubst", &["regex", "src", "repl"]),
    ("resolveImage", &["image"]),
    ("validateJSONSchema", &["obj", "schema"]),
    ("parseHelmChart", &["chartData", "releaseName", "namespace", "values", "capabilities"]),
    ("jsonUnmarshal", &["jsonStr"]),
    ("windlass.parseYaml", &["str"]),
    ("parseInt", &["intStr", "base"]),
];

/// Calls the native function `name`; the error is the whole message of the runtime error.
pub(super) fn call(name: &str, args: &[Value]) -> Result<Value, String> {
    let arguments = Arguments { name, args };
    let result = match name {
        "parseJson" => parse_json(arguments.text(0)?),
        "parseYaml" => yaml_documents(arguments.text(0)?).map(Value::Array),
        "windlass.parseYaml" => parse_yaml(arguments.text(0)?),
        "manifestJson" => manifest_json(arguments),
        "manifestYaml" => Ok(k8s::yaml::to_string(arguments.get(0)).into()),
        "escapeStringRegex" => Ok(regexp::escape(arguments.text(0)?).into()),
        "regexMatch" => regexp::is_match(arguments.text(0)?, arguments.text(1)?).map(Value::from),
        "regexSubst" => {
            let (source, replacement) = (arguments.text(1)?, arguments.text(2)?);
            regexp::replace_all(arguments.text(0)?, source, replacement).map(Value::from)
        }
        "resolveImage" => image::canonical(arguments.text(0)?).map(Value::from),
        "jsonUnmarshal" => match parse_json(arguments.text(0)?)? {
            object @ Value::Object(_) => Ok(object),
            other => Err(format!("expected an object, got {}", type_name(&other))),
        },
        "parseInt" => parse_int(arguments.text(0)?, arguments.number(1)?),
        _ => Err("not supported yet".to_owned()),
    };
    result.map_err(|reason| format!("{name}: {reason}"))
}

/// The evaluated arguments of one call.
#[derive(Clone, Copy)]
struct Arguments<'a> {
    name: &'a str,
    args: &'a [Value],
}

impl<'a> Arguments<'a> {
    fn get(self, index: usize) -> &'a Value {
        self.args.get(index).unwrap_or(&Value::Null)
    }

    fn text(self, index: usize) -> Result<&'a str, String> {
        let value = self.get(index);
        value.as_str().ok_or_else(|| self.mismatch("string", value))
    }

    fn number(self, index: usize) -> Result<f64, String> {
        let value = self.get(index);
        value.as_f64().ok_or_else(|| self.mismatch("number", value))
    }

    fn mismatch(self, expected: &str, value: &Value) -> String {
        format!("{}: expected {expected}, got {}", self.name, type_name(value))
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn parse_json(text: &str) -> Result<Value, String> {
    k8s::json::parse(text.as_bytes()).map_err(|error| error.to_string())
}

fn yaml_documents(text: &str) -> Result<Vec<Value>, String> {
    let documents = k8s::yaml::documents(text).map_err(|error| error.to_string())?;
    Ok(documents.into_iter().map(|document| document.value).collect())
}

/// What `std.parseYaml` returns: an array for a stream, else the value of the one document.
fn parse_yaml(text: &str) -> Result<Value, String> {
    let documents = yaml_documents(text)?;
    if text.lines().any(|line| line.starts_with("---")) {
        return Ok(documents.into());
    }
    Ok(documents.into_iter().next().unwrap_or(Value::Null))
}

fn manifest_json(arguments: Arguments<'_>) -> Result<Value, String> {
    let indent = arguments.number(1)?;
    if !(0.0..=64.0).contains(&indent) || indent.fract() != 0.0 {
        return Err(format!("indent {indent} is not an integer from 0 to 64"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "just checked")]
    let indent = indent as usize;
    Ok(json::manifest(arguments.get(0), indent).into())
}

fn parse_int(text: &str, base: f64) -> Result<Value, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let prefixed = || {
        let lower = digits.to_ascii_lowercase();
        let prefix = |prefix: &str, base| Some((lower.strip_prefix(prefix)?.to_owned(), base));
        prefix("0x", 16)
            .or_else(|| prefix("0b", 2))
            .or_else(|| prefix("0o", 8))
            .or_else(|| prefix("0", 8).filter(|(digits, _)| !digits.is_empty()))
            .unwrap_or((lower, 10))
    };
    let (digits, base) = if base == 0.0 {
        prefixed()
    } else {
        let base = (2..=36_u32).find(|known| (f64::from(*known) - base).abs() < f64::EPSILON);
        (digits.to_owned(), base.ok_or("base must be 0 or from 2 to 36")?)
    };
    let invalid = || format!("\"{text}\" is not an integer of base {base}");
    if digits.starts_with(['+', '-']) {
        return Err(invalid());
    }
    let magnitude = i64::from_str_radix(&digits, base).map_err(|_| invalid())?;
    Ok(if text.starts_with('-') { -magnitude } else { magnitude }.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn integers_have_bases() {
        let parse = |text: &str, base: u32| call("parseInt", &[text.into(), base.into()]);
        assert_eq!(parse("-ff", 16), Ok(json!(-255)));
        assert_eq!(parse("0x1F", 0), Ok(json!(31)));
        assert_eq!(parse("017", 0), Ok(json!(15)));
        assert_eq!(parse("0", 0), Ok(json!(0)));
        assert!(parse("9", 8).is_err());
        assert!(parse("1", 99).is_err());
        assert!(parse("--1", 10).is_err());
    }

    #[test]
    fn yaml_is_read_as_go_reads_it() {
        let parse = |name, text: &str| call(name, &[text.into()]);
        assert_eq!(parse("parseYaml", "mode: 0644"), Ok(json!([{"mode": 420}])));
        assert_eq!(parse("parseYaml", ""), Ok(json!([])));
        assert_eq!(parse("windlass.parseYaml", "a: yes"), Ok(json!({"a": true})));
        assert_eq!(parse("windlass.parseYaml", "---\na: 1\n---\n2"), Ok(json!([{"a": 1}, 2])));
        let text = call("manifestYaml", &[json!({"a": "yes", "b": [1]})]);
        assert_eq!(text, Ok(json!("a: \"yes\"\nb:\n- 1\n")));
    }

    #[test]
    fn wrong_types_are_named() {
        let message = "parseJson: expected string, got number";
        assert_eq!(call("parseJson", &[json!(1)]), Err(message.to_owned()));
        let message = "jsonUnmarshal: expected an object, got array";
        assert_eq!(call("jsonUnmarshal", &[json!("[]")]), Err(message.to_owned()));
        let message = "validateJSONSchema: not supported yet";
        assert_eq!(call("validateJSONSchema", &[json!({}), json!({})]), Err(message.to_owned()));
    }
}
