//! `windlass render`: what the engine would create, without any cluster.

use insta::assert_snapshot;

use crate::process::{dir, example, run};

#[test]
fn the_example_becomes_its_deployment() {
    let (here, example) = (dir(&[]), example("useless-pod"));
    let ended = run(here.path(), &["render", "-f", &example]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_snapshot!(ended.stdout, @r#"
    apiVersion: apps/v1
    kind: Deployment
    metadata:
      annotations:
        metacontroller.k8s.io/last-applied-configuration: '{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"labels":{"controller-uid":"00000000-0000-0000-0000-000000000000"},"name":"useless-instance1","namespace":"default"},"spec":{"replicas":1,"selector":{"matchLabels":{"app":"useless-instance1"}},"template":{"metadata":{"labels":{"app":"useless-instance1"}},"spec":{"containers":[{"image":"registry.k8s.io/pause:3.10","name":"useless"}]}}}}'
      labels:
        controller-uid: 00000000-0000-0000-0000-000000000000
      name: useless-instance1
      namespace: default
      ownerReferences:
      - apiVersion: example.com/v1
        blockOwnerDeletion: true
        controller: true
        kind: UselessPod
        name: test1
        uid: 00000000-0000-0000-0000-000000000000
    spec:
      replicas: 1
      selector:
        matchLabels:
          app: useless-instance1
      template:
        metadata:
          labels:
            app: useless-instance1
        spec:
          containers:
          - image: registry.k8s.io/pause:3.10
            name: useless
    "#);
}

#[test]
fn files_without_a_parent_are_a_wrong_command_line() {
    let (here, controller) = (dir(&[]), example("useless-pod/controller.yaml"));
    let ended = run(here.path(), &["render", "-f", &controller]);
    assert_eq!(ended.code, Some(2));
    assert_snapshot!(ended.stderr, @r"
    error: there is no parent of CompositeController `useless-controller` in the files

    hint: give the controller and the parent: -f CONTROLLER -f PARENT
    ");
}

/// A hook sees the children that are said to be there as if they were the parent's.
#[test]
fn the_hook_sees_the_children_of_a_file() {
    let children = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {x: seen}}\n";
    let hook = "function(request) { children: [request.children['ConfigMap.v1'].a { metadata: { name: 'b' } }] }\n";
    let controller = "\
apiVersion: metacontroller.k8s.io/v1alpha1
kind: CompositeController
metadata: {name: c}
spec:
  generateSelector: true
  parentResource: {apiVersion: e.com/v1, resource: things}
  childResources: [{apiVersion: v1, resource: configmaps}]
  hooks: {sync: {webhook: {url: http://c.d/sync}}}
";
    let parent = "{apiVersion: e.com/v1, kind: Thing, metadata: {name: t, uid: u}}\n";
    let here = dir(&[
        ("c.yaml", controller),
        ("p.yaml", parent),
        ("hooks/sync.jsonnet", hook),
        ("children.yaml", children),
    ]);
    let arguments =
        ["render", "-f", "c.yaml", "-f", "p.yaml", "--children", "children.yaml", "-o", "json"];
    let ended = run(here.path(), &arguments);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let list: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(list["items"][0]["data"]["x"], "seen", "{list}");
}

const PROGRAMS: &str = "\
apiVersion: metacontroller.k8s.io/v1alpha1
kind: CompositeController
metadata: {name: c}
spec:
  generateSelector: true
  parentResource: {apiVersion: e.com/v1, resource: things}
  childResources: [{apiVersion: v1, resource: configmaps}]
  hooks:
    customize:
      version: v2
      jsonnet:
        tlas: {labels: {team: red}}
        inline: >-
          function(request, labels) { relatedResources: [{ apiVersion: 'v1', resource: 'secrets',
          namespaceSelector: { matchLabels: labels } }] }
    sync:
      version: v2
      jsonnet: {configMapRef: {namespace: default, name: hooks}}
---
apiVersion: e.com/v1
kind: Thing
metadata: {name: t}
";

const BUNDLE: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: hooks}
data:
  sync.jsonnet: |
    function(request) { children: [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' },
      data: { seen: (import 'lib.libsonnet')(request.related['Secret.v1']) } }] }
  lib.libsonnet: function(secrets) std.join(' ', std.objectFields(secrets))
";

const RELATED: &str = "\
{apiVersion: v1, kind: Namespace, metadata: {name: n, labels: {team: red}}}
---
{apiVersion: v1, kind: Secret, metadata: {name: in, namespace: n}}
---
{apiVersion: v1, kind: Secret, metadata: {name: out}}
";

/// Programs come from the controller and from a ConfigMap among the files; a customize hook finds what it asks
/// for in a file.
///
/// Breaks when `Studio::load` leaves programs out; when `Scene::relate` takes all objects of a type.
#[test]
fn programs_of_controllers_see_the_related_objects_of_a_file() {
    let here = dir(&[("c.yaml", PROGRAMS), ("m.yaml", BUNDLE), ("related.yaml", RELATED)]);
    let seen = |more: &[&str]| {
        let arguments = [&["render", "-f", "c.yaml", "-f", "m.yaml", "-o", "json"], more].concat();
        let ended = run(here.path(), &arguments);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        let list: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        list["items"][0]["data"]["seen"].clone()
    };
    assert_eq!(seen(&["--related", "related.yaml"]), "n/in");
    assert_eq!(seen(&[]), "");
    let ended = run(here.path(), &["render", "-f", "c.yaml"]);
    assert_eq!(ended.code, Some(1));
    assert_snapshot!(ended.stderr, @r"
    error: hook sync
      ConfigMap default/hooks is not there

    hint: give its ConfigMap too, by another -f, or its directory by --hooks
    ");
}

#[test]
fn a_program_may_be_a_file_below_the_directory_of_hooks() {
    let by_path = "jsonnet: {path: sub/a.jsonnet}";
    let controller =
        PROGRAMS.replace("jsonnet: {configMapRef: {namespace: default, name: hooks}}", by_path);
    let a = "function(request) { children: [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'b' } }] }";
    let files = [("c.yaml", controller.as_str()), ("h/sub/a.jsonnet", a), ("h/x.jsonnet", "1")];
    let ended = run(dir(&files).path(), &["render", "-f", "c.yaml", "--hooks", "h"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(ended.stdout.contains("  name: b\n"), "{}", ended.stdout);
}
