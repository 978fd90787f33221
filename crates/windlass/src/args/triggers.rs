//! The command lines of the verbs of triggers.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::functions::{Format, ReachedArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum TriggerCommand {
    /// Have functions called by requests from outside
    #[command(subcommand)]
    Http(HttpCommand),
    /// Have functions called by time
    #[command(subcommand)]
    Cronjob(CronjobCommand),
    /// Have functions called by messages of Kafka
    #[command(subcommand)]
    Kafka(TopicCommand),
    /// Have functions called by messages of NATS
    #[command(subcommand)]
    Nats(TopicCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum HttpCommand {
    /// Create a trigger
    Create(HttpArgs),
    /// Change what is given of a trigger, and nothing else
    Update(HttpArgs),
    /// List the triggers
    #[command(visible_alias = "ls")]
    List(TriggersArgs),
    /// Delete a trigger
    Delete(TriggerArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum CronjobCommand {
    /// Create a trigger
    Create(CronjobArgs),
    /// Change what is given of a trigger, and nothing else
    Update(CronjobArgs),
    /// List the triggers
    #[command(visible_alias = "ls")]
    List(TriggersArgs),
    /// Delete a trigger
    Delete(TriggerArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum TopicCommand {
    /// Create a trigger
    Create(TopicArgs),
    /// Change what is given of a trigger, and nothing else
    Update(TopicArgs),
    /// List the triggers
    #[command(visible_alias = "ls")]
    List(TriggersArgs),
    /// Delete a trigger
    Delete(TriggerArgs),
}

/// What is not done, but printed.
#[derive(Args, Clone, Debug)]
pub(crate) struct DryRunArgs {
    /// Print the trigger and change nothing
    #[arg(long)]
    pub(crate) dryrun: bool,
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    pub(crate) output: Format,
}

#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Example:\n  windlass trigger http create hello --function-name hello --hostname hello.example.com --path /say"
)]
pub(crate) struct HttpArgs {
    /// The name of the trigger
    pub(crate) name: String,
    /// The function that is called
    #[arg(long, value_name = "NAME")]
    pub(crate) function_name: Option<String>,
    /// The host of the requests [default: any]
    #[arg(long, value_name = "HOST")]
    pub(crate) hostname: Option<String>,
    /// The path that the requests begin with [default: /]
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Option<String>,
    /// The ingress class that routes them [default of create: nginx]
    #[arg(long, value_name = "CLASS")]
    pub(crate) gateway: Option<String>,
    /// The Secret with the certificate of the host
    #[arg(long, value_name = "NAME", conflicts_with = "tls_acme")]
    pub(crate) tls_secret: Option<String>,
    /// Have a certificate got for the host
    #[arg(long = "enableTLSAcme", value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true")]
    pub(crate) tls_acme: Option<bool>,
    /// The Secret with users and passwords
    #[arg(long, value_name = "NAME")]
    pub(crate) basic_auth_secret: Option<String>,
    /// Let pages of other origins call the function
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) cors_enable: Option<bool>,
    #[command(flatten)]
    pub(crate) dry: DryRunArgs,
    #[command(flatten)]
    pub(crate) reach: ReachedArgs,
}

#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Example:\n  windlass trigger cronjob create tick --function hello --schedule '*/5 * * * *' --payload '{\"a\": 1}'"
)]
pub(crate) struct CronjobArgs {
    /// The name of the trigger
    pub(crate) name: String,
    /// The function that is called
    #[arg(long, value_name = "NAME")]
    pub(crate) function: Option<String>,
    /// When it is called: five fields, @hourly and its like, or @every DURATION
    #[arg(long, value_name = "CRON")]
    pub(crate) schedule: Option<String>,
    /// What it is called with: an object in JSON
    #[arg(short, long, value_name = "JSON", conflicts_with = "payload_from_file")]
    pub(crate) payload: Option<String>,
    /// A .json or .yaml file with what it is called with
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) payload_from_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) dry: DryRunArgs,
    #[command(flatten)]
    pub(crate) reach: ReachedArgs,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct TopicArgs {
    /// The name of the trigger
    pub(crate) name: String,
    /// The topic or subject of the messages
    #[arg(long, value_name = "TOPIC")]
    pub(crate) trigger_topic: Option<String>,
    /// The labels of the functions that are called, such as team=a,tier=b
    #[arg(long, value_name = "LABELS")]
    pub(crate) function_selector: Option<String>,
    #[command(flatten)]
    pub(crate) dry: DryRunArgs,
    #[command(flatten)]
    pub(crate) reach: ReachedArgs,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct TriggersArgs {
    #[command(flatten)]
    pub(crate) reach: ReachedArgs,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct TriggerArgs {
    /// The trigger
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) reach: ReachedArgs,
}
