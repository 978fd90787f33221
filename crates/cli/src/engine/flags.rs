//! Pure: the command line of the engine, which is Metacontroller's: Go's rules, and a few flags more.

use std::{path::PathBuf, time::Duration};

use k8s::parse_duration;
use runtime::EventLimits;
use thiserror::Error;

use crate::programs::{Mapping, MappingError};

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineFlags {
    /// The kubeconfig of the cluster, if it was named.
    pub kubeconfig: Option<PathBuf>,
    /// The context in the kubeconfig, if it was named.
    pub context: Option<String>,
    /// How long it counts which resources the server offers.
    pub discovery_interval: Duration,
    /// How often all parents are synced again.
    pub cache_flush_interval: Duration,
    /// Where `/metrics` is served; `0` is nowhere.
    pub metrics_address: String,
    /// Where health and readiness are served; `0` is nowhere.
    pub health_address: String,
    /// Where profiles are asked for; `0` is nowhere.
    pub pprof_address: String,
    /// How many parents of one controller are synced at once, if it was said.
    pub workers: Option<usize>,
    /// How many requests a second are sent, if it was said.
    pub client_qps: Option<f64>,
    /// How many requests are sent at once, if it was said.
    pub client_burst: Option<i64>,
    /// How many events an object may have.
    pub events: EventLimits,
    /// Whether only the leader of several processes runs controllers.
    pub leader_election: bool,
    /// By what the leader is known.
    pub leader_election_resource_lock: String,
    /// Where the lease is; the own namespace if empty.
    pub leader_election_namespace: String,
    /// What the lease is called.
    pub leader_election_id: String,
    /// The labels of the controller objects that are run.
    pub target_label_selector: String,
    /// How children are written.
    pub apply_strategy: String,
    /// As whom children are applied.
    pub apply_field_manager: String,
    /// The directory of Jsonnet hooks.
    pub hooks_dir: Option<PathBuf>,
    /// The URLs that files answer.
    pub hook_map: Vec<Mapping>,
    /// The prefixes of remote imports that programs from the cluster may use.
    pub jsonnet_remote_imports: String,
    /// Whether hooks see `managedFields`.
    pub hook_managed_fields: bool,
    /// What is logged, and how.
    pub log: LogFlags,
    /// What stands after the flags, which means nothing.
    pub rest: Vec<String>,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFlags {
    /// What is logged, if it was said.
    pub level: Option<LogLevel>,
    /// Whether a person reads it.
    pub devel: bool,
    /// Whether lines are JSON, if it was said.
    pub json: Option<bool>,
    /// How the time is written.
    pub time: TimeEncoding,
}

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Errors alone.
    Error,
    /// What a person should know.
    Info,
    /// This much more: up to 4 actions and triggers, with 5 how children differ, with 6 what hooks say, from
    /// 7 on everything.
    More(u8),
}

/// How the time is written in a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeEncoding {
    /// Seconds since 1970, with a fraction.
    Epoch,
    /// Milliseconds since 1970.
    Millis,
    /// Nanoseconds since 1970.
    Nano,
    /// ISO 8601 with milliseconds.
    Iso8601,
    /// RFC 3339 with seconds.
    #[default]
    Rfc3339,
    /// RFC 3339 with nanoseconds.
    Rfc3339Nano,
}

/// Why a command line cannot be obeyed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FlagError {
    /// It asks for help.
    #[error("help was asked for")]
    Help,
    /// It has a dash too many, or no name.
    #[error("bad flag syntax: {0}")]
    Syntax(String),
    /// There is no such flag.
    #[error("flag provided but not defined: -{0}")]
    Unknown(String),
    /// The value is missing.
    #[error("flag needs an argument: -{0}")]
    NoValue(&'static str),
    /// The value means nothing.
    #[error("invalid value {value:?} for flag -{flag}: {cause}")]
    Value {
        /// The flag.
        flag: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        cause: String,
    },
}

/// One flag: its name, the word for its value, what it means, and what it does.
struct Flag {
    name: &'static str,
    /// Nothing for flags that need no value.
    value: &'static str,
    help: &'static str,
    set: fn(&mut EngineFlags, &str) -> Result<(), String>,
}

