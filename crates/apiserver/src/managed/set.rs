//! Pure: sets of fields, as `managedFields` note who owns what.

use std::collections::{BTreeMap, btree_map::Entry};

use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::managed::element::Element;

/// Why a value is no set of fields.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum SetError {
    /// A node of the set is no object.
    #[error("a set of fields is an object, found {0}")]
    NotAnObject(Value),
    /// A key has none of the known forms.
    #[error("`{0}` names no field, key, value or index")]
    Element(String),
}

/// A set of fields of an object: whether the field itself is in it, and which of the fields below are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSet {
    own: bool,
    children: BTreeMap<Element, FieldSet>,
}

/// How the text form names the field itself beside those below it.
const SELF: &str = ".";

impl FieldSet {
    /// Reads the text form; nobody owns the object as a whole.
    pub(crate) fn decode(value: &Value) -> Result<Self, SetError> {
        let set = Self::decode_node(value)?;
        Ok(Self { own: false, ..set })
    }

    fn decode_node(value: &Value) -> Result<Self, SetError> {
        let Value::Object(fields) = value else { return Err(SetError::NotAnObject(value.clone())) };
        let mut set = Self::default();
        for (key, child) in fields {
            if key == SELF {
                set.own = true;
                continue;
            }
            let element = Element::parse(key).ok_or_else(|| SetError::Element(key.clone()))?;
            let mut below = Self::decode_node(child)?;
            below.own |= child.as_object().is_some_and(Map::is_empty);
            set.insert(element, below);
        }
        Ok(set)
    }

    /// Returns the text form.
    pub(crate) fn encode(self) -> Value {
        let mut fields: Map<String, Value> = self
            .children
            .into_iter()
            .map(|(key, child)| (key.into_text(), child.encode()))
            .collect();
        if self.own && !fields.is_empty() {
            fields.insert(SELF.to_owned(), json!({}));
        }
        Value::Object(fields)
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.own && self.children.is_empty()
    }

    /// Returns whether the field itself is in the set.
    pub(super) fn is_own(&self) -> bool {
        self.own
    }

    /// Puts the field itself into the set.
    pub(super) fn set_own(&mut self) {
        self.own = true;
    }

    /// Returns what is in the set at and below an element.
    pub(super) fn child(&self, element: &Element) -> Option<&Self> {
        self.children.get(element)
    }

    /// Puts what stands at and below an element into the set.
    pub(super) fn insert(&mut self, element: Element, child: Self) {
        if child.is_empty() {
            return;
        }
        match self.children.entry(element) {
            Entry::Vacant(place) => {
                place.insert(child);
            }
            Entry::Occupied(mut place) => place.get_mut().absorb(child),
        }
    }

    pub(super) fn children(&self) -> impl Iterator<Item = (&Element, &Self)> {
        self.children.iter()
    }

    /// Adds all fields of another set.
    pub(super) fn absorb(&mut self, other: Self) {
        self.own |= other.own;
        if self.children.is_empty() {
            self.children = other.children;
            return;
        }
        for (element, child) in other.children {
            self.insert(element, child);
        }
    }

    /// Removes all fields of another set.
    pub(super) fn subtract(&mut self, other: &Self) {
        self.own &= !other.own;
        self.children.retain(|element, child| {
            if let Some(unwanted) = other.children.get(element) {
                child.subtract(unwanted);
            }
            !child.is_empty()
        });
    }

    /// Removes everything at and below these fields of this one.
    pub(super) fn cut(&mut self, names: &[&str]) {
        self.children.retain(|element, _| !element.name().is_some_and(|it| names.contains(&it)));
    }

    /// Changes what is in the set below a field, which itself goes.
    pub(super) fn below(&mut self, name: &str, change: impl FnOnce(&mut Self)) {
        let element = Element::field(name);
        if let Some(mut child) = self.children.remove(&element) {
            child.own = false;
            change(&mut child);
            self.insert(element, child);
        }
    }

    /// Returns the fields that are in both sets.
    pub(super) fn intersection(&self, other: &Self) -> Self {
        let mut both = Self { own: self.own && other.own, ..Self::default() };
        for (element, child) in &self.children {
            if let Some(theirs) = other.children.get(element) {
                both.insert(element.clone(), child.intersection(theirs));
            }
        }
        both
    }

