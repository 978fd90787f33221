//! Pure: what a host knows of its function, read from the environment of its container.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use k8s::parse_duration;
use thiserror::Error;

use super::pool::{IDLE, Limits};
use crate::runtimes::{Language, RuntimeName};

/// What Node.js takes beside the heap of its program before that heap is full, and more.
const BESIDES_HEAP: u64 = 128 << 20;

/// The variable that lets all workers end that have nothing to do for so long.
pub(crate) const IDLE_TIMEOUT: &str = "WINDLASS_IDLE_TIMEOUT";

/// How many calls may wait for a worker.
const QUEUE: usize = 256;
/// How many processes of a language that serves one call at a time there may be.
const PROCESSES: usize = 10;
/// How many megabytes a request may have.
const MEGABYTES: u64 = 100;
/// How many calls a Node.js process serves at once.
const NODEJS_CALLS: usize = 100;
/// How many calls a Go process serves at once.
const GO_CALLS: usize = 1000;

/// What a host knows of its function.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The language that the program is run by.
    pub language: Language,
    /// The version of it.
    pub version: String,
    /// How long a call may take.
    pub timeout: Duration,
    /// How many workers and calls there may be.
    pub limits: Limits,
    /// The largest body of a request, in bytes.
    pub max_body: u64,
    /// The origin that pages may call from, if any.
    pub cors: Option<String>,
    /// Whether callers learn what a program failed of.
    pub exposes_errors: bool,
    /// Where the program lies.
    pub dir: PathBuf,
    /// What workers get as their environment.
    pub env: BTreeMap<String, String>,
}

/// Why a host does not know its function.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// A variable is missing.
    #[error("`{0}` is not set")]
    Missing(&'static str),
    /// A variable has a value that means nothing.
    #[error("`{name}` is `{value}`, which is {wanted}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it should be and is not.
        wanted: &'static str,
    },
}

impl Settings {
    /// Reads the variables of a container; the program lies in `dir`.
    ///
    /// # Errors
    ///
    /// [`SettingsError`] with the first variable that does not say what it should.
    pub fn read(env: &BTreeMap<String, String>, dir: PathBuf) -> Result<Self, SettingsError> {
        let runtime = text(env, "WINDLASS_RUNTIME")?;
        let unknown = || SettingsError::Invalid {
            name: "WINDLASS_RUNTIME",
            value: runtime.to_owned(),
            wanted: "no runtime that is served here",
        };
        let name = RuntimeName::parse(runtime).ok_or_else(unknown)?;
        let language = Language::of_id(&name.id).ok_or_else(unknown)?;
        for needed in ["MOD_NAME", "FUNC_HANDLER"] {
            text(env, needed)?;
        }
        let seconds = number(env, "FUNC_TIMEOUT")?.unwrap_or(180).max(1);
        let megabytes = match (language, number(env, "REQ_MB_LIMIT")?) {
            (Language::Nodejs, Some(megabytes)) => megabytes,
            _ => number(env, "FUNC_MAX_BODY_MB")?.unwrap_or(MEGABYTES),
        };
        let mut worker = env.clone();
        let home = dir.to_string_lossy().into_owned();
        for value in worker.values_mut() {
            // The volume is another directory where there are no containers.
            *value = value.replace(crate::objects::HOME, &home);
        }
        Ok(Self {
            language,
            version: name.version.to_string(),
            timeout: Duration::from_secs(seconds),
            limits: limits(env, language)?,
            max_body: megabytes.saturating_mul(1 << 20),
            cors: cors(env, language),
            exposes_errors: env
                .get("FUNC_EXPOSE_ERRORS")
                .is_some_and(|it| it == "1" || it.eq_ignore_ascii_case("true")),
            dir,
            env: worker,
        })
    }
}

impl Settings {
    /// Returns how many bytes a worker may use; 0 is no limit.
    pub(super) fn memory_limit(&self) -> u64 {
        self.env.get("FUNC_MEMORY_LIMIT").and_then(|limit| bytes_of(limit)).unwrap_or(0)
    }

    /// Returns at how many bytes the system gives a worker no more; 0 is no limit.
    pub(super) fn system_limit(&self) -> u64 {
        match self.memory_limit() {
            0 => 0,
            limit if self.language == Language::Nodejs && self.heap_limit().is_some() => {
                limit.saturating_add(BESIDES_HEAP)
            }
            limit => limit,
        }
    }

    /// Returns how many megabytes the objects of a Node.js program may take, unless it has no limit or its own.
    ///
    /// V8 crashes without a word when the system gives it no more, so it is to find its own limit first.
    pub(crate) fn heap_limit(&self) -> Option<u64> {
        let own = self.env.get("NODE_OPTIONS").map(|options| options.replace('_', "-"));
        let has_own = own.is_some_and(|options| options.contains("--max-old-space-size"));
        let megabytes = (self.memory_limit() >> 20) / 4 * 3;
        (!has_own && megabytes != 0).then_some(megabytes)
    }
}

