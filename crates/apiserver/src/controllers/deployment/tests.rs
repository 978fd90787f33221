use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A Deployment of so many replicas, its template named by the last letter of its image.
#[derive(Clone)]
struct World {
    replicas: i64,
    image: &'static str,
    strategy: Value,
    /// `IMAGE REPLICAS AVAILABLE`, oldest first.
    sets: Vec<String>,
    /// How many replicas the sets were last written for.
    noted: i64,
    paused: bool,
}

fn world(replicas: i64, image: &'static str, sets: &[&'static str]) -> World {
    let strategy = json!({"type": "RollingUpdate"});
    World {
        replicas,
        image,
        strategy,
        sets: sets.iter().map(|&set| set.into()).collect(),
        noted: replicas,
        paused: false,
    }
}

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"image": image}]}})
}

fn object(value: &Value) -> Arc<Object> {
    Arc::new(Object::from_value(value).unwrap())
}

impl World {
    fn deployment(&self) -> Deployment {
        Deployment::read(object(&json!({
            "metadata": {"name": "web", "namespace": "a", "uid": "uid-web", "generation": 1,
                "annotations": {"deployment.kubernetes.io/revision": self.sets.len().to_string()}},
            "spec": {"replicas": self.replicas, "selector": {"matchLabels": {"app": "web"}},
                "template": template(self.image), "strategy": self.strategy, "paused": self.paused,
                "revisionHistoryLimit": 2},
        })))
        .unwrap()
    }

    fn set(&self, ordinal: usize) -> ReplicaSet {
        let words: Vec<_> = self.sets[ordinal].split_whitespace().collect();
        let [replicas, available] = [1, 2].map(|place| words[place].parse::<i64>().unwrap());
        let max = self.noted + self.deployment().spec.strategy.bounds(self.noted).0;
        ReplicaSet::read(object(&json!({
            "metadata": {
                "name": format!("web-{}", words[0]), "namespace": "a", "uid": words[0],
                "labels": {"app": "web"}, "ownerReferences": [{"uid": "uid-web", "controller": true}],
                "annotations": {
                    "deployment.kubernetes.io/revision": (ordinal + 1).to_string(),
                    "deployment.kubernetes.io/desired-replicas": self.noted.to_string(),
                    "deployment.kubernetes.io/max-replicas": max.to_string(),
                },
            },
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
                "template": template(words[0])},
            "status": {"replicas": replicas, "readyReplicas": available,
                "availableReplicas": available},
        })))
        .unwrap()
    }

    /// Returns how the plan changes the sets, and nothing else.
    fn plan_text(&self) -> String {
        let deployment = self.deployment();
        let sets: Vec<_> = (0..self.sets.len()).map(|ordinal| self.set(ordinal)).collect();
        let observed = Observed {
            deployment: &deployment,
            sets: sets.iter().collect(),
            pods: vec![],
            is_taken: &|_| false,
            now: Timestamp::UNIX_EPOCH,
        };
        let text = plan(&observed).to_string();
        let lines = text
            .lines()
            .filter(|line| line.contains("ReplicaSet a/") && !line.starts_with("event"));
        lines.collect::<Vec<_>>().join("\n").replace("ReplicaSet a/web-", "")
    }
}

#[test]
fn the_new_set_grows_before_the_old_one_shrinks() {
    for (sets, plan) in [
        (["1 4 4", "2 1 0"], "update 1: replicas 4 to 3"),
        (["1 4 4", "2 0 0"], "update 2: replicas 0 to 1"),
        (["1 3 3", "2 2 0"], ""),
        (["1 4 4", "2 1 1"], "update 1: replicas 4 to 2"),
        (["1 2 2", "2 1 1"], "update 2: replicas 1 to 3"),
        (["1 1 1", "2 4 4"], "update 1: replicas 1 to 0"),
        (["1 0 0", "2 4 4"], ""),
    ] {
        assert_eq!(world(4, "2", &sets).plan_text(), plan, "{sets:?}");
    }
}

