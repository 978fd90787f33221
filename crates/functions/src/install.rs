//! Pure: the commands that install what programs need, and that compile them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{content, handler::Handler, runtimes::Language};

/// Where npm looks for packages unless a function says otherwise.
const NPM_REGISTRY: &str = "https://registry.npmjs.org";
/// How many of the last lines that a command printed are told when it fails.
const LAST_LINES: usize = 40;
/// What a Go program's own module is called unless it has a file that says so.
const GO_MODULE: &str = "function";
/// The module that Go functions import their types from.
const GO_TYPES: &str = "github.com/kubeless/kubeless";
/// Where that module is put, below the program.
pub(crate) const GO_TYPES_DIR: &str = ".windlass/kubeless";
/// The directory of the package that serves a Go program, below the program.
///
/// Go takes no directory that begins with a dot for a package.
pub(crate) const GO_SERVER_DIR: &str = "windlass_serve";
/// Where a compiled program lies, below its sources.
pub(crate) const COMPILED: &str = ".windlass/function";

/// The variables that say where packages come from, by how their names begin.
const REGISTRIES: [&str; 6] = ["PIP_", "UV_", "NPM_", "npm_config_", "GOPROXY", "GOPRIVATE"];

/// A command that is run to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Command {
    /// What is run.
    pub program: PathBuf,
    /// With which arguments.
    pub args: Vec<String>,
    /// With which variables, beside those it has anyway.
    pub env: BTreeMap<String, String>,
    /// Where; nothing means in the directory of the program.
    pub dir: Option<PathBuf>,
}

/// What installs packages on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Installer {
    /// uv.
    Uv(PathBuf),
    /// The interpreter's own pip.
    Pip,
    /// npm.
    Npm(PathBuf),
}

/// What is installed for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dependencies<'a> {
    /// The language.
    pub language: Language,
    /// Its version.
    pub version: &'a str,
    /// The system and the architecture: packages are built for them.
    pub machine: (&'a str, &'a str),
    /// The text that names them.
    pub text: &'a str,
    /// The exact versions that came with it, if any.
    pub lock: Option<&'a str>,
    /// The variables of the function.
    pub env: &'a BTreeMap<String, String>,
}

impl Dependencies<'_> {
    /// Returns the name under which others find the same.
    pub(crate) fn key(&self) -> String {
        content::hash(&[
            self.language.facts().id,
            self.version,
            self.machine.0,
            self.machine.1,
            self.text,
            self.lock.unwrap_or_default(),
            &registries(self.env),
        ])
    }

    /// Returns the command that installs what `file` names into `target`.
    pub(crate) fn command(
        &self,
        installer: &Installer,
        interpreter: &Path,
        (file, target): (&Path, &Path),
    ) -> Command {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let (file, prefix) = (text(file), text(target));
        let words =
            |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        match installer {
            Installer::Uv(uv) => Command {
                program: uv.clone(),
                args: words(&[
                    "pip",
                    "install",
                    "--python",
                    &text(interpreter),
                    "--prefix",
                    &prefix,
                    "-r",
                    &file,
                ]),
                ..Command::default()
            },
            // What the interpreter has of its own may be older, and must not be removed.
            Installer::Pip => Command {
                program: interpreter.to_owned(),
                args: words(&[
                    "-m",
                    "pip",
                    "install",
                    "--disable-pip-version-check",
                    "--no-warn-script-location",
                    "--ignore-installed",
                    "--prefix",
                    &prefix,
                    "-r",
                    &file,
                ]),
                // It runs beside the program, whose files may be called like modules of pip.
                env: [("PYTHONSAFEPATH".to_owned(), "1".to_owned())].into(),
                ..Command::default()
            },
            Installer::Npm(npm) => {
                let mut args = words(&["install", "--omit=dev", "--no-audit", "--no-fund"]);
                args.extend(npm_flags(self.env));
                args.extend(words(&["--prefix", &prefix]));
                // Versions that know no `--omit` go by the variable.
                let env = [("NODE_ENV".to_owned(), "production".to_owned())].into();
                Command { program: npm.clone(), args, env, dir: Some(target.to_owned()) }
            }
        }
    }
}

/// Returns what variables say about where packages come from.
pub(crate) fn registries(env: &BTreeMap<String, String>) -> String {
    let all = env.iter().filter(|(name, _)| is_about_registries(name));
    let lines: Vec<_> = all.map(|(name, value)| format!("{name}={value}")).collect();
    lines.join("\n")
}

/// Returns whether a variable says where packages come from.
pub(crate) fn is_about_registries(name: &str) -> bool {
    REGISTRIES.iter().any(|known| name.starts_with(known))
}

