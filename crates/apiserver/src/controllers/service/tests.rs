use super::*;

fn object(value: &Value) -> Arc<Object> {
    Arc::new(Object::from_value(value).unwrap())
}

fn service(spec: &Value) -> Service {
    let metadata = json!({"name": "web", "namespace": "a", "uid": "uid-web"});
    Service::read(object(&json!({"metadata": metadata, "spec": spec}))).unwrap()
}

/// Returns a pod of the application, ready or not.
fn pod(name: &str, ip: &str, ready: &str) -> Pod {
    Pod::read(object(&json!({
        "metadata": {"name": name, "namespace": "a", "uid": name, "labels": {"app": "web"}},
        "spec": {"nodeName": "windlass-0",
            "containers": [{"ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"phase": "Running", "podIP": ip,
            "conditions": [{"type": "Ready", "status": ready}]},
    })))
}

fn planned(service: &Service, pods: &[Pod]) -> Vec<Value> {
    let pods = pods.iter().collect();
    let plan = plan(&Observed { service, pods, endpoints: None, slices: vec![] });
    let objects = plan.actions.into_iter().filter_map(|action| match action {
        Action::Create { object, .. } => Some(object),
        _ => None,
    });
    objects.collect()
}

fn http() -> Value {
    json!({"selector": {"app": "web"},
        "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": "http"}]})
}

#[test]
fn load_balancers_are_on_this_machine_once() {
    let shown = |status: Value, class: Option<&str>| {
        let metadata = json!({"name": "web", "namespace": "a", "uid": "u"});
        let spec = json!({"type": "LoadBalancer", "loadBalancerClass": class});
        let value = json!({"metadata": metadata, "spec": spec, "status": status});
        let mut plan = Plan::default();
        balance(&Service::read(object(&value)).unwrap(), &mut plan);
        plan.actions.into_iter().find_map(|action| match action {
            Action::Status { object, .. } => Some(object["status"].clone()),
            _ => None,
        })
    };
    let here = json!({"loadBalancer": {"ingress": [{"ip": "127.0.0.1", "ipMode": "VIP"}]}});
    assert_eq!(shown(json!({"loadBalancer": {}}), None), Some(here.clone()));
    assert_eq!(shown(here, None), None);
    assert_eq!(shown(json!({}), Some("other")), None);
}

#[test]
fn ready_and_other_pods_are_told_apart() {
    let pods = [pod("one", "10.244.0.2", "True"), pod("two", "10.244.0.1", "False")];
    let objects = planned(&service(&http()), &pods);
    let subset = &objects[0]["subsets"][0];
    assert_eq!(subset["addresses"][0]["ip"], "10.244.0.2");
    assert_eq!(subset["notReadyAddresses"][0]["targetRef"]["name"], "two");
    assert_eq!(subset["ports"][0]["port"], 8080);
    let conditions =
        |ordinal: usize| objects[1]["endpoints"][ordinal]["conditions"]["ready"].clone();
    assert_eq!((conditions(0), conditions(1)), (json!(false), json!(true)));
}

#[test]
fn what_is_as_planned_is_left_alone() {
    let (service, pods) = (service(&http()), [pod("one", "10.244.0.2", "True")]);
    let objects: Vec<_> = planned(&service, &pods).iter().map(object).collect();
    let observed = Observed {
        service: &service,
        pods: pods.iter().collect(),
        endpoints: Some(&objects[0]),
        slices: vec![&objects[1]],
    };
    assert!(plan(&observed).is_idle());
    let shrunk = Observed { pods: vec![], ..observed };
    assert_eq!(
        plan(&shrunk).to_string().replace(&objects[1].meta().name, "SLICE"),
        "update Endpoints a/web: addresses\nupdate EndpointSlice a/SLICE: addresses\n"
    );
}

#[test]
fn a_service_without_a_selector_keeps_what_it_was_given() {
    assert!(planned(&service(&json!({"ports": [{"port": 80}]})), &[]).is_empty());
    let external = json!({"type": "ExternalName", "selector": {"app": "web"}});
    assert!(planned(&service(&external), &[]).is_empty());
}

#[test]
fn many_pods_are_spread_over_slices() {
    let pods: Vec<_> =
        (0..150).map(|it| pod(&format!("p{it}"), &format!("10.244.1.{it}"), "True")).collect();
    let sizes = planned(&service(&http()), &pods).into_iter();
    let sizes: Vec<_> = sizes.map(|it| fields::list(&it, "/endpoints").len()).collect();
    assert_eq!(sizes, [0, 100, 50]);
}
