//! The flags of `windlass httpd`, and what they mean for the hook server.

use std::{
    env,
    path::{Path, PathBuf},
};

use clap::Args;
use jsonnet::{
    ProgramOptions, Routes, RuntimeOptions, Variable,
    flags::{self, FlagError, VariableFlag},
    httpd::{AdminListener, HttpdOptions},
};
use thiserror::Error;

/// The flags of `windlass httpd`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  windlass httpd hooks/sync.jsonnet --listen-addr 127.0.0.1:8080"
)]
pub(crate) struct HttpdArgs {
    /// Programs, directories of programs, or ROUTE=FILE
    #[arg(value_name = "FILE|DIR|ROUTE=FILE")]
    files: Vec<String>,
    /// Where hooks are served; an empty host means all interfaces, port 0 any free one
    #[arg(short, long, value_name = "HOST:PORT", default_value = ":8080")]
    listen_addr: String,
    /// Where health and routes are served, or `off` [default: :8081, if it is free]
    #[arg(long, value_name = "HOST:PORT")]
    admin_listen_addr: Option<String>,
    #[command(flatten)]
    programs: ProgramArgs,
    /// What `resolveImage` does
    #[arg(long, value_name = "MODE", default_value = "noop", value_parser = ["noop", "registry"])]
    resolve_images: String,
    /// What a failed registry look-up does
    #[arg(long, value_name = "MODE", default_value = "warn", value_parser = ["ignore", "warn", "error"])]
    resolve_images_error: String,
    /// How long a call may take
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    timeout: String,
    /// How deep Jsonnet calls may nest
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    max_stack: usize,
    /// How much address space one worker may use
    #[arg(long, value_name = "BYTES", default_value = "512Mi")]
    max_memory: String,
    /// How many worker processes there are [default: the number of CPUs, at most 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    workers: Option<u64>,
    /// How many calls may wait for a worker
    #[arg(long, value_name = "N", default_value_t = 256)]
    queue: usize,
    /// How large a request may be
    #[arg(long, value_name = "BYTES", default_value = "32Mi")]
    max_request_bytes: String,
    /// How large an answer may be
    #[arg(long, value_name = "BYTES", default_value = "32Mi")]
    max_response_bytes: String,
    /// Load programs again when their files change
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", action = clap::ArgAction::Set)]
    watch: bool,
    /// Exit at start if a program does not load
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    later: LaterArgs,
}

/// What programs may import, and what they are given besides the request.
#[derive(Args, Debug)]
pub(crate) struct ProgramArgs {
    /// Directories of libraries, after those of KUBECFG_JPATH; the left-most wins
    #[arg(short = 'J', long, value_name = "DIR")]
    jpath: Vec<PathBuf>,
    /// External string variables; without a value, from the environment
    #[arg(short = 'V', long, value_name = "NAME[=VAL]")]
    ext_str: Vec<String>,
    /// External code variables
    #[arg(long, value_name = "NAME[=CODE]")]
    ext_code: Vec<String>,
    /// External string variables from files
    #[arg(long, value_name = "NAME=FILE")]
    ext_str_file: Vec<String>,
    /// External code variables from files
    #[arg(long, value_name = "NAME=FILE")]
    ext_code_file: Vec<String>,
    /// Top-level string arguments
    #[arg(short = 'A', long, value_name = "NAME[=VAL]")]
    tla_str: Vec<String>,
    /// Top-level code arguments
    #[arg(long, value_name = "NAME[=CODE]")]
    tla_code: Vec<String>,
    /// Top-level string arguments from files
    #[arg(long, value_name = "NAME=FILE")]
    tla_str_file: Vec<String>,
    /// Top-level code arguments from files
    #[arg(long, value_name = "NAME=FILE")]
    tla_code_file: Vec<String>,
}

/// Flags that have a meaning, but not yet.
#[derive(Args, Debug)]
struct LaterArgs {
    #[arg(short = 'U', long, hide = true, value_name = "URL")]
    jurl: Vec<String>,
    #[arg(long, hide = true, value_name = "MODE")]
    remote_imports: Option<String>,
    #[arg(long, hide = true, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    #[arg(long, hide = true, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    #[arg(long, hide = true, value_name = "FILE")]
    client_ca: Option<PathBuf>,
    #[arg(long, hide = true, value_name = "FILE")]
    auth_token_file: Option<PathBuf>,
    #[arg(long, hide = true, value_name = "FILE")]
    auth_basic_file: Option<PathBuf>,
}

