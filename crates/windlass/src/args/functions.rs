//! The command lines of the verbs of Functions, which are those that `kubeless` had.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use cli::function::pairs;
use http::Method;

use super::{GlobalArgs, VersionArgs, triggers::TriggerCommand};

/// Functions, their triggers and what belongs to them.
#[derive(Debug, Parser)]
#[command(name = "kubeless", version, disable_help_subcommand = true)]
pub(crate) struct KubelessArguments {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: KubelessCommand,
}

/// What the binary does under the name `kubeless`.
#[derive(Debug, Subcommand)]
pub(crate) enum KubelessCommand {
    #[command(flatten)]
    Functions(Box<FunctionsCommand>),
    /// Print the version
    Version(VersionArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum FunctionsCommand {
    /// Deploy functions, call them and see how they do
    #[command(subcommand)]
    Function(FunctionCommand),
    /// Have functions called by requests, time or messages
    #[command(subcommand)]
    Trigger(TriggerCommand),
    /// Let the number of a function's pods follow its load (not supported yet)
    Autoscale(LaterArgs),
    /// Work with the topics of Kafka (not supported yet)
    Topic(LaterArgs),
    /// Print which runtimes functions can have
    GetServerConfig(ReachedArgs),
}

/// Anything: what it would mean is not known yet.
#[derive(Args, Debug)]
pub(crate) struct LaterArgs {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FunctionCommand {
    /// Deploy a function
    Deploy(Box<DeployArgs>),
    /// Change what is given of a function, and nothing else
    Update(Box<DeployArgs>),
    /// Delete functions
    Delete(DeleteArgs),
    /// List functions
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Call a function
    Call(CallArgs),
    /// Print the log of a function
    Logs(LogsArgs),
    /// Describe a function
    Describe(DescribeArgs),
    /// Show how often functions were called, and how that went
    #[command(visible_alias = "stats")]
    Top(TopArgs),
    /// Serve a function from its files, without any API server
    Run(FunctionRunArgs),
    /// List the runtimes that this machine has
    Runtimes(RuntimesArgs),
}

/// Which cluster and which namespace is meant.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReachedArgs {
    /// The kubeconfig [default: KUBECONFIG, that of the dev of this directory, ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context in the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The namespace [default: that of the context]
    #[arg(short, long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
}

/// How objects are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Json,
    Yaml,
}

/// How a list is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    /// With memory, variables and labels
    Wide,
    Json,
    Yaml,
}

#[derive(Args, Clone, Debug)]
#[command(
    after_help = "LIST is NAME=VALUE or NAME:VALUE, several joined by commas; the flag can stand several times.

Examples:
  windlass function deploy hello -r python3.11 --handler hello.say -f hello.py --wait
  windlass function deploy hello -r nodejs20 --handler hello.say -f https://example.com/hello.zip
  windlass function deploy hello -r python3.11 --handler hello.say -f hello.py --watch --wait
  windlass function deploy hello -r python3.11 --handler hello.say -f hello.py --dryrun -o json
  windlass function update hello --env GREETING=Hi"
)]
pub(crate) struct DeployArgs {
    /// The name of the function
    pub(crate) name: String,
    /// The runtime and its version, such as python3.11
    #[arg(short, long, value_name = "RUNTIME")]
    pub(crate) runtime: Option<String>,
    /// What is called: a function of a module
    #[arg(long, value_name = "MODULE.FUNCTION")]
    pub(crate) handler: Option<String>,
    /// The program or an archive of it
    #[arg(short, long, value_name = "FILE|URL")]
    pub(crate) from_file: Option<String>,
    /// What the program depends on, in the form of its language
    #[arg(short, long, value_name = "FILE|URL")]
    pub(crate) dependencies: Option<String>,
    /// Variables of the function
    #[arg(short, long, value_name = "LIST")]
    pub(crate) env: Vec<String>,
    /// Labels of the function
    #[arg(short, long, value_name = "LIST")]
    pub(crate) label: Vec<String>,
    /// Labels that a node must have to run the function
    #[arg(long, value_name = "LIST")]
    pub(crate) node_selectors: Vec<String>,
    /// Secrets that the function reads as files of the directory /NAME
    #[arg(long, value_name = "NAME,..")]
    pub(crate) secrets: Vec<String>,
    /// The account of the function
    #[arg(long, value_name = "NAME")]
    pub(crate) service_account: Option<String>,
    /// Have the function called by time as well: makes the cronjob trigger NAME
    #[arg(long, value_name = "CRON")]
    pub(crate) schedule: Option<String>,
    /// How much memory the function has, such as 128Mi
    #[arg(long, value_name = "AMOUNT", value_parser = pairs::quantity)]
    pub(crate) memory: Option<String>,
    /// How much computing power the function has, such as 500m
    #[arg(long, value_name = "AMOUNT", value_parser = pairs::quantity)]
    pub(crate) cpu: Option<String>,
    /// An image that serves the function by itself
    #[arg(long, value_name = "IMAGE")]
    pub(crate) runtime_image: Option<String>,
    /// When images are pulled [default of deploy: Always]
    #[arg(long, value_name = "POLICY", value_parser = ["Always", "IfNotPresent", "Never"])]
    pub(crate) image_pull_policy: Option<String>,
    /// How many seconds a call may take [default of deploy: 180]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) timeout: Option<u32>,
    /// The port of the function [default of deploy: 8080]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// The port of its Service [default: that of the function]
    #[arg(long = "servicePort", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) service_port: Option<u16>,
    /// Give the Service no address of its own
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) headless: Option<bool>,
    /// Print the function and change nothing
    #[arg(long)]
    pub(crate) dryrun: bool,
    /// How --dryrun prints it
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    pub(crate) output: Format,
    /// Wait until the function answers calls; exit 1 if it will not
    #[arg(long)]
    pub(crate) wait: bool,
    /// Go on, and deploy the files again whenever they are saved
    #[arg(long, conflicts_with = "dryrun")]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) reach: ReachedArgs,
}

