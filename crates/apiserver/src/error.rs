//! Pure: what the API server answers when it does not do what was asked, as a Kubernetes Status.

use serde_json::{Value, json};
use thiserror::Error;

use crate::{field::FieldError, managed::Conflict, registry::Registered};

/// Why a request was not done: code, reason, message and details of the Status a client sees.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("{message}")]
pub struct ApiError {
    reason: Reason,
    message: String,
    details: Box<Details>,
}

/// The machine-readable reason of a Status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The request could not be understood.
    BadRequest,
    /// The request came without valid credentials.
    Unauthorized,
    /// The user may not do this, or nobody may.
    Forbidden,
    /// The object or resource does not exist.
    NotFound,
    /// Nothing at all is served under the path: answered as plain text.
    PageNotFound,
    /// The resource does not offer the verb.
    MethodNotAllowed,
    /// None of the media types asked for can be produced.
    NotAcceptable,
    /// An object of the name exists.
    AlreadyExists,
    /// The object was changed meanwhile, or a precondition does not hold.
    Conflict,
    /// The history asked for is gone.
    Expired,
    /// The body is too large.
    RequestEntityTooLarge,
    /// The body's media type is not understood.
    UnsupportedMediaType,
    /// The object breaks rules.
    Invalid,
    /// The request must be repeated later.
    TooManyRequests,
    /// The server failed.
    InternalError,
    /// The server failed, and nobody has said in which way.
    Unknown,
    /// The feature is left out.
    NotImplemented,
    /// The server is stopping or not ready.
    ServiceUnavailable,
    /// The request took too long.
    Timeout,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Details {
    kind: String,
    group: String,
    name: String,
    uid: String,
    causes: Vec<Value>,
    retry_after: Option<u32>,
    /// A continue token that is valid now, for lists whose history is gone.
    continue_token: Option<String>,
    /// Whether `details` is left out altogether.
    none: bool,
}

impl Reason {
    /// Returns the HTTP status code.
    pub fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound | Self::PageNotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::NotAcceptable => 406,
            Self::AlreadyExists | Self::Conflict => 409,
            Self::Expired => 410,
            Self::RequestEntityTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Invalid => 422,
            Self::TooManyRequests => 429,
            Self::InternalError | Self::Unknown => 500,
            Self::NotImplemented => 501,
            Self::ServiceUnavailable => 503,
            Self::Timeout => 504,
        }
    }

    /// Returns the text that stands in a Status.
    pub fn text(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound | Self::PageNotFound => "NotFound",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::NotAcceptable => "NotAcceptable",
            Self::AlreadyExists => "AlreadyExists",
            Self::Conflict => "Conflict",
            Self::Expired => "Expired",
            Self::RequestEntityTooLarge => "RequestEntityTooLarge",
            Self::UnsupportedMediaType => "UnsupportedMediaType",
            Self::Invalid => "Invalid",
            Self::TooManyRequests => "TooManyRequests",
            Self::InternalError => "InternalError",
            Self::Unknown => "",
            Self::NotImplemented => "NotImplemented",
            Self::ServiceUnavailable => "ServiceUnavailable",
            Self::Timeout => "Timeout",
        }
    }
}

impl ApiError {
    /// Returns the HTTP status code.
    pub fn code(&self) -> u16 {
        self.reason.code()
    }

