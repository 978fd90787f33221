//! Who asks: the holder of the connection's certificate, else of the request's token.

use std::sync::LazyLock;

use http::{HeaderMap, header};
use k8s::{GroupVersion, ObjectKey};

use crate::{
    backend::Backend,
    error::ApiError,
    http::{Core, header as text_of},
    tokens::{AUDIENCE, Claims},
    user::User,
};

/// Whom tokens must be for to be taken here.
pub(crate) static AUDIENCES: LazyLock<Vec<String>> = LazyLock::new(|| vec![AUDIENCE.to_owned()]);

/// Returns who asks, nothing if no credentials were shown.
///
/// # Errors
///
/// `Unauthorized` if the credentials are bad.
pub(crate) fn user(
    core: &Core,
    connected: Option<User>,
    headers: &HeaderMap,
) -> Result<Option<User>, ApiError> {
    let user = match (connected, token(headers)) {
        (None, None) => return Ok(None),
        (Some(user), _) => user,
        (None, Some(token)) => {
            let claims = claims(core, token).ok_or_else(ApiError::unauthorized)?;
            if claims.audiences(&AUDIENCES).is_empty() {
                return Err(ApiError::unauthorized());
            }
            claims.user()
        }
    };
    Ok(Some(impersonated(user, headers)))
}

/// Returns what a token claims if that holds now.
pub(crate) fn claims(core: &Core, token: &str) -> Option<Claims> {
    let claims = core.signer.verify(token)?;
    let holds = claims.hold(core.backend.clock().now()) && is_alive(&core.backend, &claims);
    holds.then_some(claims)
}

/// Returns the token of a request. Other schemes count as no credentials, as in the reference.
fn token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = text_of(headers, header::AUTHORIZATION).split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Returns whether everything is still there that a token needs.
fn is_alive(backend: &Backend, claims: &Claims) -> bool {
    let registry = backend.registry();
    let core = GroupVersion::new("", "v1");
    claims.needs().into_iter().all(|(plural, namespace, named)| {
        let key = ObjectKey::new(namespace, &named.name);
        let resource = registry.by_path(&core, plural);
        let object = resource.and_then(|it| backend.store().get(&it.storage, &key));
        object.is_some_and(|object| object.meta().uid == named.uid)
    })
}

/// Acts as somebody else; everybody who got in may.
fn impersonated(user: User, headers: &HeaderMap) -> User {
    let text = |name: &str| headers.get(name).and_then(|it| it.to_str().ok());
    let Some(name) = text("impersonate-user") else { return user };
    let groups = headers.get_all("impersonate-group").iter();
    let groups: Vec<_> = groups.filter_map(|it| it.to_str().ok()).collect();
    let mut user = User::impersonated(name, &groups);
    text("impersonate-uid").unwrap_or_default().clone_into(&mut user.uid);
    user
}
