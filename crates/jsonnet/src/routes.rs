//! Pure: which program serves which path.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io,
    path::{Component, Path, PathBuf},
};

use thiserror::Error;

/// Where programs come from, in the order of the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    sources: Vec<Source>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    File {
        route: String,
        file: PathBuf,
    },
    /// Every `*.jsonnet` directly in it.
    Dir(PathBuf),
}

/// Why arguments name no set of routes.
#[derive(Debug, Error)]
pub enum RouteError {
    /// There is no argument.
    #[error("jsonnet filename required")]
    NoFile,
    /// The part before `=` is no route.
    #[error("route `{0}` has other characters than A-Z a-z 0-9 . _ ~ / - or starts with /")]
    BadRoute(String),
    /// The file is an address.
    #[error("program `{0}`: remote programs are not supported yet")]
    Remote(String),
    /// Two programs have one route.
    #[error("route `/{route}` is served by both `{first}` and `{second}`")]
    Twice {
        /// The route, without a leading slash.
        route: String,
        /// The file that was named first.
        first: String,
        /// The file that was named second.
        second: String,
    },
    /// A directory holds no program.
    #[error("directory `{0}` has no *.jsonnet file")]
    EmptyDir(String),
    /// A directory cannot be read.
    #[error("cannot read \"{path}\": {source}")]
    Unreadable {
        /// The directory.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
}

impl RouteError {
    /// Returns whether the command line is to blame, not the disk.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::NoFile
            | Self::BadRoute(_)
            | Self::Remote(_)
            | Self::Twice { .. }
            | Self::EmptyDir(_) => true,
            Self::Unreadable { .. } => false,
        }
    }
}

impl Routes {
    /// Reads arguments of the forms `FILE`, `DIR` and `ROUTE=FILE`.
    ///
    /// # Errors
    ///
    /// [`RouteError::NoFile`], [`RouteError::BadRoute`] and [`RouteError::Remote`].
    pub fn from_args(
        args: &[impl AsRef<str>],
        is_dir: impl Fn(&Path) -> bool,
    ) -> Result<Self, RouteError> {
        if args.is_empty() {
            return Err(RouteError::NoFile);
        }
        let sources = args.iter().map(|arg| source(arg.as_ref(), &is_dir));
        Ok(Self { sources: sources.collect::<Result<_, _>>()? })
    }

    /// Returns the directories whose members are routes.
    pub fn dirs(&self) -> impl Iterator<Item = &Path> {
        self.sources.iter().filter_map(|source| match source {
            Source::Dir(dir) => Some(dir.as_path()),
            Source::File { .. } => None,
        })
    }

    /// Returns the file of every route; `list` gives the paths of the files in a directory.
    ///
    /// # Errors
    ///
    /// [`RouteError::Twice`] and [`RouteError::Unreadable`].
    pub fn files(
        &self,
        list: impl Fn(&Path) -> io::Result<Vec<PathBuf>>,
    ) -> Result<BTreeMap<String, PathBuf>, RouteError> {
        let mut files = BTreeMap::new();
        for source in &self.sources {
            match source {
                Source::File { route, file } => insert(&mut files, route, file)?,
                Source::Dir(dir) => {
                    let members = list(dir).map_err(|source| RouteError::Unreadable {
                        path: dir.display().to_string(),
                        source,
                    })?;
                    for file in members.iter().filter(|file| is_program(file)) {
                        insert(&mut files, &stem(file), file)?;
                    }
                }
            }
        }
        Ok(files)
    }
}

fn source(arg: &str, is_dir: impl Fn(&Path) -> bool) -> Result<Source, RouteError> {
    let (route, file) = match arg.split_once('=') {
        Some((route, _)) if !is_route(route) => return Err(RouteError::BadRoute(route.to_owned())),
        Some((route, file)) => (Some(route), file),
        None => (None, arg),
    };
    if ["http:", "https:", "oci:"].iter().any(|scheme| file.starts_with(scheme)) {
        return Err(RouteError::Remote(file.to_owned()));
    }
    if route.is_none() && is_dir(Path::new(file)) {
        return Ok(Source::Dir(file.into()));
    }
    let route = route.map_or_else(|| route_of(file), str::to_owned);
    Ok(Source::File { route, file: file.into() })
}

fn is_route(route: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._~/-".contains(c);
    !route.is_empty() && !route.starts_with('/') && route.chars().all(allowed)
}

/// Returns the route of a file: its path as it is written, if a request can have that path.
fn route_of(file: &str) -> String {
    let path = Path::new(file);
    if path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return stem(path);
    }
    let route = file.strip_prefix("./").unwrap_or(file);
    route.strip_suffix(".jsonnet").unwrap_or(route).to_owned()
}

fn stem(file: &Path) -> String {
    file.file_stem().map(OsStr::to_string_lossy).unwrap_or_default().into_owned()
}

fn is_program(file: &Path) -> bool {
    file.extension() == Some(OsStr::new("jsonnet"))
}

fn insert(
    files: &mut BTreeMap<String, PathBuf>,
    route: &str,
    file: &Path,
) -> Result<(), RouteError> {
    match files.insert(route.to_owned(), file.to_owned()) {
        None => Ok(()),
        Some(first) => Err(RouteError::Twice {
            route: route.to_owned(),
            first: first.display().to_string(),
            second: file.display().to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns `/route=file` for each route; `dir` holds three files.
    fn routes(args: &[&str]) -> Result<String, RouteError> {
        let list = |dir: &Path| {
            Ok(vec![dir.join("b.jsonnet"), dir.join("a.jsonnet"), dir.join("x.libsonnet")])
        };
        let files = Routes::from_args(args, |path| path == Path::new("dir"))?.files(list)?;
        let files = files.iter().map(|(route, file)| format!("/{route}={}", file.display()));
        Ok(files.collect::<Vec<_>>().join(" "))
    }

    /// Sabotage: the suffix not removed.
    #[test]
    fn acceptance_24_routes_follow_the_files() {
        for (arg, expected) in [
            ("sync.jsonnet", "/sync=sync.jsonnet"),
            ("./sync.jsonnet", "/sync=./sync.jsonnet"),
            ("hooks/sync.jsonnet", "/hooks/sync=hooks/sync.jsonnet"),
            ("hook.libsonnet", "/hook.libsonnet=hook.libsonnet"),
            ("/abs/sync.jsonnet", "/sync=/abs/sync.jsonnet"),
            ("../x/sync.jsonnet", "/sync=../x/sync.jsonnet"),
            ("a/b=x.jsonnet", "/a/b=x.jsonnet"),
            ("dir", "/a=dir/a.jsonnet /b=dir/b.jsonnet"),
        ] {
            assert_eq!(routes(&[arg]).unwrap(), expected);
        }
        let error = routes(&["sync.jsonnet", "/x/sync.jsonnet"]).unwrap_err();
        let text = "route `/sync` is served by both `sync.jsonnet` and `/x/sync.jsonnet`";
        assert!(error.is_usage());
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn what_is_no_route_is_refused() {
        assert_eq!(routes(&[]).unwrap_err().to_string(), "jsonnet filename required");
        assert!(matches!(routes(&["/a=x"]), Err(RouteError::BadRoute(_))));
        assert!(matches!(routes(&["a?=x"]), Err(RouteError::BadRoute(_))));
        assert!(matches!(routes(&["a=https://x"]), Err(RouteError::Remote(_))));
    }
}
