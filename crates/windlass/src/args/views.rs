//! The command lines of the verbs that show and steer what controllers do.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::ProgramArgs;

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
    /// File with the objects that a customize hook may ask for
    #[arg(long, value_name = "FILE")]
    pub(crate) related: Option<PathBuf>,
    /// Directory of hooks: /sync is answered by DIR/sync.jsonnet [default: hooks beside a FILE]
    #[arg(long, value_name = "DIR")]
    pub(crate) hooks: Option<PathBuf>,
    /// How the children are printed
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    pub(crate) output: Output,
}

/// Which cluster is meant, and how answers are printed.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReachArgs {
    /// The kubeconfig [default: KUBECONFIG, that of the dev of this directory, ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context in the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The namespace of the object
    #[arg(short, long, value_name = "NAME", default_value = "default")]
    pub(crate) namespace: String,
    /// How the answer is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  windlass status -w")]
pub(crate) struct StatusArgs {
    /// Print it again whenever it changes
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
#[command(after_help = "KIND is a kind, plural or short name, in any case.

Examples:
  windlass tree uselesspod test1
  windlass explain-sync uselesspod test1 -o json
  windlass sync -n web uselesspods.example.com test1")]
pub(crate) struct AskArgs {
    /// The kind of the object
    pub(crate) kind: String,
    /// Its name
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  windlass diff uselesspod test1
  windlass diff -f examples/useless-pod/test1.yaml")]
pub(crate) struct DiffArgs {
    /// The kind of the object
    #[arg(required_unless_present = "file", requires = "name", conflicts_with = "file")]
    pub(crate) kind: Option<String>,
    /// Its name
    pub(crate) name: Option<String>,
    /// File with the object as it is to be
    #[arg(short = 'f', long = "filename", value_name = "PARENT")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  windlass pause useless-controller
  windlass resume uselesspod test1")]
pub(crate) struct PauseArgs {
    /// The controller, or the kind and the name of a parent
    #[arg(value_name = "CONTROLLER | KIND NAME", num_args = 1..=2, required = true)]
    pub(crate) what: Vec<String>,
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  windlass finalizers --remove")]
pub(crate) struct FinalizersArgs {
    /// Take them off
    #[arg(long)]
    pub(crate) remove: bool,
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
}

/// The language of a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    Jsonnet,
    Js,
    Python,
    Http,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  windlass init web && windlass dev web --once")]
pub(crate) struct InitArgs {
    /// The directory to make, which also names the controller
    pub(crate) name: PathBuf,
    /// How the hook is written
    #[arg(long, value_name = "LANGUAGE", default_value = "jsonnet")]
    pub(crate) hook: Language,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HookCommand {
    /// Run Jsonnet hooks on requests that were kept, and compare what they answer
    Test(HookTestArgs),
}

#[derive(Args, Debug)]
#[command(
    after_help = "Each NAME/CASE.request.json in DIR is given to NAME.jsonnet. The answer must be that of
NAME/CASE.response.json, or the error must have the text of NAME/CASE.error.txt in it.

Examples:
  windlass hook test web/hooks
  windlass hook test web/hooks --update"
)]
pub(crate) struct HookTestArgs {
    /// Directory of Jsonnet programs with their cases
    pub(crate) dir: PathBuf,
    /// Write what is answered as what is expected
    #[arg(long)]
    pub(crate) update: bool,
    #[command(flatten)]
    pub(crate) programs: ProgramArgs,
}
