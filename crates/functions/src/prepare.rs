//! Puts a program in its place: fetches it, checks it, unpacks it or writes its file. Then gives it what it
//! needs to run: installs its dependencies, or compiles it.

use std::{
    collections::BTreeMap,
    env, fmt, fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use api::{FetchRequest, SharedFetch};
use bytes::Bytes;
use k8s::SharedClock;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::task;

use crate::{
    archive::Limits,
    handler::Handler,
    install::{self, COMPILED, Command, Dependencies, GO_SERVER_DIR, GO_TYPES_DIR, Installer},
    launch::Launcher,
    preparation::{Origin, PrepareError, Work},
    runtimes::Language,
    shims,
    store::{Place, Store},
    unpack::{UnpackError, unpack},
};

/// How long installing or compiling may take, and fetching as well.
const PATIENCE: Duration = Duration::from_mins(10);
/// How many bytes a source at a URL may have.
const LARGEST: usize = 256 << 20;
/// How often a URL may lead elsewhere.
const REDIRECTS: usize = 10;
/// What npm notes of the exact versions that it is to install.
const LOCK: &str = "package-lock.json";

/// What equips programs.
#[derive(Debug)]
pub(crate) struct Tools {
    /// How commands are started.
    pub launcher: Launcher,
    /// The clock by which they may take their time.
    pub clock: SharedClock,
    /// The dependencies that were installed before.
    pub packages: Store,
    /// Where compilers and package managers keep what they may need again.
    pub cache: PathBuf,
}

/// What runs a program.
#[derive(Clone, Debug)]
pub(crate) struct Means<'a> {
    /// The language.
    pub language: Language,
    /// The version.
    pub version: &'a str,
    /// The interpreter or compiler.
    pub interpreter: &'a Path,
    /// The variables of the function.
    pub env: &'a BTreeMap<String, String>,
}

/// Puts a program in a directory that is there and empty.
///
/// # Errors
///
/// [`PrepareError`] with what went wrong; the directory may hold a part of the files then.
pub(crate) async fn place(
    work: &Work,
    dir: &Path,
    fetch: &SharedFetch,
) -> Result<(), PrepareError> {
    let bytes = match &work.bytes {
        Origin::Given(bytes) => Bytes::from(bytes.clone()),
        Origin::Url(url) => {
            let (url, limit) = (url.clone(), LARGEST);
            let request = FetchRequest { url, limit, redirects: REDIRECTS, timeout: PATIENCE };
            let fetched = fetch.fetch(request).await;
            fetched.map_err(|error| PrepareError::Fetch(k8s::in_one_line(&error)))?
        }
    };
    work.verify(&bytes)?;
    match work.archive {
        Some(archive) => {
            let dir = dir.to_owned();
            let unpacked =
                task::spawn_blocking(move || unpack(archive, &bytes, &dir, Limits::default()))
                    .await;
            unpacked.map_err(|error| failed("the archive", &error))?.map_err(
                |error| match error {
                    UnpackError::Archive(error) => PrepareError::Archive(error.to_string()),
                    UnpackError::Write { path, source } => failed(&path, &source),
                },
            )?;
        }
        None => write(&dir.join(&work.file), &bytes)?,
    }
    if let Some((name, text)) = &work.deps {
        let path = dir.join(name);
        // One that was packed may be a link, and is not to be written through.
        let _ = fs::remove_file(&path);
        write(&path, text.as_bytes())?;
    }
    Ok(())
}

/// Returns whether a program must be compiled, or its dependencies installed.
pub(crate) fn is_to_be_equipped(work: &Work, language: Language) -> bool {
    language == Language::Go || (language.facts().deps.is_some() && work.has_deps())
}

impl Tools {
    /// Installs what a program in its place needs, or compiles it.
    ///
    /// # Errors
    ///
    /// [`PrepareError`] with what a command said last.
    pub(crate) async fn equip(
        &self,
        work: &Work,
        dir: &Path,
        means: &Means<'_>,
    ) -> Result<(), PrepareError> {
        match means.language {
            language if !is_to_be_equipped(work, language) => Ok(()),
            Language::Go => self.compile(dir, means).await,
            Language::Python | Language::Nodejs | Language::Jsonnet => {
                self.install(work, dir, means).await
            }
        }
    }

