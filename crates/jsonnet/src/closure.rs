//! Reads a program and everything it imports from disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use crate::{
    bundle::{Binding, Bound, Bundle, File, Import, Target, Variable, VariableValue},
    failure::LoadError,
    resolve::{self, Location},
    scan::{self, ImportKind},
};

/// What all programs of a runtime have in common.
#[derive(Clone, Debug)]
pub struct ProgramOptions {
    /// What relative paths are relative to.
    pub working_dir: PathBuf,
    /// Where imports are looked for, best first.
    pub jpath: Vec<PathBuf>,
    /// The external variables.
    pub ext_vars: Vec<Variable>,
    /// The extra top-level arguments.
    pub tlas: Vec<Variable>,
    /// How deeply calls may be nested.
    pub max_stack: usize,
}

impl Default for ProgramOptions {
    fn default() -> Self {
        Self {
            working_dir: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            jpath: Vec::new(),
            ext_vars: Vec::new(),
            tlas: Vec::new(),
            max_stack: 10_000,
        }
    }
}

/// A program that is in no file: its text and those it may import, and its own variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenProgram {
    /// The name of the text that is the program.
    pub main: String,
    /// The texts by name.
    pub texts: BTreeMap<String, String>,
    /// The external variables.
    pub ext_vars: Vec<Variable>,
    /// The extra top-level arguments.
    pub tlas: Vec<Variable>,
}

/// The library that comes with the product.
const LIBRARY: [(&str, &str); 1] =
    [("kubecfg.libsonnet", include_str!("interpreter/kubecfg.libsonnet"))];

/// Reads the program `main`, its imports and those of the variables.
///
/// Imports that lead nowhere are no error: they may stand where nothing evaluates them.
pub(crate) fn read(
    main: &Path,
    options: &ProgramOptions,
) -> (BTreeSet<PathBuf>, Result<Bundle, LoadError>) {
    let mut reader = Reader::new(options);
    let bundle = reader.read(main);
    (reader.seen, bundle)
}

/// Reads a program that is in no file. Nothing is read from this machine, whatever the texts import.
pub(crate) fn read_given(
    program: &GivenProgram,
    options: &ProgramOptions,
) -> Result<Bundle, LoadError> {
    let options = ProgramOptions {
        ext_vars: program.ext_vars.clone(),
        tlas: program.tlas.clone(),
        jpath: Vec::new(),
        ..options.clone()
    };
    let mut reader = Reader::new(&options);
    reader.texts = Some(&program.texts);
    let place = Location::Given(program.main.clone());
    let missing = |_| LoadError::Read {
        path: program.main.clone(),
        reason: "no such text in the program".to_owned(),
    };
    let content = reader.open(&place).map_err(missing)?;
    let main = reader.add(place, content);
    reader.finish(main)
}

/// Reads a program of whose directory nothing leads outside, and which picks its value out of a file there.
pub(crate) fn read_within(dir: &Path, picked: &str) -> io::Result<Bundle> {
    let dir = dir.canonicalize()?;
    let options = ProgramOptions { working_dir: dir.clone(), ..ProgramOptions::default() };
    let mut reader = Reader::new(&options);
    let name = "<handler>".to_owned();
    let place = Location::Local(dir.join(&name));
    let main = reader.add_named(place, name, Bytes::from(picked.to_owned()));
    reader.root = Some(dir);
    reader.finish(main).map_err(io::Error::other)
}

struct Reader<'a> {
    options: &'a ProgramOptions,
    bundle: Bundle,
    /// Where each file of the bundle is.
    places: Vec<Location>,
    known: BTreeMap<Location, usize>,
    /// Files that are evaluated and whose own imports are still to be read.
    pending: Vec<usize>,
    seen: BTreeSet<PathBuf>,
    /// The texts of a program that is in no file.
    texts: Option<&'a BTreeMap<String, String>>,
    /// The directory outside of which nothing is read, if there is one.
    root: Option<PathBuf>,
}

impl<'a> Reader<'a> {
    fn new(options: &'a ProgramOptions) -> Self {
        let bundle = Bundle { max_stack: options.max_stack, ..Bundle::default() };
        Self {
            options,
            bundle,
            places: Vec::new(),
            known: BTreeMap::new(),
            pending: Vec::new(),
            seen: BTreeSet::new(),
            texts: None,
            root: None,
        }
    }

    fn read(&mut self, main: &Path) -> Result<Bundle, LoadError> {
        let main = self.open_named(main)?;
        self.finish(main)
    }

    /// Reads what the main program and the variables import.
    fn finish(&mut self, main: usize) -> Result<Bundle, LoadError> {
        self.evaluate(main);
        self.bundle.ext_vars = self.bind(&self.options.ext_vars, "ext-code")?;
        self.bundle.tlas = self.bind(&self.options.tlas, "tla-code")?;
        while let Some(file) = self.pending.pop() {
            self.follow(file);
        }
        Ok(std::mem::take(&mut self.bundle))
    }

