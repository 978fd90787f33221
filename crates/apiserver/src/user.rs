//! Pure: who asks.

/// Who a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The groups.
    pub groups: Vec<String>,
}

impl User {
    /// Returns a user of these groups, who is authenticated.
    pub fn new(name: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().copied().chain(["system:authenticated"]);
        Self { name: name.to_owned(), groups: groups.map(ToOwned::to_owned).collect() }
    }

    /// Returns the administrator that in-process requests and the kubeconfig act as.
    pub fn admin() -> Self {
        Self::new("windlass-admin", &["system:masters"])
    }
}