    async fn install(
        &self,
        work: &Work,
        dir: &Path,
        means: &Means<'_>,
    ) -> Result<(), PrepareError> {
        let name = means.language.facts().deps.unwrap_or_default();
        let file = dir.join(name);
        let text = fs::read_to_string(&file).map_err(|error| {
            PrepareError::Dependencies(format!("`{name}` of the archive cannot be read: {error}"))
        })?;
        let lock = fs::read_to_string(dir.join(LOCK)).ok();
        let variables = with_surroundings(means.env);
        let dependencies = Dependencies {
            language: means.language,
            version: means.version,
            machine: (env::consts::OS, env::consts::ARCH),
            text: &text,
            // Beside a file of another origin it says nothing.
            lock: lock.as_deref().filter(|_| work.deps_packed && name != LOCK),
            env: &variables,
        };
        let unwritten = |error: io::Error| failed("the dependencies", &error);
        let installed = match self.packages.place(&dependencies.key()).await.map_err(unwritten)? {
            Place::Kept(installed) => installed,
            Place::New(new) => {
                if means.language == Language::Nodejs {
                    write(&new.path().join(name), text.as_bytes())?;
                    let lock = dependencies
                        .lock
                        .map(|lock| write(&new.path().join(LOCK), lock.as_bytes()));
                    lock.transpose()?;
                }
                let installer = installer(means);
                let command =
                    dependencies.command(&installer, means.interpreter, (&file, new.path()));
                let done = self.run(&command, dir, means).await;
                done.map_err(PrepareError::Dependencies)?;
                new.keep().map_err(unwritten)?
            }
        };
        let version = means.version;
        let to = match means.language {
            Language::Python => format!("lib/python{version}/site-packages"),
            _ => "node_modules".to_owned(),
        };
        // Where packages end up under a prefix is a matter of taste among distributions.
        for from in [
            to.clone(),
            format!("lib64/python{version}/site-packages"),
            format!("local/lib/python{version}/dist-packages"),
        ] {
            link(&installed.join(from), &dir.join(&to)).map_err(unwritten)?;
        }
        Ok(())
    }

    async fn compile(&self, dir: &Path, means: &Means<'_>) -> Result<(), PrepareError> {
        let text = |name: &str| means.env.get(name).cloned().unwrap_or_default();
        let handler = Handler { module: text("MOD_NAME"), function: text("FUNC_HANDLER") };
        let file = dir.join("go.mod");
        let existing = fs::read_to_string(&file).ok();
        let made = install::go_module(existing.as_deref(), means.version);
        if let Some(made) = &made {
            write(&file, made.as_bytes())?;
        }
        let module = made.as_deref().or(existing.as_deref()).unwrap_or_default();
        let named = install::go_handler(module, &handler).ok_or_else(|| {
            let Handler { module, function } = &handler;
            PrepareError::Compile(format!("`{module}.{function}` names no function of Go"))
        })?;
        let (types, server) = (dir.join(GO_TYPES_DIR), dir.join(GO_SERVER_DIR));
        for (path, text) in [
            (types.join("go.mod"), shims::GO_TYPES_MODULE),
            (types.join("pkg/functions/functions.go"), shims::GO_TYPES),
            (server.join("main.go"), shims::GO_SERVER),
            (server.join("handler.go"), named.as_str()),
        ] {
            write(&path, text.as_bytes())?;
        }
        let variables = with_surroundings(means.env);
        for command in
            install::go_commands(means.interpreter, made.is_none(), &variables, &self.cache)
        {
            self.run(&command, dir, means).await.map_err(PrepareError::Compile)?;
        }
        if dir.join(COMPILED).is_file() {
            Ok(())
        } else {
            Err(PrepareError::Compile("the compiler left no program behind".to_owned()))
        }
    }