    /// Reads a file that the user names.
    fn open_named(&mut self, file: &Path) -> Result<usize, LoadError> {
        let path = resolve::join(&self.options.working_dir, &file.to_string_lossy());
        let place = Location::Local(path);
        let content = self.open(&place).map_err(|error| unreadable(file, &error))?;
        Ok(self.add(place, content))
    }

    fn bind(&mut self, variables: &[Variable], flag: &str) -> Result<Vec<Binding>, LoadError> {
        let bindings = variables.iter().map(|variable| {
            let value = self.bound(variable, flag)?;
            Ok(Binding { name: variable.name.clone(), value })
        });
        bindings.collect()
    }

    fn bound(&mut self, variable: &Variable, flag: &str) -> Result<Bound, LoadError> {
        match &variable.value {
            VariableValue::Text(text) => Ok(Bound::Text(text.clone())),
            VariableValue::Code(code) => {
                let name = format!("<{flag} {}>", variable.name);
                // Its imports are relative to the working directory, where no such file is.
                let place = match self.texts {
                    None => Location::Local(self.options.working_dir.join(&name)),
                    Some(_) => Location::Given(name.clone()),
                };
                let file = self.add_named(place, name, Bytes::from(code.clone()));
                self.evaluate(file);
                Ok(Bound::Code(file))
            }
            VariableValue::TextFile(file) => {
                let path = self.options.working_dir.join(file);
                self.seen.insert(path.clone());
                let text = std::fs::read_to_string(path);
                text.map(Bound::Text).map_err(|error| unreadable(file, &error))
            }
            VariableValue::CodeFile(file) => {
                let file = self.open_named(file)?;
                self.evaluate(file);
                Ok(Bound::Code(file))
            }
        }
    }

    /// Reads the imports of one file.
    fn follow(&mut self, file: usize) {
        let (Some(from), Some(source)) = (self.places.get(file), self.bundle.files.get(file))
        else {
            return;
        };
        let (from, content) = (from.clone(), source.content.clone());
        let mut done = BTreeSet::new();
        for found in scan::imports(&content) {
            let target = self.import(&from, &found.path);
            if let (Target::File(target), ImportKind::Code) = (&target, found.kind) {
                self.evaluate(*target);
            }
            if done.insert(found.path.clone()) {
                self.bundle.imports.push(Import { from: file, path: found.path, target });
            }
        }
    }

    fn import(&mut self, from: &Location, path: &str) -> Target {
        let places = match resolve::candidates(from, path, &self.options.jpath) {
            Ok(places) => places,
            Err(message) => return Target::Failed(message),
        };
        for place in &places {
            if let Some(file) = self.known.get(place) {
                return Target::File(*file);
            }
            match self.open(place) {
                Ok(content) => return Target::File(self.add(place.clone(), content)),
                Err(error) if is_absent(&error) => (),
                Err(error) => {
                    return Target::Failed(format!(
                        "Couldn't open import \"{path}\": cannot read {}: {error}",
                        place.url()
                    ));
                }
            }
        }
        Target::Failed(resolve::not_found(path, &places))
    }

    fn open(&mut self, place: &Location) -> io::Result<Bytes> {
        match place {
            Location::Local(path) => {
                self.seen.insert(path.clone());
                if let Some(root) = &self.root
                    && !path.canonicalize()?.starts_with(root)
                {
                    return Err(io::Error::other("it lies outside of the function"));
                }
                std::fs::read(path).map(Bytes::from)
            }
            Location::Given(name) => {
                let text = self.texts.and_then(|texts| texts.get(name));
                text.map(|text| Bytes::from(text.clone())).ok_or(io::ErrorKind::NotFound.into())
            }
            Location::Internal(name) => LIBRARY
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, text)| Bytes::from_static(text.as_bytes()))
                .ok_or_else(|| io::ErrorKind::NotFound.into()),
        }
    }

    fn add(&mut self, place: Location, content: Bytes) -> usize {
        let name = match &place {
            Location::Local(path) => {
                path.strip_prefix(&self.options.working_dir).unwrap_or(path).display().to_string()
            }
            Location::Given(name) => name.clone(),
            Location::Internal(_) => place.url(),
        };
        self.add_named(place, name, content)
    }

    fn add_named(&mut self, place: Location, name: String, content: Bytes) -> usize {
        let index = self.bundle.files.len();
        self.bundle.files.push(File::new(name, place.url(), content));
        self.known.insert(place.clone(), index);
        self.places.push(place);
        index
    }

    /// Notes that a file is evaluated, so that its imports are read, once.
    fn evaluate(&mut self, file: usize) {
        if let Some(source) = self.bundle.files.get_mut(file).filter(|source| !source.code) {
            source.code = true;
            self.pending.push(file);
        }
    }
}