impl Default for EngineFlags {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            context: None,
            discovery_interval: Duration::from_secs(30),
            cache_flush_interval: Duration::from_mins(30),
            metrics_address: ":9999".to_owned(),
            health_address: ":8081".to_owned(),
            pprof_address: "0".to_owned(),
            workers: None,
            client_qps: None,
            client_burst: None,
            events: EventLimits::default(),
            leader_election: false,
            leader_election_resource_lock: "leases".to_owned(),
            leader_election_namespace: String::new(),
            leader_election_id: "metacontroller".to_owned(),
            target_label_selector: String::new(),
            apply_strategy: "dynamic-apply".to_owned(),
            apply_field_manager: "metacontroller".to_owned(),
            hooks_dir: None,
            hook_map: Vec::new(),
            jsonnet_remote_imports: String::new(),
            hook_managed_fields: false,
            log: LogFlags { level: None, devel: false, json: None, time: TimeEncoding::default() },
            rest: Vec::new(),
        }
    }
}

impl EngineFlags {
    /// Reads a command line, without the name of the program.
    ///
    /// One dash is as good as two, a value stands behind `=` or in the next argument, and the first argument
    /// that is no flag ends the flags.
    ///
    /// # Errors
    ///
    /// [`FlagError`] if a flag is unknown, or its value means nothing.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, FlagError> {
        let mut flags = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let Some(name) = argument.strip_prefix('-').filter(|name| !name.is_empty()) else {
                flags.rest.push(argument);
                break;
            };
            let name = name.strip_prefix('-').unwrap_or(name);
            if name.is_empty() {
                break;
            }
            let (name, value) = name
                .split_once('=')
                .map_or((name, None), |(name, value)| (name, Some(value.to_owned())));
            if name.is_empty() || name.starts_with('-') {
                return Err(FlagError::Syntax(argument));
            }
            flags.take(name, value, &mut arguments)?;
        }
        flags.rest.extend(arguments);
        Ok(flags)
    }

    fn take(
        &mut self,
        name: &str,
        value: Option<String>,
        more: &mut impl Iterator<Item = String>,
    ) -> Result<(), FlagError> {
        let Some(flag) = FLAGS.iter().find(|flag| flag.name == name) else {
            let is_help = matches!(name, "h" | "help");
            return Err(if is_help {
                FlagError::Help
            } else {
                FlagError::Unknown(name.to_owned())
            });
        };
        let value = match value {
            Some(value) => value,
            None if flag.value.is_empty() => "true".to_owned(),
            None => more.next().ok_or(FlagError::NoValue(flag.name))?,
        };
        (flag.set)(self, &value).map_err(|cause| FlagError::Value { flag: flag.name, value, cause })
    }

    /// Returns how many requests a second may be sent, and how many at once; nothing if that is not limited.
    pub fn pace(&self) -> Option<(f64, u32)> {
        let is_given = self.client_qps.is_some() || self.client_burst.is_some();
        // As in client-go, zero is the default.
        let qps = self.client_qps.filter(|qps| *qps != 0.0).unwrap_or(5.0);
        let burst = self.client_burst.and_then(|burst| u32::try_from(burst).ok());
        let burst = burst.filter(|burst| 0 < *burst).unwrap_or(10);
        (is_given && 0.0 < qps).then_some((qps, burst))
    }
}

/// Returns what all flags are and mean, for people.
pub fn usage(program: &str) -> String {
    let flag = |flag: &Flag| {
        let gap = if flag.value.is_empty() { "" } else { " " };
        format!("  -{}{gap}{}\n    \t{}\n", flag.name, flag.value, flag.help)
    };
    let flags: String = FLAGS.iter().map(flag).collect();
    format!("Usage of {program}:\n{flags}")
}

