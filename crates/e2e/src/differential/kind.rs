//! Pure: the fixtures of one kind, and which cells of the matrix discovery asks for.

use k8s::patch::merge;
use serde_json::{Value, json};

/// The fixtures of one kind.
#[derive(Clone, Debug)]
pub struct Kind {
    /// What the kind's script is called by.
    pub name: String,
    /// The part of a path for the resource.
    pub plural: String,
    /// The API version of the objects.
    pub api_version: String,
    /// Whether the kind has a version that a write must name.
    pub is_versioned: bool,
    /// Whether the objects live in a namespace.
    pub is_namespaced: bool,
    /// JSON pointers at what controllers write on a real cluster.
    pub controlled: Vec<String>,
    /// Objects that must exist first.
    pub before: Vec<Value>,
    facts: Value,
}

impl Kind {
    /// Reads the fixtures of a kind; nothing if they are not such.
    pub fn parse(name: &str, text: &str) -> Option<Self> {
        let facts = k8s::yaml::documents(text).ok()?.first()?.value.clone();
        let list = |field: &str| facts[field].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        Some(Self {
            name: name.to_owned(),
            plural: text(&facts["plural"]).unwrap_or_else(|| name.to_owned()),
            api_version: text(&facts["apiVersion"])?,
            is_versioned: facts["versioned"] == true,
            is_namespaced: facts["cluster"] != true,
            controlled: list("controlled").iter().filter_map(text).collect(),
            before: list("before"),
            facts,
        })
    }

    /// Returns the path of the API version.
    pub fn root(&self) -> String {
        let prefix = if self.api_version.contains('/') { "/apis" } else { "/api" };
        format!("{prefix}/{}", self.api_version)
    }

    /// Returns the path of the collection.
    pub fn collection(&self) -> String {
        let namespace = if self.is_namespaced { "/namespaces/$RUN" } else { "" };
        format!("{}{namespace}/{}", self.root(), self.plural)
    }

    /// Returns the path of an object.
    pub fn path(&self, name: &str) -> String {
        format!("{}/{}", self.collection(), self.full_name(name))
    }

    /// Returns the name of an object in the cluster.
    pub fn full_name(&self, name: &str) -> String {
        let default = if self.is_namespaced { "$NAME" } else { "$RUN-$NAME" };
        self.facts["name"].as_str().unwrap_or(default).replace("$NAME", name)
    }

    /// Returns a fixture, nothing if the kind has none of that sort.
    pub fn fixture(&self, sort: &str) -> Option<&Value> {
        self.facts.get(sort)
    }

    /// Returns an object made from a fixture.
    pub fn object(&self, name: &str, sort: &str) -> Option<Value> {
        let fixture = self.fixture(sort)?;
        let mut object = json!({"apiVersion": self.api_version, "kind": self.facts["kind"],
            "metadata": {"name": self.full_name(name), "labels": {"run": "$RUN"}}});
        merge(&mut object, fixture);
        self.filled(name, &object)
    }

    /// Returns a value with the name of an object put where a fixture says `$NAME`.
    pub fn filled(&self, name: &str, value: &Value) -> Option<Value> {
        serde_json::from_str(&value.to_string().replace("$NAME", name)).ok()
    }

    /// Returns what is controlled in the answer to a write of the status.
    ///
    /// What is written there is answered before a controller can write again.
    pub fn controlled_beside_status(&self) -> Vec<String> {
        let beside = self.controlled.iter().filter(|it| !it.starts_with("/status"));
        beside.cloned().chain(["/metadata/resourceVersion".to_owned()]).collect()
    }
}

const CREATE: &[&str] = &[
    "create-minimal",
    "create-full",
    "create-generate",
    "create-exists",
    "create-dry-run",
    "unknown-ignore",
    "unknown-warn",
    "unknown-strict",
    // Every kind has a rule that can be broken; how many, its fixtures say.
    "wrong-*",
];
const GET: &[&str] = &["get", "get-missing", "get-table", "get-partial"];
const LIST: &[&str] = &["list", "list-table", "list-partial"];
const UPDATE: &[&str] = &["put", "put-same", "put-stale", "put-name", "put-dry-run"];
const PATCH: &[&str] = &[
    "json-patch",
    "merge-patch",
    "strategic-patch",
    "patch-dry-run",
    "patch-missing",
    "apply-create",
    "apply-same",
    "apply-conflict",
    "apply-force",
    "apply-remove",
    "apply-minimal",
    "apply-dry-run",
    "apply-missing-uid",
    "apply-no-manager",
];
const WATCH: &[&str] = &["watch", "watch-initial", "watch-table"];
const DELETE: &[&str] = &[
    "delete",
    "delete-orphan",
    "delete-foreground",
    "delete-background",
    "delete-dry-run",
    "delete-uid",
    "delete-missing",
];
const STATUS: &[&str] = &["get-status", "put-status", "patch-status", "apply-status"];
const SCALE: &[&str] = &["get-scale", "put-scale", "patch-scale"];

/// Returns the cells that a kind must have by its `APIResourceList`, nothing if it is not in there.
pub fn required_cells(resources: &Value, plural: &str) -> Option<Vec<&'static str>> {
    let named =
        |name: &str| resources["resources"].as_array()?.iter().find(|it| it["name"] == *name);
    let verbs = named(plural)?["verbs"].as_array()?;
    let of_verbs = [
        ("create", CREATE),
        ("get", GET),
        ("list", LIST),
        ("update", UPDATE),
        ("patch", PATCH),
        ("watch", WATCH),
        ("delete", DELETE),
        ("deletecollection", &["delete-collection"]),
    ];
    let of_verbs = of_verbs.into_iter().filter(|(verb, _)| verbs.iter().any(|it| it == verb));
    let of_parts = [("status", STATUS), ("scale", SCALE)];
    let of_parts =
        of_parts.into_iter().filter(|(part, _)| named(&format!("{plural}/{part}")).is_some());
    Some(of_verbs.chain(of_parts).flat_map(|(_, cells)| cells.iter().copied()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discovery_says_which_cells_a_kind_has() {
        let resources = json!({"resources": [
            {"name": "a", "verbs": ["deletecollection"]}, {"name": "a/scale", "verbs": ["get"]}]});
        let expected = vec!["delete-collection", "get-scale", "put-scale", "patch-scale"];
        assert_eq!(required_cells(&resources, "a"), Some(expected));
        assert_eq!(required_cells(&resources, "b"), None);
    }
}
