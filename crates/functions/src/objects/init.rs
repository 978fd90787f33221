//! Pure: the containers that put a program in its place before that of the Function starts.

use serde_json::{Value, json};

use super::{
    Context,
    container::{confined, overlaid, variable},
    deployment::{HOME, OWN, OWN_VOLUME, SOURCES, SOURCES_VOLUME, volume_name},
    file_names, source_key,
};
use crate::{
    function::Function,
    preparation::{PREPARE, Preparation, sources},
    table::{Image, Runtime},
};

/// The name of the container that installs dependencies.
pub(crate) const INSTALL: &str = "install";
/// The name of the container that compiles.
pub(crate) const COMPILE: &str = "compile";

/// What the containers of one pod have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pod<'a> {
    /// The volume that the program lies in.
    pub volume: &'a str,
    /// Whether its containers may do no more than usual.
    pub is_confined: bool,
    /// Whether its runtime is known, even if an image of its own runs it.
    pub has_known_runtime: bool,
}

/// Returns the containers that prepare the pod of a Function whose own container is `main`. They get the variables
/// that the user gave that one, and the resources of the first container that the user has run before it.
pub(super) fn containers(
    function: &Function,
    context: Context<'_>,
    pod: Pod<'_>,
    (main, variables, given): (&Value, &[Value], Option<&Value>),
) -> Vec<Value> {
    let Some(runtime) = context.runtime else { return Vec::new() };
    let preparation = preparation(function, runtime);
    let has_deps = function.content.deps || !function.texts.deps.trim().is_empty();
    let installs = runtime.installs.as_ref().filter(|_| has_deps && runtime.deps.is_some());
    let steps = [(INSTALL, installs), (COMPILE, runtime.compiles.as_ref())];
    let steps = steps.into_iter().filter_map(|(name, image)| Some((name, image?)));
    let mut all = vec![prepare(context, &preparation, pod.volume)];
    let known = main["env"].as_array().map_or(&[][..], Vec::as_slice);
    // What is to be called is known to the steps as it is to the program, and comes after what the user says.
    let known = overlaid(variables, known);
    all.extend(steps.map(|step| {
        let mut step = self::step(step, context, &known, (&preparation, pod.volume));
        if !main["envFrom"].is_null() {
            step["envFrom"] = main["envFrom"].clone();
        }
        step
    }));
    for container in &mut all {
        if pod.is_confined {
            container["securityContext"] = confined();
        }
        if let Some(resources) = given.map(|given| &given["resources"]).filter(|it| it.is_object())
        {
            container["resources"] = resources.clone();
        }
        // What a command of the user's own says last is all that is known of its failure.
        container["terminationMessagePolicy"] = json!("FallbackToLogsOnError");
    }
    all
}

/// Returns the name of the volume of a secret that an image is given.
pub(super) fn secret_volume(secret: &str) -> String {
    volume_name(&format!("{}-secret", secret.replace('.', "-")))
}

/// Returns how the secrets of an image are mounted.
pub(super) fn mounted_secrets(image: &Image) -> Vec<Value> {
    let mount = |secret: &String| {
        json!({"name": secret_volume(secret), "readOnly": true,
            "mountPath": format!("/var/run/secrets/kubeless.io/{secret}")})
    };
    image.secrets.iter().map(mount).collect()
}

fn preparation(function: &Function, runtime: &Runtime) -> Preparation {
    let (file, deps) = file_names(function, Some(runtime));
    let texts = &function.texts;
    let named = if deps.is_some() { texts.deps.as_str() } else { "" };
    Preparation {
        hash: function.hash(),
        sources: sources(&texts.handler, &texts.function, named),
        content_type: texts.content_type.clone(),
        checksum: texts.checksum.clone(),
        key: source_key(function, Some(runtime)),
        file,
        deps: deps.map(ToOwned::to_owned),
    }
}

fn prepare(context: Context<'_>, preparation: &Preparation, volume: &str) -> Value {
    json!({
        "name": PREPARE, "image": context.surroundings.image, "args": ["function-prepare"],
        "env": [
            variable(Preparation::VARIABLE, &preparation.to_string()),
            variable("KUBELESS_INSTALL_VOLUME", HOME)],
        "volumeMounts": mounts(volume)})
}

/// Returns the container of one step, which has the image of the language.
fn step(
    (name, image): (&str, &Image),
    context: Context<'_>,
    known: &[Value],
    (preparation, volume): (&Preparation, &str),
) -> Value {
    let command = match &image.command {
        Some(command) => json!(["sh", "-c", command]),
        None => json!([format!("{OWN}/windlass"), "function-equip"]),
    };
    let called = known.iter().find(|variable| variable["name"] == "FUNC_HANDLER");
    let called = called.and_then(|variable| variable["value"].as_str()).unwrap_or_default();
    let mut own: Vec<_> = image.env.iter().map(|(name, value)| variable(name, value)).collect();
    if let Some(deps) = &preparation.deps {
        own.push(variable("KUBELESS_DEPS_FILE", &format!("{HOME}/{deps}")));
    }
    if name == COMPILE {
        own.push(variable("KUBELESS_FUNC_NAME", called));
    }
    own.push(variable(Preparation::VARIABLE, &preparation.to_string()));
    let mut mounts = mounts(volume);
    mounts.extend(mounted_secrets(image));
    json!({
        "name": name, "image": image.name.as_ref().unwrap_or(&context.surroundings.image),
        "command": command, "workingDir": HOME, "env": overlaid(known, &own), "volumeMounts": mounts})
}

fn mounts(volume: &str) -> Vec<Value> {
    vec![
        json!({"name": volume, "mountPath": HOME}),
        json!({"name": OWN_VOLUME, "mountPath": OWN}),
        json!({"name": SOURCES_VOLUME, "mountPath": SOURCES, "readOnly": true}),
    ]
}