#[derive(Args, Debug)]
pub(crate) struct DeleteArgs {
    /// The functions
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) reach: ReachedArgs,
}

#[derive(Args, Debug)]
pub(crate) struct LsArgs {
    /// The functions; all of the namespace if none is named
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// How they are printed, if not as a table
    #[arg(short, long, visible_alias = "out", value_name = "FORMAT")]
    pub(crate) output: Option<ListFormat>,
    #[command(flatten)]
    pub(crate) reach: ReachedArgs,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Without data it is a GET, else a POST. Data is sent as JSON if it is an object.

Examples:
  windlass function call hello --data '{\"name\": \"you\"}'
  windlass function call hello --method PUT --path /items/1 --header Accept=text/plain --file item.txt"
)]
pub(crate) struct CallArgs {
    /// The function
    pub(crate) name: String,
    /// What it is called with
    #[arg(short, long, value_name = "TEXT", conflicts_with = "file")]
    pub(crate) data: Option<String>,
    /// A file with what it is called with
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// A header of the request, NAME=VALUE or NAME:VALUE; repeatable
    #[arg(long, value_name = "HEADER")]
    pub(crate) header: Vec<String>,
    /// The path and query of the request
    #[arg(long, value_name = "PATH", default_value = "/")]
    pub(crate) path: String,
    /// The method of the request
    #[arg(long, value_name = "METHOD")]
    pub(crate) method: Option<Method>,
    #[command(flatten)]
    pub(crate) reach: ReachedArgs,
}

#[derive(Args, Debug)]
pub(crate) struct LogsArgs {
    /// The function
    pub(crate) name: String,
    /// Go on printing what comes
    #[arg(short, long)]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) reach: ReachedArgs,
}

#[derive(Args, Debug)]
pub(crate) struct DescribeArgs {
    /// The function
    pub(crate) name: String,
    /// How it is printed, if not as lines
    #[arg(short, long, visible_alias = "out", value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
    #[command(flatten)]
    pub(crate) reach: ReachedArgs,
}

#[derive(Args, Debug)]
pub(crate) struct TopArgs {
    /// The function; all of the namespace if none is named
    #[arg(short, long, value_name = "NAME")]
    pub(crate) function: Option<String>,
    /// How it is printed, if not as a table
    #[arg(short, long, visible_alias = "out", value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
    #[command(flatten)]
    pub(crate) reach: ReachedArgs,
}

#[derive(Args, Debug)]
#[command(
    after_help = "It is served until Ctrl-C; with data it is called once instead, and its answer printed.

Examples:
  windlass function run hello.py --handler hello.say --runtime python3.11
  windlass function run hello --handler hello.say --runtime nodejs20 --data '{\"name\": \"you\"}'"
)]
pub(crate) struct FunctionRunArgs {
    /// The program, or the directory with all its files
    #[arg(value_name = "DIR|FILE")]
    pub(crate) path: PathBuf,
    /// What is called: a function of a module
    #[arg(long, value_name = "MODULE.FUNCTION")]
    pub(crate) handler: String,
    /// The runtime and its version, such as python3.11
    #[arg(short, long, value_name = "RUNTIME")]
    pub(crate) runtime: String,
    /// What the program depends on, in the form of its language
    #[arg(short = 'D', long, value_name = "FILE|URL")]
    pub(crate) dependencies: Option<String>,
    /// Variables of the function
    #[arg(short, long, value_name = "LIST")]
    pub(crate) env: Vec<String>,
    /// How many seconds a call may take
    #[arg(long, value_name = "SECONDS", default_value_t = 180,
        value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) timeout: u32,
    /// What it is called with, once
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) data: Option<String>,
    /// Where it is served
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
}

#[derive(Args, Debug)]
pub(crate) struct RuntimesArgs {
    /// How they are printed, if not as a table
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
}
