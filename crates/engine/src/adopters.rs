//! Pure: which parents may adopt an object without a controller, found by its labels.

use std::collections::{BTreeSet, HashMap};

use k8s::{Object, ObjectKey};

use crate::selector::ChildSelector;

/// The parents of one type by a label that their selectors require, so that an orphan asks few of them.
#[derive(Debug, Default)]
pub(crate) struct Adopters {
    places: HashMap<ObjectKey, Place>,
    /// One set for all places: most have one parent, and a set for each would take more room than it.
    parents: BTreeSet<(Place, ObjectKey)>,
}

/// A namespace, empty for parents of the whole cluster, and a label with its value; without a label it is
/// the place of parents that require none of one value.
type Place = (String, Option<(String, String)>);

impl Adopters {
    /// Notes what a parent requires of its children; nothing if it is gone or says nothing.
    pub(crate) fn put(&mut self, parent: &ObjectKey, selector: Option<&ChildSelector>) {
        if let Some(place) = self.places.remove(parent) {
            self.parents.remove(&(place, parent.clone()));
        }
        if let Some(selector) = selector {
            let place = (parent.namespace.clone(), selector.required_label());
            self.parents.insert((place.clone(), parent.clone()));
            self.places.insert(parent.clone(), place);
        }
    }

    /// Returns the parents of a namespace that may select an object; their selectors say whether they do.
    pub(crate) fn of(&self, namespace: &str, orphan: &Object) -> Vec<ObjectKey> {
        let labels = orphan.meta().labels.iter();
        let labels = labels.map(|(key, value)| Some((key.clone(), value.clone())));
        let places = labels.chain([None]).map(|label| (namespace.to_owned(), label));
        places.flat_map(|place| self.at(place)).collect()
    }

    fn at(&self, place: Place) -> impl Iterator<Item = ObjectKey> {
        let from = (place.clone(), ObjectKey::new("", ""));
        let parents = self.parents.range(from..).take_while(move |(at, _)| *at == place);
        parents.map(|(_, parent)| parent.clone())
    }
}

#[cfg(test)]
mod tests {
    use k8s::selector::Selector;
    use serde_json::json;

    use super::*;

    fn own(selector: &str) -> ChildSelector {
        ChildSelector::Own(Selector::parse(selector).unwrap())
    }

    fn found(adopters: &Adopters, namespace: &str, labels: &serde_json::Value) -> String {
        let orphan = Object::from_value(&json!({"metadata": {"labels": labels}})).unwrap();
        let mut found: Vec<_> = adopters.of(namespace, &orphan).into_iter().collect();
        found.sort();
        found.iter().map(|key| key.name.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_orphan_asks_only_parents_that_require_one_of_its_labels_or_none() {
        let mut adopters = Adopters::default();
        for (name, selector) in [
            ("a", own("app=a,tier=x")),
            ("b", own("app=b")),
            ("some", own("app in (a,b)")),
            ("uid", ChildSelector::Generated { uid: "u".to_owned() }),
        ] {
            adopters.put(&ObjectKey::new("n", name), Some(&selector));
        }
        assert_eq!(found(&adopters, "n", &json!({"app": "a", "tier": "x"})), "a some");
        assert_eq!(found(&adopters, "n", &json!({"controller-uid": "u"})), "some uid");
        assert_eq!(found(&adopters, "m", &json!({"app": "a"})), "");
        adopters.put(&ObjectKey::new("n", "a"), Some(&own("app=b")));
        adopters.put(&ObjectKey::new("n", "some"), None);
        assert_eq!(found(&adopters, "n", &json!({"app": "a"})), "");
        assert_eq!(found(&adopters, "n", &json!({"app": "b"})), "a b");
    }
}