/// All flags, in the order of their names.
const FLAGS: &[Flag] = &[
    Flag {
        name: "apply-strategy",
        value: "string",
        help: "How children are written: dynamic-apply or server-side-apply (default \"dynamic-apply\")",
        set: |flags, value| put(&mut flags.apply_strategy, Ok(value.to_owned())),
    },
    Flag {
        name: "apply-strategy-ssa-field-manager",
        value: "string",
        help: "As whom children are applied server-side (default \"metacontroller\")",
        set: |flags, value| put(&mut flags.apply_field_manager, Ok(value.to_owned())),
    },
    Flag {
        name: "cache-flush-interval",
        value: "duration",
        help: "How often all parents are synced again (default 30m0s)",
        set: |flags, value| put(&mut flags.cache_flush_interval, duration(value)),
    },
    Flag {
        name: "client-go-burst",
        value: "int",
        help: "How many requests are sent to the API server at once; 10 if only client-go-qps is given (default unlimited)",
        set: |flags, value| put(&mut flags.client_burst, number(value).map(Some)),
    },
    Flag {
        name: "client-go-qps",
        value: "float",
        help: "How many requests a second are sent to the API server; negative is unlimited (default unlimited)",
        set: |flags, value| put(&mut flags.client_qps, number(value).map(Some)),
    },
    Flag {
        name: "context",
        value: "string",
        help: "The context in the kubeconfig",
        set: |flags, value| put(&mut flags.context, Ok(Some(value.to_owned()))),
    },
    Flag {
        name: "discovery-interval",
        value: "duration",
        help: "How often to look for resources that are new (default 30s)",
        set: |flags, value| put(&mut flags.discovery_interval, duration(value)),
    },
    Flag {
        name: "events-burst",
        value: "int",
        help: "How many events an object may have at once (default 25)",
        set: |flags, value| {
            let burst: i64 = number(value)?;
            let burst = u32::try_from(burst).ok().filter(|burst| 0 < *burst);
            flags.events.burst = burst.unwrap_or(EventLimits::default().burst);
            Ok(())
        },
    },
    Flag {
        name: "events-qps",
        value: "float",
        help: "How many events a second an object may have then (default 0.0033333333333333335)",
        set: |flags, value| {
            let qps: f64 = number(value)?;
            let default = EventLimits::default().per_second;
            flags.events.per_second = if 0.0 < qps { qps } else { default };
            Ok(())
        },
    },
    Flag {
        name: "health-probe-bind-address",
        value: "string",
        help: "Where /healthz and /readyz are served; 0 is nowhere (default \":8081\")",
        set: |flags, value| put(&mut flags.health_address, Ok(value.to_owned())),
    },
    Flag {
        name: "hook-managed-fields",
        value: "",
        help: "Send metadata.managedFields to hooks",
        set: |flags, value| put(&mut flags.hook_managed_fields, boolean(value)),
    },
    Flag {
        name: "hook-map",
        value: "URL=FILE",
        help: "Let a Jsonnet file answer the hook of a URL; repeatable",
        set: |flags, value| {
            let mapping = value.parse().map_err(|error: MappingError| error.to_string())?;
            flags.hook_map.push(mapping);
            Ok(())
        },
    },
    Flag {
        name: "hooks-dir",
        value: "string",
        help: "The directory of the files that jsonnet hooks name",
        set: |flags, value| put(&mut flags.hooks_dir, Ok(Some(value.into()))),
    },
    Flag {
        name: "jsonnet-remote-imports",
        value: "string",
        help: "The prefixes of URLs that programs from the cluster may import",
        set: |flags, value| put(&mut flags.jsonnet_remote_imports, Ok(value.to_owned())),
    },
    Flag {
        name: "kubeconfig",
        value: "string",
        help: "The kubeconfig of the cluster (default: KUBECONFIG, the pod's account, ~/.kube/config)",
        set: |flags, value| {
            put(&mut flags.kubeconfig, Ok(Some(value.into()).filter(|_| !value.is_empty())))
        },
    },
    Flag {
        name: "leader-election",
        value: "",
        help: "Let only the leader of several processes run controllers",
        set: |flags, value| put(&mut flags.leader_election, boolean(value)),
    },
    Flag {
        name: "leader-election-id",
        value: "string",
        help: "What the lease is called (default \"metacontroller\")",
        set: |flags, value| put(&mut flags.leader_election_id, Ok(value.to_owned())),
    },
    Flag {
        name: "leader-election-namespace",
        value: "string",
        help: "Where the lease is (default: the pod's namespace)",
        set: |flags, value| put(&mut flags.leader_election_namespace, Ok(value.to_owned())),
    },
    Flag {
        name: "leader-election-resource-lock",
        value: "string",
        help: "By what the leader is known; leases is all there is (default \"leases\")",
        set: |flags, value| put(&mut flags.leader_election_resource_lock, Ok(value.to_owned())),
    },
    Flag {
        name: "metrics-address",
        value: "string",
        help: "Where /metrics is served; 0 is nowhere (default \":9999\")",
        set: |flags, value| put(&mut flags.metrics_address, Ok(value.to_owned())),
    },
    Flag {
        name: "pprof-address",
        value: "string",
        help: "Where /debug/pprof is served; 0 is nowhere (default \"0\")",
        set: |flags, value| put(&mut flags.pprof_address, Ok(value.to_owned())),
    },
    Flag {
        name: "target-label-selector",
        value: "string",
        help: "Run only the controller objects with these labels",
        set: |flags, value| put(&mut flags.target_label_selector, Ok(value.to_owned())),
    },
    Flag {
        name: "workers",
        value: "int",
        help: "How many parents of one controller are synced at once (default 5, up to 32 while parents wait)",
        set: |flags, value| {
            let workers: i64 = number(value)?;
            put(&mut flags.workers, Ok(Some(usize::try_from(workers).unwrap_or(1).max(1))))
        },
    },
    Flag {
        name: "zap-devel",
        value: "",
        help: "Log for people: encoder console, level debug",
        set: |flags, value| put(&mut flags.log.devel, boolean(value)),
    },
    Flag {
        name: "zap-encoder",
        value: "value",
        help: "How log lines are written: json or console (default json)",
        set: |flags, value| {
            let is_json = one_of(value, &[("json", true), ("console", false)]);
            put(&mut flags.log.json, is_json.map(Some))
        },
    },
    Flag {
        name: "zap-log-level",
        value: "value",
        help: "What is logged: debug, info, error, panic or a number above 0; 4 shows actions and triggers, 5 differences, 6 what hooks say, 7 discovery (default info)",
        set: |flags, value| put(&mut flags.log.level, level(value).map(Some)),
    },
    Flag {
        name: "zap-stacktrace-level",
        value: "value",
        help: "Accepted without effect: info, error or panic",
        set: |_, value| one_of(value, &[("info", ()), ("error", ()), ("panic", ())]),
    },
    Flag {
        name: "zap-time-encoding",
        value: "value",
        help: "How the time is written: epoch, millis, nano, iso8601, rfc3339 or rfc3339nano (default rfc3339)",
        set: |flags, value| put(&mut flags.log.time, time_encoding(value)),
    },
];

