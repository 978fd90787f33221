//! Pure: who asks.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Who a request comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// What tells the user from others of the name, empty if nothing does.
    pub uid: String,
    /// The groups.
    pub groups: Vec<String>,
    /// What else is known, such as which credentials were shown.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// The group of everybody who was recognised.
const AUTHENTICATED: &str = "system:authenticated";
/// Before the namespace and the name of a ServiceAccount.
const ACCOUNT: &str = "system:serviceaccount:";

impl User {
    /// Returns a user of these groups, who is authenticated.
    pub fn new(name: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().copied().chain([AUTHENTICATED]);
        Self {
            name: name.to_owned(),
            groups: groups.map(ToOwned::to_owned).collect(),
            ..Self::default()
        }
    }

    /// Returns the administrator that in-process requests and the kubeconfig act as.
    pub fn admin() -> Self {
        Self::new("windlass-admin", &["system:masters"])
    }

    /// Returns a ServiceAccount.
    pub fn service_account(namespace: &str, name: &str) -> Self {
        let own = format!("system:serviceaccounts:{namespace}");
        Self::new(&format!("{ACCOUNT}{namespace}:{name}"), &["system:serviceaccounts", &own])
    }

    /// Returns somebody whom an administrator acts as: without groups, those that the name implies.
    pub(crate) fn impersonated(name: &str, groups: &[&str]) -> Self {
        let account = name.strip_prefix(ACCOUNT).and_then(|it| it.split_once(':'));
        match (account, groups) {
            (Some((namespace, account)), []) => Self::service_account(namespace, account),
            _ if name == ANONYMOUS => Self {
                name: name.to_owned(),
                groups: groups.iter().copied().chain([UNAUTHENTICATED]).map(Into::into).collect(),
                ..Self::default()
            },
            _ if groups.contains(&AUTHENTICATED) => {
                let others: Vec<_> =
                    groups.iter().copied().filter(|it| *it != AUTHENTICATED).collect();
                Self::new(name, &others)
            }
            _ => Self::new(name, groups),
        }
    }

    /// Returns nobody in particular.
    pub(crate) fn anonymous() -> Self {
        Self::impersonated(ANONYMOUS, &[])
    }

    /// Returns the user as reviews show it.
    pub(crate) fn info(&self) -> Value {
        let mut info = json!({"username": self.name, "groups": self.groups});
        if !self.uid.is_empty() {
            info["uid"] = json!(self.uid);
        }
        if !self.extra.is_empty() {
            info["extra"] = json!(self.extra);
        }
        info
    }
}

const ANONYMOUS: &str = "system:anonymous";
const UNAUTHENTICATED: &str = "system:unauthenticated";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_implies_groups_if_none_are_given() {
        let groups =
            |name: &str, groups: &[&str]| User::impersonated(name, groups).groups.join(" ");
        for (name, given, expected) in [
            ("a", &[][..], "system:authenticated"),
            ("a", &["g"], "g system:authenticated"),
            ("a", &["system:authenticated", "g"], "g system:authenticated"),
            (
                "system:serviceaccount:n:s",
                &[],
                "system:serviceaccounts system:serviceaccounts:n system:authenticated",
            ),
            ("system:serviceaccount:n:s", &["g"], "g system:authenticated"),
            ("system:anonymous", &[], "system:unauthenticated"),
        ] {
            assert_eq!(groups(name, given), expected, "{name} {given:?}");
        }
    }
}