fn unreadable(file: &Path, error: &io::Error) -> LoadError {
    LoadError::Read { path: file.display().to_string(), reason: error.to_string() }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_in(files: &[(&str, &str)], jpath: &[&str]) -> (BTreeSet<PathBuf>, Bundle) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let options = ProgramOptions {
            working_dir: dir.path().to_owned(),
            jpath: jpath.iter().map(|name| dir.path().join(name)).collect(),
            ..ProgramOptions::default()
        };
        let (seen, bundle) = read(Path::new("main.jsonnet"), &options);
        (seen, bundle.unwrap())
    }

    fn names(bundle: &Bundle) -> Vec<&str> {
        bundle.files.iter().map(|file| file.name.as_str()).collect()
    }

    #[test]
    fn imports_are_followed_and_cycles_end() {
        let (_, bundle) = read_in(
            &[
                ("main.jsonnet", "import 'lib/a.libsonnet'"),
                ("lib/a.libsonnet", "[import 'b', importstr '../data']"),
                ("lib/b", "import '../main.jsonnet'"),
                ("data", "import 'not code'"),
            ],
            &[],
        );
        assert_eq!(names(&bundle), ["main.jsonnet", "lib/a.libsonnet", "lib/b", "data"]);
        assert_eq!(bundle.failed_imports().count(), 0);
    }

    /// Sabotage: the directories tried from right to left.
    #[test]
    fn acceptance_15_the_left_most_directory_wins_but_beside_the_importer_comes_first() {
        let mut files = vec![("main.jsonnet", "import 'x'"), ("b/x", "2"), ("a/x", "1")];
        assert_eq!(names(&read_in(&files, &["a", "b"]).1), ["main.jsonnet", "a/x"]);
        files.push(("x", "0"));
        assert_eq!(names(&read_in(&files, &["a", "b"]).1), ["main.jsonnet", "x"]);
    }

    #[test]
    fn what_is_missing_says_where_it_was_looked_for() {
        let (seen, bundle) = read_in(&[("main.jsonnet", "import 'x'")], &["a"]);
        let message = bundle.failed_imports().next().unwrap();
        assert!(message.starts_with("Couldn't open import \"x\", no match locally"), "{message}");
        assert!(message.ends_with("/a/x;internal:///x"), "{message}");
        assert_eq!(seen.len(), 3);
    }

    /// Breaks when `candidates` leads from given texts to files.
    #[test]
    fn acceptance_27_given_texts_lead_nowhere_else() {
        let texts = [("main", "import '/etc/hostname'"), ("other", "1")];
        for (import, found) in [
            ("other", true),
            ("kubecfg.libsonnet", true),
            ("/etc/hostname", false),
            ("../etc/hostname", false),
            ("file:///etc/hostname", false),
            ("https://169.254.169.254/", false),
        ] {
            let text = |name: &str, text: &str| (name.to_owned(), text.to_owned());
            let mut given: BTreeMap<_, _> =
                texts.iter().map(|(name, content)| text(name, content)).collect();
            given.extend([text("main", &format!("import '{import}'"))]);
            let main = "main".to_owned();
            let program = GivenProgram { main, texts: given, ..GivenProgram::default() };
            let bundle = read_given(&program, &ProgramOptions::default()).unwrap();
            assert_eq!(bundle.failed_imports().count() == 0, found, "{import}");
        }
    }

    #[test]
    fn what_is_read_within_a_directory_leads_nowhere_else() {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().join("f");
        std::fs::create_dir_all(dir.join("lib")).unwrap();
        for name in ["secret", "f/lib/a", "f/b"] {
            std::fs::write(outer.path().join(name), "1").unwrap();
        }
        std::os::unix::fs::symlink("../../secret", dir.join("lib/link")).unwrap();
        let secret = outer.path().join("secret").display().to_string();
        for (import, found) in [
            ("lib/a", true),
            ("./lib/../b", true),
            ("kubecfg.libsonnet", true),
            ("../secret", false),
            ("lib/link", false),
            (&secret, false),
            (&format!("file://{secret}"), false),
        ] {
            let bundle = read_within(&dir, &format!("import '{import}'")).unwrap();
            assert_eq!(bundle.failed_imports().count() == 0, found, "{import}");
        }
    }

    #[test]
    fn the_library_is_found_unless_shadowed() {
        let main = ("main.jsonnet", "import 'kubecfg.libsonnet'");
        let (_, bundle) = read_in(&[main], &[]);
        assert_eq!(names(&bundle), ["main.jsonnet", "internal:///kubecfg.libsonnet"]);
        let (_, bundle) = read_in(&[main, ("kubecfg.libsonnet", "{}")], &[]);
        assert_eq!(names(&bundle), ["main.jsonnet", "kubecfg.libsonnet"]);
    }
}
