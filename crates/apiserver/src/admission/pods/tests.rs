use super::*;

/// Admits a pod of the namespace `ns` with this spec.
fn admitted(spec: &Value, account: Option<&Value>, classes: &[Value]) -> Result<Value, String> {
    let mut pod = json!({"metadata": {"namespace": "ns"}, "spec": spec});
    admit(&mut pod, &Facts { account, classes, volume: "kube-api-access-fresh" })?;
    Ok(pod["spec"].take())
}

fn spec(spec: &Value) -> Value {
    admitted(spec, Some(&json!({})), &[]).unwrap()
}

/// Returns what each container mounts where the token is looked for.
fn mounts(spec: &Value) -> Vec<&str> {
    let containers = ["/initContainers", "/containers"].into_iter().flat_map(|it| list(spec, it));
    let mounts = containers.flat_map(|it| list(it, "/volumeMounts"));
    mounts.filter(|it| it["mountPath"] == TOKEN_PATH).map(|it| text(it, "/name")).collect()
}

#[test]
fn every_container_gets_the_token() {
    let spec = spec(&json!({"initContainers": [{}], "containers": [{}, {"volumeMounts": []}]}));
    assert_eq!(mounts(&spec), ["kube-api-access-fresh"; 3]);
    assert_eq!(spec["serviceAccountName"], "default");
    assert_eq!(spec["serviceAccount"], "default");
    let sources = &spec["volumes"][0]["projected"]["sources"];
    assert_eq!(sources[0]["serviceAccountToken"]["expirationSeconds"], 3607);
}

#[test]
fn what_is_in_the_place_of_the_token_stays() {
    let own = json!({"mountPath": TOKEN_PATH, "name": "own"});
    let spec = spec(&json!({"containers": [{"volumeMounts": [own]}]}));
    assert_eq!(mounts(&spec), ["own"]);
    assert!(spec.get("volumes").is_none());
}

#[test]
fn a_volume_of_such_a_name_holds_the_token() {
    let volume = json!({"name": "kube-api-access-own", "emptyDir": {}});
    let spec = spec(&json!({"containers": [{}], "volumes": [volume]}));
    assert_eq!(mounts(&spec), ["kube-api-access-own"]);
    assert_eq!(spec["volumes"], json!([volume]));
}

#[test]
fn the_pod_decides_about_the_token_before_its_account() {
    for (of_pod, of_account, mounted) in [
        (None, None, 1),
        (None, Some(false), 0),
        (Some(true), Some(false), 1),
        (Some(false), None, 0),
    ] {
        let said = |value: Option<bool>| json!({"automountServiceAccountToken": value});
        let mut spec = said(of_pod);
        spec["containers"] = json!([{}]);
        let spec = admitted(&spec, Some(&said(of_account)), &[]).unwrap();
        assert_eq!(mounts(&spec).len(), mounted, "{of_pod:?} {of_account:?}");
    }
}

#[test]
fn the_account_lends_its_pull_secrets_to_pods_without_any() {
    let account = json!({"imagePullSecrets": [{"name": "a"}]});
    let lent = admitted(&json!({}), Some(&account), &[]).unwrap();
    assert_eq!(lent["imagePullSecrets"], json!([{"name": "a"}]));
    let own = json!({"imagePullSecrets": [{"name": "b"}]});
    assert_eq!(
        admitted(&own, Some(&account), &[]).unwrap()["imagePullSecrets"],
        own["imagePullSecrets"]
    );
}

#[test]
fn an_account_must_exist() {
    let error = admitted(&json!({"serviceAccountName": "x"}), None, &[]).unwrap_err();
    assert_eq!(error, "error looking up service account ns/x: serviceaccount \"x\" not found");
}

#[test]
fn a_mirror_pod_reads_nothing_of_the_server() {
    let admitted = |spec: &Value| {
        let annotations = json!({"kubernetes.io/config.mirror": "x"});
        let mut pod = json!({"metadata": {"annotations": annotations}, "spec": spec});
        let facts = Facts { account: None, classes: &[], volume: "v" };
        admit(&mut pod, &facts).map(|()| pod["spec"].get("serviceAccountName").is_some())
    };
    assert_eq!(admitted(&json!({"containers": [{}]})), Ok(false));
    let token = json!({"projected": {"sources": [{"serviceAccountToken": {}}]}});
    for (spec, what) in [
        (json!({"serviceAccountName": "a"}), "reference service accounts"),
        (json!({"volumes": [{"secret": {"secretName": "s"}}]}), "reference secrets"),
        (json!({"containers": [{"envFrom": [{"secretRef": {}}]}]}), "reference secrets"),
        (json!({"volumes": [token]}), "use ServiceAccountToken volume projections"),
    ] {
        assert_eq!(admitted(&spec), Err(format!("a mirror pod may not {what}")));
    }
}

#[test]
fn the_class_decides_the_priority() {
    let class = |name: &str, value: i64, default: bool| {
        json!({"metadata": {"name": name}, "value": value, "globalDefault": default,
            "preemptionPolicy": "Never"})
    };
    let classes = [class("high", 9, true), class("low", 3, true), class("off", -1, false)];
    for (spec, name, priority) in [
        (json!({}), "low", 3),
        (json!({"priorityClassName": "off"}), "off", -1),
        (json!({"priorityClassName": "high", "priority": 9}), "high", 9),
    ] {
        let spec = admitted(&spec, Some(&json!({})), &classes).unwrap();
        assert_eq!(
            (&spec["priorityClassName"], &spec["priority"]),
            (&json!(name), &json!(priority))
        );
        assert_eq!(spec["preemptionPolicy"], "Never");
    }
    for (spec, error) in [
        (json!({"priorityClassName": "x"}), "no PriorityClass with name x was found"),
        (json!({"priority": 5}), "the integer value of priority (5) must not be provided"),
        (json!({"preemptionPolicy": "Other"}), "the string value of PreemptionPolicy (Other)"),
    ] {
        let refused = admitted(&spec, Some(&json!({})), &classes).unwrap_err();
        assert!(refused.starts_with(error), "{refused}");
    }
    assert_eq!(spec(&json!({}))["preemptionPolicy"], "PreemptLowerPriority");
}

#[test]
fn lost_nodes_are_tolerated_for_a_while_unless_the_pod_says_how_long() {
    let keys = |tolerations: Value| {
        let spec = spec(&json!({"tolerations": tolerations}));
        let all = list(&spec, "/tolerations").to_vec();
        all.iter().map(|it| text(it, "/key").to_owned()).collect::<Vec<_>>()
    };
    let (lost, silent) = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable");
    assert_eq!(keys(json!([])), [lost, silent]);
    assert_eq!(keys(json!([{"operator": "Exists"}])), [""]);
    assert_eq!(keys(json!([{"key": lost, "effect": "NoExecute"}])), [lost, silent]);
    assert_eq!(keys(json!([{"key": lost, "effect": "NoSchedule"}])), [lost, lost, silent]);
}

#[test]
fn a_change_takes_no_priority_away() {
    let old = json!({"spec": {"priority": 7, "preemptionPolicy": "Never"}});
    let mut pod = json!({"spec": {}});
    readmit(&mut pod, &old);
    assert_eq!(
        (&pod["spec"]["priority"], &pod["spec"]["preemptionPolicy"]),
        (&json!(7), &json!("Never"))
    );
    assert_eq!(list(&pod, "/spec/tolerations").len(), 2);
}
