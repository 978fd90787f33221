//! Pure: which fields an object has, and in which ones two objects differ.

use std::collections::BTreeMap;

use k8s::json::same;
use serde_json::{Map, Value};

use crate::managed::{
    element::Element,
    form::{Form, Structure},
    set::FieldSet,
};

/// The fields in which a new value differs from an old one.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Difference {
    /// What was added, or has another value.
    pub(super) changed: FieldSet,
    /// What is there no more.
    pub(super) removed: FieldSet,
}

impl Difference {
    fn attach(&mut self, element: Element, below: Self) {
        if below.removed.is_empty() {
            self.changed.insert(element, below.changed);
        } else {
            self.changed.insert(element.clone(), below.changed);
            self.removed.insert(element, below.removed);
        }
    }
}

/// Returns the fields that an applied value wants to own.
pub(super) fn fields(form: Form<'_>, value: &Value) -> FieldSet {
    let mut set = FieldSet::default();
    let structure = form.structure(value);
    match (structure, value) {
        (Structure::Leaf, _) => set.set_own(),
        (Structure::Map, Value::Object(entries)) => {
            for (name, value) in entries {
                let mut below = fields(form.field(name), value);
                let is_bare = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                if is_bare || !form.declares(name) {
                    below.set_own();
                }
                set.insert(Element::field(name), below);
            }
        }
        (Structure::Set | Structure::List(_), Value::Array(items)) => {
            for (element, items) in by_element(form, structure, Some(value)) {
                // Items that cannot be told apart are owned as a whole.
                let mut below = match items.as_slice() {
                    [single] => fields(form.item(), single),
                    _ => FieldSet::default(),
                };
                below.set_own();
                set.insert(element, below);
            }
            debug_assert!(items.is_empty() || !set.is_empty(), "every item has an element");
        }
        _ => {}
    }
    set
}

/// Returns the fields in which `new` differs from `old`.
pub(super) fn compare(form: Form<'_>, old: &Value, new: &Value) -> Difference {
    node(form, Some(old), Some(new))
}

fn node(form: Form<'_>, old: Option<&Value>, new: Option<&Value>) -> Difference {
    let structure = match (old, new) {
        (Some(old), Some(new)) => match (form.structure(old), form.structure(new)) {
            (before, after) if before != after => return mixed(old, new),
            (_, after) => after,
        },
        (_, Some(one)) | (Some(one), None) => form.structure(one),
        (None, None) => return Difference::default(),
    };
    let bare = |value: Option<&Value>| match value {
        Some(Value::Object(fields)) => fields.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        _ => true,
    };
    let mut difference = Difference::default();
    match structure {
        Structure::Leaf => return leaf(old, new),
        // To have nothing in it is not the same as not to be there.
        _ if bare(old) && bare(new) => return leaf(old, new),
        Structure::Map => entries(form, old, new, &mut difference),
        Structure::Set | Structure::List(_) => items(form, structure, (old, new), &mut difference),
    }
    if old.is_none() {
        difference.changed.set_own();
    } else if new.is_none() {
        difference.removed.set_own();
    }
    difference
}

fn leaf(old: Option<&Value>, new: Option<&Value>) -> Difference {
    let mut difference = Difference::default();
    match (old, new) {
        (Some(old), Some(new)) if same(old, new) => {}
        (_, Some(_)) => difference.changed.set_own(),
        (_, None) => difference.removed.set_own(),
    }
    difference
}

fn entries(form: Form<'_>, old: Option<&Value>, new: Option<&Value>, difference: &mut Difference) {
    let (old, new) = (old.and_then(Value::as_object), new.and_then(Value::as_object));
    for (name, value) in new.into_iter().flatten() {
        let before = old.and_then(|old| old.get(name));
        difference.attach(Element::field(name), node(form.field(name), before, Some(value)));
    }
    for (name, value) in old.into_iter().flatten() {
        if !new.is_some_and(|new| new.contains_key(name)) {
            difference.attach(Element::field(name), node(form.field(name), Some(value), None));
        }
    }
}

fn items(
    form: Form<'_>,
    structure: Structure<'_>,
    (old, new): (Option<&Value>, Option<&Value>),
    difference: &mut Difference,
) {
    let mut pairs: BTreeMap<Element, [Vec<&Value>; 2]> = BTreeMap::new();
    for (side, list) in [old, new].into_iter().enumerate() {
        for (element, items) in by_element(form, structure, list) {
            if let Some(place) = pairs.entry(element).or_default().get_mut(side) {
                *place = items;
            }
        }
    }
    for (element, [before, after]) in pairs {
        let below = match (before.as_slice(), after.as_slice()) {
            ([] | [_], [] | [_]) => {
                node(form.item(), before.first().copied(), after.first().copied())
            }
            (before, after) if before == after => Difference::default(),
            (before, after) => leaf(before.first().copied(), after.first().copied()),
        };
        difference.attach(element, below);
    }
}

/// Compares a value without a schema that is a map on one side only.
fn mixed(old: &Value, new: &Value) -> Difference {
    let mut difference = Difference::default();
    entries(Form::Free, Some(old), Some(new), &mut difference);
    difference.changed.set_own();
    difference
}

/// Returns the items of a list by what tells them apart.
pub(super) fn by_element<'v>(
    form: Form<'_>,
    structure: Structure<'_>,
    list: Option<&'v Value>,
) -> BTreeMap<Element, Vec<&'v Value>> {
    let mut found: BTreeMap<Element, Vec<&Value>> = BTreeMap::new();
    for item in list.and_then(Value::as_array).into_iter().flatten() {
        found.entry(form.kept_element(structure, item)).or_default().push(item);
    }
    found
}
