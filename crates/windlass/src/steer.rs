//! The verbs that change something: pausing, finalizers, a controller to start from.

use std::process::ExitCode;

use cli::{
    init::{self, Hook},
    steer::{self, Stale},
};
use k8s::ObjectKey;
use serde_json::json;

use crate::{
    args::{FinalizersArgs, InitArgs, Language, Output, PauseArgs},
    commands::print,
    failure,
    views::{connect, end, value},
};

pub(crate) async fn pause(args: PauseArgs, pause: bool) -> ExitCode {
    let done = async {
        let client = connect(&args.reach, true).await?;
        let subjects = match args.what.as_slice() {
            [kind, name] => {
                let key = ObjectKey::new(&args.reach.namespace, name);
                vec![steer::pause_object(&client, kind, &key, pause).await?]
            }
            names => {
                let name = names.first().map_or("", String::as_str);
                steer::pause_controller(&client, name, pause).await?
            }
        };
        let verb = if pause { "paused" } else { "resumed" };
        Ok(match args.reach.output {
            Output::Text => {
                let lines = subjects.iter().map(|subject| format!("{verb}  {subject}\n"));
                print(&lines.collect::<String>())
            }
            output => print(&value(&json!({verb: subjects}), output)),
        })
    };
    end(done.await)
}

pub(crate) async fn finalizers(args: FinalizersArgs) -> ExitCode {
    let done = async {
        let client = connect(&args.reach, args.remove).await?;
        let found = steer::stale_finalizers(&client).await?;
        if args.remove {
            for stale in &found {
                steer::remove(&client, stale).await?;
            }
        }
        let verb = if args.remove { "removed" } else { "stale" };
        Ok(match args.reach.output {
            Output::Text => {
                let line = |Stale { resource, key, finalizer }: &Stale| {
                    format!("{verb}  {} {key}  {finalizer}\n", resource.gvk.kind)
                };
                print(&found.iter().map(line).collect::<String>())
            }
            output => {
                let entry = |Stale { resource, key, finalizer }: &Stale| {
                    json!({"apiVersion": resource.gvk.api_version(), "kind": resource.gvk.kind,
                        "namespace": key.namespace, "name": key.name, "finalizer": finalizer})
                };
                let found: Vec<_> = found.iter().map(entry).collect();
                print(&value(&json!({verb: found}), output))
            }
        })
    };
    end(done.await)
}

pub(crate) fn init(args: &InitArgs) -> ExitCode {
    let hook = match args.hook {
        Language::Jsonnet => Hook::Jsonnet,
        Language::Python => Hook::Python,
        Language::Http => Hook::Http,
        Language::Js => Hook::Js,
    };
    match init::write(&args.name, hook) {
        Ok(files) => {
            let lines = files.iter().map(|file| format!("wrote    {}\n", file.display()));
            print(&lines.collect::<String>())
        }
        Err(error) => {
            let code = if error.is_usage() { 2 } else { 1 };
            failure::print(&error, error.hint(), code)
        }
    }
}
