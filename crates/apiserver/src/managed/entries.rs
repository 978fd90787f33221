//! Pure: the entries of `managedFields`: who owns which fields, through what, since when.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{field::quote, managed::set::FieldSet};

/// How many managers may be listed for their updates.
const MAX_UPDATERS: usize = 10;

/// Who is listed for the oldest updates when there are too many.
const ANCIENT: &str = "ancient-changes";

/// How a manager writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

/// What tells one entry from the others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Manager {
    pub(super) name: String,
    pub(super) operation: Operation,
    /// The version that was written through; empty for apply, which has one entry for all versions.
    version: String,
    pub(super) subresource: String,
}

/// What a manager owns.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Owned {
    pub(super) fields: FieldSet,
    pub(super) version: String,
    /// When the set of fields changed last, RFC 3339.
    pub(super) time: Option<String>,
}

/// The managers of an object and what each owns.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Managers(pub(super) BTreeMap<Manager, Owned>);

impl Manager {
    pub(super) fn new(name: &str, operation: Operation, version: &str, subresource: &str) -> Self {
        let version = if operation == Operation::Apply { "" } else { version };
        let name = if name.is_empty() { "unknown" } else { name };
        Self {
            name: name.to_owned(),
            operation,
            version: version.to_owned(),
            subresource: subresource.to_owned(),
        }
    }

    /// Returns how errors name the manager.
    pub(super) fn shown(&self) -> String {
        let mut shown = quote(&self.name);
        if !self.subresource.is_empty() {
            shown.push_str(" with subresource ");
            shown.push_str(&quote(&self.subresource));
        }
        if self.operation == Operation::Update {
            shown.push_str(" using ");
            shown.push_str(&self.version);
        }
        shown
    }
}

impl Managers {
    /// Reads `managedFields`; nothing if they cannot be read.
    pub(super) fn decode(value: &Value) -> Option<Self> {
        let mut managers = BTreeMap::new();
        for entry in value.as_array()? {
            let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
            let operation = match text("operation") {
                "Apply" => Operation::Apply,
                "Update" => Operation::Update,
                _ => return None,
            };
            let version = text("apiVersion");
            if version.is_empty() || text("fieldsType") != "FieldsV1" {
                return None;
            }
            let fields = match entry.get("fieldsV1") {
                None | Some(Value::Null) => FieldSet::default(),
                Some(fields) => FieldSet::decode(fields).ok()?,
            };
            let time = Some(text("time").to_owned()).filter(|time| !time.is_empty());
            let manager = Manager::new(text("manager"), operation, version, text("subresource"));
            managers.insert(manager, Owned { fields, version: version.to_owned(), time });
        }
        Some(Self(managers))
    }

    /// Returns `managedFields`, nothing if nobody owns anything.
    pub(super) fn encode(self) -> Option<Value> {
        let mut entries: Vec<_> = self.0.into_iter().collect();
        // The keys of the map are in order already, but for the time.
        entries.sort_by(|(a, a_owned), (b, b_owned)| {
            let key = |manager: &Manager, owned: &Owned| (manager.operation, owned.time.clone());
            key(a, a_owned).cmp(&key(b, b_owned))
        });
        let entries: Vec<_> =
            entries.into_iter().map(|(manager, owned)| entry(&manager, owned)).collect();
        (!entries.is_empty()).then_some(Value::Array(entries))
    }

    /// Removes fields from what everybody owns.
    pub(super) fn release(&mut self, fields: &FieldSet) {
        self.0.values_mut().for_each(|owned| owned.fields.subtract(fields));
        self.0.retain(|_, owned| !owned.fields.is_empty());
    }

    /// Adds fields to what a manager owns.
    pub(super) fn add(
        &mut self,
        manager: Manager,
        fields: FieldSet,
        version: &str,
        time: Option<String>,
    ) {
        let none = Owned { fields: FieldSet::default(), version: version.to_owned(), time: None };
        let owned = self.0.entry(manager).or_insert(none);
        owned.fields.absorb(fields);
        owned.time = time;
    }

    /// Puts the oldest updates of each version together while there are too many.
    pub(super) fn cap(&mut self) {
        let is_update = |manager: &&Manager| manager.operation == Operation::Update;
        let mut updaters: Vec<_> = self.0.keys().filter(is_update).cloned().collect();
        let mut left = updaters.len();
        if left <= MAX_UPDATERS {
            return;
        }
        updaters.sort_by_key(|manager| self.0.get(manager).map(|owned| owned.time.clone()));
        let mut first_of = BTreeMap::<String, Manager>::new();
        for manager in updaters {
            if left <= MAX_UPDATERS {
                return;
            }
            let version = manager.version.clone();
            let Some(first) = first_of.get(&version) else {
                first_of.insert(version, manager);
                continue;
            };
            let bucket = Manager::new(ANCIENT, Operation::Update, &version, "");
            let merged = [first, &bucket, &manager].map(|each| self.0.remove(each));
            let merged = merged.into_iter().flatten().reduce(|mut all, next| {
                all.fields.absorb(next.fields);
                Owned { time: next.time, ..all }
            });
            self.0.extend(merged.map(|owned| (bucket, owned)));
            left -= 1;
        }
    }
}

fn entry(manager: &Manager, owned: Owned) -> Value {
    let operation = match manager.operation {
        Operation::Apply => "Apply",
        Operation::Update => "Update",
    };
    let mut entry = json!({
        "manager": manager.name, "operation": operation, "apiVersion": owned.version,
        "fieldsType": "FieldsV1", "fieldsV1": owned.fields.encode()});
    if let Some(time) = owned.time {
        entry["time"] = json!(time);
    }
    if !manager.subresource.is_empty() {
        entry["subresource"] = json!(manager.subresource);
    }
    entry
}
