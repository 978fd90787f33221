use std::{collections::BTreeMap, env, fs, path::Path};

use k8s::{Object, yaml};

use super::*;
use crate::{
    choice::{Choice, Offered, choose},
    config::Watched,
    plan::known,
    runtimes::Policy,
    table::table,
};

/// What a ConfigMap says, as a person writes it.
const RUNTIMES: &str = "
- ID: ballerina
  depName: ''
  fileNameSuffix: .bal
  livenessProbeInfo: {exec: {command: [curl, -f, 'http://localhost/healthz']}, periodSeconds: 5}
  versions:
  - name: ballerina0.981
    version: '0.981'
    images:
    - {phase: compilation, image: 'kubeless/ballerina-builder', command: '/compile.sh $KUBELESS_FUNC_NAME'}
    - {phase: runtime, image: 'kubeless/ballerina', env: {BAL: '1'}, secrets: [{name: keys.pem}]}
    imagePullSecrets: [{ImageSecret: registry}]
";

fn function(name: &str, spec: &Value) -> Function {
    let object = json!({"apiVersion": "kubeless.io/v1beta1", "kind": "Function",
        "metadata": {"name": name, "namespace": "ops", "uid": "u-1", "labels": {"team": "a"},
            "annotations": {"note": "x", "kubectl.kubernetes.io/last-applied-configuration": "{}"}},
        "spec": spec});
    Function::check(&Object::from_value(&object).unwrap()).unwrap()
}

fn watched(data: &Value) -> Watched {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "kubeless-config", "uid": "c"}, "data": data});
    let mut watched = Watched::default();
    watched.read(Some(&Object::from_value(&object).unwrap()));
    assert_eq!(watched.faults(), []);
    watched
}

fn made(name: &str, spec: &Value, config: &Value, selector: Option<&Value>) -> Objects {
    let (function, watched) = (function(name, spec), watched(config));
    let table = table(&watched.config().runtimes, &BTreeMap::new());
    let choice = choose(&function, &table, Offered::Images, Policy::Nearest).unwrap();
    let runtime = match &choice {
        Choice::Image => known(&function, &table),
        Choice::Runtime(runtime, _) => Some(&**runtime),
    };
    let surroundings = Surroundings { image: "windlass:1".to_owned(), executor: None };
    let config = watched.config();
    objects(&function, Context { runtime, config, surroundings: &surroundings, selector }).unwrap()
}

fn python() -> Value {
    json!({"runtime": "python3.11", "handler": "hooks.sync", "function": "def sync(event, context): pass"})
}

/// Returns a spec as the tools of Kubeless dump it.
fn dumped() -> Value {
    let mut spec = python();
    spec["deps"] = json!("requests\n");
    spec["timeout"] = json!("60");
    spec["deployment"] = json!({
        "metadata": {"creationTimestamp": null}, "status": {},
        "spec": {"strategy": {}, "template": {"metadata": {"creationTimestamp": null}, "spec": {
            "containers": [{"name": "", "resources": {"limits": {"memory": "128Mi"}},
                "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}],
                "imagePullPolicy": "Always"}],
            "initContainers": [{"name": "", "resources": {"limits": {"cpu": "1"}}}]}}}});
    spec["service"] = json!({"selector": {"function": "f", "team": "a"}, "type": "ClusterIP",
        "ports": [{"name": "http-function-port", "protocol": "TCP", "port": 80, "targetPort": 9000, "nodePort": null}]});
    spec["horizontalPodAutoscaler"] =
        json!({"metadata": {"creationTimestamp": null}, "spec": {"maxReplicas": 0}, "status": {}});
    spec
}

fn autoscaler(version: &str, metrics: &Value) -> Value {
    json!({"apiVersion": version, "metadata": {"name": "f", "creationTimestamp": null},
        "spec": {"minReplicas": 1, "maxReplicas": 3, "metrics": metrics,
            "scaleTargetRef": {"apiVersion": "apps/v1beta1", "kind": "Deployment", "name": "f"}},
        "status": {"conditions": null}})
}

