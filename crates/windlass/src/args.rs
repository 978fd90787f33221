//! What can stand on the command line.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use cli::programs::Mapping;

pub(crate) use self::{
    functions::{
        CallArgs, DeleteArgs, DeployArgs, DescribeArgs, Format, FunctionCommand, FunctionRunArgs,
        FunctionsCommand, KubelessArguments, KubelessCommand, ListFormat, LogsArgs, LsArgs,
        ReachedArgs, RuntimesArgs, TopArgs,
    },
    httpd::{HttpdArgs, ProgramArgs},
    server::EmbeddedArgs,
    triggers::{
        CronjobArgs, CronjobCommand, DryRunArgs, HttpArgs, HttpCommand, TopicArgs, TopicCommand,
        TriggerCommand,
    },
    views::{
        AskArgs, DiffArgs, FinalizersArgs, HookCommand, HookTestArgs, InitArgs, Language, Output,
        PauseArgs, ReachArgs, RenderArgs, StatusArgs,
    },
};

mod functions;
mod httpd;
mod server;
mod triggers;
mod views;

/// Controllers that are functions: a hook says what should be, windlass makes it so.
#[derive(Debug, Parser)]
#[command(name = "windlass", version, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Args, Debug)]
pub(crate) struct GlobalArgs {
    /// Log more: information, then details, then everything
    #[arg(short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// How log lines are written
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// Accepted for commands written for kubecfg, without effect
    #[arg(long, global = true, hide = true)]
    alpha: bool,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run an API server, the engine and hooks in one process, fed from files
    Dev(Box<DevArgs>),
    /// Serve Jsonnet programs as hooks over HTTP
    Httpd(Box<HttpdArgs>),
    /// Run the embedded API server alone, for tests in any language
    Apiserver(Box<ApiserverArgs>),
    /// Run the engine against a cluster
    Engine(EngineArgs),
    /// Run parts of windlass against a cluster
    Run(Box<RunArgs>),
    /// Print what must be applied to a cluster before windlass can run there
    Manifests(ManifestsArgs),
    /// Print the children that the engine would create, without any cluster
    Render(RenderArgs),
    /// Show how the controllers of a running dev are
    Status(StatusArgs),
    /// Show an object and all that descends from it
    Tree(AskArgs),
    /// Show the last sync of an object: why, what the hook was sent and answered, what was done
    ExplainSync(AskArgs),
    /// Show what the next sync of an object would change; exit 1 if anything
    Diff(DiffArgs),
    /// Sync an object now
    Sync(AskArgs),
    /// Stop a controller or a parent from being synced
    Pause(PauseArgs),
    /// Let a controller or a parent be synced again
    Resume(PauseArgs),
    /// List finalizers of controllers that no longer exist
    Finalizers(FinalizersArgs),
    /// Write a controller to start from
    Init(InitArgs),
    /// Try hooks without any cluster
    #[command(subcommand)]
    Hook(HookCommand),
    #[command(flatten)]
    Functions(Box<FunctionsCommand>),
    /// Print the version
    Version(VersionArgs),
}

impl Command {
    /// Returns what is logged if nothing else is asked for: `dev` shows what happens in its own lines, and the
    /// engine has flags of its own.
    pub(crate) fn default_level(&self) -> &'static str {
        match self {
            Self::Httpd(_) | Self::Engine(_) | Self::Run(_) => "info",
            _ => "error",
        }
    }
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  windlass dev examples/useless-pod --once")]
pub(crate) struct DevArgs {
    /// Files and directories of YAML and JSON manifests
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Directory of hooks: /sync is answered by DIR/sync.jsonnet, without HTTP [default: PATH/hooks]
    #[arg(long, value_name = "DIR")]
    pub(crate) hooks: Option<PathBuf>,
    /// Let a Jsonnet file answer the hook of exactly this URL; repeatable
    #[arg(long, value_name = "URL=FILE")]
    pub(crate) hook_map: Vec<Mapping>,
    /// Apply files again when they change
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", action = clap::ArgAction::Set)]
    pub(crate) watch: bool,
    /// Apply, wait until nothing moves, print the result; exit 1 if anything is failing
    #[arg(long)]
    pub(crate) once: bool,
    /// The longest wait of --once
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Where to write the kubeconfig
    #[arg(long, value_name = "FILE", default_value = ".windlass/kubeconfig")]
    pub(crate) kubeconfig: PathBuf,
    /// Where the API server listens [default: 127.0.0.1:6443, or the next free port]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) api: Option<SocketAddr>,
    /// Where other commands reach it [default: 127.0.0.1:7070, or the next free port]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) console: Option<SocketAddr>,
    /// Where callers reach functions [default: 127.0.0.1:8080, or the next free port]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) gateway: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) embedded: EmbeddedArgs,
    #[command(flatten)]
    pub(crate) later: LaterDevArgs,
}

