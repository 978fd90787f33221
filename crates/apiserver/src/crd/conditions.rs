//! Pure: the status of a definition: which names it got and whether it is established.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::{
    crd::{APPROVED, texts},
    field::quote,
    fields::{list, text},
};

/// The names that other definitions of a group hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct TakenNames {
    resources: BTreeSet<String>,
    kinds: BTreeSet<String>,
}

impl TakenNames {
    /// Returns the names that definitions other than `crd` hold in its group.
    pub(crate) fn of<'a>(crd: &Value, all: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut taken = Self::default();
        for other in all {
            if text(other, "/spec/group") != text(crd, "/spec/group")
                || text(other, "/metadata/name") == text(crd, "/metadata/name")
            {
                continue;
            }
            let name = |name| text(other, &format!("/status/acceptedNames/{name}")).to_owned();
            taken.resources.extend([name("plural"), name("singular")]);
            taken.resources.extend(texts(other.pointer("/status/acceptedNames/shortNames")));
            taken.kinds.extend([name("kind"), name("listKind")]);
        }
        taken
    }
}

/// Sets the names, conditions and stored versions of a definition that is written at `now`.
///
/// A definition whose names are free is established at once, not later by a controller as elsewhere.
pub(crate) fn set_conditions(crd: &mut Value, now: &str, taken: &TakenNames) {
    let (names, conflict) = accepted_names(crd, taken);
    let was_established = is_true(crd, "Established");
    let mut conditions = list(crd, "/status/conditions").to_vec();
    let mut set = |kind: &str, status: bool, reason: &str, message: &str| {
        set_condition(&mut conditions, now, &[kind, reason, message], status);
    };
    match &conflict {
        None => set("NamesAccepted", true, "NoConflicts", "no conflicts found"),
        Some((reason, message)) => set("NamesAccepted", false, reason, message),
    }
    if conflict.is_none() || was_established {
        let message = "the initial names have been accepted";
        set("Established", true, "InitialNamesAccepted", message);
    } else {
        set("Established", false, "NotAccepted", "not all names are accepted");
    }
    match Approval::of(crd) {
        Some(Approval::Approved(url)) => {
            let message = format!("approved in {url}");
            set("KubernetesAPIApprovalPolicyConformant", true, "ApprovedAnnotation", &message);
        }
        Some(Approval::Bypassed(why)) => {
            let message = format!("not approved: {}", quote(&why));
            set("KubernetesAPIApprovalPolicyConformant", false, "UnapprovedAnnotation", &message);
        }
        Some(Approval::Missing | Approval::Invalid(_)) | None => {}
    }
    let stored = stored_versions(crd);
    let Some(crd) = crd.as_object_mut() else { return };
    let status = crd.entry("status").or_insert_with(|| json!({}));
    if !status.is_object() {
        *status = json!({});
    }
    status["acceptedNames"] = Value::Object(names);
    status["conditions"] = Value::Array(conditions);
    status["storedVersions"] = json!(stored);
}

/// Returns whether a condition of an object is true.
pub(super) fn is_true(object: &Value, kind: &str) -> bool {
    list(object, "/status/conditions")
        .iter()
        .any(|condition| text(condition, "/type") == kind && text(condition, "/status") == "True")
}

/// What the annotation of a definition in a group of the Kubernetes project says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Approval {
    Missing,
    Invalid(String),
    Approved(String),
    Bypassed(String),
}

impl Approval {
    /// Returns what the annotation says, if the group needs one.
    pub(super) fn of(crd: &Value) -> Option<Self> {
        let group = text(crd, "/spec/group");
        let is_protected = ["k8s.io", "kubernetes.io"].iter().any(|each| {
            group.strip_suffix(each).is_some_and(|sub| sub.is_empty() || sub.ends_with('.'))
        });
        if !is_protected {
            return None;
        }
        let annotations = crd.pointer("/metadata/annotations");
        let given = annotations.and_then(|all| all.get(APPROVED)).and_then(Value::as_str);
        let given = given.unwrap_or_default();
        let has_host = given.split_once("://").is_some_and(|(scheme, rest)| {
            !scheme.is_empty() && !rest.is_empty() && !rest.starts_with('/')
        });
        Some(if given.is_empty() {
            Self::Missing
        } else if given.starts_with("unapproved") {
            Self::Bypassed(given.to_owned())
        } else if has_host {
            Self::Approved(given.to_owned())
        } else {
            Self::Invalid(given.to_owned())
        })
    }
}

type Conflict = (&'static str, String);

/// Returns the names a definition holds from now on and the last clash, if there is one.
fn accepted_names(crd: &Value, taken: &TakenNames) -> (Map<String, Value>, Option<Conflict>) {
    let empty = Map::new();
    let names = |pointer| crd.pointer(pointer).and_then(Value::as_object).unwrap_or(&empty);
    let (wanted, held) = (names("/spec/names"), names("/status/acceptedNames"));
    let mut accepted = held.clone();
    let mut conflict = None;
    let in_use = |name: &str| format!("{} is already in use", quote(name));
    for (name, taken, reason) in [
        ("plural", &taken.resources, "PluralConflict"),
        ("singular", &taken.resources, "SingularConflict"),
        ("kind", &taken.kinds, "KindConflict"),
        ("listKind", &taken.kinds, "ListKindConflict"),
    ] {
        let text = wanted.get(name).and_then(Value::as_str).unwrap_or_default();
        if wanted.get(name) != held.get(name) && taken.contains(text) {
            conflict = Some((reason, in_use(text)));
        } else {
            accepted.insert(name.to_owned(), json!(text));
        }
    }
    let held_short = texts(held.get("shortNames"));
    let clashes: Vec<String> = texts(wanted.get("shortNames"))
        .iter()
        .filter(|name| !held_short.contains(name) && taken.resources.contains(*name))
        .map(|name| in_use(name))
        .collect();
    match clashes.as_slice() {
        [] => copy(wanted, &mut accepted, "shortNames"),
        [single] => conflict = Some(("ShortNamesConflict", single.clone())),
        several => conflict = Some(("ShortNamesConflict", format!("[{}]", several.join(", ")))),
    }
    copy(wanted, &mut accepted, "categories");
    // Clients read both names without asking whether they are there.
    for name in ["plural", "kind"] {
        accepted.entry(name).or_insert(json!(""));
    }
    (accepted, conflict)
}

fn copy(from: &Map<String, Value>, to: &mut Map<String, Value>, name: &str) {
    match from.get(name) {
        Some(value) => to.insert(name.to_owned(), value.clone()),
        None => to.remove(name),
    };
}

fn set_condition(
    conditions: &mut Vec<Value>,
    now: &str,
    [kind, reason, message]: &[&str; 3],
    status: bool,
) {
    let status = if status { "True" } else { "False" };
    let mut new = json!({"type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": now});
    match conditions.iter_mut().find(|each| text(each, "/type") == *kind) {
        Some(old) => {
            if text(old, "/status") == status {
                new["lastTransitionTime"] = old["lastTransitionTime"].clone();
            }
            *old = new;
        }
        None => conditions.push(new),
    }
}

/// Returns the versions objects may be stored in: those so far and the storage version.
pub(super) fn stored_versions(crd: &Value) -> Vec<String> {
    let mut stored = texts(crd.pointer("/status/storedVersions"));
    let is_storage = |it: &&Value| it.get("storage") == Some(&Value::Bool(true));
    if let Some(version) = list(crd, "/spec/versions").iter().find(is_storage) {
        let name = text(version, "/name");
        if !stored.iter().any(|each| each == name) {
            stored.push(name.to_owned());
        }
    }
    stored
}
