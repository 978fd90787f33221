//! Pure: the kinds the controllers handle by name.

use std::sync::{Arc, LazyLock};

use k8s::Resource;

/// A resource that many objects and actions share.
pub(crate) type Shared = Arc<Resource>;

macro_rules! kinds {
    ($($name:ident: $scope:ident $api_version:literal $kind:literal $plural:literal;)*) => {
        $(pub(crate) static $name: LazyLock<Shared> =
            LazyLock::new(|| Arc::new(Resource::$scope($api_version, $kind, $plural)));)*
    };
}

kinds! {
    PODS: namespaced "v1" "Pod" "pods";
    SERVICES: namespaced "v1" "Service" "services";
    ENDPOINTS: namespaced "v1" "Endpoints" "endpoints";
    SERVICE_ACCOUNTS: namespaced "v1" "ServiceAccount" "serviceaccounts";
    CONFIG_MAPS: namespaced "v1" "ConfigMap" "configmaps";
    EVENTS: namespaced "v1" "Event" "events";
    NODES: cluster "v1" "Node" "nodes";
    NAMESPACES: cluster "v1" "Namespace" "namespaces";
    REPLICA_SETS: namespaced "apps/v1" "ReplicaSet" "replicasets";
    DEPLOYMENTS: namespaced "apps/v1" "Deployment" "deployments";
    STATEFUL_SETS: namespaced "apps/v1" "StatefulSet" "statefulsets";
    CONTROLLER_REVISIONS: namespaced "apps/v1" "ControllerRevision" "controllerrevisions";
    VOLUMES: cluster "v1" "PersistentVolume" "persistentvolumes";
    CLAIMS: namespaced "v1" "PersistentVolumeClaim" "persistentvolumeclaims";
    JOBS: namespaced "batch/v1" "Job" "jobs";
    ENDPOINT_SLICES: namespaced "discovery.k8s.io/v1" "EndpointSlice" "endpointslices";
    CRDS: cluster "apiextensions.k8s.io/v1" "CustomResourceDefinition" "customresourcedefinitions";
}