/// `WINDLASS_BLESS=1` writes what is expected anew.
#[test]
fn the_objects_of_functions_are_these() {
    let mut image = json!({"deployment": {"spec": {"replicas": 2, "template": {"spec": {
        "containers": [{"image": "web"}], "securityContext": {}, "affinity": {}}}}}});
    image["handler"] = json!("a.b");
    let mut scaled = python();
    scaled["deployment"] = json!({"spec": {"replicas": 2}});
    scaled["horizontalPodAutoscaler"] = autoscaler(
        "autoscaling/v2beta1",
        &json!([{"type": "Object", "object": {
        "metricName": "function_calls", "targetValue": "100", "target": {"kind": "Service", "name": "f"}}}]),
    );
    let mut packed = python();
    packed["handler"] = json!("pkg/hooks.sync");
    packed["function-content-type"] = json!("base64+zip+deps");
    packed["runtime"] = json!("nodejs20");
    let source = json!("package kubeless");
    let go = json!({"runtime": "go1.25", "handler": "a.Sync", "function": source});
    let own = json!({"runtime": "ballerina0.981", "handler": "a.main", "function": "x"});
    let defaults = json!({"spec": {"template": {
        "metadata": {"annotations": {"prometheus.io/scrape": "false"}},
        "spec": {"containers": [{"resources": {"limits": {"memory": "64Mi"}}}]}}}});
    let config = json!({"deployment": defaults.to_string(), "provision-image-secret": "pull"});
    for (name, spec, config) in [
        ("python", python(), json!({})),
        ("dumped", dumped(), json!({})),
        ("image", image, json!({})),
        ("scaled", scaled, json!({})),
        ("packed", packed, json!({})),
        ("go", go, json!({})),
        ("jsonnet", json!({"runtime": "jsonnet", "handler": "a.b", "function": "{}"}), config),
        ("own-runtime", own, json!({"runtime-images": RUNTIMES})),
    ] {
        let Objects { config_map, service, deployment, autoscaler, monitor, .. } =
            made("f", &spec, &config, None);
        let all = [Some(config_map), Some(service), Some(deployment), autoscaler, monitor];
        let all: Vec<_> = all.iter().flatten().map(yaml::to_string).collect();
        let (path, text) = (
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/objects/golden/{name}.yaml")),
            all.join("---\n"),
        );
        if env::var_os("WINDLASS_BLESS").is_some() {
            fs::write(&path, &text).unwrap();
        }
        assert!(
            fs::read_to_string(&path).unwrap_or_default() == text,
            "{path:?} is another:\n{text}"
        );
    }
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(|item| item["name"].as_str()).collect()
}