    /// Runs a command to its end; the error is what it said last.
    async fn run(&self, command: &Command, dir: &Path, means: &Means<'_>) -> Result<(), String> {
        let unable =
            |error: io::Error| format!("cannot run `{}`: {error}", command.program.display());
        // Nothing that installs leaves traces at home, or finds any there.
        let home = tempfile::Builder::new().prefix("windlass-").tempdir().map_err(unable)?;
        let output = home.path().join("output");
        let file = fs::File::create(&output).map_err(unable)?;
        let mut child = tokio::process::Command::new(&self.launcher.program);
        child
            .args(&self.launcher.args)
            .arg("0")
            .arg(&command.program)
            .args(&command.args)
            .env_clear()
            .envs(with_surroundings(means.env))
            // What the program itself imports is not for those who install it.
            .env_remove("PYTHONPATH")
            .env_remove("NODE_PATH")
            .env("PATH", path(means.interpreter))
            .env("HOME", home.path())
            .env("PIP_CACHE_DIR", self.cache.join("pip"))
            .env("UV_CACHE_DIR", self.cache.join("uv"))
            .env("npm_config_cache", self.cache.join("npm"))
            .env("KUBELESS_INSTALL_VOLUME", dir)
            .envs(means.language.facts().deps.map(|name| ("KUBELESS_DEPS_FILE", dir.join(name))))
            .envs(&command.env)
            .current_dir(command.dir.as_deref().unwrap_or(dir))
            .stdin(Stdio::null())
            .stdout(Stdio::from(file.try_clone().map_err(unable)?))
            .stderr(Stdio::from(file))
            .process_group(0)
            .kill_on_drop(true);
        let mut child = child.spawn().map_err(unable)?;
        let group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
        let deadline = self.clock.after(PATIENCE);
        let status = tokio::select! {
            status = child.wait() => Some(status.map_err(unable)?),
            () = self.clock.sleep_until(deadline) => None,
        };
        // What it left running goes with it.
        drop(group);
        let said = fs::read(&output).unwrap_or_default();
        let said = install::last_lines(&String::from_utf8_lossy(&said));
        match status {
            Some(status) if status.success() => Ok(()),
            Some(status) if said.is_empty() => Err(status.to_string()),
            Some(_) => Err(said),
            None => Err(format!("{said}\nit took longer than {} seconds", PATIENCE.as_secs())),
        }
    }
}

/// The processes of a command, which end when this is dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// Chooses what installs the dependencies of a language.
fn installer(means: &Means<'_>) -> Installer {
    let find = |name: &str| {
        env::split_paths(&path(means.interpreter)).map(|dir| dir.join(name)).find(|it| it.is_file())
    };
    match (means.language, find("uv")) {
        (Language::Python, Some(uv)) => Installer::Uv(uv),
        (Language::Python, None) => Installer::Pip,
        _ => Installer::Npm(find("npm").unwrap_or_else(|| PathBuf::from("npm"))),
    }
}

/// Returns the directories that programs are looked for in: that of the interpreter comes first, as what comes
/// with it calls it by its plain name.
fn path(interpreter: &Path) -> std::ffi::OsString {
    let own = interpreter.parent().filter(|dir| dir.is_absolute()).map(Path::to_path_buf);
    let all = env::var_os("PATH").unwrap_or_default();
    env::join_paths(own.into_iter().chain(env::split_paths(&all))).unwrap_or(all)
}

/// Returns the variables of a function, over what this process knows of networks and where packages come from.
fn with_surroundings(own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    const SHOWN: [&str; 9] = [
        "GOCACHE",
        "GOMODCACHE",
        "GONOSUMDB",
        "GOSUMDB",
        // A proxy of a company signs what comes from registries with an authority of its own.
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "NODE_EXTRA_CA_CERTS",
        "LANG",
        "TZ",
    ];
    let is_shown = |name: &str| {
        install::is_about_registries(name)
            || SHOWN.contains(&name)
            || name.to_ascii_lowercase().ends_with("_proxy")
    };
    let mut all: BTreeMap<_, _> = env::vars().filter(|(name, _)| is_shown(name)).collect();
    all.extend(own.clone());
    all
}

/// Shows what is in one directory in another, which keeps what it has of its own.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return Ok(());
    }
    if !to.exists() {
        fs::create_dir_all(to.parent().unwrap_or(to))?;
        return symlink(from, to);
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if !to.exists() {
            symlink(from, to)?;
        } else if to.is_dir() && !to.is_symlink() {
            link(&from, &to)?;
        }
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), PrepareError> {
    let parent = path.parent().unwrap_or(path);
    let written = fs::create_dir_all(parent).and_then(|()| fs::write(path, bytes));
    written.map_err(|error| failed(&path.display().to_string(), &error))
}

fn failed(what: &str, cause: &dyn fmt::Display) -> PrepareError {
    PrepareError::Write { what: what.to_owned(), cause: cause.to_string() }
}

#[cfg(test)]
mod tests;
