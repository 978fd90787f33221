//! Pure: what runs a Function, of all that could.

use crate::{
    function::Function,
    interpreters::Interpreter,
    runtimes::{Language, Policy, Resolved, resolve},
    table::Runtime,
};

/// What there is to choose from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Offered<'a> {
    /// The images that a cluster can pull.
    Images,
    /// The interpreters of this machine, which runs no images.
    Machine(&'a [Interpreter]),
}

/// What runs a Function.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Choice {
    /// An image of its own.
    Image,
    /// A runtime.
    Runtime(Box<Runtime>, Resolved),
}

/// Why nothing can run a Function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// Nobody knows its runtime.
    Unknown(String),
    /// It is known, but not there.
    Unavailable(String),
    /// It takes what runs images.
    Container(String),
}

impl Unfit {
    /// Returns the reason and the message of the condition that tells it.
    pub(crate) fn told(&self) -> (&'static str, &str) {
        match self {
            Self::Unknown(message) => ("UnknownRuntime", message),
            Self::Unavailable(message) => ("RuntimeUnavailable", message),
            Self::Container(message) => ("ContainerRuntimeRequired", message),
        }
    }
}

/// Chooses what runs a Function.
///
/// # Errors
///
/// [`Unfit`] if nothing that there is can.
pub(crate) fn choose(
    function: &Function,
    table: &[Runtime],
    offered: Offered<'_>,
    policy: Policy,
) -> Result<Choice, Unfit> {
    let text = &function.texts.runtime;
    let policy = function.policy.unwrap_or(policy);
    let wanted = match (&function.runtime, function.image(), offered) {
        (_, Some(image), Offered::Machine(_)) => {
            return Err(Unfit::Container(format!("nothing here runs image `{image}`")));
        }
        (_, Some(_), Offered::Images) => return Ok(Choice::Image),
        (None, None, _) => return Err(Unfit::Unknown("there is no runtime".to_owned())),
        (Some(wanted), None, _) => wanted,
    };
    let known: Vec<_> = table.iter().filter(|runtime| runtime.id == wanted.id).collect();
    if known.is_empty() {
        return Err(Unfit::Unknown(format!("runtime `{text}` is unknown")));
    }
    let missing =
        || format!("runtime `{text}` is not there, and no other version is to be used instead");
    match offered {
        Offered::Images => {
            let versions: Vec<_> = known.iter().map(|runtime| runtime.version.clone()).collect();
            let resolved = resolve(&wanted.version, &versions, policy)
                .ok_or_else(|| Unfit::Unavailable(missing()))?;
            let runtime = known.into_iter().find(|runtime| runtime.version == resolved.version);
            let runtime = runtime.ok_or_else(|| Unfit::Unavailable(missing()))?;
            Ok(Choice::Runtime(Box::new(runtime.clone()), resolved))
        }
        Offered::Machine(found) => {
            let language = Language::of_id(&wanted.id);
            let language = language.ok_or_else(|| {
                Unfit::Container(format!("`{text}` is an image, and nothing here runs it"))
            })?;
            let found = found.iter().filter(|interpreter| interpreter.language == language);
            let versions: Vec<_> = found.map(|interpreter| interpreter.version.clone()).collect();
            let resolved = resolve(&wanted.version, &versions, policy)
                .ok_or_else(|| Unfit::Unavailable(missing()))?;
            let runtime = Runtime::built_in(language, &resolved.version);
            Ok(Choice::Runtime(Box::new(runtime), resolved))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s::Object;
    use serde_json::{Value, json};

    use super::*;
    use crate::{runtimes::Version, table::table};

    fn function(spec: &Value) -> Function {
        let object = json!({"apiVersion": "kubeless.io/v1beta1", "kind": "Function",
            "metadata": {"name": "f", "namespace": "ops"}, "spec": spec});
        Function::check(&Object::from_value(&object).unwrap()).unwrap()
    }

    fn of(runtime: &str) -> Function {
        function(&json!({"runtime": runtime, "handler": "a.b", "function": "x"}))
    }

    fn image() -> Function {
        function(
            &json!({"deployment": {"spec": {"template": {"spec": {"containers": [{"image": "i"}]}}}}}),
        )
    }

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn every_function_gets_what_there_is_or_a_reason() {
        let mut own = Runtime::built_in(Language::Python, &version("1.2"));
        (own.id, own.language) = ("ballerina".to_owned(), None);
        let table = table(&[own], &BTreeMap::new());
        let found = [Interpreter {
            language: Language::Python,
            version: version("3.11"),
            path: "/usr/bin/python3".into(),
        }];
        let machine = Offered::Machine(&found);
        for (function, offered, policy, expected) in [
            (of("python3.11"), Offered::Images, Policy::Nearest, "python3.11"),
            (of("python2.7"), Offered::Images, Policy::Nearest, "python3.9!"),
            (of("python2.7"), Offered::Images, Policy::Exact, "RuntimeUnavailable"),
            (of("ballerina1.2"), Offered::Images, Policy::Exact, "ballerina1.2"),
            (of("jsonnet"), Offered::Images, Policy::Exact, "jsonnet"),
            (of("cobol85"), Offered::Images, Policy::Nearest, "UnknownRuntime"),
            (image(), Offered::Images, Policy::Nearest, "image"),
            (of("python3.9"), machine, Policy::Nearest, "python3.11!"),
            (of("nodejs20"), machine, Policy::Nearest, "RuntimeUnavailable"),
            (of("ballerina1.2"), machine, Policy::Nearest, "ContainerRuntimeRequired"),
            (of("cobol85"), machine, Policy::Nearest, "UnknownRuntime"),
            (image(), machine, Policy::Nearest, "ContainerRuntimeRequired"),
        ] {
            let told = match choose(&function, &table, offered, policy) {
                Ok(Choice::Image) => "image".to_owned(),
                Ok(Choice::Runtime(runtime, resolved)) => {
                    format!("{}{}", runtime.name(), if resolved.is_substitute { "!" } else { "" })
                }
                Err(unfit) => unfit.told().0.to_owned(),
            };
            assert_eq!(told, expected, "{}", function.texts.runtime);
        }
    }

    #[test]
    fn a_function_may_ask_for_the_exact_version_itself() {
        let mut function = of("python2.7");
        function.policy = Some(Policy::Exact);
        let chosen =
            choose(&function, &table(&[], &BTreeMap::new()), Offered::Images, Policy::Nearest);
        assert!(matches!(chosen, Err(Unfit::Unavailable(_))), "{chosen:?}");
    }
}