/// Returns npm's flags for the variables that Kubeless knew.
fn npm_flags(env: &BTreeMap<String, String>) -> Vec<String> {
    let text = |name: &str| env.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
    let registry = text("NPM_REGISTRY").unwrap_or(NPM_REGISTRY);
    let mut flags = vec![match text("NPM_SCOPE") {
        Some(scope) => format!("--{scope}:registry={registry}"),
        None => format!("--registry={registry}"),
    }];
    for pair in text("NPM_CONFIG_EXTRA").unwrap_or_default().split_whitespace() {
        // The name of a setting may have a colon of its own: `//host/:_authToken=x`.
        let parted = pair.split_once('=').or_else(|| pair.split_once(':'));
        flags.extend(parted.map(|(name, value)| format!("--{name}={value}")));
    }
    flags
}

/// Returns the file that says what a Go program's module is, if it has to be written.
pub(crate) fn go_module(existing: Option<&str>, version: &str) -> Option<String> {
    // One without a version is held to be older than the language's generics.
    let is_empty = existing.is_none_or(|text| text.trim().is_empty());
    is_empty.then(|| format!("module {GO_MODULE}\n\ngo {version}\n"))
}

/// Returns the name of the module that a file says.
fn module_name(file: &str) -> &str {
    let lines = file.lines().filter_map(|line| line.trim().strip_prefix("module "));
    let mut names =
        lines.map(|rest| rest.split("//").next().unwrap_or_default().trim().trim_matches('"'));
    names.find(|name| !name.is_empty()).unwrap_or(GO_MODULE)
}

/// Returns the Go file that names the function which is served; nothing if it cannot be a function's name.
pub(crate) fn go_handler(file: &str, handler: &Handler) -> Option<String> {
    let Handler { module, function } = handler;
    let mut letters = function.chars();
    let is_name = letters.next().is_some_and(|first| first.is_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_alphanumeric() || letter == '_');
    let package = match module.rsplit_once('/') {
        Some((dir, _)) => format!("{}/{}", module_name(file), dir.trim_start_matches("./")),
        None => module_name(file).to_owned(),
    };
    let is_path = !package.contains(['"', '\\', '\n', '\r']);
    (is_name && is_path).then(|| {
        format!(
            "package main\n\nimport (\n\t\"{GO_TYPES}/pkg/functions\"\n\n\tkubeless \"{package}\"\n)\n\n\
             var handler func(functions.Event, functions.Context) (string, error) = kubeless.{function}\n"
        )
    })
}

