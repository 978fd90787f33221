//! Builds the control plane's programs with Go, once per version, into the cache.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

use crate::{
    cluster::toolbox::{self, Program},
    program::{Stopwatch, on_path, output_of},
};

/// Where the programs of the control plane are.
#[derive(Debug)]
pub(crate) struct Programs {
    /// Keeps the data.
    pub(crate) etcd: PathBuf,
    /// Serves the API.
    pub(crate) api_server: PathBuf,
    /// Runs the built-in controllers.
    pub(crate) controller_manager: PathBuf,
}

/// Returns the programs of the control plane; those the cache lacks are built.
pub(crate) fn programs(cache: &Path) -> anyhow::Result<Programs> {
    Ok(Programs {
        etcd: etcd(cache)?,
        api_server: kubernetes(cache, toolbox::API_SERVER)?,
        controller_manager: kubernetes(cache, toolbox::CONTROLLER_MANAGER)?,
    })
}

/// Returns kubectl; it is built if the cache lacks it.
pub(crate) fn kubectl(cache: &Path) -> anyhow::Result<PathBuf> {
    kubernetes(cache, toolbox::KUBECTL)
}

fn etcd(cache: &Path) -> anyhow::Result<PathBuf> {
    let folder = cache.join(format!("etcd-{}", toolbox::ETCD));
    built(&folder, toolbox::ETCD_PROGRAM, "-s -w", || Ok(toolbox::etcd_module()))
}

fn kubernetes(cache: &Path, program: Program) -> anyhow::Result<PathBuf> {
    let folder = cache.join(format!("kubernetes-{}", toolbox::KUBERNETES));
    built(&folder, program, &toolbox::kubernetes_linker_flags(), || {
        Ok(toolbox::kubernetes_module(&upstream_module(&folder)?))
    })
}

/// Returns the program's file in `folder`, built there unless it exists.
fn built(
    folder: &Path,
    program: Program,
    linker_flags: &str,
    module: impl FnOnce() -> anyhow::Result<String>,
) -> anyhow::Result<PathBuf> {
    let file = folder.join(program.name);
    if file.is_file() {
        return Ok(file);
    }
    let source = folder.join("module");
    fs::create_dir_all(&source)
        .with_context(|| format!("failed to create `{}`", source.display()))?;
    fs::write(source.join("go.mod"), module()?).context("failed to write the tools module")?;
    eprintln!("cluster: building {} of `{}`", program.name, folder.display());
    let watch = Stopwatch::start();
    let unfinished = folder.join(format!("{}.part", program.name));
    compile(&source, program.package, linker_flags, &unfinished)?;
    fs::rename(&unfinished, &file).context("failed to keep the program")?;
    eprintln!("cluster: built {} in {:.0} s", program.name, watch.elapsed().as_secs_f64());
    Ok(file)
}

fn compile(source: &Path, package: &str, flags: &str, file: &Path) -> anyhow::Result<()> {
    let status = go(source)?
        .args(["build", "-mod=mod", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o"])
        .arg(file)
        .arg(package)
        .status()
        .context("failed to start `go build`")?;
    if !status.success() {
        bail!("`go build {package}` failed");
    }
    Ok(())
}

/// Returns the text of Kubernetes' own `go.mod`.
fn upstream_module(folder: &Path) -> anyhow::Result<String> {
    let module = format!("{}@{}", toolbox::KUBERNETES_MODULE, toolbox::KUBERNETES);
    let answer = output_of(go(folder)?.args(["mod", "download", "-json", &module]))?;
    let answer: serde_json::Value =
        serde_json::from_str(&answer).context("`go mod download` did not print JSON")?;
    let path = answer["GoMod"].as_str().context("`go mod download` named no `go.mod`")?;
    fs::read_to_string(path).with_context(|| format!("failed to read `{path}`"))
}

/// Returns a call of the Go that is installed, free of the caller's settings.
fn go(folder: &Path) -> anyhow::Result<Command> {
    let program = on_path("go").context("the control plane is built with Go 1.26: install it")?;
    let mut command = Command::new(program);
    command.current_dir(folder).env("GOFLAGS", "").env("GOWORK", "off").env("GOTOOLCHAIN", "local");
    Ok(command)
}
