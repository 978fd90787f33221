//! The embedded API server, in process.

use std::{
    convert::Infallible,
    error::Error,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use api::{definition, names};
use apiserver::{ApiServer, Listen, User};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use k8s::{Activity, SharedClock};
use kube::{client::Body, config::Kubeconfig};
use runtime::{Client, ClientOptions};
use serde_json::json;
use tower::Service;

use super::{Clients, Role, Server, real};

type Answer = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// As whom the engine of an embedded world acts.
pub(super) const ENGINE: &str = "windlass-engine";

/// Returns clients of an embedded server of their own.
pub(super) async fn clients(clock: SharedClock) -> Clients {
    let activity = Activity::default();
    let server = ApiServer::builder().clock(Arc::clone(&clock)).activity(activity.clone());
    let server = server.start().await.unwrap();
    let revisions = Some(Arc::new(server.clone()) as Arc<dyn k8s::Revisions>);
    let options = ClientOptions { clock, activity, agent: names::COMPONENT, revisions };
    let client_of = |user| {
        let transport = kube::Client::new(server.service_as(user), "default");
        Client::new(transport, options.clone())
    };
    let client = client_of(User::admin());
    for definition in definition::all() {
        client.create(&definition::definitions(), "", definition.to_string()).await.unwrap();
    }
    let engine = client_of(User::new(ENGINE, &[]));
    Clients { server: Server::Embedded, admin: client, engine, api: Some(server) }
}

/// Returns the client of an account that may do what `windlass manifests --enable functions` says.
pub(super) async fn functions(api: &ApiServer, admin: &Client) -> Client {
    // Types and accounts are as in a cluster, but the server goes by no roles.
    real::install_functions(admin).await;
    let roles = cli::install::functions("windlass:test");
    let rules = roles.iter().filter_map(|role| role["rules"].as_array()).flatten();
    narrow(api, admin, Arc::new(Mutex::new(Role::of_rules(rules))))
}

/// Returns a client that asks for no more than a role allows: the embedded server itself allows everything.
pub(super) fn narrow(api: &ApiServer, like: &Client, role: Arc<Mutex<Role>>) -> Client {
    let service = api.service_as(User::new(ENGINE, &[]));
    let gate = tower::service_fn(move |request: Request<Body>| {
        let mut service = service.clone();
        let is_allowed = role.lock().unwrap().allows(&request);
        async move {
            if !is_allowed {
                return Ok(forbidden(request.uri().path()));
            }
            let response: Result<_, Infallible> = service.call(request).await;
            response.map(|response| response.map(|body| body.map_err(Into::into).boxed_unsync()))
        }
    });
    let options = ClientOptions {
        clock: Arc::clone(like.clock()),
        activity: like.activity().clone(),
        agent: names::COMPONENT,
        revisions: Some(Arc::new(api.clone())),
    };
    Client::new(kube::Client::new(gate, "default"), options)
}

fn forbidden(path: &str) -> Response<Answer> {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "reason": "Forbidden", "code": 403, "message": format!("{path} is forbidden")});
    let body = Full::from(status.to_string()).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}

/// Has a server listen, gives the engine's account what it needs there and returns its credentials.
pub(super) async fn engine_kubeconfig(server: &ApiServer, admin: &Client) -> Kubeconfig {
    real::with_token(listening(server).await, &real::install(admin).await)
}

/// Has a server listen, gives the account of functions what it needs there and returns its credentials.
pub(super) async fn functions_kubeconfig(server: &ApiServer, admin: &Client) -> Kubeconfig {
    real::with_token(listening(server).await, &real::install_functions(admin).await)
}

async fn listening(server: &ApiServer) -> Kubeconfig {
    let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let endpoint = server.listen(&Listen { bind, ..Listen::default() }).await.unwrap();
    Kubeconfig::from_yaml(&endpoint.kubeconfig).unwrap()
}