/// Returns the bytes that a quantity such as `128Mi` stands for.
fn bytes_of(quantity: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 8] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
    ];
    let unit = UNITS.iter().find(|(unit, _)| quantity.ends_with(unit));
    let (number, factor) =
        unit.map_or((quantity, 1), |(unit, factor)| (quantity.trim_end_matches(unit), *factor));
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn limits(env: &BTreeMap<String, String>, language: Language) -> Result<Limits, SettingsError> {
    let at_once = number(env, "FUNC_CONCURRENCY")?;
    let threads =
        if language == Language::Python { number(env, "CHERRYPY_NUMTHREADS")? } else { None };
    let at_once = at_once.or(threads).and_then(|number| usize::try_from(number).ok());
    let at_once = at_once.filter(|number| *number != 0);
    let (workers, calls) = match language {
        Language::Python | Language::Jsonnet => (at_once.unwrap_or(PROCESSES), 1),
        Language::Nodejs => (1, at_once.unwrap_or(NODEJS_CALLS)),
        Language::Go => (1, at_once.unwrap_or(GO_CALLS)),
    };
    let queue = number(env, "FUNC_MAX_QUEUE")?.and_then(|number| usize::try_from(number).ok());
    let queue = queue.unwrap_or(QUEUE);
    let own = text(env, IDLE_TIMEOUT).ok().map(idle).transpose()?;
    let (keep, idle) = own.map_or((1, IDLE), |own| (0, own));
    Ok(Limits { workers, calls, queue, keep, idle })
}

fn idle(value: &str) -> Result<Duration, SettingsError> {
    let invalid = || SettingsError::Invalid {
        name: IDLE_TIMEOUT,
        value: value.to_owned(),
        wanted: "no duration",
    };
    parse_duration(value).map_err(|_| invalid())
}

/// Kubeless answered pages of any origin in some languages, and of none in others.
fn cors(env: &BTreeMap<String, String>, language: Language) -> Option<String> {
    let usual = matches!(language, Language::Nodejs | Language::Go).then(|| "*".to_owned());
    env.get("FUNC_CORS").cloned().or(usual).filter(|origin| !origin.is_empty())
}

fn text<'a>(
    env: &'a BTreeMap<String, String>,
    name: &'static str,
) -> Result<&'a str, SettingsError> {
    let value = env.get(name).filter(|value| !value.is_empty());
    value.map(String::as_str).ok_or(SettingsError::Missing(name))
}

fn number(
    env: &BTreeMap<String, String>,
    name: &'static str,
) -> Result<Option<u64>, SettingsError> {
    let Some(value) = env.get(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    let invalid =
        || SettingsError::Invalid { name, value: value.clone(), wanted: "no whole number" };
    value.parse().map(Some).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let usual = [("MOD_NAME", "a"), ("FUNC_HANDLER", "b"), ("WINDLASS_RUNTIME", "python3.11")];
        let pairs = usual.iter().chain(pairs);
        let env = pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Settings::read(&env, PathBuf::from("/data/f"))
    }

    #[test]
    fn each_language_has_its_own_way_with_many_calls() {
        let limits = |pairs: &[(&str, &str)]| {
            let limits = read(pairs).unwrap().limits;
            (limits.workers, limits.calls, limits.queue)
        };
        assert_eq!(limits(&[]), (10, 1, 256));
        assert_eq!(limits(&[("CHERRYPY_NUMTHREADS", "3")]), (3, 1, 256));
        assert_eq!(limits(&[("FUNC_CONCURRENCY", "2"), ("CHERRYPY_NUMTHREADS", "3")]), (2, 1, 256));
        assert_eq!(limits(&[("WINDLASS_RUNTIME", "nodejs20")]), (1, 100, 256));
        assert_eq!(limits(&[("WINDLASS_RUNTIME", "go"), ("FUNC_MAX_QUEUE", "7")]), (1, 1000, 7));
    }

    #[test]
    fn a_node_program_finds_its_limit_before_the_system_does() {
        let limit = ("FUNC_MEMORY_LIMIT", "200Mi");
        assert_eq!(read(&[limit]).unwrap().heap_limit(), Some(150));
        assert_eq!(read(&[]).unwrap().heap_limit(), None);
        let own = ("NODE_OPTIONS", "--max_old_space_size=64");
        assert_eq!(read(&[limit, own]).unwrap().heap_limit(), None);
    }

    #[test]
    fn a_function_may_let_its_last_worker_go() {
        let limits = read(&[(IDLE_TIMEOUT, "10s")]).unwrap().limits;
        assert_eq!((limits.keep, limits.idle), (0, Duration::from_secs(10)));
        let limits = read(&[]).unwrap().limits;
        assert_eq!((limits.keep, limits.idle), (1, IDLE));
    }

    #[test]
    fn paths_follow_the_program() {
        let settings = read(&[("PYTHONPATH", "/kubeless/lib/python3.11/site-packages:/kubeless")]);
        assert_eq!(
            settings.unwrap().env["PYTHONPATH"],
            "/data/f/lib/python3.11/site-packages:/data/f"
        );
    }

    #[test]
    fn what_means_nothing_is_told() {
        for (pair, message) in [
            (("FUNC_TIMEOUT", "soon"), "`FUNC_TIMEOUT` is `soon`, which is no whole number"),
            ((IDLE_TIMEOUT, "never"), "`WINDLASS_IDLE_TIMEOUT` is `never`, which is no duration"),
            (("MOD_NAME", ""), "`MOD_NAME` is not set"),
            (
                ("WINDLASS_RUNTIME", "perl5"),
                "`WINDLASS_RUNTIME` is `perl5`, which is no runtime that is served here",
            ),
        ] {
            assert_eq!(read(&[pair]).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn only_some_languages_answer_pages_of_other_origins() {
        assert_eq!(read(&[]).unwrap().cors, None);
        assert_eq!(read(&[("WINDLASS_RUNTIME", "nodejs20")]).unwrap().cors.as_deref(), Some("*"));
        assert_eq!(read(&[("FUNC_CORS", "https://a")]).unwrap().cors.as_deref(), Some("https://a"));
    }
}
