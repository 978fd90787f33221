//! Puts the volumes of a pod where its processes find them: below a directory of the pod's own.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, symlink},
    path::{Component, Path, PathBuf},
};

use crate::needs::{Content, Mount};

/// Where directories lie that may be mounted in several places.
const SHARED: &str = ".volumes";

/// The variable that tells where a container's paths begin.
pub(crate) const VARIABLE: &str = "WINDLASS_MOUNTS";

/// Puts what is mounted below `root`, which is new.
///
/// # Errors
///
/// What the system said.
pub(crate) fn realise(root: &Path, mounts: &[Mount]) -> io::Result<()> {
    if root.exists() {
        fs::remove_dir_all(root)?;
    }
    // Among the files are Secrets.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(root)?;
    for Mount { path, content } in mounts {
        let place = inside(root, path)?;
        match content {
            Content::Directory(directory) => {
                let shared = inside(&root.join(SHARED), directory)?;
                fs::create_dir_all(&shared)?;
                parent(&place)?;
                symlink(shared, place)?;
            }
            Content::Files(files) => {
                if !files.contains_key("") {
                    fs::create_dir_all(&place)?;
                }
                for (name, bytes) in files {
                    let file = if name.is_empty() { place.clone() } else { inside(&place, name)? };
                    parent(&file)?;
                    fs::write(file, bytes)?;
                }
            }
        }
    }
    Ok(())
}

fn parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

/// Returns a path below a directory, which it must not leave.
fn inside(dir: &Path, path: &str) -> io::Result<PathBuf> {
    let path = Path::new(path.trim_start_matches('/'));
    if path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        Ok(dir.join(path))
    } else {
        let why = format!("`{}` leads out of the pod", path.display());
        Err(io::Error::new(io::ErrorKind::InvalidInput, why))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn files_and_directories_lie_below_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("pod");
        let files = |names: &[&str]| {
            let named = names.iter().map(|name| ((*name).to_owned(), b"x".to_vec()));
            Content::Files(named.collect::<BTreeMap<_, _>>())
        };
        let mount = |path: &str, content| Mount { path: path.to_owned(), content };
        let mounts = [
            mount("/etc/app", files(&["a", "deep/b"])),
            mount("/etc/one.txt", files(&[""])),
            mount("/tmp/one", Content::Directory("v".to_owned())),
            mount("/tmp/two", Content::Directory("v".to_owned())),
        ];
        realise(&root, &mounts).unwrap();
        assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read(root.join("etc/app/deep/b")).unwrap(), b"x");
        assert_eq!(fs::read(root.join("etc/one.txt")).unwrap(), b"x");
        fs::write(root.join("tmp/one/shared"), "y").unwrap();
        assert_eq!(fs::read(root.join("tmp/two/shared")).unwrap(), b"y");
        let out = mount("/etc", files(&["../../../x"]));
        assert!(realise(&root, &[out]).is_err());
    }
}
