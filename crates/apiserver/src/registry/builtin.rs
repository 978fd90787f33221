//! Pure: the table of the built-in resources.

use k8s::Resource;

use crate::registry::{ALL_VERBS, Extra, Registered, ScalePaths, UpdateRule};

const CREATE: &[&str] = &["create"];
const GET: &[&str] = &["get"];
const PROXY: &[&str] = &["create", "delete", "get", "patch", "update"];
const CONNECT: &[&str] = &["create", "get"];

/// The built-in resources in the order of discovery.
pub(super) fn resources() -> Vec<Registered> {
    [
        core(),
        apps(),
        events(),
        reviews(),
        batch(),
        networking(),
        vec![
            namespaced("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
                .short(&["pdb"])
                .with_status()
                .with_generation()
                .updated(UpdateRule::Versioned),
        ],
        rbac(),
        vec![cluster("storage.k8s.io/v1", "StorageClass", "storageclasses").short(&["sc"])],
        vec![
            cluster(
                "apiextensions.k8s.io/v1",
                "CustomResourceDefinition",
                "customresourcedefinitions",
            )
            .short(&["crd", "crds"])
            .in_categories(&["api-extensions"])
            .with_status()
            .with_generation(),
        ],
        vec![
            cluster("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses")
                .short(&["pc"])
                .with_generation(),
        ],
        vec![
            namespaced("coordination.k8s.io/v1", "Lease", "leases")
                .updated(UpdateRule::CreatesVersioned),
        ],
        vec![
            namespaced("discovery.k8s.io/v1", "EndpointSlice", "endpointslices").with_generation(),
        ],
    ]
    .concat()
}

fn core() -> Vec<Registered> {
    vec![
        namespaced("v1", "ConfigMap", "configmaps").short(&["cm"]),
        namespaced("v1", "Endpoints", "endpoints")
            .singular("endpoints")
            .list_kind("EndpointsList")
            .short(&["ep"])
            .updated(UpdateRule::Creates),
        namespaced("v1", "Event", "events").short(&["ev"]).updated(UpdateRule::Creates),
        cluster("v1", "Namespace", "namespaces")
            .short(&["ns"])
            .with_verbs(&["create", "delete", "get", "list", "patch", "update", "watch"])
            .with_status()
            .with_extra(&[Extra {
                name: "finalize",
                api_version: "v1",
                kind: "Namespace",
                verbs: &["update"],
            }]),
        cluster("v1", "Node", "nodes").short(&["no"]).with_status().with_extra(NODE_EXTRAS),
        namespaced("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
            .short(&["pvc"])
            .with_status(),
        cluster("v1", "PersistentVolume", "persistentvolumes").short(&["pv"]).with_status(),
        namespaced("v1", "Pod", "pods")
            .short(&["po"])
            .in_categories(&["all"])
            .with_status()
            .with_generation()
            .with_extra(POD_EXTRAS),
        namespaced("v1", "Secret", "secrets"),
        namespaced("v1", "ServiceAccount", "serviceaccounts").short(&["sa"]).with_extra(&[Extra {
            name: "token",
            api_version: "authentication.k8s.io/v1",
            kind: "TokenRequest",
            verbs: CREATE,
        }]),
        namespaced("v1", "Service", "services")
            .short(&["svc"])
            .in_categories(&["all"])
            .with_status()
            .with_extra(SERVICE_EXTRAS)
            .updated(UpdateRule::Creates),
    ]
}

const NODE_EXTRAS: &[Extra] =
    &[Extra { name: "proxy", api_version: "v1", kind: "NodeProxyOptions", verbs: PROXY }];

const SERVICE_EXTRAS: &[Extra] =
    &[Extra { name: "proxy", api_version: "v1", kind: "ServiceProxyOptions", verbs: PROXY }];

const POD_EXTRAS: &[Extra] = &[
    Extra { name: "attach", api_version: "v1", kind: "PodAttachOptions", verbs: CONNECT },
    Extra { name: "binding", api_version: "v1", kind: "Binding", verbs: CREATE },
    Extra { name: "eviction", api_version: "policy/v1", kind: "Eviction", verbs: CREATE },
    Extra { name: "exec", api_version: "v1", kind: "PodExecOptions", verbs: CONNECT },
    Extra { name: "log", api_version: "v1", kind: "Pod", verbs: GET },
    Extra { name: "portforward", api_version: "v1", kind: "PodPortForwardOptions", verbs: CONNECT },
    Extra { name: "proxy", api_version: "v1", kind: "PodProxyOptions", verbs: PROXY },
];

fn apps() -> Vec<Registered> {
    let workload = |kind, plural, short: &[&str]| {
        namespaced("apps/v1", kind, plural)
            .short(short)
            .in_categories(&["all"])
            .with_status()
            .with_generation()
    };
    vec![
        namespaced("apps/v1", "ControllerRevision", "controllerrevisions"),
        workload("DaemonSet", "daemonsets", &["ds"]),
        workload("Deployment", "deployments", &["deploy"]).with_scale(),
        workload("ReplicaSet", "replicasets", &["rs"]).with_scale(),
        workload("StatefulSet", "statefulsets", &["sts"]).with_scale(),
    ]
}

fn events() -> Vec<Registered> {
    let storage = Resource::namespaced("v1", "Event", "events").into();
    let events = namespaced("events.k8s.io/v1", "Event", "events")
        .short(&["ev"])
        .updated(UpdateRule::Creates);
    vec![Registered { storage, ..events }]
}

fn reviews() -> Vec<Registered> {
    let authorization = "authorization.k8s.io/v1";
    vec![
        cluster("authentication.k8s.io/v1", "SelfSubjectReview", "selfsubjectreviews")
            .with_verbs(CREATE),
        cluster("authentication.k8s.io/v1", "TokenReview", "tokenreviews").with_verbs(CREATE),
        namespaced(authorization, "LocalSubjectAccessReview", "localsubjectaccessreviews")
            .with_verbs(CREATE),
        cluster(authorization, "SelfSubjectAccessReview", "selfsubjectaccessreviews")
            .with_verbs(CREATE),
        cluster(authorization, "SelfSubjectRulesReview", "selfsubjectrulesreviews")
            .with_verbs(CREATE),
        cluster(authorization, "SubjectAccessReview", "subjectaccessreviews").with_verbs(CREATE),
    ]
}

fn batch() -> Vec<Registered> {
    vec![
        namespaced("batch/v1", "CronJob", "cronjobs")
            .short(&["cj"])
            .in_categories(&["all"])
            .with_status()
            .with_generation(),
        namespaced("batch/v1", "Job", "jobs")
            .in_categories(&["all"])
            .with_status()
            .with_generation(),
    ]
}

fn networking() -> Vec<Registered> {
    let version = "networking.k8s.io/v1";
    vec![
        cluster(version, "IngressClass", "ingressclasses").with_generation(),
        namespaced(version, "Ingress", "ingresses").short(&["ing"]).with_status().with_generation(),
        namespaced(version, "NetworkPolicy", "networkpolicies")
            .short(&["netpol"])
            .with_generation(),
    ]
}

fn rbac() -> Vec<Registered> {
    let version = "rbac.authorization.k8s.io/v1";
    [
        cluster(version, "ClusterRoleBinding", "clusterrolebindings"),
        cluster(version, "ClusterRole", "clusterroles"),
        namespaced(version, "RoleBinding", "rolebindings"),
        namespaced(version, "Role", "roles"),
    ]
    .map(|registered| registered.updated(UpdateRule::Creates))
    .into()
}

fn namespaced(api_version: &str, kind: &str, plural: &str) -> Registered {
    stored(Resource::namespaced(api_version, kind, plural))
}

fn cluster(api_version: &str, kind: &str, plural: &str) -> Registered {
    stored(Resource::cluster(api_version, kind, plural))
}

fn stored(resource: Resource) -> Registered {
    Registered {
        storage: resource.clone().into(),
        singular: resource.gvk.kind.to_lowercase(),
        list_kind: format!("{}List", resource.gvk.kind),
        short_names: vec![],
        categories: vec![],
        verbs: ALL_VERBS,
        status: false,
        scale: None,
        extra: &[],
        generation: false,
        update: UpdateRule::Plain,
        custom: None,
        resource,
    }
}

impl Registered {
    /// Returns a type whose objects are questions: they are answered and not kept.
    pub(crate) fn unstored(resource: Resource) -> Self {
        stored(resource).with_verbs(CREATE)
    }

    fn singular(self, singular: &str) -> Self {
        Self { singular: singular.to_owned(), ..self }
    }

    fn list_kind(self, kind: &str) -> Self {
        Self { list_kind: kind.to_owned(), ..self }
    }

    fn short(self, names: &[&str]) -> Self {
        Self { short_names: names.iter().map(ToString::to_string).collect(), ..self }
    }

    fn in_categories(self, names: &[&str]) -> Self {
        Self { categories: names.iter().map(ToString::to_string).collect(), ..self }
    }

    fn with_verbs(self, verbs: &'static [&'static str]) -> Self {
        Self { verbs, ..self }
    }

    fn with_status(self) -> Self {
        Self { status: true, ..self }
    }

    fn with_generation(self) -> Self {
        Self { generation: true, ..self }
    }

    fn with_extra(self, extra: &'static [Extra]) -> Self {
        Self { extra, ..self }
    }

    fn updated(self, update: UpdateRule) -> Self {
        Self { update, ..self }
    }

    fn with_scale(self) -> Self {
        let scale = ScalePaths {
            spec_replicas: ".spec.replicas".to_owned(),
            status_replicas: ".status.replicas".to_owned(),
            label_selector: ".spec.selector".to_owned(),
        };
        Self { scale: Some(scale), ..self }
    }
}