/// Why the flags mean nothing.
#[derive(Debug, Error)]
pub(crate) enum HttpdArgsError {
    /// A value means nothing.
    #[error(transparent)]
    Flag(#[from] FlagError),
    /// The programs are not well named.
    #[error(transparent)]
    Routes(#[from] jsonnet::RouteError),
    /// The flag is for later.
    #[error("{0} is not supported yet")]
    NotSupported(&'static str),
}

impl HttpdArgs {
    /// Returns what the flags ask for.
    pub(crate) fn options(&self) -> Result<HttpdOptions, HttpdArgsError> {
        if let Some(flag) = self.later.given() {
            return Err(HttpdArgsError::NotSupported(flag));
        }
        if self.resolve_images != "noop" {
            return Err(HttpdArgsError::NotSupported("--resolve-images=registry"));
        }
        let routes = Routes::from_args(&self.files, Path::is_dir)?;
        let programs = self.programs.options()?;
        let defaults = RuntimeOptions::default();
        let workers = self.workers.and_then(|workers| usize::try_from(workers).ok());
        let runtime = RuntimeOptions {
            workers: workers.unwrap_or(defaults.workers),
            queue: self.queue,
            timeout: flags::timeout("--timeout", &self.timeout)?,
            max_memory: flags::bytes("--max-memory", &self.max_memory)?,
            max_response: size("--max-response-bytes", &self.max_response_bytes)?,
            programs: ProgramOptions { max_stack: self.max_stack, ..programs },
            ..defaults
        };
        Ok(HttpdOptions {
            listen: self.listen_addr.clone(),
            admin: AdminListener::from_flag(self.admin_listen_addr.as_deref()),
            max_request_bytes: size("--max-request-bytes", &self.max_request_bytes)?,
            strict: self.strict,
            watch: self.watch,
            ..HttpdOptions::new(routes, runtime)
        })
    }
}

impl ProgramArgs {
    /// Returns what the flags ask for.
    pub(crate) fn options(&self) -> Result<ProgramOptions, FlagError> {
        let ext_vars = all([
            ("--ext-str", VariableFlag::Text, &self.ext_str),
            ("--ext-code", VariableFlag::Code, &self.ext_code),
            ("--ext-str-file", VariableFlag::TextFile, &self.ext_str_file),
            ("--ext-code-file", VariableFlag::CodeFile, &self.ext_code_file),
        ])?;
        let tlas = all([
            ("--tla-str", VariableFlag::Text, &self.tla_str),
            ("--tla-code", VariableFlag::Code, &self.tla_code),
            ("--tla-str-file", VariableFlag::TextFile, &self.tla_str_file),
            ("--tla-code-file", VariableFlag::CodeFile, &self.tla_code_file),
        ])?;
        flags::check_ext_vars(&ext_vars)?;
        flags::check_tlas(&tlas)?;
        let jpath = flags::jpath(env::var_os(flags::JPATH_VARIABLE).as_deref(), &self.jpath);
        Ok(ProgramOptions { jpath, ext_vars, tlas, ..ProgramOptions::default() })
    }
}

impl LaterArgs {
    /// Returns the first flag that was given; allowing remote imports is what is done without the flag.
    fn given(&self) -> Option<&'static str> {
        let flags = [
            ("--jurl", !self.jurl.is_empty()),
            ("--remote-imports", self.remote_imports.as_deref().is_some_and(|mode| mode != "deny")),
            ("--tls-cert", self.tls_cert.is_some()),
            ("--tls-key", self.tls_key.is_some()),
            ("--client-ca", self.client_ca.is_some()),
            ("--auth-token-file", self.auth_token_file.is_some()),
            ("--auth-basic-file", self.auth_basic_file.is_some()),
        ];
        flags.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag)
    }
}

fn all(flags: [(&str, VariableFlag, &Vec<String>); 4]) -> Result<Vec<Variable>, FlagError> {
    let read = |(flag, kind, values): (&str, VariableFlag, &Vec<String>)| {
        let values = values.iter();
        values
            .map(|value| flags::variable(flag, kind, value, |name| env::var(name).ok()))
            .collect::<Result<Vec<_>, _>>()
    };
    Ok(flags.into_iter().map(read).collect::<Result<Vec<_>, _>>()?.concat())
}

fn size(flag: &str, value: &str) -> Result<usize, FlagError> {
    Ok(usize::try_from(flags::bytes(flag, value)?).unwrap_or(usize::MAX))
}
