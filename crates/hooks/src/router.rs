//! Decides by URL how a hook is called, and calls it.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    path::{Path, PathBuf},
};

use api::{
    Hook, HookError, HookProgram, HookReply, HookRequest, HookTls, ProgramError, ProgramSource,
};
use futures::{FutureExt, future::BoxFuture};
use http::{HeaderMap, Uri};
use jsonnet::{
    CallError, ErrorKind, Form, GivenProgram, LoadError, RouteVariables, Runtime, Variable,
    VariableValue,
};
use serde_json::Value;
use tracing::debug;

use crate::Webhooks;

/// Calls each hook the way its URL asks for.
///
/// A URL whose path is a route of the Jsonnet hooks is run in a worker, whatever its host, so that
/// manifests written for a cluster work with no Service or DNS; hosts that are IP literals or `localhost`
/// are still called.
#[derive(Clone, Debug)]
pub struct Router {
    webhooks: Webhooks,
    jsonnet: Option<Runtime>,
    /// Where the programs are that controllers name by path.
    programs: Option<PathBuf>,
    /// The URLs that a file each answers; their routes are called as they are.
    mapped: BTreeSet<String>,
}

impl Router {
    /// Returns a router that knows webhooks, and Jsonnet hooks if there are any.
    pub fn new(webhooks: Webhooks, jsonnet: Option<Runtime>) -> Self {
        Self { webhooks, jsonnet, programs: None, mapped: BTreeSet::new() }
    }

    /// Has controllers name programs in a directory.
    #[must_use]
    pub fn with_programs(self, dir: PathBuf) -> Self {
        Self { programs: Some(dir), ..self }
    }

    /// Has the program in a file answer one URL, whatever its host. One that does not load may be mended.
    ///
    /// # Errors
    ///
    /// [`ProgramError`] if it is not there or does not load; it is mapped all the same.
    pub async fn map(&mut self, url: &str, file: &Path) -> Result<(), ProgramError> {
        let Some(runtime) = &self.jsonnet else { return Err(not_run()) };
        self.mapped.insert(url.to_owned());
        loaded(runtime.load(url, file).await.map(|_| ()))
    }

    /// Tells whether the program of a Jsonnet route answers a URL.
    pub fn is_answered_by(&self, url: &str, route: &str) -> bool {
        self.route_of(url).is_some_and(|own| own == route)
    }

    /// Returns the file of a program that a controller names by path: one below the directory of programs,
    /// wherever links lead.
    fn file(&self, path: &str) -> Result<PathBuf, ProgramError> {
        let missing = |why: &str| ProgramError::Missing(format!("{path}: {why}"));
        let dir =
            self.programs.as_ref().ok_or_else(|| missing("no directory of hooks was given"))?;
        let canonical =
            |path: &Path| path.canonicalize().map_err(|error| missing(&error.to_string()));
        let (dir, file) = (canonical(dir)?, canonical(&dir.join(path))?);
        if file.starts_with(&dir) {
            Ok(file)
        } else {
            Err(missing("it is outside the directory of hooks"))
        }
    }

    async fn load_program(&self, url: &str, program: HookProgram) -> Result<(), ProgramError> {
        let Some(runtime) = &self.jsonnet else {
            return Err(not_run());
        };
        let route = program_route(url).unwrap_or(url);
        let HookProgram { label, source, ext_vars, tlas } = program;
        let text = |(name, text)| Variable { name, value: VariableValue::Text(text) };
        let code = |(name, value): (String, Value)| Variable {
            name,
            value: VariableValue::Code(value.to_string()),
        };
        let ext_vars = ext_vars.into_iter().map(text).collect();
        let tlas = tlas.into_iter().map(code).collect();
        let result = match source {
            ProgramSource::Texts { main, texts } => {
                let program = GivenProgram { main, texts, ext_vars, tlas };
                runtime.load_given(route, &label, &program).await
            }
            ProgramSource::File(path) => {
                let file = self.file(&path)?;
                runtime.set_variables(route, RouteVariables { ext_vars, tlas });
                runtime.load(route, &file).await
            }
        };
        loaded(result.map(|_| ()))
    }