    /// Returns the paths of all fields in the set, as errors name them.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths = vec![];
        self.collect("", &mut paths);
        paths
    }

    fn collect(&self, path: &str, paths: &mut Vec<String>) {
        let at = |element: &Element| format!("{path}{element}");
        let own = self.children.iter().filter(|(_, child)| child.own);
        paths.extend(own.map(|(element, _)| at(element)));
        for (element, child) in &self.children {
            if !child.children.is_empty() {
                child.collect(&at(element), paths);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(value: &Value) -> FieldSet {
        FieldSet::decode(value).unwrap()
    }

    #[test]
    fn sets_are_read_and_written() {
        for value in [
            json!({}),
            json!({"f:a": {}}),
            json!({"f:a": {".": {}, "f:b": {}}, "f:c": {"v:\"x\"": {}, "i:3": {}}}),
            json!({"f:ports": {"k:{\"port\":1,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}}}),
        ] {
            assert_eq!(set(&value).encode(), value);
        }
        let odd = json!({"k:{\"b\": 1, \"a\": 2}": {}});
        assert_eq!(set(&odd).encode(), json!({"k:{\"a\":2,\"b\":1}": {}}));
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for (value, error) in [
            (json!([]), "a set of fields is an object, found []"),
            (json!({"f:a": 1}), "a set of fields is an object, found 1"),
            (json!({"x:a": {}}), "`x:a` names no field, key, value or index"),
            (json!({"k:[1]": {}}), "`k:[1]` names no field, key, value or index"),
            (json!({"v:{": {}}), "`v:{` names no field, key, value or index"),
            (json!({"i:x": {}}), "`i:x` names no field, key, value or index"),
        ] {
            assert_eq!(FieldSet::decode(&value).unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn paths_read_as_errors_name_them() {
        let all = json!({"f:spec": {".": {}, "f:replicas": {}, "f:list": {
            "k:{\"name\":\"a\",\"port\":1}": {".": {}, "f:image": {}}, "v:\"x\"": {}, "i:0": {}}}});
        assert_eq!(
            set(&all).paths(),
            [
                ".spec",
                ".spec.replicas",
                ".spec.list[0]",
                ".spec.list[name=\"a\",port=1]",
                ".spec.list[=\"x\"]",
                ".spec.list[name=\"a\",port=1].image"
            ]
        );
    }

    #[test]
    fn a_field_goes_without_those_below_it() {
        let mut all = set(&json!({"f:a": {".": {}, "f:b": {}}, "f:c": {}}));
        let some = set(&json!({"f:a": {}, "f:c": {}, "f:d": {}}));
        assert_eq!(all.intersection(&some).encode(), json!({"f:a": {}, "f:c": {}}));
        all.subtract(&some);
        assert_eq!(all.clone().encode(), json!({"f:a": {"f:b": {}}}));
        all.below("a", |below| below.cut(&["b"]));
        assert!(all.is_empty());
    }

    /// Returns sets of few names, so that they meet.
    fn sets() -> impl Strategy<Value = Value> {
        let leaf = Just(json!({}));
        leaf.prop_recursive(3, 16, 3, |inner| {
            let key = prop_oneof![Just("f:a"), Just("f:b"), Just("."), Just("v:1"), Just("i:0")];
            prop::collection::btree_map(key.prop_map(ToOwned::to_owned), inner, 0..3)
                .prop_map(|fields| Value::Object(fields.into_iter().collect()))
        })
    }

    proptest! {
        #[test]
        fn differences_and_intersections_make_the_whole(a in sets(), b in sets()) {
            let (a, b) = (set(&a), set(&b));
            let mut whole = a.clone();
            whole.subtract(&b);
            prop_assert!(whole.intersection(&b).is_empty());
            whole.absorb(a.intersection(&b));
            prop_assert_eq!(&whole, &a);
            prop_assert_eq!(set(&a.clone().encode()).encode(), a.encode());
        }

        #[test]
        fn any_keys_are_read_or_refused(keys in prop::collection::vec("[fkvi.x]:?.{0,12}", 0..4)) {
            let fields: Map<_, _> = keys.into_iter().map(|key| (key, json!({"f:a": {}}))).collect();
            if let Ok(set) = FieldSet::decode(&Value::Object(fields)) {
                let _ = set.paths();
                prop_assert_eq!(FieldSet::decode(&set.clone().encode()).unwrap(), set);
            }
        }
    }
}
