//! Pure: what runs a Function, of all that could.

use crate::{
    function::Function,
    interpreters::Interpreter,
    runtimes::{Language, Policy, Resolved, Version, resolve},
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
        let why = if wanted.is_for_later() { "not supported yet" } else { "unknown" };
        return Err(Unfit::Unknown(format!("runtime `{text}` is {why}")));
    }
    let resolved = |versions: Vec<&Version>| {
        resolve(&wanted.version, &versions, policy).ok_or_else(|| {
            let why = match policy {
                Policy::Exact => "no other version is to be used instead",
                Policy::Nearest => "no version of it is",
            };
            Unfit::Unavailable(format!("runtime `{text}` is not there, and {why}"))
        })
    };
    match offered {
        Offered::Images => {
            let resolved = resolved(known.iter().map(|it| &it.version).collect())?;
            let runtime = known.into_iter().find(|it| it.version == resolved.version);
            let runtime = runtime.expect("a version was chosen among those of the table").clone();
            Ok(Choice::Runtime(Box::new(runtime), resolved))
        }
        Offered::Machine(found) => {
            let language = Language::of_id(&wanted.id).ok_or_else(|| {
                Unfit::Container(format!("`{text}` is an image, and nothing here runs it"))
            })?;
            let found = found.iter().filter(|it| it.language == language);
            let resolved = resolved(found.map(|it| &it.version).collect())?;
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
    use crate::table::table;

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
            (of("python3.12"), machine, Policy::Exact, "RuntimeUnavailable"),
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
    fn what_is_missing_is_told_in_words() {
        let table = table(&[], &BTreeMap::new());
        for (runtime, offered, policy, expected) in [
            ("cobol85", Offered::Images, Policy::Nearest, "`cobol85` is unknown"),
            ("ruby3.2", Offered::Images, Policy::Nearest, "`ruby3.2` is not supported yet"),
            ("js", Offered::Machine(&[]), Policy::Nearest, "`js` is not supported yet"),
            ("go1.26", Offered::Machine(&[]), Policy::Nearest, "and no version of it is"),
            ("go1.9", Offered::Images, Policy::Exact, "and no other version is to be used"),
        ] {
            let unfit = choose(&of(runtime), &table, offered, policy).unwrap_err();
            assert!(unfit.told().1.contains(expected), "{unfit:?}");
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
