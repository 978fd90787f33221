//! Puts a program in its place: fetches it, checks it, unpacks it or writes its file.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use tokio::fs;

use crate::preparation::{Origin, PrepareError, Work};

/// Does the work in a directory that is there and empty.
///
/// # Errors
///
/// [`PrepareError`] with what went wrong; the directory may hold a part of the files then.
pub(crate) async fn prepare(work: &Work, dir: &Path) -> Result<(), PrepareError> {
    let bytes = match &work.bytes {
        Origin::Given(bytes) => bytes.clone(),
        Origin::Url(url) => {
            return Err(PrepareError::Fetch(format!(
                "`{url}`: sources at URLs are not supported yet"
            )));
        }
    };
    work.verify(&bytes)?;
    match work.archive {
        Some(_) => return Err(PrepareError::Archive("archives are not supported yet".to_owned())),
        None => write(dir, &work.file, &bytes).await?,
    }
    if let Some((name, text)) = &work.deps {
        write(dir, name, text.as_bytes()).await?;
    }
    if work.has_deps() {
        return Err(PrepareError::Dependencies("dependencies are not supported yet".to_owned()));
    }
    Ok(())
}

async fn write(dir: &Path, file: &str, bytes: &[u8]) -> Result<(), PrepareError> {
    let path = dir.join(file);
    let failed = |error: &dyn fmt::Display| PrepareError::Write {
        what: file.to_owned(),
        cause: error.to_string(),
    };
    let parent = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    fs::create_dir_all(parent).await.map_err(|error| failed(&error))?;
    fs::write(&path, bytes).await.map_err(|error| failed(&error))
}
