//! A server under test and requests to it, in process.

use std::{sync::Arc, time::Duration};

use apiserver::{ApiServer, ApiService, Body, Builder};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use k8s::{Activity, VirtualClock};
use serde_json::Value;
use tokio::time::timeout;
use tower::ServiceExt as _;

/// How long a test waits for an event, so that one that does not come fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server without controllers, on a clock that stands still.
pub(crate) struct World {
    pub(crate) server: ApiServer,
    pub(crate) clock: VirtualClock,
    pub(crate) activity: Activity,
    service: ApiService,
}

/// What a request was answered.
#[derive(Debug, PartialEq)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) body: Value,
    pub(crate) warnings: Vec<String>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::start(ApiServer::builder()).await
    }

    /// Starts a server that gives the same UIDs and names to the same requests.
    pub(crate) async fn seeded(seed: u64) -> Self {
        Self::start(ApiServer::builder().seed(seed)).await
    }

    async fn start(builder: Builder) -> Self {
        let (clock, activity) = (VirtualClock::default(), Activity::default());
        let builder = builder.clock(Arc::new(clock.clone())).activity(activity.clone());
        let server = builder.controllers(false).start().await.unwrap();
        Self { service: server.service(), server, clock, activity }
    }

    /// Returns the world of a server that was set up in another way.
    pub(crate) fn of(server: ApiServer) -> Self {
        let (clock, activity) = (VirtualClock::default(), server.backend().activity().clone());
        Self { service: server.service(), server, clock, activity }
    }

    /// Returns the whole body of an answer.
    pub(crate) async fn text(answer: Response<Body>) -> String {
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    pub(crate) async fn get_as(&self, path: &str, accept: &str) -> Reply {
        self.send(Method::GET, path, &[("accept", accept)], Bytes::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, &[], body.to_string().into()).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PUT, path, &[], body.to_string().into()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, &[], Bytes::new()).await
    }

    pub(crate) async fn delete_with(&self, path: &str, options: Value) -> Reply {
        self.send(Method::DELETE, path, &[], options.to_string().into()).await
    }

    /// Patches by `merge`, `strategic-merge` or `json`.
    pub(crate) async fn patch(&self, path: &str, kind: &str, body: Value) -> Reply {
        let kind = format!("application/{kind}-patch+json");
        self.send(Method::PATCH, path, &[("content-type", &kind)], body.to_string().into()).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Reply {
        let response = self.open(method, path, headers, body).await;
        let warnings = response.headers().get_all("warning").iter();
        let warnings =
            warnings.map(|it| String::from_utf8_lossy(it.as_bytes()).into_owned()).collect();
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let text = || Value::from(String::from_utf8_lossy(&bytes).into_owned());
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| text());
        Reply { code, body, warnings }
    }

    /// Sends a request and returns the answer before its body was read.
    pub(crate) async fn open(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).unwrap();
        self.service.clone().oneshot(request).await.unwrap()
    }

    /// Opens a watch.
    pub(crate) async fn watch(&self, path: &str) -> Watch {
        let response = self.open(Method::GET, path, &[], Bytes::new()).await;
        assert_eq!(response.status(), 200);
        Watch { body: response.into_body(), text: String::new() }
    }
}

/// The events of a watch.
pub(crate) struct Watch {
    body: Body,
    text: String,
}

impl Watch {
    /// Returns the next event, nothing at the end.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((line, rest)) = self.text.split_once('\n') {
                let event = serde_json::from_str(line).unwrap();
                self.text = String::from(rest);
                return Some(event);
            }
            let piece = timeout(PATIENCE, self.body.frame()).await.expect("no event comes");
            let piece = piece?.unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }

    /// Returns the next events as `TYPE name`.
    pub(crate) async fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = vec![];
        for _ in 0..count {
            let event = self.next().await.unwrap();
            let name = event["object"]["metadata"]["name"].as_str().unwrap_or("-");
            texts.push(format!("{} {name}", event["type"].as_str().unwrap()));
        }
        texts
    }
}

impl Reply {
    /// Returns the message of a Status.
    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    /// Returns code, reason and message of a Status.
    pub(crate) fn error(&self) -> (u16, &str, &str) {
        (self.code, self.body["reason"].as_str().unwrap_or_default(), self.message())
    }

    /// Returns the resourceVersion.
    pub(crate) fn revision(&self) -> &str {
        self.body["metadata"]["resourceVersion"].as_str().unwrap_or_default()
    }

    /// Returns the names of the items of a list.
    pub(crate) fn names(&self) -> Vec<&str> {
        let items = self.body["items"].as_array().unwrap();
        items.iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
    }
}
