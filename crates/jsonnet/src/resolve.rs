//! Pure: where an import may lead, and how files are named.

use std::path::{Component, Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Where a file of a program is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Location {
    /// On this machine, as an absolute path without `.` and `..`.
    Local(PathBuf),
    /// Among the texts that came with the program, which is in no file.
    Given(String),
    /// In the library that comes with the product.
    Internal(String),
}

impl Location {
    /// Returns the address, as `std.thisFile` and errors say it.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Local(path) => {
                format!("file://{}", utf8_percent_encode(&path.to_string_lossy(), UNSAFE))
            }
            Self::Given(name) => format!("given:///{name}"),
            Self::Internal(path) => format!("internal:///{path}"),
        }
    }
}

/// What a URL path need not escape.
const UNSAFE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_').remove(b'~').remove(b'+');

/// Returns the places to look for `path`, best first.
///
/// # Errors
///
/// The message for an address that is not looked up at all.
pub(crate) fn candidates(
    from: &Location,
    path: &str,
    jpath: &[PathBuf],
) -> Result<Vec<Location>, String> {
    if !matches!(from, Location::Given(_))
        && let Some((scheme, rest)) = split_scheme(path)
    {
        return absolute(scheme, rest, path).map(|location| vec![location]);
    }
    let beside = match from {
        Location::Local(file) => Location::Local(join(file.parent().unwrap_or(file), path)),
        // Texts that came with a program lead to each other and to the library, nowhere else.
        Location::Given(_) => {
            return Ok(vec![Location::Given(path.to_owned()), Location::Internal(path.to_owned())]);
        }
        Location::Internal(_) => Location::Internal(path.to_owned()),
    };
    if path.starts_with('/') {
        return Ok(vec![beside]);
    }
    let mut places = vec![beside];
    places.extend(jpath.iter().map(|dir| Location::Local(join(dir, path))));
    places.push(Location::Internal(path.to_owned()));
    places.dedup();
    Ok(places)
}

/// Returns the message for an import that was found nowhere.
pub(crate) fn not_found(path: &str, tried: &[Location]) -> String {
    let tried: Vec<_> = tried.iter().map(Location::url).collect();
    format!(
        "Couldn't open import \"{path}\", no match locally or in library search paths. Tried: {}",
        tried.join(";")
    )
}

/// Joins `path` to `base` and takes `.` and `..` out, as addresses are joined.
pub(crate) fn join(base: &Path, path: &str) -> PathBuf {
    let mut joined = PathBuf::new();
    for component in base.join(path).components() {
        match component {
            Component::CurDir => (),
            Component::ParentDir => {
                joined.pop();
            }
            component => joined.push(component),
        }
    }
    joined
}

fn split_scheme(path: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = path.split_once(':')?;
    let mut letters = scheme.chars();
    let starts = letters.next().is_some_and(|first| first.is_ascii_alphabetic());
    (starts && letters.all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)))
        .then_some((scheme, rest))
}

fn absolute(scheme: &str, rest: &str, path: &str) -> Result<Location, String> {
    let decoded = || percent_decode_str(rest.trim_start_matches("//")).decode_utf8_lossy();
    match scheme {
        "file" => Ok(Location::Local(join(Path::new("/"), &decoded()))),
        "internal" => Ok(Location::Internal(decoded().trim_start_matches('/').to_owned())),
        "http" | "https" | "oci" | "binary" => {
            Err(format!("cannot import \"{path}\": {scheme}: imports are not supported yet"))
        }
        _ if scheme.starts_with("kustomize+") => {
            Err("kustomize imports are not supported".to_owned())
        }
        _ => Err(format!("cannot import \"{path}\": unknown scheme \"{scheme}\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(path: &str) -> String {
        let from = Location::Local("/hooks/lib/main.jsonnet".into());
        match candidates(&from, path, &["/a".into(), "/b".into()]) {
            Ok(found) => found.iter().map(Location::url).collect::<Vec<_>>().join(" "),
            Err(message) => message,
        }
    }

    #[test]
    fn the_importing_file_comes_first_and_the_library_last() {
        assert_eq!(
            tried("x.libsonnet"),
            "file:///hooks/lib/x.libsonnet file:///a/x.libsonnet file:///b/x.libsonnet \
             internal:///x.libsonnet"
        );
        assert!(tried("../x.libsonnet").starts_with("file:///hooks/x.libsonnet "));
        assert_eq!(tried("/etc/x y"), "file:///etc/x%20y");
    }

    #[test]
    fn addresses_are_tried_alone() {
        assert_eq!(tried("file:///x/../y%20z"), "file:///y%20z");
        assert_eq!(tried("internal:///kubecfg.libsonnet"), "internal:///kubecfg.libsonnet");
        assert!(tried("https://example.com/x").contains("not supported yet"));
        assert_eq!(tried("kustomize+https://x"), "kustomize imports are not supported");
    }
}
