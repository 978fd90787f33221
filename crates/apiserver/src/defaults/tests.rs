use super::*;
use crate::typed;

/// Returns an object as it is stored, after checking that defaulting twice changes nothing.
fn stored(api_version: &str, kind: &str, object: Value) -> Value {
    let gvk = GroupVersionKind::new(api_version, kind);
    let mut object = object;
    typed::normalise(&gvk, &mut object).unwrap();
    apply(&gvk, &mut object);
    let once = object.clone();
    apply(&gvk, &mut object);
    assert_eq!(object, once);
    typed::normalise(&gvk, &mut object).unwrap();
    assert_eq!(object, once);
    object
}

#[test]
fn a_minimal_deployment_is_filled_in() {
    let object = stored(
        "apps/v1",
        "Deployment",
        json!({"metadata": {"name": "a"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {
            "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}}}),
    );
    assert_eq!(
        object,
        json!({"metadata": {"name": "a"}, "status": {}, "spec": {
            "replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {
                "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "securityContext": {},
                "terminationGracePeriodSeconds": 30, "schedulerName": "default-scheduler",
                "containers": [{"name": "c", "image": "nginx", "imagePullPolicy": "Always", "resources": {},
                    "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File"}]}}}})
    );
}

#[test]
fn what_was_given_stays() {
    let object = stored(
        "apps/v1",
        "Deployment",
        json!({"spec": {"replicas": 0, "strategy": {"type": "Recreate"}, "template": {"spec": {
            "restartPolicy": "Never", "containers": []}}}}),
    );
    assert_eq!(object["spec"]["replicas"], 0);
    assert_eq!(object["spec"]["strategy"], json!({"type": "Recreate"}));
    assert_eq!(object["spec"]["template"]["spec"]["restartPolicy"], "Never");
}

#[test]
fn images_are_pulled_by_their_tag() {
    for (image, policy) in [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("host:5000/nginx", "Always"),
        ("nginx:1", "IfNotPresent"),
        ("host:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:0", "IfNotPresent"),
    ] {
        let pod =
            stored("v1", "Pod", json!({"spec": {"containers": [{"name": "a", "image": image}]}}));
        assert_eq!(pod["spec"]["containers"][0]["imagePullPolicy"], policy, "{image}");
    }
}

#[test]
fn pods_get_requests_probes_and_volumes_filled_in() {
    let pod = stored(
        "v1",
        "Pod",
        json!({"spec": {"serviceAccountName": "s", "volumes": [{"name": "e"}, {"name": "s", "secret": {"secretName": "x"}}],
            "containers": [{"name": "a", "image": "a:1", "resources": {"limits": {"cpu": "1000m"}},
                "livenessProbe": {"httpGet": {"port": 80}}}]}}),
    );
    let spec = &pod["spec"];
    assert_eq!(spec["enableServiceLinks"], true);
    assert_eq!(spec["serviceAccount"], "s");
    assert_eq!(spec["volumes"][0]["emptyDir"], json!({}));
    assert_eq!(spec["volumes"][1]["secret"]["defaultMode"], 420);
    let container = &spec["containers"][0];
    assert_eq!(container["resources"], json!({"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}));
    assert_eq!(
        container["livenessProbe"],
        json!({"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1,
            "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3})
    );
}

#[test]
fn services_get_ports_and_policies() {
    let service =
        stored("v1", "Service", json!({"spec": {"ports": [{"port": 80}], "clusterIP": "None"}}));
    assert_eq!(
        service["spec"],
        json!({"type": "ClusterIP", "sessionAffinity": "None", "clusterIP": "None",
            "internalTrafficPolicy": "Cluster",
            "ports": [{"port": 80, "targetPort": 80, "protocol": "TCP"}]})
    );
}

#[test]
fn secret_texts_become_data() {
    let secret = stored("v1", "Secret", json!({"data": {"a": "YQ=="}, "stringData": {"b": "b"}}));
    assert_eq!(secret["data"], json!({"a": "YQ==", "b": "Yg=="}));
    assert_eq!(secret["type"], "Opaque");
    assert_eq!(secret.get("stringData"), None);
}

#[test]
fn new_objects_have_their_first_status() {
    let mut pod =
        stored("v1", "Pod", json!({"spec": {"containers": [{"name": "a", "image": "a"}]}}));
    give_birth(&GroupVersionKind::new("v1", "Pod"), &mut pod);
    assert_eq!(pod["status"], json!({"phase": "Pending", "qosClass": "BestEffort"}));
    let mut job = stored(
        "batch/v1",
        "Job",
        json!({"metadata": {"name": "j", "uid": "u"}, "spec": {
        "template": {"spec": {"containers": []}}}}),
    );
    give_birth(&GroupVersionKind::new("batch/v1", "Job"), &mut job);
    assert_eq!(
        job["spec"]["selector"],
        json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}})
    );
    assert_eq!(job["spec"]["template"]["metadata"]["labels"]["job-name"], "j");
}

#[test]
fn quality_of_service_follows_requests_and_limits() {
    for (resources, expected) in [
        (json!({}), "BestEffort"),
        (json!({"requests": {"cpu": "1"}}), "Burstable"),
        (
            json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1Gi"}}),
            "Guaranteed",
        ),
    ] {
        let pod = json!({"spec": {"containers": [{"resources": resources}]}});
        assert_eq!(pod::quality_of_service(pod.as_object().unwrap()), expected);
    }
}