/// Returns the commands that compile a Go program; caches are below `cache`.
pub(crate) fn go_commands(
    go: &Path,
    has_module: bool,
    env: &BTreeMap<String, String>,
    cache: &Path,
) -> [Command; 2] {
    let mut own = BTreeMap::from([
        ("CGO_ENABLED", "0".to_owned()),
        // What is needed beyond the file is found and noted, as the programs of Kubeless expect. The repository that
        // this may lie in is none of the program's business.
        ("GOFLAGS", "-mod=mod -buildvcs=false".to_owned()),
        ("GOTOOLCHAIN", "local".to_owned()),
        ("GOWORK", "off".to_owned()),
        ("GOCACHE", cache.join("go-build").to_string_lossy().into_owned()),
        ("GOMODCACHE", cache.join("go-mod").to_string_lossy().into_owned()),
    ]);
    if !has_module {
        own.insert("GOPROXY", "off".to_owned());
    }
    let mut env: BTreeMap<_, _> = env
        .iter()
        .filter(|(name, _)| name.starts_with("GO"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    for (name, value) in own {
        let is_fixed = ["GOFLAGS", "GOTOOLCHAIN", "GOWORK"].contains(&name);
        if is_fixed {
            env.insert(name.to_owned(), value);
        } else {
            env.entry(name.to_owned()).or_insert(value);
        }
    }
    let command = |args: &[&str]| Command {
        program: go.to_owned(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: env.clone(),
        dir: None,
    };
    let (require, replace) =
        (format!("-require={GO_TYPES}@v0.0.0"), format!("-replace={GO_TYPES}=./{GO_TYPES_DIR}"));
    [
        command(&["mod", "edit", &require, &replace]),
        command(&["build", "-o", COMPILED, &format!("./{GO_SERVER_DIR}")]),
    ]
}

/// Returns the last lines of what a command printed.
pub(crate) fn last_lines(output: &str) -> String {
    let lines: Vec<_> = output.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let first = lines.len().saturating_sub(LAST_LINES);
    lines.get(first..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn python<'a>(text: &'a str, env: &'a BTreeMap<String, String>) -> Dependencies<'a> {
        let (language, version, machine) = (Language::Python, "3.11", ("linux", "x86_64"));
        Dependencies { language, version, machine, text, lock: None, env }
    }

    #[test]
    fn what_decides_about_packages_is_in_their_key() {
        let (plain, other) = (env(&[("A", "b")]), env(&[("PIP_INDEX_URL", "http://h")]));
        let first = python("x==1", &plain);
        assert_eq!(python("x==1", &env(&[("A", "c")])).key(), first.key());
        assert_ne!(python("x==2", &plain).key(), first.key());
        assert_ne!(python("x==1", &other).key(), first.key());
        assert_ne!(Dependencies { version: "3.12", ..first.clone() }.key(), first.key());
        assert_ne!(
            Dependencies { machine: ("linux", "aarch64"), ..first.clone() }.key(),
            first.key()
        );
        assert_ne!(Dependencies { language: Language::Nodejs, ..first.clone() }.key(), first.key());
        assert_ne!(Dependencies { lock: Some("{}"), ..first.clone() }.key(), first.key());
    }

    #[test]
    fn packages_of_python_have_a_prefix() {
        let env = env(&[]);
        let paths = (Path::new("/f/requirements.txt"), Path::new("/cache/x"));
        let command = |installer| {
            let command = python("", &env).command(&installer, Path::new("/bin/python3"), paths);
            format!("{} {}", command.program.display(), command.args.join(" "))
        };
        assert_eq!(
            command(Installer::Uv("/bin/uv".into())),
            "/bin/uv pip install --python /bin/python3 --prefix /cache/x -r /f/requirements.txt"
        );
        assert!(command(Installer::Pip).starts_with("/bin/python3 -m pip install "));
        assert!(command(Installer::Pip).ends_with(" --prefix /cache/x -r /f/requirements.txt"));
    }

    #[test]
    fn npm_is_told_its_registry_as_kubeless_told_it() {
        for (pairs, expected) in [
            (&[][..], "--registry=https://registry.npmjs.org"),
            (&[("NPM_REGISTRY", "http://h")], "--registry=http://h"),
            (&[("NPM_REGISTRY", "http://h"), ("NPM_SCOPE", "@a")], "--@a:registry=http://h"),
            (
                &[
                    ("NPM_REGISTRY", "http://h"),
                    ("NPM_CONFIG_EXTRA", "strict-ssl:false //h/:_authToken=x"),
                ],
                "--registry=http://h --strict-ssl=false --//h/:_authToken=x",
            ),
        ] {
            assert_eq!(npm_flags(&env(pairs)).join(" "), expected);
        }
    }

    #[test]
    fn a_go_program_without_a_module_gets_one() {
        assert_eq!(go_module(Some(" \n"), "1.26").unwrap(), "module function\n\ngo 1.26\n");
        assert_eq!(go_module(Some("module x"), "1.26"), None);
        for (file, expected) in [
            ("module function\n", "function"),
            ("// x\nmodule \"a.b/c\" // d\n", "a.b/c"),
            ("", "function"),
        ] {
            assert_eq!(module_name(file), expected);
        }
    }

    #[test]
    fn the_package_of_a_handler_is_that_of_its_directory() {
        let file = |handler: &str| go_handler("module m\n", &Handler::parse(handler).unwrap());
        assert!(file("hello.Hello").unwrap().contains("kubeless \"m\"\n"));
        assert!(file("hello.Hello").unwrap().ends_with(" = kubeless.Hello\n"));
        assert!(file("a/b/hello.Hello").unwrap().contains("kubeless \"m/a/b\"\n"));
        assert_eq!(file("hello.Hello()"), None);
        let hello = Handler::parse("hello.Hello").unwrap();
        assert_eq!(go_handler("module m\"n\n", &hello), None);
    }

    #[test]
    fn a_program_without_a_module_is_built_without_a_network() {
        let go = Path::new("/bin/go");
        let env = env(&[("GOPROXY", "http://h"), ("GOFLAGS", "-race"), ("A", "b")]);
        let none = BTreeMap::new();
        let proxy = |has_module| {
            go_commands(go, has_module, &none, Path::new("/c"))[1].env.get("GOPROXY").cloned()
        };
        assert_eq!(proxy(false).as_deref(), Some("off"));
        assert_eq!(proxy(true), None);
        let command = &go_commands(go, true, &env, Path::new("/c"))[1];
        assert_eq!(command.env["GOPROXY"], "http://h");
        assert!(command.env["GOFLAGS"].starts_with("-mod=mod "));
        assert_eq!(command.env["GOCACHE"], "/c/go-build");
        assert!(!command.env.contains_key("A"));
    }

    #[test]
    fn only_the_last_lines_are_told() {
        let many: Vec<_> = (0..60).map(|line| format!("line {line}  \n\n")).collect();
        let told = last_lines(&many.concat());
        assert_eq!(told.lines().count(), 40);
        assert!(told.starts_with("line 20\n") && told.ends_with("line 59"), "{told}");
    }
}