    /// Returns the Jsonnet route that answers a URL, if there is one.
    fn route_of(&self, url: &str) -> Option<String> {
        if let Some(route) = program_route(url) {
            return Some(route.to_owned());
        }
        if self.mapped.contains(url) {
            return Some(url.to_owned());
        }
        let route = local_route(url)?;
        self.jsonnet.as_ref()?.revision(&route).map(|_| route)
    }
}

impl Hook for Router {
    fn call(&self, request: HookRequest) -> BoxFuture<'_, Result<HookReply, HookError>> {
        match (self.route_of(&request.url), &self.jsonnet) {
            (Some(route), Some(runtime)) => evaluate(runtime, route, request).boxed(),
            _ => self.webhooks.call(request),
        }
    }

    fn load<'a>(
        &'a self,
        url: &'a str,
        program: HookProgram,
    ) -> BoxFuture<'a, Result<(), ProgramError>> {
        self.load_program(url, program).boxed()
    }

    fn unload(&self, url: &str) {
        if let (Some(runtime), Some(route)) = (&self.jsonnet, program_route(url)) {
            runtime.remove(route);
        }
    }

    fn check_tls(&self, tls: &HookTls) -> Result<(), String> {
        self.webhooks.check_tls(tls)
    }

    fn describe(&self, url: &str) -> String {
        let status = self.jsonnet.as_ref().zip(self.route_of(url));
        let status = status.and_then(|(runtime, route)| runtime.status(&route));
        status.map_or_else(
            || self.webhooks.describe(url),
            |status| format!("jsonnet {}", status.file.display()),
        )
    }
}

/// Returns the route of a program that a controller brought along.
fn program_route(url: &str) -> Option<&str> {
    url.strip_prefix("jsonnet:")
}

fn not_run() -> ProgramError {
    ProgramError::Invalid("Jsonnet programs are not run here".to_owned())
}

fn loaded(result: Result<(), LoadError>) -> Result<(), ProgramError> {
    result.map_err(|error| match error {
        LoadError::Read { .. } => ProgramError::Missing(error.to_string()),
        _ => ProgramError::Invalid(error.to_string()),
    })
}

async fn evaluate(
    runtime: &Runtime,
    route: String,
    request: HookRequest,
) -> Result<HookReply, HookError> {
    debug!(%route, transport = "inprocess", "calling a hook");
    let timeout = request.timeout;
    match runtime.call_in(&route, request.body, Some(timeout), Form::Compact).await {
        Ok(evaluated) => {
            Ok(HookReply { status: 200, headers: HeaderMap::new(), body: evaluated.json })
        }
        Err(error) => Err(match error.kind {
            ErrorKind::Timeout => HookError::TimedOut(timeout),
            ErrorKind::Overload => HookError::Overloaded,
            _ => failed(&error),
        }),
    }
}

/// Returns what a person needs of a program's failure: the first line, and where it happened.
fn failed(error: &CallError) -> HookError {
    let message = error.message().lines().next().unwrap_or_default().to_owned();
    let place = error.trace().next().and_then(|line| line.split('\t').next()).map(short_place);
    HookError::Program { message, place }
}

/// Shortens `dir/file:line:column-column` to `file:line:column`.
fn short_place(place: &str) -> String {
    let place = place.rsplit_once('/').map_or(place, |(_, file)| file);
    place.split('-').next().unwrap_or(place).to_owned()
}

/// Returns the route a URL asks for, unless its host must be called as it is.
fn local_route(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    if host == "localhost" || host.parse::<IpAddr>().is_ok() {
        return None;
    }
    Some(uri.path().strip_prefix('/')?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_are_addresses_are_called() {
        for (url, route) in [
            ("http://useless-controller.metacontroller/sync", Some("sync")),
            ("http://h.n:8080/a/b?x=1", Some("a/b")),
            ("http://127.0.0.1:8080/sync", None),
            ("http://[::1]/sync", None),
            ("http://localhost/sync", None),
            ("not a url", None),
        ] {
            assert_eq!(local_route(url).as_deref(), route, "{url}");
        }
    }

    #[test]
    fn a_failure_is_one_line_with_its_place() {
        let text = "RUNTIME ERROR: boom\n\t/tmp/x/sync.jsonnet:4:35-39\tfunction <a>\n\t...";
        let error = failed(&CallError::new(ErrorKind::Runtime, text));
        assert_eq!(error.to_string(), "RUNTIME ERROR: boom (sync.jsonnet:4:35)");
    }
}
