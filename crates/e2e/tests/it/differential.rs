//! Requests from a corpus of scripts get the same answers from the embedded server as from the reference.
//!
//! `WINDLASS_BLESS=1` makes the test of the real server write the recordings anew, `WINDLASS_SCRIPT=NAME` looks at
//! one script only.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process,
};

use apiserver::ApiServer;
use e2e::differential::{self, Allowed, Answer, Kind, Pending, Script};
use futures::{StreamExt as _, stream};

use player::{Player, Quiet};

pub(crate) use player::real_client;

mod player;

/// How many scripts run at a time.
const AT_ONCE: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded() {
    let server = ApiServer::builder().controllers(false).start().await.unwrap();
    let client = kube::Client::new(server.service(), "default");
    let mut found = Vec::new();
    let chosen = env::var("WINDLASS_SCRIPT").ok();
    for (index, script) in scripts().iter().enumerate() {
        if chosen.as_ref().is_some_and(|chosen| *chosen != script.name) {
            continue;
        }
        let recorded = recording(script);
        let player = Player::new(&client, run(index), Quiet::InProcess);
        let answers = player.play(script, &recorded).await;
        found.extend(differential::differences(&script.name, &recorded, &answers));
    }
    if chosen.is_some() {
        let texts: Vec<_> = found.iter().map(ToString::to_string).collect();
        panic!("{} differences\n{}", found.len(), texts.join("\n"));
    }
    let (allowed, pending) = (read("allowed.txt"), read("pending.txt"));
    let allowed = Allowed::parse(&allowed).unwrap();
    let wrong = differential::judge(&found, &allowed, &Pending::parse(&pending).unwrap());
    assert!(wrong.is_empty(), "{} differences in all\n{}", found.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real() {
    let Some(kubeconfig) = e2e::real_kubeconfig("differential::real") else { return };
    let client = player::real_client(&kubeconfig).await;
    let mut scripts = scripts();
    if let Ok(chosen) = env::var("WINDLASS_SCRIPT") {
        scripts.retain(|script| chosen.split(',').any(|name| name == script.name));
    }
    let chosen = env::var("WINDLASS_SCRIPT").ok();
    let is_chosen = |name: &str| chosen.as_ref().is_none_or(|chosen| chosen == name);
    let scripts = scripts.iter().enumerate().filter(|(_, script)| is_chosen(&script.name));
    let played = stream::iter(scripts).map(|(index, script)| {
        let player = Player::new(&client, run(index), Quiet::Real);
        async move {
            let answers = player.play(script, &[]).await;
            player.clean_up().await;
            (script, answers)
        }
    });
    let played: Vec<_> = played.buffer_unordered(AT_ONCE).collect().await;
    let mut stale = Vec::new();
    for (script, answers) in played {
        let is_setup = |name: &str| script.steps.iter().any(|it| it.is_setup && it.name == name);
        let failed = answers.iter().filter(|it| is_setup(&it.step));
        stale.extend(failed.map(|it| format!("{} {}", script.name, it.to_line())));
        if env::var_os("WINDLASS_BLESS").is_some() {
            let lines: Vec<_> = answers.iter().map(|answer| answer.to_line() + "\n").collect();
            fs::write(recording_path(script), lines.concat()).unwrap();
        }
        let found = differential::differences(&script.name, &recording(script), &answers);
        stale.extend(found.iter().map(ToString::to_string));
    }
    assert!(stale.is_empty(), "recordings are not what the server says\n{}", stale.join("\n"));
}

/// Every kind that discovery names has fixtures for every cell it must have.
#[tokio::test]
async fn no_cell_is_empty() {
    let server = ApiServer::builder().controllers(false).start().await.unwrap();
    let client = kube::Client::new(server.service(), "default");
    let player = Player::new(&client, run(99), Quiet::InProcess);
    let mut missing = Vec::new();
    let mut covered = BTreeMap::new();
    for kind in kinds() {
        let script = differential::matrix(&kind);
        for step in script.steps.iter().filter(|step| step.is_setup).take(4) {
            player.send(step).await;
        }
        let resources = player.get(&kind.root()).await;
        let Some(cells) = differential::required_cells(&resources, &kind.plural) else {
            missing.push(format!("{} is not served", kind.name));
            continue;
        };
        let fits = |step: &str, cell: &str| match cell.strip_suffix('*') {
            Some(start) => step.starts_with(start),
            None => step == cell,
        };
        let is_there = |cell: &&str| script.steps.iter().any(|step| fits(&step.name, cell));
        missing.extend(
            cells.iter().filter(|cell| !is_there(cell)).map(|it| format!("{} {it}", kind.name)),
        );
        covered.insert((kind.root(), kind.plural.clone()), cells.len());
    }
    let cells: usize = covered.values().sum();
    assert!(missing.is_empty() && 1_200 < cells, "{cells} cells, empty are {missing:?}");
}

fn scripts() -> Vec<Script> {
    let written = files("scripts").into_iter().map(|(name, text)| {
        Script::parse(&name, &text).unwrap_or_else(|| panic!("{name} is not a script"))
    });
    kinds().iter().map(differential::matrix).chain(written).collect()
}

fn kinds() -> Vec<Kind> {
    let kind = |(name, text): (String, String)| {
        Kind::parse(&name, &text).unwrap_or_else(|| panic!("{name} has no fixtures"))
    };
    files("kinds").into_iter().map(kind).collect()
}

fn recording(script: &Script) -> Vec<Answer> {
    let text = fs::read_to_string(recording_path(script)).unwrap_or_default();
    text.lines().map(|line| Answer::parse(line).unwrap()).collect()
}

fn recording_path(script: &Script) -> PathBuf {
    folder().join("recordings").join(format!("{}.jsonl", script.name))
}

/// Returns the YAML files of a folder by their names without the ending.
fn files(folder_name: &str) -> BTreeMap<String, String> {
    let files = fs::read_dir(folder().join(folder_name)).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let named = files.filter_map(|path| {
        let name = path.file_name()?.to_str()?.strip_suffix(".yaml")?.to_owned();
        Some((name, fs::read_to_string(&path).unwrap()))
    });
    named.collect()
}

fn read(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential")
}

/// Returns what the objects of a script are named by in this run.
fn run(index: usize) -> String {
    format!("d{:06}-{index:02}", process::id() % 1_000_000)
}
