//! The verbs that show and steer what controllers do.

use std::process::ExitCode;

use cli::render::{self, RenderOptions};
use jsonnet::WorkerCommand;
use serde_json::{Value, json};

use crate::{
    args::{Output, RenderArgs},
    commands::print,
    failure,
};

pub(crate) async fn render(args: RenderArgs) -> ExitCode {
    let RenderArgs { files, children, hooks, output } = args;
    let options = RenderOptions { files, children, hooks, worker: WorkerCommand::default() };
    match render::run(options).await {
        Ok(children) => print(&objects(&children, output)),
        Err(error) => {
            let code = if error.is_usage() { 2 } else { 1 };
            failure::print(&error, error.hint(), code)
        }
    }
}

/// Returns objects as documents, or as a list in JSON.
fn objects(objects: &[Value], output: Output) -> String {
    if output == Output::Json {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        return format!("{list:#}\n");
    }
    let documents: Vec<_> = objects.iter().map(k8s::yaml::to_string).collect();
    documents.join("---\n")
}
