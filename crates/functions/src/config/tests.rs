use super::*;

fn config_map(revision: u32, data: &Value) -> Object {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "kubeless-config", "uid": "c", "resourceVersion": revision.to_string()},
        "data": data});
    Object::from_value(&object).unwrap()
}

fn of_a_program() -> Function {
    function(&json!({"runtime": "python3", "handler": "a.b", "function": "x"}))
}

fn function(spec: &Value) -> Function {
    let object = json!({"apiVersion": "kubeless.io/v1beta1", "kind": "Function",
        "metadata": {"name": "f", "namespace": "ops"}, "spec": spec});
    Function::check(&Object::from_value(&object).unwrap()).unwrap()
}

#[test]
fn what_means_nothing_is_told() {
    for (key, text, part) in [
        (DEPLOYMENT, "spec: {replicas: 1, replica: 2}", "`spec.replica` is unknown"),
        (DEPLOYMENT, "spec: {template: {spec: {containers: [{imag: x}]}}}", "containers[0].imag"),
        (DEPLOYMENT, "spec: {replicas: 1, replicas: 2}", "`replicas` stands twice"),
        (DEPLOYMENT, "{", "cannot be read"),
        (DEPLOYMENT, "[]", "no object"),
        (DEPLOYMENT, "spec: {replicas: many}", "invalid type"),
        (RUNTIMES, "[{ID: x, versions: [{version: '1'}]}]", "no image of phase `runtime`"),
        (RUNTIMES, "[{versions: [{version: '1'}]}]", "no runtime with a version"),
        (RUNTIMES, "x: 1", "invalid type"),
        (POLICY, "Latest", "neither `Nearest` nor `Exact`"),
    ] {
        let mut watched = Watched::default();
        watched.read(Some(&config_map(1, &json!({key: text}))));
        let told: Vec<_> = watched.faults().iter().map(|fault| fault.error.to_string()).collect();
        assert!(told.len() == 1 && told[0].contains(part), "{text}: {told:?}");
        assert_eq!(watched.faults()[0].key, key);
    }
}

#[test]
fn what_old_installations_say_is_understood() {
    let text = json!({"metadata": {"creationTimestamp": null}, "status": {}, "spec": {"strategy": {},
        "template": {"spec": {"containers": [{"name": "", "resources": {"limits": {"cpu": 1}}}]}}}});
    let mut watched = Watched::default();
    let data = json!({
        "deployment": text.to_string(), "runtime-images": "[]", "functions-namespace": "ops",
        "builder-image-secret": "b", "ingress-enabled": "false", "enable-build-step": "true",
        "runtime-policy": "Exact"});
    watched.read(Some(&config_map(1, &data)));
    assert_eq!(watched.faults(), []);
    let config = watched.config();
    assert_eq!(
        (config.namespace.as_deref(), config.builds, config.policy),
        (Some("ops"), true, Policy::Exact)
    );
    assert_eq!(config.pull_secrets, ["b"]);
}

#[test]
fn the_last_good_value_stays() {
    let good = config_map(1, &json!({"deployment": "spec: {replicas: 3}"}));
    let bad =
        config_map(2, &json!({"deployment": "spec: {replica: 3}", "runtime-policy": "Exact"}));
    let mut watched = Watched::default();
    watched.read(Some(&good));
    assert!(watched.is_of(Some(&good)) && !watched.is_of(Some(&bad)) && !watched.is_of(None));
    watched.read(Some(&bad));
    assert!(watched.is_of(Some(&bad)));
    assert_eq!(watched.config().deployment, json!({"spec": {"replicas": 3}}));
    assert_eq!(watched.config().policy, Policy::Exact);
    assert!(watched.fault_of(&of_a_program()).is_some_and(|fault| fault.has_good));
    watched.read(None);
    assert_eq!((watched.config(), watched.faults()), (&Config::default(), &[][..]));
}

#[test]
fn a_function_suffers_only_from_what_it_needs() {
    let mut watched = Watched::default();
    watched.read(Some(&config_map(1, &json!({"runtime-images": "{"}))));
    let image =
        json!({"deployment": {"spec": {"template": {"spec": {"containers": [{"image": "i"}]}}}}});
    assert_eq!(watched.fault_of(&function(&image)), None);
    assert!(watched.fault_of(&of_a_program()).is_some_and(|fault| !fault.has_good));
}

#[test]
fn the_environment_says_where_it_is_before_annotations_do() {
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "functions.kubeless.io", "annotations": {
            "kubeless.io/namespace": "tools", "kubeless.io/config": "mine"}}});
    let definition = Object::from_value(&definition).unwrap();
    let environment = BTreeMap::from([("KUBELESS_CONFIG".to_owned(), "other".to_owned())]);
    for (environment, definition, expected) in [
        (&BTreeMap::new(), None, "kubeless/kubeless-config"),
        (&BTreeMap::new(), Some(&definition), "tools/mine"),
        (&environment, Some(&definition), "tools/other"),
    ] {
        assert_eq!(place(environment, definition).to_string(), expected);
    }
}

#[test]
fn keys_of_runtimes_may_be_written_in_any_case() {
    let text = "[{id: python, DepName: r.txt, fileNameSuffix: .py, Versions: [{Version: 3.7, windlassHost: true,
        images: [{Phase: runtime, Image: p, ENV: {aB: 'c'}}, {phase: installation, image: p}]}]}]";
    let runtimes = images::runtimes(text).unwrap();
    let [runtime] = &runtimes[..] else { panic!("{runtimes:?}") };
    assert_eq!((runtime.name().as_str(), runtime.deps.as_deref()), ("python3.7", Some("r.txt")));
    assert!(runtime.language.is_some() && runtime.installs.is_some());
    assert_eq!(runtime.runs.env, [("aB".to_owned(), "c".to_owned())]);
}
