//! Where things are: the workspace, its target folder, the cache and the control plane's folder.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::Context;

/// The folders the tasks work in.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The root of the workspace.
    pub(crate) root: PathBuf,
    /// Keeps programs that take minutes to build; outlives `target`.
    pub(crate) cache: PathBuf,
    /// Holds the running control plane: `target/cluster`, wherever `target` is.
    pub(crate) cluster: PathBuf,
}

impl Places {
    /// Finds the folders from the environment.
    pub(crate) fn of_this_machine() -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask does not lie in a workspace")?
            .to_path_buf();
        let target =
            env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let cache = cache(|name| env::var_os(name).map(PathBuf::from))
            .context("none of `WINDLASS_CACHE`, `XDG_CACHE_HOME` and `HOME` is set")?;
        Ok(Self { cluster: root.join(target).join("cluster"), root, cache })
    }
}

/// Returns the cache folder: the first of three variables that is set decides.
fn cache(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    variable("WINDLASS_CACHE")
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("windlass")))
        .or_else(|| Some(variable("HOME")?.join(".cache/windlass")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache_of(variables: &[(&str, &str)]) -> Option<PathBuf> {
        cache(|name| {
            let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
            Some(PathBuf::from(value))
        })
    }

    #[test]
    fn the_most_particular_variable_names_the_cache() {
        let all = [("WINDLASS_CACHE", "/w"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(cache_of(&all), Some("/w".into()));
        assert_eq!(cache_of(&all[1..]), Some("/x/windlass".into()));
        assert_eq!(cache_of(&all[2..]), Some("/h/.cache/windlass".into()));
        assert_eq!(cache_of(&[]), None);
    }
}
