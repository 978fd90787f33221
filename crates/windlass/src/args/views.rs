//! The command lines of the verbs that show and steer what controllers do.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// How answers are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    #[default]
    Text,
    Json,
    Yaml,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  windlass render -f examples/useless-pod
  windlass render -f controller.yaml -f parent.yaml --hooks hooks --children children.yaml")]
pub(crate) struct RenderArgs {
    /// File or directory with controllers, their parents and CustomResourceDefinitions; repeatable
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// File with the children that the hook is to see
    #[arg(long, value_name = "FILE")]
    pub(crate) children: Option<PathBuf>,
    /// Directory of hooks: /sync is answered by DIR/sync.jsonnet [default: hooks beside a FILE]
    #[arg(long, value_name = "DIR")]
    pub(crate) hooks: Option<PathBuf>,
    /// How the children are printed
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    pub(crate) output: Output,
}
