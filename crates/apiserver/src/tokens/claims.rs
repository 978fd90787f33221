//! Pure: what the token of a ServiceAccount says, and whether it holds.

use k8s::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::user::User;

/// Who makes the tokens.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc";
/// Whom tokens are for if their request does not say: this API.
pub(crate) const AUDIENCE: &str = ISSUER;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    aud: Vec<String>,
    exp: i64,
    iat: i64,
    iss: String,
    jti: String,
    #[serde(rename = "kubernetes.io")]
    place: Place,
    nbf: i64,
    sub: String,
}

/// Whose token it is, and what it is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    namespace: String,
    serviceaccount: Named,
    #[serde(flatten)]
    bound: Bound,
}

/// The objects that a token is bound to: it ends with them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bound {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<Named>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<Named>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<Named>,
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Named {
    pub(crate) name: String,
    /// Empty for a node that was not known yet.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) uid: String,
}

impl Claims {
    /// Returns the claims of a new token.
    pub(crate) fn new(
        (namespace, account): (&str, Named),
        bound: Bound,
        aud: Vec<String>,
        (jti, now, seconds): (String, Timestamp, i64),
    ) -> Self {
        let iat = now.as_second();
        Self {
            aud,
            exp: iat.saturating_add(seconds),
            iat,
            iss: ISSUER.to_owned(),
            jti,
            nbf: iat,
            sub: User::service_account(namespace, &account.name).name,
            place: Place { namespace: namespace.to_owned(), serviceaccount: account, bound },
        }
    }

    /// Returns the moment the token ends.
    pub(crate) fn expiry(&self) -> Timestamp {
        Timestamp::from_second(self.exp).unwrap_or(Timestamp::MAX)
    }

    /// Returns whether the token is one of ours and valid now, as far as it says itself.
    pub(crate) fn hold(&self, now: Timestamp) -> bool {
        self.iss == ISSUER && (self.nbf..self.exp).contains(&now.as_second())
    }

    /// Returns those of these audiences that the token is for.
    pub(crate) fn audiences<'a>(&self, wanted: &'a [String]) -> Vec<&'a str> {
        wanted.iter().filter(|it| self.aud.contains(it)).map(String::as_str).collect()
    }

    /// Returns whom the token is for.
    pub(crate) fn all_audiences(&self) -> &[String] {
        &self.aud
    }

    /// Returns the objects that must be there for the token to hold: plural, namespace, name and UID.
    pub(crate) fn needs(&self) -> Vec<(&'static str, &str, &Named)> {
        let Place { namespace, serviceaccount, bound } = &self.place;
        let account = Some(("serviceaccounts", namespace.as_str(), serviceaccount));
        let pod = bound.pod.as_ref().map(|it| ("pods", namespace.as_str(), it));
        let secret = bound.secret.as_ref().map(|it| ("secrets", namespace.as_str(), it));
        // A token of a pod ends with the pod; its node is only told of.
        let node = bound.node.as_ref().filter(|_| pod.is_none()).map(|it| ("nodes", "", it));
        [account, pod, secret, node].into_iter().flatten().collect()
    }

    /// Returns who shows the token.
    pub(crate) fn user(&self) -> User {
        let Place { namespace, serviceaccount, bound } = &self.place;
        let mut user = User::service_account(namespace, &serviceaccount.name);
        user.uid.clone_from(&serviceaccount.uid);
        let credential = ("credential-id".to_owned(), format!("JTI={}", self.jti));
        let of = |kind: &'static str, named: &Option<Named>| {
            let parts = named.iter().flat_map(|it| [("name", &it.name), ("uid", &it.uid)]);
            let parts: Vec<_> = parts
                .filter(|(_, text)| !text.is_empty())
                .map(|(part, text)| (format!("{kind}-{part}"), text.clone()))
                .collect();
            parts
        };
        let extra =
            [credential].into_iter().chain(of("node", &bound.node)).chain(of("pod", &bound.pod));
        user.extra = extra
            .map(|(key, text)| (format!("authentication.kubernetes.io/{key}"), vec![text]))
            .collect();
        user
    }

    pub(crate) fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("claims are texts and numbers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Named {
        Named { name: name.to_owned(), uid: format!("{name}-uid") }
    }

    fn claims(bound: Bound) -> Claims {
        let now = Timestamp::from_second(100).unwrap();
        let aud = vec!["a".to_owned()];
        Claims::new(("n", named("s")), bound, aud, ("j".to_owned(), now, 600))
    }

    #[test]
    fn claims_are_written_as_the_reference_writes_them() {
        let bound = Bound { pod: Some(named("p")), ..Bound::default() };
        assert_eq!(
            claims(bound).to_value().to_string(),
            r#"{"aud":["a"],"exp":700,"iat":100,"iss":"https://kubernetes.default.svc","jti":"j","kubernetes.io":{"namespace":"n","pod":{"name":"p","uid":"p-uid"},"serviceaccount":{"name":"s","uid":"s-uid"}},"nbf":100,"sub":"system:serviceaccount:n:s"}"#
        );
    }

    #[test]
    fn a_token_holds_until_the_second_it_expires() {
        let holds = |second| claims(Bound::default()).hold(Timestamp::from_second(second).unwrap());
        assert_eq!([99, 100, 699, 700].map(holds), [false, true, true, false]);
    }

    #[test]
    fn a_token_ends_with_what_it_is_bound_to() {
        let needs = |bound| {
            let claims = claims(bound);
            let texts = claims.needs().iter().map(|it| format!("{} {}", it.0, it.2.name)).collect();
            let texts: Vec<String> = texts;
            texts.join(", ")
        };
        let (node, pod) = (Some(named("w")), Some(named("p")));
        let on_node = Bound { node: node.clone(), pod, secret: None };
        assert_eq!(needs(on_node), "serviceaccounts s, pods p");
        assert_eq!(needs(Bound { node, ..Bound::default() }), "serviceaccounts s, nodes w");
    }

    #[test]
    fn the_user_tells_what_was_shown() {
        let user = claims(Bound { pod: Some(named("p")), ..Bound::default() }).user();
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("system:serviceaccount:n:s", "s-uid"));
        let keys: Vec<_> =
            user.extra.iter().map(|(key, value)| format!("{key}={value:?}")).collect();
        assert_eq!(
            keys,
            [
                r#"authentication.kubernetes.io/credential-id=["JTI=j"]"#,
                r#"authentication.kubernetes.io/pod-name=["p"]"#,
                r#"authentication.kubernetes.io/pod-uid=["p-uid"]"#,
            ]
        );
    }
}
