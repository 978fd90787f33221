//! Finds and reads the files that hold manifests.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

use super::{Manifest, ManifestError, decode};

/// Loads the manifests of files and of directories, with the directories below.
///
/// In directories only `.yaml`, `.yml` and `.json` files count, sorted by name. Hidden files, READMEs and
/// Kustomizations are left out, and so is the directory `skip`.
pub fn load(paths: &[PathBuf], skip: Option<&Path>) -> (Vec<Manifest>, Vec<ManifestError>) {
    let mut loader = Loader::default();
    // Directories are known by their real path, so that links cannot lead in circles.
    loader.seen.extend(skip.and_then(|skip| skip.canonicalize().ok()));
    for path in paths {
        loader.path(path);
    }
    (loader.manifests, loader.errors)
}

#[derive(Default)]
struct Loader {
    manifests: Vec<Manifest>,
    errors: Vec<ManifestError>,
    seen: HashSet<PathBuf>,
}

impl Loader {
    fn path(&mut self, path: &Path) {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => self.directory(path),
            Ok(_) => self.file(path),
            Err(error) => self.fail(path, error),
        }
    }

    fn directory(&mut self, path: &Path) {
        let entries = path
            .canonicalize()
            .and_then(|real| if self.seen.insert(real) { entries(path) } else { Ok(Vec::new()) });
        match entries {
            Ok(entries) => {
                for entry in entries {
                    if entry.is_dir() {
                        self.directory(&entry);
                    } else if is_manifest(&entry) {
                        self.file(&entry);
                    }
                }
            }
            Err(error) => self.fail(path, error),
        }
    }

    fn file(&mut self, path: &Path) {
        if has_extension(path, &["jsonnet", "libsonnet"]) {
            return self.errors.push(ManifestError::Unsupported { path: path.to_owned() });
        }
        match fs::read_to_string(path) {
            Ok(text) => {
                let (manifests, errors) = decode(path, &text);
                self.manifests.extend(manifests);
                self.errors.extend(errors);
            }
            Err(error) => self.fail(path, error),
        }
    }

    fn fail(&mut self, path: &Path, error: io::Error) {
        let path = path.to_owned();
        self.errors.push(match error.kind() {
            io::ErrorKind::NotFound => ManifestError::Missing { path },
            _ => ManifestError::Read { path, source: error },
        });
    }
}

/// Returns what a directory holds, sorted by name, without what is hidden.
fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = fs::read_dir(directory)?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<io::Result<Vec<_>>>()?;
    names.retain(|name| !name.to_string_lossy().starts_with('.'));
    names.sort();
    Ok(names.into_iter().map(|name| directory.join(name)).collect())
}

fn is_manifest(path: &Path) -> bool {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    has_extension(path, &["yaml", "yml", "json"]) && stem != "readme" && stem != "kustomization"
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|own| extensions.iter().any(|each| own == *each))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes files, each with one object named as its path, and returns the names and errors loaded.
    fn loaded(files: &[&str], paths: &[&str], skip: Option<&str>) -> (Vec<String>, Vec<String>) {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let object = format!(
                "{{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {{\"name\": \"{file}\"}}}}"
            );
            fs::write(path, object).unwrap();
        }
        let paths: Vec<_> = paths.iter().map(|path| root.path().join(path)).collect();
        let skip = skip.map(|skip| root.path().join(skip));
        let (manifests, errors) = load(&paths, skip.as_deref());
        let errors = errors
            .iter()
            .map(|error| error.to_string().replace(&root.path().display().to_string(), "ROOT"));
        (manifests.into_iter().map(|manifest| manifest.key.name).collect(), errors.collect())
    }

    #[test]
    fn directories_are_walked_in_order() {
        let files = [
            "b.yml",
            "a.json",
            "a/z.yaml",
            "a/hooks/in.yaml",
            "hooks/out.yaml",
            ".hidden.yaml",
            ".git/x.yaml",
            "README.yaml",
            "kustomization.yaml",
            "sync.jsonnet",
            "notes.txt",
        ];
        let (names, errors) = loaded(&files, &["."], Some("./hooks"));
        assert_eq!(names, ["a/hooks/in.yaml", "a/z.yaml", "a.json", "b.yml"]);
        assert!(errors.is_empty(), "{errors:?}");
    }

    #[test]
    fn files_are_taken_whatever_they_are_called() {
        let (names, errors) =
            loaded(&["x", "b.yaml", "c.jsonnet"], &["x", "c.jsonnet", "b.yaml"], None);
        assert_eq!(names, ["x", "b.yaml"]);
        assert_eq!(errors, ["manifests in jsonnet are not supported yet: `ROOT/c.jsonnet`"]);
    }

    #[test]
    fn a_missing_path_is_named() {
        let (names, errors) = loaded(&["a.yaml"], &["nope/", "a.yaml"], None);
        assert_eq!(names, ["a.yaml"]);
        assert_eq!(errors, ["no such file or directory: `ROOT/nope/`"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_do_not_lead_in_circles() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(root.path(), root.path().join("self")).unwrap();
        let (manifests, errors) = load(&[root.path().to_owned()], None);
        assert!(manifests.is_empty() && errors.is_empty());
    }

    #[test]
    fn a_file_that_is_not_text_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("a.yaml"), b"\xff").unwrap();
        let (_, errors) = load(&[root.path().to_owned()], None);
        assert!(matches!(errors.as_slice(), [ManifestError::Read { .. }]), "{errors:?}");
    }
}
