//! Hooks that are programs in the controller itself, in a ConfigMap, without HTTP.

use e2e::{Server, World, story};
use k8s::Resource;
use serde_json::{Value, json};

use crate::{configmaps, controller, thing, value_of};

/// A hook that gives each parent one ConfigMap with what it says and what the library says.
fn program(library: &str) -> String {
    format!(
        "local lib = {library};\nfunction(request, region='none') {{ children: [{{\n  apiVersion: 'v1', \
         kind: 'ConfigMap',\n  metadata: {{ name: request.parent.metadata.name + '-child' }},\n  data: {{ \
         value: request.parent.spec.value + lib.suffix + region }} }}] }}"
    )
}

fn programmed(things: &Resource, hook: &Value) -> Value {
    let mut spec = controller(things, "InPlace");
    spec["hooks"] = json!({"sync": {"jsonnet": hook}});
    spec
}

async fn conditions(world: &World) -> Vec<(String, String, String)> {
    let controller = world.get(&api::composite::resource(), &world.controller("c")).await;
    let conditions = controller["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let parts = |each: &Value| (text(&each["type"]), text(&each["reason"]), text(&each["message"]));
    conditions.iter().map(parts).collect()
}

/// Breaks when programs are called over HTTP: nothing listens in this story.
async fn acceptance_25_a_program_in_the_controller_is_a_hook(world: &World) {
    let things = world.things().await;
    let hook = json!({"inline": program("{ suffix: '!' }"), "tlas": {"region": "eu"}});
    world.control("c", &programmed(&things, &hook)).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    assert_eq!(value_of(world, "a-child").await, "1!eu", "{:?}", conditions(world).await);
    assert_eq!(world.hook.calls(), 0);
    let reasons: Vec<_> =
        conditions(world).await.into_iter().map(|(_, reason, _)| reason).collect();
    assert_eq!(reasons, ["Running", "HooksLoaded"]);
}
story!(acceptance_25_a_program_in_the_controller_is_a_hook);

/// Breaks when `follow` does not sync the parents, or when a broken text replaces the one that runs.
async fn acceptance_26_a_program_in_a_configmap_is_followed(world: &World) {
    let things = world.things().await;
    let texts = |suffix: &str| {
        json!({"data": {"sync.jsonnet": program("import 'lib.libsonnet'"),
            "lib.libsonnet": format!("{{ suffix: '{suffix}' }}")}})
    };
    let mut map = texts("!");
    map["metadata"] = json!({"name": "hooks"});
    let reference = json!({"configMapRef": {"namespace": world.id, "name": "hooks"}});
    world.control("c", &programmed(&things, &reference)).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    let missing = conditions(world).await;
    assert!(missing.iter().any(|(_, reason, _)| reason == "ProgramMissing"), "{missing:?}");
    let before = world.client.clock().now();
    world.create(&configmaps(), map).await;
    let is_loaded = || async { value_of(world, "a-child").await == "1!none" };
    world.eventually("the program that was missing runs", is_loaded).await;
    let waited = world.client.clock().now().duration_since(before).as_secs_f64();
    assert!(world.server == Server::Real || waited < 1.0, "it waited {waited} s for a gap to end");

    world.patch(&configmaps(), "hooks", &texts("?")).await;
    let is_new = || async { value_of(world, "a-child").await == "1?none" };
    world.eventually("the new program runs", is_new).await;

    world
        .patch(&configmaps(), "hooks", &json!({"data": {"sync.jsonnet": "function(request) {"}}))
        .await;
    let is_told = || async {
        conditions(world).await.iter().any(|(kind, reason, message)| {
            kind == "HooksReady"
                && reason == "ProgramInvalid"
                && message.contains("sync.jsonnet:1:")
        })
    };
    world.eventually("the broken program is told", is_told).await;
    world.patch(&things, "a", &json!({"spec": {"value": "2"}})).await;
    world.settle().await;
    assert_eq!(value_of(world, "a-child").await, "2?none", "the last good one goes on");

    world.patch(&configmaps(), "hooks", &texts(".")).await;
    let is_mended = || async { value_of(world, "a-child").await == "2.none" };
    world.eventually("the mended program runs", is_mended).await;
}
story!(acceptance_26_a_program_in_a_configmap_is_followed);

story!(a_program_that_cannot_be_is_refused);
async fn a_program_that_cannot_be_is_refused(world: &World) {
    let things = world.things().await;
    let hook = json!({"inline": "1", "path": "sync.jsonnet"});
    world.control("c", &programmed(&things, &hook)).await;
    world.settle().await;
    let told = conditions(world).await;
    let (ready, hooks) = (&told[0], &told[1]);
    assert_eq!((ready.1.as_str(), hooks.1.as_str()), ("HookConfigInvalid", "InvalidHook"));
    let why = "hook `sync`: give one of `inline`, `configMapRef` and `path`";
    assert_eq!(hooks.2, why);
}
