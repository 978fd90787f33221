//! Plans as text: what is there, what is wanted, what is done.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn parent() -> Object {
    let value = json!({"apiVersion": "example.com/v1", "kind": "Thing",
        "metadata": {"name": "p", "namespace": "n", "uid": "u"}});
    Object::from_value(&value).unwrap()
}

fn resource() -> Resource {
    Resource::namespaced("v1", "ConfigMap", "configmaps")
}

fn desired(name: &str, value: &str) -> Desired {
    Desired {
        resource: resource(),
        key: k8s::ObjectKey::new("n", name),
        value: json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "n"}, "data": {"k": value}}),
        position: 0,
        ownership: Ownership::Controller,
    }
}

/// Reads `a=1 b=2`.
fn wishes(text: &str) -> Vec<Desired> {
    let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| desired(name, value)).collect()
}

/// Returns an object as the server would hold it after a create.
fn stored(wish: &Desired) -> Object {
    let WriteKind::Create(body) = create(&parent(), wish, &ApplyStrategy::Dynamic).write.kind
    else {
        unreachable!()
    };
    let mut value: Value = serde_json::from_slice(&body).unwrap();
    value["metadata"]["uid"] = json!(format!("uid-{}", wish.key.name));
    value["metadata"]["resourceVersion"] = json!("1");
    value["data"]["server"] = json!("x");
    Object::from_value(&value).unwrap()
}

fn observed(text: &str, method: UpdateMethod) -> Vec<ObservedType> {
    of_objects(wishes(text).iter().map(stored), method)
}

fn of_objects(
    objects: impl IntoIterator<Item = Object>,
    method: UpdateMethod,
) -> Vec<ObservedType> {
    let objects = objects.into_iter().map(Arc::new).collect();
    vec![ObservedType { resource: resource(), method, status_checks: Arc::default(), objects }]
}

/// Plans for the first time: nothing is known of earlier writes.
fn planned(have: &[ObservedType], want: &str) -> Plan {
    plan(&parent(), have, &wishes(want), &Known::default())
}

fn plan_text(have: &str, want: &str, method: UpdateMethod) -> String {
    planned(&observed(have, method), want).to_string()
}

#[test]
fn what_is_not_there_is_created_and_what_is_not_wanted_goes_first() {
    assert_eq!(
        plan_text("old=1", "new=1", UpdateMethod::InPlace),
        "delete ConfigMap n/old: no longer desired\ncreate ConfigMap n/new: desired, not there\n"
    );
}

#[test]
fn each_method_has_its_own_way_to_change_a_child() {
    for (method, text) in [
        (UpdateMethod::OnDelete, ""),
        (UpdateMethod::Recreate, "delete ConfigMap n/web: data.k differs, to be recreated\n"),
        (UpdateMethod::InPlace, "update ConfigMap n/web: data.k differs\n"),
    ] {
        assert_eq!(plan_text("web=1", "web=2", method), text, "{method:?}");
    }
}

#[test]
fn an_equal_child_is_left_alone() {
    for method in [UpdateMethod::OnDelete, UpdateMethod::Recreate, UpdateMethod::InPlace] {
        assert_eq!(plan_text("web=1", "web=1", method), "", "{method:?}");
    }
}