fn put<T>(field: &mut T, value: Result<T, String>) -> Result<(), String> {
    *field = value?;
    Ok(())
}

fn duration(value: &str) -> Result<Duration, String> {
    parse_duration(value).map_err(|error| error.to_string())
}

fn number<T: std::str::FromStr>(value: &str) -> Result<T, String> {
    value.parse().map_err(|_| "it is no number of that kind".to_owned())
}

/// Reads what Go takes for a truth value.
fn boolean(value: &str) -> Result<bool, String> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("it is neither true nor false".to_owned()),
    }
}

fn one_of<T: Copy>(value: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(value));
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        format!("it is none of {}", words.join(", "))
    })
}

fn level(value: &str) -> Result<LogLevel, String> {
    if let Ok(more) = value.parse::<i8>() {
        return match u8::try_from(more) {
            Ok(more) if 0 < more => Ok(LogLevel::More(more)),
            _ => Err("the number must be above 0".to_owned()),
        };
    }
    let words = [
        ("debug", LogLevel::More(1)),
        ("info", LogLevel::Info),
        ("error", LogLevel::Error),
        ("panic", LogLevel::Error),
    ];
    one_of(value, &words)
}

fn time_encoding(value: &str) -> Result<TimeEncoding, String> {
    let words = [
        ("epoch", TimeEncoding::Epoch),
        ("millis", TimeEncoding::Millis),
        ("nano", TimeEncoding::Nano),
        ("iso8601", TimeEncoding::Iso8601),
        ("rfc3339", TimeEncoding::Rfc3339),
        ("rfc3339nano", TimeEncoding::Rfc3339Nano),
    ];
    one_of(value, &words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<EngineFlags, String> {
        let arguments = line.split_whitespace().map(ToOwned::to_owned);
        EngineFlags::parse(arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn one_dash_is_as_good_as_two_and_a_value_may_stand_apart() {
        for line in ["-workers=7", "--workers=7", "-workers 7", "--workers 7"] {
            assert_eq!(parse(line).unwrap().workers, Some(7), "{line}");
        }
        for line in ["-leader-election", "--leader-election=true", "-leader-election=1"] {
            assert!(parse(line).unwrap().leader_election, "{line}");
        }
        assert!(!parse("--leader-election=F").unwrap().leader_election);
    }

    #[test]
    fn every_flag_of_metacontroller_is_known() {
        let flags = parse(
            "--discovery-interval=20s --cache-flush-interval 1h30m --metrics-address 0 \
             --health-probe-bind-address=:1 -pprof-address :2 --client-go-qps 50.5 --client-go-burst 100 \
             --events-qps 0.5 --events-burst 3 --leader-election-resource-lock leases \
             --leader-election-namespace ns --leader-election-id id --target-label-selector a=b,c!=d \
             --apply-strategy server-side-apply --apply-strategy-ssa-field-manager me --kubeconfig kc \
             --zap-log-level 5 --zap-devel --zap-encoder console --zap-stacktrace-level panic \
             --zap-time-encoding rfc3339nano",
        );
        let flags = flags.unwrap();
        assert_eq!(flags.discovery_interval, Duration::from_secs(20));
        assert_eq!(flags.cache_flush_interval, Duration::from_mins(90));
        assert_eq!(flags.target_label_selector, "a=b,c!=d");
        assert_eq!(flags.events, EventLimits { burst: 3, per_second: 0.5 });
        let (level, time) = (Some(LogLevel::More(5)), TimeEncoding::Rfc3339Nano);
        assert_eq!(flags.log, LogFlags { level, devel: true, json: Some(false), time });
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for (line, error) in [
            ("-nope", "flag provided but not defined: -nope"),
            ("---workers=1", "bad flag syntax: ---workers=1"),
            ("-=1", "bad flag syntax: -=1"),
            ("-workers", "flag needs an argument: -workers"),
            ("-workers x", r#"invalid value "x" for flag -workers: it is no number of that kind"#),
            (
                "-leader-election=x",
                r#"invalid value "x" for flag -leader-election: it is neither true nor false"#,
            ),
            (
                "-zap-encoder=xml",
                r#"invalid value "xml" for flag -zap-encoder: it is none of json, console"#,
            ),
            (
                "-zap-log-level=-1",
                r#"invalid value "-1" for flag -zap-log-level: the number must be above 0"#,
            ),
            ("--help", "help was asked for"),
        ] {
            assert_eq!(parse(line).unwrap_err(), error, "{line}");
        }
        assert!(parse("--discovery-interval=30").is_err());
    }

    #[test]
    fn the_first_argument_that_is_no_flag_ends_the_flags() {
        let flags = parse("--zap-devel true --workers 9").unwrap();
        assert_eq!((flags.workers, flags.rest.join(" ")), (None, "true --workers 9".to_owned()));
        assert_eq!(parse("-- --workers 9").unwrap().workers, None);
    }

    #[test]
    fn requests_are_limited_only_where_it_was_asked_for() {
        for (line, pace) in [
            ("", None),
            ("--client-go-qps=20", Some((20.0, 10))),
            ("--client-go-burst=30", Some((5.0, 30))),
            ("--client-go-qps=-1 --client-go-burst=30", None),
            ("--client-go-qps=0 --client-go-burst=0", Some((5.0, 10))),
        ] {
            assert_eq!(parse(line).unwrap().pace(), pace, "{line}");
        }
    }

    #[test]
    fn flags_stand_in_the_order_of_their_names() {
        assert!(FLAGS.is_sorted_by_key(|flag| flag.name));
        assert!(usage("engine").starts_with("Usage of engine:\n  -apply-strategy string\n"));
    }
}
