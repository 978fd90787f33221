//! What happens when files change under a runtime.

use std::{fs, os::unix::fs::symlink, path::Path, time::Duration};

use jsonnet::{Change, Routes};
use k8s::{Settle, SystemClock};
use tokio::{sync::mpsc::UnboundedReceiver, time::timeout};

use crate::harness::{Hooks, write};

/// Returns the next change, which must be in effect within five seconds.
async fn next(changes: &mut UnboundedReceiver<Change>) -> Change {
    timeout(Duration::from_secs(5), changes.recv()).await.expect("a change within 5 s").unwrap()
}

async fn loaded(changes: &mut UnboundedReceiver<Change>) {
    let change = next(changes).await;
    assert!(matches!(change, Change::Loaded { .. }), "{change:?}");
}

fn watch(hooks: &Hooks, args: &[&str]) -> UnboundedReceiver<Change> {
    let routes = Routes::from_args(args, Path::is_dir).unwrap();
    hooks.runtime.watch(routes)
}

/// Sabotage: a failed load put in the place of the last good program.
#[tokio::test]
async fn acceptance_8_a_mended_file_serves_and_a_broken_one_does_not_harm() {
    let hooks = Hooks::new(&[("a.jsonnet", "{")]).await;
    let mut changes = watch(&hooks, &["a.jsonnet"]);
    assert!(hooks.fail("a").await.text.starts_with("a.jsonnet:1:2 expected "));
    write(hooks.dir.path(), &[("a.jsonnet", "'mended'")]);
    loaded(&mut changes).await;
    assert_eq!(hooks.call("a", "null").await.unwrap(), "\"mended\"\n");
    write(hooks.dir.path(), &[("a.jsonnet", "{ again")]);
    let change = next(&mut changes).await;
    assert!(matches!(&change, Change::Failed { route, .. } if route == "a"), "{change:?}");
    assert_eq!(hooks.call("a", "null").await.unwrap(), "\"mended\"\n");
}

/// Sabotage: only the first file looked at for changes.
#[tokio::test]
async fn acceptance_9_imports_and_swapped_directories_are_noticed() {
    let hooks =
        Hooks::new(&[("lib.libsonnet", "1"), ("a.jsonnet", "import 'lib.libsonnet'")]).await;
    let mut changes = watch(&hooks, &["a.jsonnet"]);
    write(hooks.dir.path(), &[("lib.libsonnet", "2")]);
    loaded(&mut changes).await;
    assert_eq!(hooks.call("a", "null").await.unwrap(), "2\n");

    // A mounted ConfigMap: links into `..data`, itself a link that is swapped.
    let hooks =
        Hooks::new(&[("..v1/lib", "1"), ("..v2/lib", "2"), ("b.jsonnet", "import 'lib'")]).await;
    let dir = hooks.dir.path();
    symlink("..v1", dir.join("..data")).unwrap();
    symlink("..data/lib", dir.join("lib")).unwrap();
    hooks.runtime.load("b", Path::new("b.jsonnet")).await.unwrap();
    assert_eq!(hooks.call("b", "null").await.unwrap(), "1\n");
    let mut changes = watch(&hooks, &["b.jsonnet"]);
    symlink("..v2", dir.join("..tmp")).unwrap();
    fs::rename(dir.join("..tmp"), dir.join("..data")).unwrap();
    loaded(&mut changes).await;
    assert_eq!(hooks.call("b", "null").await.unwrap(), "2\n");
}

/// What is in no directory that is watched, such as a program of a controller, stays.
#[tokio::test]
async fn members_of_a_directory_come_and_go() {
    let hooks = Hooks::new(&[("apart.jsonnet", "3")]).await;
    let dir = hooks.dir.path();
    write(dir, &[("hooks/a.jsonnet", "1"), ("hooks/x.libsonnet", "x")]);
    let routes = Routes::from_args(&["hooks"], |_| true).unwrap();
    let changes = hooks.runtime.load_all(&routes).await.unwrap();
    assert!(matches!(&changes[..], [Change::Loaded { route, .. }] if route == "a"), "{changes:?}");
    let mut changes = hooks.runtime.watch(routes);
    write(dir, &[("hooks/b.jsonnet", "2")]);
    loaded(&mut changes).await;
    assert_eq!(hooks.call("b", "null").await.unwrap(), "2\n");
    fs::remove_file(dir.join("hooks/a.jsonnet")).unwrap();
    assert_eq!(next(&mut changes).await, Change::Removed { route: "a".to_owned() });
    assert_eq!(hooks.runtime.revision("a"), None);
    assert_eq!(hooks.call("apart", "null").await.unwrap(), "3\n");
}

#[tokio::test]
async fn a_file_that_would_win_is_noticed() {
    let files = [("lib/x", "'lib'"), ("a.jsonnet", "import 'x'")];
    let hooks = Hooks::with(&files, |options| {
        options.programs.jpath = vec![options.programs.working_dir.join("lib")];
    });
    let hooks = hooks.await;
    let mut changes = watch(&hooks, &["a.jsonnet"]);
    write(hooks.dir.path(), &[("x", "'beside'")]);
    loaded(&mut changes).await;
    assert_eq!(hooks.call("a", "null").await.unwrap(), "\"beside\"\n");
}

#[tokio::test]
async fn a_reload_keeps_the_process_from_being_settled() {
    let activity = k8s::Activity::default();
    let hooks = Hooks::with(&[("a.jsonnet", "1")], |options| options.activity = activity.clone());
    let hooks = hooks.await;
    let mut changes = watch(&hooks, &["a.jsonnet"]);
    // The watch is set up by its own task.
    tokio::task::yield_now().await;
    write(hooks.dir.path(), &[("a.jsonnet", "2")]);
    while format!("{activity:?}") == "[]" {
        tokio::task::yield_now().await;
    }
    activity.settle(&SystemClock, Settle::within(Duration::from_secs(10))).await.unwrap();
    assert!(matches!(changes.try_recv(), Ok(Change::Loaded { .. })));
    assert_eq!(hooks.call("a", "null").await.unwrap(), "2\n");
}
