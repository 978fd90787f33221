//! `cargo xtask tidy`: the rules of the house that no lint knows, checked on the text and the crate graph.

mod finding;
mod graph;
mod rules;
mod source;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;

use crate::{
    places::Places,
    program::{cargo, output_of},
};
use finding::Finding;

/// The folders that hold what is written by hand.
const FOLDERS: &[&str] = &["crates", "examples", "xtask"];

/// Checks the workspace and prints what it finds.
pub(crate) fn run(places: &Places) -> anyhow::Result<ExitCode> {
    let findings = findings(&places.root)?;
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        eprintln!("tidy: passed");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("tidy: {} found", findings.len());
    Ok(ExitCode::FAILURE)
}

fn findings(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for folder in FOLDERS.iter().map(|folder| root.join(folder)).filter(|folder| folder.is_dir()) {
        let files =
            files(&folder).with_context(|| format!("failed to read `{}`", folder.display()))?;
        for file in files {
            let path = file.strip_prefix(root).unwrap_or(&file).to_string_lossy().into_owned();
            findings.extend(rules::check_name(&path));
            if file.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&file)
                    .with_context(|| format!("failed to read `{}`", file.display()))?;
                findings.extend(rules::check_text(&path, &text));
            }
        }
    }
    let metadata = output_of(cargo(root).args(["metadata", "--format-version", "1"]))?;
    let metadata = serde_json::from_str(&metadata).context("failed to read `cargo metadata`")?;
    findings.extend(graph::check(&metadata));
    Ok(findings)
}

/// Returns all files under `folder`, in the order of their names.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut found = Vec::new();
    for entry in entries {
        let kind = entry.file_type()?;
        if kind.is_file() {
            found.push(entry.path());
        } else if kind.is_dir() && entry.file_name() != "target" {
            found.extend(files(&entry.path())?);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let places = Places::of_this_machine().unwrap();
        let findings = findings(&places.root).unwrap();
        let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "{}", lines.join("\n"));
    }
}
