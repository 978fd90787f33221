//! Has HTTPTriggers routed by: by the gateway of this process, and by an object for the gateways of a cluster.

use std::sync::Arc;

use k8s::{Object, ObjectKey, Resource};
use serde_json::{Map, Value, json};

use super::{
    Halt, Kind, Means, Shared,
    http::{self, Guard, HttpTrigger},
    status::Trouble,
};
use crate::{
    gateway::{Rule, Users},
    writes::WriteError,
};

/// What a trigger is told whose certificate nobody uses.
const PLAIN: &str = "TLS is not supported yet by the gateway here: calls come in unencrypted";

impl Shared {
    pub(super) async fn sync_http(&self, object: &Object) -> Result<(), WriteError> {
        let (outcome, own) = match self.follow_http(object).await {
            Ok(followed) => followed,
            Err(Halt::Write(error)) => return Err(error),
            Err(Halt::Trouble(trouble)) => {
                self.forget(Kind::Http, &object.key());
                (Err(trouble), routed_by(object))
            }
        };
        self.tell(Kind::Http, object, outcome.as_ref().copied(), own).await
    }

    /// Returns how calls come in, and what the status says beside the condition.
    async fn follow_http(
        &self,
        object: &Object,
    ) -> Result<(Result<&'static str, Trouble>, Map<String, Value>), Halt> {
        let key = object.key();
        let is_here = matches!(self.means, Means::Here(..));
        let guard = if is_here { Guard::Own } else { Guard::Cluster };
        let trigger = HttpTrigger::check(object, guard)
            .map_err(|refusal| Halt::Trouble((refusal.reason(), refusal.to_string())))?;
        let (_, port) = self.function(&key.namespace, &trigger.function).map_err(Halt::Trouble)?;
        let (resource, wanted) = trigger.made(port);
        let is_ingress = resource == http::ingresses();
        let made = is_ingress.then(|| self.ingresses.get(&key)).flatten();
        match self.make(object, (&resource, &wanted), made.as_deref()).await {
            Err(Halt::Write(error)) if !is_ingress && error.source.is_not_found() => {
                // Here calls come in all the same.
                if !is_here {
                    let text = "the cluster does not serve HTTPRoutes".to_owned();
                    return Err(Halt::Trouble(("Unsupported", text)));
                }
            }
            made => made?,
        }
        self.remove_other(object, &resource).await?;
        let remark = if is_here && trigger.has_tls() { PLAIN } else { "" };
        let own = Map::from_iter([("routedBy".to_owned(), json!(resource.gvk.kind))]);
        Ok((self.route(&key, &trigger).map(|()| remark), own))
    }

    /// Has the gateway of this process go by a trigger; without the Secret that it names nobody is let in.
    fn route(&self, key: &ObjectKey, trigger: &HttpTrigger) -> Result<(), Trouble> {
        let (Means::Here(_, routes), Some(secrets)) = (&self.means, &self.secrets) else {
            return Ok(());
        };
        let file = trigger.users.as_ref().map(|name| {
            let secret = secrets.get(&ObjectKey::new(&key.namespace, name));
            secret.and_then(|secret| auth_file(&secret)).ok_or(name)
        });
        let missing = file.as_ref().and_then(|file| file.as_ref().err()).map(|name| {
            ("SecretNotFound", format!("there is no Secret `{name}` with a key `auth`"))
        });
        let rule = Rule {
            host: trigger.host.clone(),
            path: trigger.path.clone(),
            function: ObjectKey::new(&key.namespace, &trigger.function),
            users: file.map(|file| Arc::new(Users::parse(&file.unwrap_or_default()))),
            cors: trigger.cors,
        };
        routes.set_rule(key, Some(rule));
        missing.map_or(Ok(()), Err)
    }

    /// Removes the object that routed before, if it was one of another kind.
    async fn remove_other(&self, object: &Object, now: &Resource) -> Result<(), WriteError> {
        let before = routed_by(object);
        let other = [http::ingresses(), http::routes()].into_iter().find(|resource| {
            resource != now && before.get("routedBy") == Some(&json!(resource.gvk.kind))
        });
        let Some(other) = other else { return Ok(()) };
        match self.client.get(&other, &object.key()).await {
            Ok(old) if super::is_owned(object, &old) => self.delete(&other, &old).await.map(drop),
            Err(error) if !error.is_not_found() => {
                Err(WriteError { what: "the object that routed", source: error })
            }
            _ => Ok(()),
        }
    }
}

/// Returns the kind of object that routes, as the status says.
fn routed_by(object: &Object) -> Map<String, Value> {
    let kind = object.to_value().pointer("/status/routedBy").cloned();
    kind.map(|kind| ("routedBy".to_owned(), kind)).into_iter().collect()
}

/// Returns the file of passwords that a Secret holds.
fn auth_file(secret: &Object) -> Option<String> {
    let value = secret.to_value();
    let bytes = crate::content::decode_base64(value.pointer("/data/auth")?.as_str()?).ok()?;
    // A line in another encoding shuts out its own user alone.
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