/// Breaks when mounts are not told apart by their paths.
#[test]
fn acceptance_17_the_deployment_has_all_that_a_function_needs() {
    let mut spec = dumped();
    let container = &mut spec["deployment"]["spec"]["template"]["spec"]["containers"][0];
    container["volumeMounts"] = json!([{"name": "mine", "mountPath": "/data"}]);
    let defaults = json!({"spec": {"template": {"spec": {"containers": [
        {"volumeMounts": [{"name": "theirs", "mountPath": "/data"}, {"name": "more", "mountPath": "/more"}]}]}}}});
    let config = json!({"deployment": yaml::to_string(&defaults)});
    let deployment = made("f", &spec, &config, None).deployment;
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(
        names(&container["env"]),
        [
            "A",
            "FUNC_HANDLER",
            "MOD_NAME",
            "FUNC_TIMEOUT",
            "FUNC_RUNTIME",
            "FUNC_MEMORY_LIMIT",
            "FUNC_PORT",
            "KUBELESS_INSTALL_VOLUME",
            "WINDLASS_RUNTIME",
            "PYTHONPATH"
        ]
    );
    assert_eq!(container["env"][0]["value"], "2");
    assert_eq!(container["env"][5]["value"], "128Mi");
    assert_eq!(names(&container["volumeMounts"]), ["mine", "more", "windlass-host", "f"]);
    assert_eq!(names(&pod["initContainers"]), ["prepare", "install"]);
    assert_eq!(names(&pod["initContainers"][1]["env"])[..2], ["A", "FUNC_HANDLER"]);
    assert_eq!(pod["initContainers"][1]["resources"]["limits"]["cpu"], "1");
    assert_eq!(container["readinessProbe"]["periodSeconds"], 2);
    assert_eq!(container["livenessProbe"]["httpGet"], json!({"path": "/healthz", "port": 9000}));
    assert_eq!(pod["securityContext"]["fsGroup"], 1000);
    assert_eq!(container["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
    let notes = &deployment["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(notes["prometheus.io/port"], "9000");
    assert_eq!(notes["note"], "x");
    assert!(notes["kubectl.kubernetes.io/last-applied-configuration"].is_null());
    assert_eq!(deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
    assert_eq!(
        deployment["spec"]["selector"]["matchLabels"],
        json!({"created-by": "kubeless", "function": "f"})
    );
}

/// Breaks when workloads of versions that are gone stay so.
#[test]
fn acceptance_18_an_autoscaler_of_any_form_becomes_one_of_today() {
    let resource = |target: Value| json!({"type": "Resource", "resource": target});
    let usage = resource(
        json!({"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}),
    );
    let object = |target: Value| {
        json!({"type": "Object", "object": {"metric": {"name": "m"},
        "describedObject": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "s"}, "target": target}})
    };
    let old = json!({"apiVersion": "apps/v1beta2", "kind": "Deployment", "name": "s"});
    let today = object(json!({"type": "Value", "value": "10"}));
    for (version, given, expected) in [
        (
            "autoscaling/v2beta1",
            resource(json!({"name": "cpu", "targetAverageUtilization": 70})),
            usage.clone(),
        ),
        (
            "autoscaling/v2beta1",
            resource(json!({"name": "memory", "targetAverageValue": "1Gi"})),
            resource(
                json!({"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}),
            ),
        ),
        ("autoscaling/v2beta2", usage.clone(), usage.clone()),
        (
            "autoscaling/v2beta1",
            json!({"type": "Object", "object": {"metricName": "m", "targetValue": "10", "target": old}}),
            today.clone(),
        ),
        ("autoscaling/v2", today.clone(), today),
        (
            "autoscaling/v2beta1",
            json!({"type": "Object", "object": {"metricName": "m", "targetValue": "0", "averageValue": "5", "target": old}}),
            object(json!({"type": "AverageValue", "averageValue": "5"})),
        ),
        (
            "autoscaling/v2beta1",
            json!({"type": "Pods", "pods": {"metricName": "m", "selector": {}, "targetAverageValue": "5"}}),
            json!({"type": "Pods", "pods": {"metric": {"name": "m", "selector": {}},
                "target": {"type": "AverageValue", "averageValue": "5"}}}),
        ),
        (
            "autoscaling/v2beta1",
            json!({"type": "External", "external": {"metricName": "m", "metricSelector": {}, "targetValue": "5"}}),
            json!({"type": "External", "external": {"metric": {"name": "m", "selector": {}},
                "target": {"type": "Value", "value": "5"}}}),
        ),
        (
            "autoscaling/v2beta1",
            json!({"type": "ContainerResource", "containerResource": {
                "name": "cpu", "container": "f", "targetAverageUtilization": 5}}),
            json!({"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "f",
                "target": {"type": "Utilization", "averageUtilization": 5}}}),
        ),
    ] {
        let mut spec = python();
        spec["horizontalPodAutoscaler"] = autoscaler(version, &json!([given]));
        let made = made("f", &spec, &json!({}), None).autoscaler.unwrap();
        assert_eq!(made["apiVersion"], "autoscaling/v2");
        assert_eq!(made["spec"]["metrics"], json!([expected]));
        assert_eq!(made["spec"]["scaleTargetRef"]["apiVersion"], "apps/v1");
    }
    let mut spec = python();
    let mut first = autoscaler("autoscaling/v1", &Value::Null);
    first["spec"]["targetCPUUtilizationPercentage"] = json!(70);
    spec["horizontalPodAutoscaler"] = first;
    let made = made("f", &spec, &json!({}), None);
    assert_eq!(made.autoscaler.unwrap()["spec"]["metrics"], json!([usage]));
    assert_eq!(made.monitor, None);
}

#[test]
fn only_an_autoscaler_with_a_name_and_a_target_is_wanted() {
    for pointer in ["/metadata/name", "/spec/scaleTargetRef/name"] {
        let mut spec = python();
        let mut given = autoscaler("autoscaling/v2", &json!([]));
        *given.pointer_mut(pointer).unwrap() = json!("");
        spec["horizontalPodAutoscaler"] = given;
        assert_eq!(made("f", &spec, &json!({}), None).autoscaler, None, "{pointer}");
    }
}

#[test]
fn a_selector_of_old_is_kept_and_found_by() {
    let selector = json!({"created-by": "kubeless", "function": "f", "team": "old"});
    let deployment = made("f", &python(), &json!({}), Some(&selector)).deployment;
    assert_eq!(deployment["spec"]["selector"]["matchLabels"], selector);
    assert_eq!(deployment["spec"]["template"]["metadata"]["labels"], selector);
}

#[test]
fn an_image_is_told_of_the_program_as_a_runtime_is() {
    let of = |runtime: &str| {
        let mut spec = python();
        spec["runtime"] = json!(runtime);
        spec["deployment"] =
            json!({"spec": {"template": {"spec": {"containers": [{"image": "web"}]}}}});
        let Objects { config_map, deployment, .. } = made("f", &spec, &json!({}), None);
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(pod["initContainers"], Value::Null);
        let data = config_map["data"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        (data, names(&pod["containers"][0]["env"]).contains(&"KUBELESS_INSTALL_VOLUME"))
    };
    let files = |names: [&str; 3]| names.map(ToOwned::to_owned).to_vec();
    assert_eq!(of("python2.7"), (files(["handler", "hooks.py", "requirements.txt"]), true));
    assert_eq!(of("cobol85").0, ["handler", "hooks"]);
    assert!(!of("cobol85").1);
}

#[test]
fn variables_from_elsewhere_reach_what_installs() {
    let mut spec = python();
    let from = json!([{"secretRef": {"name": "registry"}}]);
    spec["deps"] = json!("requests");
    spec["deployment"] =
        json!({"spec": {"template": {"spec": {"containers": [{"envFrom": from}]}}}});
    let pod = made("f", &spec, &json!({}), None).deployment["spec"]["template"]["spec"].take();
    assert_eq!(pod["initContainers"][1]["envFrom"], from);
    assert_eq!(pod["initContainers"][0]["envFrom"], Value::Null);
}

#[test]
fn services_lead_to_the_function_whatever_its_labels() {
    let ports = |port: Value| json!([port]);
    for (given, selector, expected) in [
        (
            json!({}),
            json!({"created-by": "kubeless", "function": "f"}),
            json!([{
            "name": "http-function-port", "protocol": "TCP", "port": 8080, "targetPort": 8080}]),
        ),
        (
            json!({"selector": {"function": "f", "team": "a"}, "ports": [{"port": 80}]}),
            json!({"created-by": "kubeless", "function": "f"}),
            ports(json!({"port": 80, "targetPort": 80, "protocol": "TCP"})),
        ),
        (
            json!({"selector": {"app": "x"}, "ports": [{"port": 80, "targetPort": 0}]}),
            json!({"app": "x"}),
            ports(json!({"port": 80, "targetPort": 80, "protocol": "TCP"})),
        ),
    ] {
        let mut spec = python();
        spec["service"] = given;
        let service = made("f", &spec, &json!({}), None).service;
        assert_eq!(
            (&service["spec"]["selector"], &service["spec"]["ports"]),
            (&selector, &expected)
        );
        assert_eq!(service["spec"]["type"], "ClusterIP");
    }
}

#[test]
fn names_of_volumes_are_never_too_long() {
    let name = deployment::volume_name(&"x".repeat(70));
    assert_eq!(name.len(), 63);
    assert_eq!(deployment::volume_name("short"), "short");
}
