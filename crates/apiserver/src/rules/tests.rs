#![expect(clippy::needless_pass_by_value, reason = "tests read better with owned JSON")]

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{defaults, typed};

/// Returns an object as it is just before it is checked.
fn prepared(api_version: &str, kind: &str, object: Value) -> Value {
    let gvk = GroupVersionKind::new(api_version, kind);
    let mut object = object;
    typed::normalise(&gvk, &mut object).unwrap();
    defaults::apply(&gvk, &mut object);
    object
}

fn wrong(api_version: &str, kind: &str, object: Value) -> Vec<String> {
    let object = prepared(api_version, kind, object);
    texts(&validate(&GroupVersionKind::new(api_version, kind), &object, None))
}

/// Returns what is wrong with an update from one object to another.
fn wrong_update(api_version: &str, kind: &str, old: Value, new: Value) -> Vec<String> {
    let (old, new) = (prepared(api_version, kind, old), prepared(api_version, kind, new));
    texts(&validate(&GroupVersionKind::new(api_version, kind), &new, Some(&old)))
}

fn texts(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn container(more: Value) -> Value {
    let mut container = json!({"name": "c", "image": "i:1"});
    for (name, value) in more.as_object().unwrap() {
        container[name] = value.clone();
    }
    container
}

fn deployment(more: Value) -> Value {
    let mut spec = json!({"selector": {"matchLabels": {"a": "b"}}, "template": {
        "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container(json!({}))]}}});
    for (name, value) in more.as_object().unwrap() {
        spec[name] = value.clone();
    }
    json!({"metadata": {"name": "d"}, "spec": spec})
}

#[test]
fn good_objects_pass() {
    assert_eq!(wrong("apps/v1", "Deployment", deployment(json!({}))), Vec::<String>::new());
    let service = json!({"spec": {"ports": [{"port": 80}]}});
    assert_eq!(wrong("v1", "Service", service), Vec::<String>::new());
    let pod = json!({"spec": {"volumes": [{"name": "v"}], "containers": [container(json!({
        "volumeMounts": [{"name": "v", "mountPath": "/v"}], "ports": [{"containerPort": 80, "name": "web"}],
        "env": [{"name": "A", "value": "b"}], "livenessProbe": {"exec": {"command": ["ok"]}}}))]}});
    assert_eq!(wrong("v1", "Pod", pod), Vec::<String>::new());
    assert_eq!(wrong("a.b/v1", "C", json!({"spec": 1})), Vec::<String>::new());
}

#[test]
fn workloads_are_checked() {
    for (more, errors) in [
        (
            json!({"selector": {"matchLabels": {"a": "c"}}}),
            vec![
                r#"spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`"#,
            ],
        ),
        (
            json!({"selector": null}),
            vec![
                "spec.selector: Required value",
                r#"spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`"#,
            ],
        ),
        (
            json!({"selector": {}}),
            vec!["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
        ),
        (
            json!({"replicas": -1}),
            vec!["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            json!({"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}}),
            vec![
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
            ],
        ),
        (
            json!({"strategy": {"type": "Recreate", "rollingUpdate": {}}}),
            vec![
                "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
            ],
        ),
        (
            json!({"progressDeadlineSeconds": 5, "minReadySeconds": 5}),
            vec![
                "spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds",
            ],
        ),
        (
            json!({"template": {"metadata": {"labels": {"a": "b"}}, "spec": {"restartPolicy": "Never"}}}),
            vec![
                "spec.template.spec.containers: Required value",
                r#"spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always""#,
            ],
        ),
    ] {
        assert_eq!(wrong("apps/v1", "Deployment", deployment(more)), errors);
    }
}

#[test]
fn a_selector_stays() {
    let labels = json!({"a": "b", "c": "d"});
    let template =
        json!({"metadata": {"labels": labels}, "spec": {"containers": [container(json!({}))]}});
    let new = deployment(json!({"selector": {"matchLabels": {"c": "d"}}, "template": template}));
    assert_eq!(
        wrong_update("apps/v1", "Deployment", deployment(json!({})), new),
        [r#"spec.selector: Invalid value: {"matchLabels":{"c":"d"}}: field is immutable"#]
    );
}

#[test]
fn containers_are_checked() {
    for (more, error) in [
        (json!({"name": "C"}), None),
        (json!({"image": ""}), Some("spec.containers[0].image: Required value")),
        (
            json!({"imagePullPolicy": "Often"}),
            Some(
                r#"spec.containers[0].imagePullPolicy: Unsupported value: "Often": supported values: "Always", "IfNotPresent", "Never""#,
            ),
        ),
        (
            json!({"ports": [{"containerPort": 70000}]}),
            Some(
                "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            ),
        ),
        (
            json!({"volumeMounts": [{"name": "x", "mountPath": "/x"}]}),
            Some(r#"spec.containers[0].volumeMounts[0].name: Not found: "x""#),
        ),
        (
            json!({"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}),
            Some(
                r#"spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1"#,
            ),
        ),
        (
            json!({"livenessProbe": {"exec": {"command": ["ok"]}, "httpGet": {"port": 1}}}),
            Some(
                "spec.containers[0].livenessProbe.httpGet: Forbidden: may not specify more than 1 handler type",
            ),
        ),
        (
            json!({"env": [{"name": "a=b"}]}),
            Some(
                "spec.containers[0].env[0].name: Invalid value: \"a=b\": a valid environment variable name \
                must consist only of printable ASCII characters other than '='",
            ),
        ),
    ] {
        let errors = wrong("v1", "Pod", json!({"spec": {"containers": [container(more)]}}));
        match error {
            Some(error) => assert_eq!(errors, [error]),
            None => assert!(errors[0].contains("RFC 1123 label"), "{errors:?}"),
        }
    }
}

#[test]
fn pods_change_little() {
    let pod = |image: &str, more: Value| {
        let mut pod = json!({"spec": {"containers": [{"name": "c", "image": image}]}});
        for (name, value) in more.as_object().unwrap() {
            pod["spec"][name] = value.clone();
        }
        pod
    };
    let update = |new| wrong_update("v1", "Pod", pod("a:1", json!({})), new);
    assert_eq!(update(pod("b:1", json!({}))), Vec::<String>::new());
    for frozen in [json!({"hostNetwork": true}), json!({"nodeName": "n"})] {
        assert!(
            update(pod("a:1", frozen))[0]
                .starts_with("spec: Forbidden: pod updates may not change fields other than")
        );
    }
}

#[test]
fn services_are_checked() {
    for (spec, error) in [
        (json!({}), "spec.ports: Required value"),
        (
            json!({"ports": [{"port": 0}]}),
            "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
        ),
        (
            json!({"type": "Magic", "ports": [{"port": 1}]}),
            r#"spec.type: Unsupported value: "Magic": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort""#,
        ),
        (
            json!({"ports": [{"port": 1, "name": "a"}, {"port": 2}]}),
            "spec.ports[1].name: Required value",
        ),
        (json!({"type": "ExternalName"}), "spec.externalName: Required value"),
        (
            json!({"ports": [{"port": 1, "nodePort": 30000}]}),
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
        ),
        (
            json!({"ports": [{"port": 1}], "externalTrafficPolicy": "Local"}),
            "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for \
             externally-accessible services",
        ),
        (
            json!({"ports": [{"port": 1}], "healthCheckNodePort": 30000}),
            "spec.healthCheckNodePort: Invalid value: 30000: may only be set when `type` is \
             'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
        ),
        (
            json!({"ports": [{"port": 1}], "loadBalancerClass": "a"}),
            "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'",
        ),
    ] {
        let errors = wrong("v1", "Service", json!({"spec": spec}));
        assert_eq!(errors[0], error);
    }
}

#[test]
fn configuration_is_checked() {
    assert_eq!(
        wrong_update(
            "v1",
            "ConfigMap",
            json!({"immutable": true}),
            json!({"immutable": true, "data": {"a": "b"}})
        ),
        ["data: Forbidden: field is immutable when `immutable` is set"]
    );
    assert!(
        wrong("v1", "ConfigMap", json!({"data": {"a b": ""}}))[0]
            .starts_with("data[a b]: Invalid value")
    );
    assert_eq!(
        wrong("v1", "Secret", json!({"type": "kubernetes.io/tls"})),
        ["data[tls.crt]: Required value", "data[tls.key]: Required value"]
    );
    assert_eq!(
        wrong(
            "v1",
            "Event",
            json!({"metadata": {"namespace": "a"}, "involvedObject": {"namespace": "b"}})
        ),
        [r#"involvedObject.namespace: Invalid value: "b": does not match event.namespace"#]
    );
    assert_eq!(
        wrong("coordination.k8s.io/v1", "Lease", json!({"spec": {"leaseDurationSeconds": 0}})),
        ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"]
    );
    assert_eq!(
        wrong(
            "rbac.authorization.k8s.io/v1",
            "Role",
            json!({"rules": [{"apiGroups": [""], "resources": ["pods"]}]})
        ),
        ["rules[0].verbs: Required value: verbs must contain at least one value"]
    );
}

/// Returns any JSON whose keys often are those of workloads and services.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2_i64..3).prop_map(Value::from),
        prop::sample::select(vec!["a", "", "1", "25%", "Recreate", "ExternalName", "None"])
            .prop_map(Value::from),
    ];
    let keys = prop::sample::select(vec![
        "metadata",
        "spec",
        "template",
        "containers",
        "initContainers",
        "ports",
        "name",
        "image",
        "volumes",
        "selector",
        "matchLabels",
        "labels",
        "replicas",
        "strategy",
        "rollingUpdate",
        "maxSurge",
        "type",
        "resources",
        "limits",
        "requests",
        "cpu",
        "env",
        "valueFrom",
        "livenessProbe",
        "httpGet",
        "port",
        "clusterIP",
        "completions",
        "data",
        "stringData",
        "immutable",
        "tolerations",
        "volumeMounts",
    ]);
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            3 => prop::collection::btree_map(keys.clone(), inner, 0..7).prop_map(|fields| {
                Value::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_an_object_or_refused(new in values(), old in values(), kind in 0_usize..5) {
        let (api_version, kind) = [("v1", "Pod"), ("apps/v1", "Deployment"), ("v1", "Service"),
            ("batch/v1", "Job"), ("v1", "Secret")][kind];
        let gvk = GroupVersionKind::new(api_version, kind);
        let (mut new, mut old) = (new, old);
        if typed::normalise(&gvk, &mut new).is_ok() && typed::normalise(&gvk, &mut old).is_ok() {
            defaults::apply(&gvk, &mut new);
            let once = new.clone();
            defaults::apply(&gvk, &mut new);
            prop_assert_eq!(&new, &once);
            validate(&gvk, &new, None);
            validate(&gvk, &new, Some(&old));
        }
    }
}

fn workload(kind: &str, more: Value) -> Vec<String> {
    let mut object = deployment(more);
    let template = json!({"restartPolicy": "Never", "containers": [container(json!({}))]});
    if kind == "Job" {
        object["metadata"]["uid"] = json!("u");
        let labels = json!({"batch.kubernetes.io/controller-uid": "u",
            "batch.kubernetes.io/job-name": "d", "controller-uid": "u", "job-name": "d"});
        object["spec"]["selector"] = json!({"matchLabels": {
            "batch.kubernetes.io/controller-uid": "u"}});
        object["spec"]["template"] = json!({"metadata": {"labels": labels}, "spec": template});
        return wrong("batch/v1", kind, object);
    }
    wrong("apps/v1", kind, object)
}

#[test]
fn policies_of_workloads_are_checked() {
    for (kind, more, expected) in [
        (
            "StatefulSet",
            json!({"podManagementPolicy": "X"}),
            r#"spec.podManagementPolicy: Invalid value: "X": must be 'OrderedReady' or 'Parallel'"#,
        ),
        (
            "StatefulSet",
            json!({"updateStrategy": {"type": "Y"}}),
            r#"spec.updateStrategy: Invalid value: {"Type":"Y","RollingUpdate":null}: must be 'RollingUpdate' or 'OnDelete'"#,
        ),
        (
            "StatefulSet",
            json!({"ordinals": {"start": -1}}),
            "spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            "DaemonSet",
            json!({"updateStrategy": {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}}}),
            "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero",
        ),
        (
            "Deployment",
            json!({"strategy": {"rollingUpdate": {"maxUnavailable": "101%", "maxSurge": "101%"}}}),
            r#"spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%"#,
        ),
        (
            "Job",
            json!({"completionMode": "Indexed", "parallelism": 1}),
            "spec.completions: Required value: when completion mode is Indexed",
        ),
        (
            "Job",
            json!({"maxFailedIndexes": 1, "completionMode": "Indexed", "completions": 1}),
            "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
        ),
        (
            "Job",
            json!({"managedBy": "x"}),
            r#"spec.managedBy: Invalid value: "x": must be a domain-prefixed path (such as "acme.io/foo")"#,
        ),
        (
            "Job",
            json!({"podFailurePolicy": {"rules": [{"action": "Ignore"}]}}),
            "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
        ),
    ] {
        assert_eq!(workload(kind, more.clone()), [expected], "{kind} {more}");
    }
}

#[test]
fn claims_are_volumes_of_their_set() {
    let claim = json!({"metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let mount = json!({"volumeMounts": [{"name": "data", "mountPath": "/data"}]});
    let template = json!({"metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [container(mount)]}});
    let with =
        workload("StatefulSet", json!({"volumeClaimTemplates": [claim], "template": template}));
    assert_eq!(with, [""; 0]);
    let without = workload("StatefulSet", json!({"template": template}));
    assert!(without[0].ends_with("volumeMounts[0].name: Not found: \"data\""), "{without:?}");
}

#[test]
fn nodes_and_volumes_are_checked() {
    let taint = json!({"key": "a", "value": "b", "effect": "NoSchedule"});
    assert_eq!(
        wrong("v1", "Node", json!({"spec": {"taints": [taint, taint]}})),
        [
            r#"metadata.taints[1]: Duplicate value: {"Key":"a","Value":"b","Effect":"NoSchedule","TimeAdded":null}: taints must be unique by key and effect pair"#
        ]
    );
    let claim = |modes: Value, size: &str| json!({"spec": {"accessModes": modes, "resources": {"requests": {"storage": size}}}});
    assert_eq!(
        wrong("v1", "PersistentVolumeClaim", claim(json!(["ReadWriteOnce"]), "1Gi")),
        [""; 0]
    );
    assert_eq!(
        wrong("v1", "PersistentVolumeClaim", claim(json!([]), "0")),
        [
            "spec.accessModes: Required value: at least 1 access mode is required",
            r#"spec.resources[storage]: Invalid value: "0": must be greater than zero"#
        ]
    );
    let volume = json!({"spec": {"accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/a/../b"},
        "capacity": {"cpu": "1"}}});
    assert_eq!(
        wrong("v1", "PersistentVolume", volume),
        [
            r#"spec.capacity: Unsupported value: {"cpu":"1"}: supported values: "storage""#,
            r#"spec.hostPath.path: Invalid value: "/a/../b": must not contain '..'"#
        ]
    );
}