    /// Returns the machine-readable reason.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// Returns the Status that clients see.
    pub fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code(),
        });
        if self.reason != Reason::Unknown {
            status["reason"] = json!(self.reason.text());
        }
        if let Some(token) = &self.details.continue_token {
            status["metadata"]["continue"] = json!(token);
        }
        if !self.details.none {
            status["details"] = self.details.to_value();
        }
        status
    }

    /// Returns how many seconds to wait before trying again, if that is known to help.
    pub(crate) fn retry_after(&self) -> Option<u32> {
        self.details.retry_after
    }

    /// Returns the name of the object it is about, empty if it is about none.
    pub(crate) fn name(&self) -> &str {
        &self.details.name
    }

    /// The object is missing.
    pub(crate) fn not_found(registered: &Registered, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", registered.qualified());
        Self::about(Reason::NotFound, registered, name, message)
    }

    /// The namespace the request names is missing.
    pub(crate) fn namespace_not_found(name: &str) -> Self {
        let details =
            Details { kind: "namespaces".to_owned(), name: name.to_owned(), ..<_>::default() };
        Self::new(Reason::NotFound, format!("namespaces \"{name}\" not found"), details)
    }

    /// The resource is unknown in a served group and version.
    pub(crate) fn resource_not_found() -> Self {
        let message = "the server could not find the requested resource".to_owned();
        Self::new(Reason::NotFound, message, Details::default())
    }

    /// The group, version or path is unknown.
    pub(crate) fn page_not_found() -> Self {
        Self::plain(Reason::PageNotFound, "404 page not found")
    }

    /// An object of the name exists.
    pub(crate) fn already_exists(registered: &Registered, name: &str, deleting: bool) -> Self {
        let prefix = if deleting { "object is being deleted: " } else { "" };
        let message = format!("{prefix}{} \"{name}\" already exists", registered.qualified());
        Self::about(Reason::AlreadyExists, registered, name, message)
    }

    /// No free name was found for a `generateName`.
    pub(crate) fn name_not_generated(registered: &Registered, name: &str) -> Self {
        let message = format!(
            "{} \"{name}\" already exists, the server was not able to generate a unique name for the \
             object",
            registered.qualified()
        );
        let mut error = Self::about(Reason::AlreadyExists, registered, name, message);
        error.details.retry_after = Some(1);
        error
    }

    /// The resourceVersion sent is not the current one.
    pub(crate) fn stale(registered: &Registered, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and \
                   try again";
        Self::conflict(registered, name, why)
    }

    /// The write cannot be done because of what the object is now.
    pub(crate) fn conflict(registered: &Registered, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {why}",
            registered.qualified()
        );
        Self::about(Reason::Conflict, registered, name, message)
    }

    /// The pod cannot be bound to a node; the reference takes that for a write of another resource.
    pub(crate) fn binding_conflict(name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on pods/binding \"{name}\": {why}");
        let mut error = Self::plain(Reason::Conflict, message);
        *error.details = Details {
            kind: "pods/binding".to_owned(),
            name: name.to_owned(),
            ..Details::default()
        };
        error
    }

    /// What was applied does not fit its schema.
    pub(crate) fn untyped(message: impl Into<String>) -> Self {
        Self::plain(Reason::Unknown, message)
    }

    /// Others own fields that were to be applied; `conflicts` is never empty.
    pub(crate) fn apply_conflict(conflicts: &[Conflict]) -> Self {
        let message = if let [Conflict { manager, path }] = conflicts {
            format!("Apply failed with 1 conflict: conflict with {manager}: {path}")
        } else {
            let groups = conflicts.chunk_by(|a, b| a.manager == b.manager);
            let lines = groups.filter_map(|group| {
                let paths = group.iter().map(|conflict| format!("\n- {}", conflict.path));
                let paths: String = paths.collect();
                Some(format!("conflicts with {}:{paths}", group.first()?.manager))
            });
            let lines: Vec<_> = lines.collect();
            format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
        };
        let cause = |conflict: &Conflict| {
            json!({
                "reason": "FieldManagerConflict",
                "message": format!("conflict with {}", conflict.manager),
                "field": conflict.path,
            })
        };
        let causes = conflicts.iter().map(cause).collect();
        Self::new(Reason::Conflict, message, Details { causes, ..<_>::default() })
    }

    /// The object breaks rules; `errors` is never empty.
    pub(crate) fn invalid(registered: &Registered, name: &str, errors: &[FieldError]) -> Self {
        // The rules are those of what is kept, whichever group it is served in.
        let gvk = &registered.storage.gvk;
        Self::invalid_kind(&gvk.kind, &gvk.group, name, errors)
    }

    /// An object of a kind that is no resource, such as options, breaks rules.
    pub(crate) fn invalid_kind(kind: &str, group: &str, name: &str, errors: &[FieldError]) -> Self {
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let mut texts: Vec<String> = vec![];
        for text in errors.iter().map(ToString::to_string) {
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let list = match texts.as_slice() {
            [single] => single.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        let details = Details {
            kind: kind.to_owned(),
            group: group.to_owned(),
            name: name.to_owned(),
            causes: errors.iter().map(cause).collect(),
            ..<_>::default()
        };
        Self::new(Reason::Invalid, format!("{qualified} \"{name}\" is invalid: {list}"), details)
    }

    /// The request could not be understood.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::plain(Reason::BadRequest, message)
    }

    /// A patch does not fit the object. Nothing is said about which one, as in the reference.
    pub(crate) fn inapplicable() -> Self {
        let message = "the server rejected our request due to an error in our request".to_owned();
        Self::new(Reason::Invalid, message, Details::default())
    }

    /// The verb is not offered.
    pub(crate) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource".to_owned();
        Self::new(Reason::MethodNotAllowed, message, Details::default())
    }

    /// None of the media types asked for can be produced.
    pub(crate) fn not_acceptable(accepted: &[&str]) -> Self {
        let accepted = accepted.join(", ");
        let message = format!("only the following media types are accepted: {accepted}");
        Self::plain(Reason::NotAcceptable, message)
    }

    /// No media type asked for is known at all.
    pub(crate) fn no_representation(available: &[&str]) -> Self {
        let available = available.join(", ");
        let message = format!("406: Not Acceptable\n\nAvailable representations: {available}");
        Self::new(Reason::NotAcceptable, message, Details::default())
    }

    /// A patch of a built-in object is of no known media type.
    pub(crate) fn no_patch_type() -> Self {
        let message = "415: Unsupported Media Type".to_owned();
        Self::new(Reason::UnsupportedMediaType, message, Details::default())
    }

    /// The body's media type is not understood.
    pub(crate) fn unsupported_media_type(accepted: &[&str]) -> Self {
        let accepted = accepted.join(", ");
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {accepted}"
        );
        Self::plain(Reason::UnsupportedMediaType, message)
    }

    /// The body is larger than the limit.
    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        Self::plain(Reason::RequestEntityTooLarge, message)
    }

    /// The object is larger than what can be kept.
    pub(crate) fn object_too_large() -> Self {
        Self::failure("etcdserver: request is too large")
    }

    /// A patch has too many operations.
    pub(crate) fn too_many_operations(message: String) -> Self {
        Self::plain(Reason::RequestEntityTooLarge, message)
    }

    /// The request came without valid credentials.
    pub(crate) fn unauthorized() -> Self {
        Self::plain(Reason::Unauthorized, "Unauthorized")
    }

    /// The object is not the one that was to be deleted. Its kind stands where elsewhere the resource does.
    pub(crate) fn precondition(registered: &Registered, name: &str, why: &str) -> Self {
        // That is found out where the objects are kept, which for some is another group.
        let gvk = &registered.storage.gvk;
        let kind = if gvk.group.is_empty() {
            gvk.kind.clone()
        } else {
            format!("{}.{}", gvk.kind, gvk.group)
        };
        let message = format!("Operation cannot be fulfilled on {kind} \"{name}\": {why}");
        let mut error = Self::about(Reason::Conflict, registered, name, message);
        error.details.kind.clone_from(&gvk.kind);
        error.details.group.clone_from(&gvk.group);
        error
    }

    /// Nobody may do this to the object.
    pub(crate) fn forbidden(registered: &Registered, name: &str, why: &str) -> Self {
        let message = if name.is_empty() {
            format!("{} is forbidden: {why}", registered.qualified())
        } else {
            format!("{} \"{name}\" is forbidden: {why}", registered.qualified())
        };
        Self::about(Reason::Forbidden, registered, name, message)
    }

    /// The namespace is going away.
    pub(crate) fn terminating(registered: &Registered, name: &str, namespace: &str) -> Self {
        let why = format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        );
        let mut error = Self::forbidden(registered, name, &why);
        error.details.causes.push(json!({
            "reason": "NamespaceTerminating",
            "message": format!("namespace {namespace} is being terminated"),
            "field": "metadata.namespace",
        }));
        error
    }

    /// The history asked for is gone.
    pub(crate) fn expired(message: impl Into<String>, continue_token: Option<String>) -> Self {
        let mut error = Self::plain(Reason::Expired, message);
        error.details.continue_token = continue_token;
        error
    }

    /// The revision asked for does not exist yet.
    pub(crate) fn future_revision(wanted: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {wanted}, current: {current}");
        let causes = vec![
            json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}),
        ];
        let details = Details { causes, retry_after: Some(1), ..<_>::default() };
        Self::new(Reason::Timeout, message, details)
    }

    /// The server failed.
    pub(crate) fn internal(why: impl std::fmt::Display) -> Self {
        let message = format!("Internal error occurred: {why}");
        let causes = vec![json!({"message": why.to_string()})];
        Self::new(Reason::InternalError, message, Details { causes, ..<_>::default() })
    }

    /// A failure of the server whose message is fixed.
    pub(crate) fn failure(message: impl Into<String>) -> Self {
        Self::plain(Reason::Unknown, message)
    }

    /// The feature is left out.
    pub(crate) fn not_implemented(message: impl Into<String>) -> Self {
        Self::plain(Reason::NotImplemented, message)
    }

    /// What is asked for is for administrators only.
    pub(crate) fn administrators_only(user: &str, verb: &str, path: &str) -> Self {
        let message = format!("forbidden: User \"{user}\" cannot {verb} path \"{path}\"");
        Self::new(Reason::Forbidden, message, Details::default())
    }

    /// The request took longer than one may.
    pub(crate) fn too_slow() -> Self {
        let message = "Timeout: request did not complete within the allotted timeout".to_owned();
        Self::new(Reason::Timeout, message, Details::default())
    }

    /// What was waited for did not come about in time.
    pub(crate) fn timeout(message: impl Into<String>) -> Self {
        Self::plain(Reason::Timeout, message)
    }

    /// The server is stopping.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        let mut error = Self::plain(Reason::ServiceUnavailable, message);
        error.details.retry_after = Some(1);
        error
    }

    fn plain(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(reason, message.into(), Details { none: true, ..<_>::default() })
    }

    fn about(reason: Reason, registered: &Registered, name: &str, message: String) -> Self {
        let details = Details {
            kind: registered.resource.plural.clone(),
            group: registered.resource.gvk.group.clone(),
            name: name.to_owned(),
            ..<_>::default()
        };
        Self::new(reason, message, details)
    }

    fn new(reason: Reason, message: String, details: Details) -> Self {
        let none = details.none && details.retry_after.is_none();
        Self { reason, message, details: Box::new(Details { none, ..details }) }
    }
}

impl Details {
    fn to_value(&self) -> Value {
        let mut value = json!({});
        for (name, text) in
            [("name", &self.name), ("group", &self.group), ("kind", &self.kind), ("uid", &self.uid)]
        {
            if !text.is_empty() {
                value[name] = json!(text);
            }
        }
        if !self.causes.is_empty() {
            value["causes"] = Value::Array(self.causes.clone());
        }
        if let Some(seconds) = self.retry_after {
            value["retryAfterSeconds"] = json!(seconds);
        }
        value
    }
}

fn cause(error: &FieldError) -> Value {
    json!({"reason": error.reason.cause(), "message": error.message, "field": error.field})
}