#[test]
fn old_pods_that_are_not_available_go_first() {
    let sets = ["1 3 1", "2 2 2", "3 1 0"];
    assert_eq!(world(5, "3", &sets).plan_text(), "update 3: replicas 1 to 2");
    let sets = ["1 3 1", "2 2 2", "3 2 1"];
    assert_eq!(world(5, "3", &sets).plan_text(), "update 1: replicas 3 to 1");
}

#[test]
fn a_rollout_that_is_under_way_is_resized_in_proportion() {
    let mut resized = world(10, "2", &["1 3 3", "2 2 2"]);
    resized.noted = 4;
    assert_eq!(resized.plan_text(), "update 1: replicas 3 to 8\nupdate 2: replicas 2 to 5");
    resized.sets = vec!["1 0 0".into(), "2 4 4".into()];
    assert_eq!(resized.plan_text(), "update 2: replicas 4 to 10");
}

#[test]
fn a_paused_rollout_only_follows_the_size() {
    let mut paused = world(4, "3", &["1 0 0", "2 4 4"]);
    paused.paused = true;
    assert_eq!(paused.plan_text(), "");
    paused.replicas = 2;
    assert_eq!(paused.plan_text(), "update 2: replicas 4 to 2");
}

#[test]
fn recreate_takes_everything_away_first() {
    let mut world = world(3, "2", &["1 3 3"]);
    world.strategy = json!({"type": "Recreate"});
    assert_eq!(world.plan_text(), "update 1: replicas 3 to 0");
    world.sets = vec!["1 0 0".into()];
    assert!(world.plan_text().starts_with("create "));
}

#[test]
fn only_empty_sets_beyond_the_limit_are_deleted() {
    let sets = ["1 0 0", "2 0 0", "3 0 0", "4 0 0", "5 2 2"];
    assert_eq!(world(2, "5", &sets).plan_text(), "delete 1 (background)\ndelete 2 (background)");
}

#[test]
fn a_template_seen_before_is_the_newest_revision_again() {
    let plan = world(2, "1", &["1 0 0", "2 2 2"]).plan_text();
    assert_eq!(plan, "update 1: annotations");
}

/// Returns the sizes of the sets after a plan, in their order.
fn after(world: &World, plan: &str) -> Vec<i64> {
    let sizes = world.sets.iter().map(|set| {
        let words: Vec<_> = set.split_whitespace().collect();
        let update = format!("update {}: replicas ", words[0]);
        let change = plan.lines().find_map(|line| line.strip_prefix(&update));
        change.map_or(words[1], |it| it.split_whitespace().last().unwrap()).parse().unwrap()
    });
    sizes.collect()
}

proptest! {
    #[test]
    fn a_step_neither_takes_too_many_nor_makes_too_many(
        replicas in 0..12_i64,
        sets in prop::collection::vec((0..8_i64, 0..8_i64), 1..4),
        surge in 0..4_i64,
        unavailable in 0..4_i64,
    ) {
        let mut world = world(replicas, "x", &[]);
        world.strategy = json!({"type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}});
        let sets = sets.into_iter().map(|(size, available)| (size, available.min(size)));
        let sets: Vec<_> = sets.collect();
        let name = |place: usize| if place + 1 == sets.len() { "x".to_owned() } else { place.to_string() };
        let lines = sets.iter().enumerate();
        world.sets = lines.map(|(place, (size, available))| format!("{} {size} {available}", name(place))).collect();
        let (surge, unavailable) = world.deployment().spec.strategy.bounds(replicas);
        let sizes = after(&world, &world.plan_text());
        let before: i64 = sets.iter().map(|set| set.0).sum();
        prop_assert!(sizes.iter().sum::<i64>() <= before.max(replicas + surge));
        // Those that are not available go first within a set.
        let left = sets.iter().zip(&sizes).map(|(set, size)| set.1.min(*size)).sum::<i64>();
        let available: i64 = sets.iter().map(|set| set.1).sum();
        prop_assert!(left >= available.min(replicas - unavailable));
    }
}
