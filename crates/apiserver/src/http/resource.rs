//! Requests to resources: which handler a method and a path lead to.

use std::sync::Arc;

use http::Method;
use k8s::ObjectKey;

use crate::{
    error::ApiError,
    http::{
        Call, collection, query::Query, respond::Answer, review, route::Target, scale, shape,
        subresource, watch, write,
    },
    list::Filter,
    registry::Registered,
};

/// Returns the verb of a request as authorisation knows it, empty if there is none.
pub(crate) fn verb(method: &Method, target: &Target, query: &Query) -> &'static str {
    let watch = target.watch || query.is_true("watch");
    match (method.as_str(), target.name.is_empty()) {
        ("GET" | "HEAD", true) if watch => "watch",
        ("GET" | "HEAD", true) => "list",
        ("GET" | "HEAD", false) if target.watch => "watch",
        ("GET" | "HEAD", false) => "get",
        ("POST", _) => "create",
        ("PUT", false) => "update",
        ("PATCH", false) => "patch",
        ("DELETE", true) => "deletecollection",
        ("DELETE", false) => "delete",
        _ => "",
    }
}

pub(crate) fn handle(call: &Call, target: &Target) -> Result<Answer, ApiError> {
    let registered = find(call, target)?;
    let verb = verb(&call.method, target, &call.query);
    let key = ObjectKey::new(&target.namespace, &target.name);
    if registered.is_custom() || registered.offers(verb) {
        call.warnings.add(deprecations(&registered));
    }
    if target.subresource.is_empty() {
        call.warnings.add(orphans(call, &registered, verb));
    }
    if target.subresource.is_empty() {
        object(call, &registered, &key, verb)
    } else {
        part(call, target, &registered, &key, verb)
    }
}

fn find(call: &Call, target: &Target) -> Result<Arc<Registered>, ApiError> {
    let registry = call.backend().registry();
    let Some(registered) = registry.by_path(&target.version, &target.plural) else {
        return Err(if registry.is_built_in(&target.version.group) {
            ApiError::resource_not_found()
        } else {
            ApiError::page_not_found()
        });
    };
    let namespaced = registered.resource.is_namespaced();
    let misplaced = if namespaced {
        target.namespace.is_empty() && !target.name.is_empty()
    } else {
        !target.namespace.is_empty()
    };
    if !misplaced {
        Ok(registered.clone())
    } else if registered.is_custom() {
        Err(ApiError::page_not_found())
    } else {
        Err(ApiError::resource_not_found())
    }
}

fn object(
    call: &Call,
    registered: &Arc<Registered>,
    key: &ObjectKey,
    verb: &str,
) -> Result<Answer, ApiError> {
    let everywhere = registered.resource.is_namespaced() && key.namespace.is_empty();
    let on_collection = key.name.is_empty();
    let misplaced = match verb {
        "create" => everywhere || !on_collection,
        "deletecollection" => everywhere,
        _ => false,
    };
    if registered.is_custom() && misplaced && everywhere {
        return Err(ApiError::page_not_found());
    }
    if registered.is_custom() && on_collection && matches!(call.method, Method::PUT | Method::PATCH)
    {
        return Err(ApiError::bad_request("name must be provided"));
    }
    if misplaced || !registered.offers(verb) {
        return Err(ApiError::method_not_allowed());
    }
    match verb {
        "create" if !registered.is_stored() => review::answer(call, registered, &key.namespace),
        "create" => write::create(call, registered, &key.namespace),
        "get" => get(call, registered, key),
        "list" => collection::list(call, registered, &key.namespace),
        "watch" => {
            let filter = Filter::parse(registered, &key.namespace, &key.name, &call.query)?;
            watch::watch(call, registered, filter)
        }
        "update" => write::update(call, registered, key),
        "patch" => write::patch(call, registered, key),
        "delete" => write::delete(call, registered, key),
        _ => collection::delete(call, registered, &key.namespace),
    }
}

fn part(
    call: &Call,
    target: &Target,
    registered: &Arc<Registered>,
    key: &ObjectKey,
    verb: &str,
) -> Result<Answer, ApiError> {
    match target.subresource.as_str() {
        "status" if registered.status => match verb {
            "get" => get(call, registered, key),
            "update" => write::update_status(call, registered, key),
            "patch" => write::patch_status(call, registered, key),
            _ => Err(ApiError::method_not_allowed()),
        },
        "scale" if registered.scale.is_some() => scale::handle(call, registered, key, verb),
        name => {
            let extra = registered.extra(name).ok_or_else(|| no_part(registered, key))?;
            if !extra.verbs.contains(&verb) {
                return Err(ApiError::method_not_allowed());
            }
            subresource::handle(call, registered, key, name)
        }
    }
}

/// Custom resources are asked for their parts as if these were objects.
fn no_part(registered: &Registered, key: &ObjectKey) -> ApiError {
    if registered.is_custom() {
        ApiError::not_found(registered, &key.name)
    } else {
        ApiError::resource_not_found()
    }
}

fn get(call: &Call, registered: &Registered, key: &ObjectKey) -> Result<Answer, ApiError> {
    let object = call.backend().get(&registered.resource, key)?;
    shape::object(call, registered, &object, 200)
}

fn deprecations(registered: &Registered) -> Vec<String> {
    let status = registered
        .is("", "componentstatuses")
        .then(|| "v1 ComponentStatus is deprecated in v1.19+".to_owned());
    let endpoints = registered.is("", "endpoints").then(|| {
        "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".to_owned()
    });
    let custom = registered.custom.iter().filter_map(|it| it.warning.clone());
    status.into_iter().chain(endpoints).chain(custom).collect()
}

/// Warns of pods that a deletion leaves behind because it does not say what is to become of them.
fn orphans(call: &Call, registered: &Registered, verb: &str) -> Option<String> {
    let is_deletion = registered.is("batch", "jobs") && verb.starts_with("delete");
    let options = is_deletion.then(|| write::delete_options(call).ok())??;
    options.propagation.is_none().then(|| {
        "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to \
         remove them or set propagationPolicy=Orphan to suppress this warning"
            .to_owned()
    })
}
