//! One exchange with a hook: what is sent beside the body, and what of an answer is kept.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use api::{HookReply, HookRequest, HookTls, SharedHook};
use bytes::Bytes;
use http::{HeaderValue, header};
use k8s::{Object, Resource};
use runtime::{ApiError, Client};
use thiserror::Error;

use crate::{
    context::Context,
    credentials::{Access, Found, Source},
    error::SyncError,
    etag::Etags,
    hook::{Hooks, Lifetime, Webhook},
    meter::Call,
};

/// What is needed to call the hooks of a controller, besides their URLs.
#[derive(Default)]
pub(crate) struct Exchanges {
    accesses: Mutex<HashMap<&'static str, Sent>>,
    etags: Mutex<HashMap<&'static str, Etags>>,
}

/// The credentials of a hook as they are sent with every call.
#[derive(Clone, Debug, Default)]
struct Sent {
    tls: Option<Arc<HookTls>>,
    authorization: Option<HeaderValue>,
}

/// Why the credentials of a hook are not known.
#[derive(Debug, Error)]
pub(crate) enum AccessError {
    /// An object could not be read.
    #[error("hook `{hook}`: failed to read {source_name}")]
    Read {
        /// The hook.
        hook: &'static str,
        /// The object.
        source_name: String,
        /// What the API server said.
        source: ApiError,
    },
    /// What was read is not what it should be.
    #[error("hook `{hook}`: {cause}")]
    Invalid {
        /// The hook.
        hook: &'static str,
        /// What is wrong with it.
        cause: String,
    },
}

impl Exchanges {
    /// Reads the credentials of all hooks. If that fails, what was known before still counts.
    pub(crate) async fn refresh(
        &self,
        hooks: &Hooks,
        client: &Client,
        transport: &SharedHook,
    ) -> Result<(), AccessError> {
        for (hook, webhook) in hooks.all().filter(|(_, webhook)| !webhook.credentials.is_empty()) {
            let invalid = |cause| AccessError::Invalid { hook, cause };
            let found = read(hook, webhook, client).await?;
            let Access { tls, authorization } =
                webhook.credentials.access(&found).map_err(invalid)?;
            if let Some(tls) = &tls {
                transport.check_tls(tls).map_err(invalid)?;
            }
            let sent = Sent { tls: tls.map(Arc::new), authorization };
            self.accesses
                .lock()
                .expect("the lock of credentials is never poisoned")
                .insert(hook, sent);
        }
        Ok(())
    }

    fn sent(&self, hook: &str) -> Sent {
        let accesses = self.accesses.lock().expect("the lock of credentials is never poisoned");
        accesses.get(hook).cloned().unwrap_or_default()
    }

    fn etags<T>(&self, hook: &'static str, with: impl FnOnce(&mut Etags) -> T) -> T {
        let mut etags = self.etags.lock().expect("the lock of the ETags is never poisoned");
        with(etags.entry(hook).or_default())
    }
}

async fn read(
    hook: &'static str,
    webhook: &Webhook,
    client: &Client,
) -> Result<Found, AccessError> {
    let mut found = Found::new();
    for source in webhook.credentials.sources() {
        let (resource, key) = match source {
            Source::Secret(key) => (Resource::namespaced("v1", "Secret", "secrets"), key),
            Source::ConfigMap(key) => (Resource::namespaced("v1", "ConfigMap", "configmaps"), key),
        };
        match client.get(&resource, key).await {
            Ok(object) => drop(found.insert(source.clone(), object)),
            // That it is not there is told where it is used.
            Err(error) if error.is_not_found() => {}
            Err(error) => {
                let source_name = source.to_string();
                return Err(AccessError::Read { hook, source_name, source: error });
            }
        }
    }
    Ok(found)
}

/// Calls a hook about a parent.
pub(crate) async fn exchange(
    ctx: &Context,
    (hook, webhook): (&'static str, &Webhook),
    parent: &Object,
    body: Bytes,
) -> Result<HookReply, SyncError> {
    let Sent { tls, authorization } = ctx.exchanges.sent(hook);
    let mut request = HookRequest::new(&webhook.url, body, webhook.timeout);
    request.tls = tls;
    request.headers.extend(authorization.map(|value| (header::AUTHORIZATION, value)));
    let now = || ctx.means.client.clock().now();
    let caching = webhook.etag.map(|lifetime| (etag_key(parent), lifetime));
    let kept = caching.as_ref();
    let kept = kept.and_then(|(of, _)| ctx.exchanges.etags(hook, |etags| etags.of(of, now())));
    let etag = kept.as_ref().map(|kept| (header::IF_NONE_MATCH, kept.etag.clone()));
    request.headers.extend(etag);
    let (sent, asked) = (request.body.clone(), now());
    let call = ctx.meter.call(hook, &webhook.url);
    request.trace = call.as_ref().map(Call::trace);
    let reply = ctx.means.hook.call(request).await;
    if let Some(call) = call {
        call.ended(&reply);
    }
    let took = Duration::try_from(now().duration_since(asked)).unwrap_or_default();
    let answer = reply.as_ref().ok().map(|reply| (reply.status, &reply.body));
    ctx.notes.heard(&parent.key(), (hook, &sent), answer, took);
    let reply = reply.map_err(|source| SyncError::Hook { hook, source })?;
    let Some((of, Lifetime(lifetime))) = caching else { return Ok(reply) };
    let until = (lifetime, now());
    Ok(ctx.exchanges.etags(hook, |etags| etags.settle(&of, kept, reply, until)))
}

/// Returns what the answers about a parent are kept under.
fn etag_key(parent: &Object) -> String {
    let (meta, gvk) = (parent.meta(), parent.gvk());
    format!("{} {} {} {}", gvk.api_version(), gvk.kind, parent.key(), meta.uid)
}
