//! Where a round takes place: a namespace and a resource of its own, and what is seen there.

use std::time::Duration;

use api::{composite, definition};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::{census::Census, hook::Listening};
use crate::{
    load::Shot,
    server::{Server, gone},
    timing::{patiently, pause},
    wire::Connection,
};

/// A namespace and a resource `things`, and a count of what is in it.
pub(crate) struct Ground<'a> {
    pub(crate) server: &'a Server,
    pub(crate) namespace: String,
    /// The paths of the parents and of the children.
    pub(crate) things: String,
    pub(crate) configmaps: String,
    /// The paths of both everywhere, as an engine watches them.
    pub(crate) everywhere: [String; 2],
    pub(crate) parents: Census,
    pub(crate) children: Census,
    group: String,
}

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

impl<'a> Ground<'a> {
    /// Makes one that nobody else uses.
    pub(crate) async fn new(server: &'a Server) -> anyhow::Result<Self> {
        let namespace = server.namespace().await?;
        let mut connection = server.connect().await?;
        let group = format!("{namespace}.example.com");
        connection.create(DEFINITIONS, &things(&group)).await?;
        let version = format!("/apis/{group}/v1");
        let things = format!("{version}/namespaces/{namespace}/things");
        let configmaps = format!("/api/v1/namespaces/{namespace}/configmaps");
        let served = async {
            while connection.call(Method::GET, &things, Bytes::new()).await?.0 != 200 {
                pause(Duration::from_millis(20)).await;
            }
            Ok(())
        };
        patiently("a new resource", served).await?;
        let everywhere = [format!("{version}/things"), "/api/v1/configmaps".to_owned()];
        let parents = Census::follow(server, &things).await?;
        let children = Census::follow(server, &configmaps).await?;
        Ok(Self { server, namespace, things, configmaps, everywhere, parents, children, group })
    }

    /// Installs what the engine needs to be served, where it is missing.
    pub(crate) async fn prepare(server: &Server) -> anyhow::Result<()> {
        let mut connection = server.connect().await?;
        for definition in definition::all() {
            let body = Bytes::from(definition.to_string());
            // It is there where the engine was installed.
            connection.call(Method::POST, DEFINITIONS, body).await?;
        }
        let collection = controllers();
        let served = async {
            while connection.call(Method::GET, &collection, Bytes::new()).await?.0 != 200 {
                pause(Duration::from_millis(20)).await;
            }
            Ok(())
        };
        patiently("the resources of controllers", served).await
    }

    /// Has the engine control the parents, and waits until it does; there is a parent `w0` then.
    pub(crate) async fn control(&self, hook: &Listening, children: usize) -> anyhow::Result<()> {
        let mut connection = self.server.connect().await?;
        let controller = controller(&self.namespace, &self.group, &hook.url);
        connection.create(&controllers(), &controller).await?;
        connection.must(Method::POST, &self.things, self.thing("w0")).await?;
        self.settled("w", "a", children, 1).await
    }

    /// Waits until all parents of a group have all their children and say so.
    pub(crate) async fn settled(
        &self,
        group: &str,
        value: &str,
        children: usize,
        count: usize,
    ) -> anyhow::Result<()> {
        self.children.reach(&format!("{group}={value}"), children * count).await?;
        self.parents.reach(&format!("{group}={value}/{children}"), count).await
    }

    /// Returns a parent with value `a`.
    pub(crate) fn thing(&self, name: &str) -> Bytes {
        let group = &self.group;
        format!(
            r#"{{"apiVersion":"{group}/v1","kind":"Thing","metadata":{{"name":"{name}"}},"spec":{{"value":"a"}}}}"#
        )
        .into()
    }

    /// Returns the request that creates a parent.
    pub(crate) fn creation(&self, number: usize) -> Shot {
        let body = self.thing(&format!("p{number}"));
        Shot { method: Method::POST, path: self.things.clone(), body }
    }

    /// Returns the request that changes a parent.
    pub(crate) fn change(&self, number: usize) -> Shot {
        let body = Bytes::from_static(br#"{"spec":{"value":"b"}}"#);
        Shot { method: Method::PATCH, path: format!("{}/p{number}", self.things), body }
    }

    /// Removes all of it. No engine may be at work any more.
    pub(crate) async fn clear(self) -> anyhow::Result<()> {
        if self.server.is_ours() {
            return Ok(());
        }
        let mut connection = self.server.connect().await?;
        connection.delete(&format!("{}/{}", controllers(), self.namespace)).await?;
        let definition = format!("{DEFINITIONS}/things.{}", self.group);
        connection.delete(&definition).await?;
        patiently("the end of a definition", gone(&mut connection, &definition)).await?;
        self.server.clear().await
    }
}

/// Sends a request that must succeed and returns the object that came of it.
pub(crate) async fn object(
    connection: &mut Connection,
    Shot { method, path, body }: Shot,
) -> anyhow::Result<Value> {
    Ok(serde_json::from_slice(&connection.must(method, &path, body).await?)?)
}

/// Returns the definition of `things` in a group.
pub(crate) fn things(group: &str) -> Value {
    let spec = json!({"type": "object", "properties": {"value": {"type": "string"}}});
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let schema = json!({"type": "object", "properties": {"spec": spec, "status": any}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("things.{group}")},
        "spec": {"group": group, "scope": "Namespaced",
            "names": {"plural": "things", "singular": "thing", "kind": "Thing"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "subresources": {"status": {}}, "schema": {"openAPIV3Schema": schema}}]}})
}

/// Returns a controller of `things` with ConfigMaps as children. Only the engine that selects its label
/// runs it.
pub(crate) fn controller(name: &str, group: &str, hook: &str) -> Value {
    json!({
        "apiVersion": api::names::API_VERSION, "kind": composite::resource().gvk.kind,
        "metadata": {"name": name, "labels": {"bench": name}},
        "spec": {
            "generateSelector": true,
            "parentResource": {"apiVersion": format!("{group}/v1"), "resource": "things"},
            "childResources": [{"apiVersion": "v1", "resource": "configmaps",
                "updateStrategy": {"method": "InPlace"}}],
            "hooks": {"sync": {"webhook": {"url": hook}}}}})
}

fn controllers() -> String {
    composite::resource().collection_path("")
}