/// Flags of `dev` alone that have a meaning, but not yet.
#[derive(Args, Debug)]
pub(crate) struct LaterDevArgs {
    #[arg(long, hide = true)]
    cluster: bool,
    #[arg(long, hide = true)]
    prune: bool,
    #[arg(long, hide = true, value_name = "LIST")]
    enable: Option<String>,
    #[arg(long, hide = true, value_name = "LIST")]
    disable: Option<String>,
}

impl LaterDevArgs {
    /// Returns the first flag that was given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let flags = [
            ("--cluster", self.cluster),
            ("--prune", self.prune),
            ("--enable", self.enable.is_some()),
            ("--disable", self.disable.is_some()),
        ];
        flags.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag)
    }
}

#[derive(Args, Debug)]
pub(crate) struct ApiserverArgs {
    /// Where to listen [default: 127.0.0.1:6443, or the next free port]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) bind: Option<SocketAddr>,
    /// Where to write the kubeconfig
    #[arg(long, value_name = "FILE", default_value = ".windlass/kubeconfig")]
    pub(crate) kubeconfig: PathBuf,
    /// Let other machines in: whoever has the kubeconfig may do everything
    #[arg(long)]
    pub(crate) allow_non_loopback: bool,
    /// Manifests to apply at the start, a file or a directory; repeatable
    #[arg(long, value_name = "FILE|DIR")]
    pub(crate) load: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) embedded: EmbeddedArgs,
}

/// What the engine is told, which reads it by rules of its own.
#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
pub(crate) struct EngineArgs {
    /// Metacontroller's flags; -help lists them
    #[arg(value_name = "FLAG", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ManifestsArgs {
    /// The image that runs in the cluster
    #[arg(long, value_name = "IMAGE", default_value = concat!("windlass:", env!("CARGO_PKG_VERSION")))]
    pub(crate) image: String,
    /// The parts to run
    #[arg(long, value_name = "LIST", default_value = "engine", value_delimiter = ',')]
    pub(crate) enable: Vec<PartName>,
}

/// A part of windlass that works in a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PartName {
    Engine,
    Functions,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  windlass run --enable functions --leader-election-namespace windlass"
)]
pub(crate) struct RunArgs {
    /// The parts to run
    #[arg(long, value_name = "LIST", default_value = "functions", value_parser = ["functions"])]
    pub(crate) enable: String,
    /// The kubeconfig of the cluster [default: KUBECONFIG, the pod's account, ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context in the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Where metrics are served; 0 is nowhere
    #[arg(long, value_name = "HOST:PORT", default_value = ":9999")]
    pub(crate) metrics_address: String,
    /// Where health and readiness are served; 0 is nowhere
    #[arg(long, value_name = "HOST:PORT", default_value = ":8081")]
    pub(crate) health_address: String,
    /// Let only one of several processes work
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", action = clap::ArgAction::Set)]
    pub(crate) leader_election: bool,
    /// The namespace of the leases [default: the pod's own]
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) leader_election_namespace: Option<String>,
    /// The image of windlass that pods of functions have beside them
    #[arg(long, value_name = "IMAGE", default_value = concat!("windlass:", env!("CARGO_PKG_VERSION")))]
    pub(crate) functions_image: String,
}

#[derive(Args, Debug)]
pub(crate) struct VersionArgs {
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: Output,
}

fn duration(text: &str) -> Result<Duration, String> {
    k8s::parse_duration(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_command_written_for_kubecfg_is_understood() {
        let arguments = ["kubecfg", "--alpha", "httpd", "sync.jsonnet"];
        assert!(Arguments::try_parse_from(arguments).is_ok());
        let arguments = ["windlass", "httpd", "--alpha", "sync.jsonnet"];
        assert!(Arguments::try_parse_from(arguments).is_ok());
    }
}