#[test]
fn a_child_that_is_going_away_is_waited_for() {
    let mut value = stored(&desired("web", "1")).to_value();
    value["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let observed = of_objects([Object::from_value(&value).unwrap()], UpdateMethod::Recreate);
    for want in ["web=2", ""] {
        assert_eq!(planned(&observed, want), Plan::default(), "{want}");
    }
}

#[test]
fn a_lost_annotation_is_written_in_place_even_under_recreate() {
    let mut value = stored(&desired("web", "1")).to_value();
    value["metadata"]["annotations"] = json!({});
    let observed = of_objects([Object::from_value(&value).unwrap()], UpdateMethod::Recreate);
    let plan = planned(&observed, "web=1");
    assert_eq!(
        plan.to_string(),
        "update ConfigMap n/web: the last applied configuration differs\n"
    );
}

#[test]
fn a_write_that_changed_nothing_is_not_repeated() {
    let (have, want) = (observed("web=1", UpdateMethod::InPlace), wishes("web=2"));
    let first = plan(&parent(), &have, &want, &Known::default());
    let wish = first.actions.first().unwrap().wish;
    let settled = Settled { wish, version: "1".to_owned(), content: None };
    let settled = SettledChildren::from([("uid-web".to_owned(), settled)]);
    let known = Known { settled, ..Known::default() };
    assert_eq!(plan(&parent(), &have, &want, &known), Plan::default());
}

#[test]
fn a_new_child_carries_owner_and_last_applied() {
    let web = stored(&desired("web", "<1>")).to_value();
    assert_eq!(
        web["metadata"]["ownerReferences"],
        json!([owner_reference(&parent(), Ownership::Controller)])
    );
    let last = web["metadata"]["annotations"][names::LAST_APPLIED].as_str().unwrap();
    assert_eq!(
        last,
        r#"{"apiVersion":"v1","data":{"k":"\u003c1\u003e"},"kind":"ConfigMap","metadata":{"name":"web","namespace":"n"}}"#
    );
}

/// Plans the one child under Recreate, first as the hook gives it, then as a trial says the server has it.
fn tried(observed: &Value, wish: &Value, trial: Trial) -> (String, String) {
    let mut desired = desired("web", "");
    desired.value["data"] = wish.clone();
    let mut have = stored(&desired).to_value();
    have["data"] = observed.clone();
    let types = of_objects([Object::from_value(&have).unwrap()], UpdateMethod::Recreate);
    let hash = super::wish(&desired);
    let wishes = [desired];
    let plan = |trials| {
        plan(&parent(), &types, &wishes, &Known { trials: Arc::new(trials), ..Known::default() })
    };
    let first = plan(Trials::new());
    (first.to_string(), plan(Trials::from([(hash, trial)])).to_string())
}

#[test]
fn a_child_is_compared_with_what_the_server_makes_of_the_wish() {
    let shape = |data: Value| {
        let mut shape = desired("web", "").value;
        shape["data"] = data;
        Trial::Accepted(shape)
    };
    let recreated = "delete ConfigMap n/web: data.cpu differs, to be recreated\n";
    for (trial, then) in [
        (shape(json!({"cpu": "1"})), ""),
        (shape(json!({"cpu": "2"})), recreated),
        (Trial::Unknown, recreated),
    ] {
        let plans = tried(&json!({"cpu": "1"}), &json!({"cpu": "1000m"}), trial);
        assert_eq!(plans, (recreated.to_owned(), then.to_owned()));
    }
}

#[test]
fn a_hook_that_drops_all_its_annotations_does_not_drop_the_engine_s() {
    let mut before = desired("web", "1");
    before.value["metadata"]["annotations"] = json!({});
    let observed = of_objects([stored(&before)], UpdateMethod::Recreate);
    let plan = planned(&observed, "web=1");
    assert_eq!(
        plan.to_string(),
        "update ConfigMap n/web: the last applied configuration differs\n"
    );
}

#[test]
fn an_owner_that_the_hook_no_longer_names_goes_alone() {
    let mut before = desired("web", "1");
    before.value["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": "o"}]);
    let observed = of_objects([stored(&before)], UpdateMethod::InPlace);
    let plan = planned(&observed, "web=1");
    let WriteKind::Update(body) = &plan.actions[0].write.kind else { unreachable!() };
    let written: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(
        written["metadata"]["ownerReferences"],
        json!([owner_reference(&parent(), Ownership::Controller)])
    );
}

fn worlds() -> impl Strategy<Value = String> {
    let pair = |(name, value): (&String, &String)| format!("{name}={value}");
    prop::collection::btree_map("[a-d]", "[0-3]", 0..4)
        .prop_map(move |world| world.iter().map(pair).collect::<Vec<_>>().join(" "))
}

proptest! {
    #[test]
    fn an_applied_plan_leaves_nothing_to_do(have in worlds(), want in worlds()) {
        let mut types = observed(&have, UpdateMethod::InPlace);
        let first = planned(&types, &want);
        let objects = &mut types[0].objects;
        for action in &first.actions {
            objects.retain(|object| object.key() != action.write.key);
            if let WriteKind::Create(body) | WriteKind::Update(body) = &action.write.kind {
                objects.push(Arc::new(Object::parse(body.clone()).unwrap()));
            }
        }
        let second = planned(&types, &want);
        prop_assert_eq!(second.actions, []);
    }
}
