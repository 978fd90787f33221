//! Pure: which runtimes a deployed function may ask for.

use functions::Interpreter;
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use crate::views::table::aligned;

/// A runtime of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Local {
    /// Its name.
    pub runtime: String,
    /// What runs it.
    pub interpreter: String,
}

/// The name of a runtime that nobody runs.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("Invalid runtime: {runtime}. Supported runtimes are: {}", supported.join(", "))]
pub struct RuntimeError {
    runtime: String,
    supported: Vec<String>,
}

/// Returns the runtimes that there are: those that windlass has, and those that `runtime-images` of the
/// configuration adds.
pub fn supported(images: Option<&str>) -> Vec<String> {
    let mut all = functions::built_in_runtimes();
    for document in images.and_then(|text| k8s::yaml::documents(text).ok()).into_iter().flatten() {
        for runtime in document.value.as_array().into_iter().flatten() {
            let Some(id) = field(runtime, "ID").and_then(Value::as_str) else { continue };
            let versions = field(runtime, "versions").and_then(Value::as_array);
            let version = |it: &Value| Some(format!("{id}{}", field(it, "version")?.as_str()?));
            all.extend(versions.into_iter().flatten().filter_map(version));
        }
    }
    let mut known = std::collections::BTreeSet::new();
    all.retain(|runtime| known.insert(runtime.clone()));
    all
}

/// Returns the runtimes that a machine has, with what runs them.
pub fn of_machine(interpreters: &[Interpreter]) -> Vec<Local> {
    let local = |it: &Interpreter| Local {
        runtime: format!("{}{}", it.language.facts().id, it.version),
        interpreter: it.path.display().to_string(),
    };
    let mut all: Vec<_> = interpreters.iter().map(local).collect();
    all.sort_by(|one, other| one.runtime.cmp(&other.runtime));
    all
}

/// Returns runtimes as a table.
pub fn table(runtimes: &[Local]) -> String {
    let head = vec!["RUNTIME".to_owned(), "INTERPRETER".to_owned()];
    let rows = runtimes.iter().map(|it| vec![it.runtime.clone(), it.interpreter.clone()]);
    aligned(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

/// Checks a runtime. Its version does not matter: another one may do.
///
/// # Errors
///
/// [`RuntimeError`] if no version of it is known.
pub fn check(runtime: &str, supported: &[String]) -> Result<(), RuntimeError> {
    let id = id(runtime);
    if !id.is_empty() && supported.iter().any(|known| self::id(known) == id) {
        return Ok(());
    }
    Err(RuntimeError { runtime: runtime.to_owned(), supported: supported.to_vec() })
}

fn id(runtime: &str) -> &str {
    runtime.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.')
}

/// Returns a field whatever the case of its name, as Go reads JSON.
fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let fields = value.as_object()?;
    fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_version_of_a_known_runtime_will_do() {
        let supported = supported(None);
        for runtime in ["python2.7", "python", "nodejs6", "jsonnet", "go1.14"] {
            assert_eq!(check(runtime, &supported), Ok(()), "{runtime}");
        }
        for runtime in ["cobol", "pythonx3", "3.11", ""] {
            let error = check(runtime, &supported).unwrap_err().to_string();
            let start = format!("Invalid runtime: {runtime}. Supported runtimes are: python3.9, ");
            assert!(error.starts_with(&start), "{error}");
        }
    }

    #[test]
    fn a_machine_has_what_it_has() {
        let of = |language, version: &str, path: &str| Interpreter {
            language,
            version: functions::Version::parse(version).unwrap(),
            path: path.into(),
        };
        let found = [
            of(functions::Language::Python, "3.11", "/usr/bin/python3"),
            of(functions::Language::Jsonnet, "", "/usr/bin/windlass"),
        ];
        assert_eq!(
            table(&of_machine(&found)),
            "RUNTIME     INTERPRETER\njsonnet     /usr/bin/windlass\npython3.11  /usr/bin/python3\n"
        );
    }

    #[test]
    fn the_configuration_adds_runtimes() {
        let images = r#"[{"id": "ballerina", "versions": [{"name": "b", "version": "1.0"}]},
            {"ID": "python", "versions": [{"version": "3.11"}]}]"#;
        let supported = supported(Some(images));
        assert_eq!(check("ballerina0.9", &supported), Ok(()));
        assert_eq!(supported.iter().filter(|it| *it == "python3.11").count(), 1);
        assert_eq!(self::supported(Some("{")), self::supported(None));
    }
}
