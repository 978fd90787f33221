//! Pure: the Kubernetes strings that windlass writes or looks for, each in one place.

/// The API group of the controller resources.
pub const GROUP: &str = "metacontroller.k8s.io";
/// The `apiVersion` of the controller resources.
pub const API_VERSION: &str = "metacontroller.k8s.io/v1alpha1";
/// The annotation that keeps what was last applied to a child.
pub const LAST_APPLIED: &str = "metacontroller.k8s.io/last-applied-configuration";
/// The label that ties children to a parent whose controller generates selectors.
pub const CONTROLLER_UID: &str = "controller-uid";
/// The component that events come from and the prefix of field managers.
pub const COMPONENT: &str = "metacontroller";

/// The annotation that keeps a controller, or the controllers of a parent, from acting while it is `true`.
pub const PAUSED: &str = "windlass.dev/paused";

/// The annotation that ties attachments to their DecoratorController.
pub const DECORATOR_CONTROLLER: &str = "metacontroller.k8s.io/decorator-controller";

/// The label of a ControllerRevision that says the group of its parent's type.
pub const REVISION_API_GROUP: &str = "metacontroller.k8s.io/apiGroup";
/// The label of a ControllerRevision that says the plural of its parent's type.
pub const REVISION_RESOURCE: &str = "metacontroller.k8s.io/resource";

/// Returns the finalizer that a controller of a kind, in lower case, puts on its parents.
pub fn finalizer(kind: &str, controller: &str) -> String {
    format!("metacontroller.io/{kind}-{controller}")
}

/// Returns the finalizer that releases before the project's move used.
pub fn legacy_finalizer(kind: &str, controller: &str) -> String {
    format!("metacontroller.app/{kind}-{controller}")
}

/// Returns the controller that a finalizer is of: its kind, in lower case, and its name.
pub fn finalizer_owner(finalizer: &str) -> Option<(&str, &str)> {
    let prefixes = ["metacontroller.io/", "metacontroller.app/"];
    let owner = prefixes.iter().find_map(|prefix| finalizer.strip_prefix(prefix))?;
    owner
        .split_once('-')
        .filter(|(kind, _)| ["compositecontroller", "decoratorcontroller"].contains(kind))
}

/// Reasons of events and conditions.
pub mod reasons {
    /// A controller could not start.
    pub const CREATE_ERROR: &str = "CreateError";
    /// A sync failed, or a controller's parent type cannot be synced.
    pub const SYNC_ERROR: &str = "SyncError";
    /// A controller begins to start.
    pub const STARTING: &str = "Starting";
    /// A controller runs.
    pub const STARTED: &str = "Started";
    /// A controller begins to stop.
    pub const STOPPING: &str = "Stopping";
    /// A controller no longer runs.
    pub const STOPPED: &str = "Stopped";
    /// The finalizer of a controller that was deleted was taken off a parent.
    pub const FINALIZER_REMOVED: &str = "FinalizerRemoved";
    /// A desired child was refused before it was sent.
    pub const INVALID_CHILD: &str = "InvalidChild";
    /// Two desired children have one name; the last wins.
    pub const DUPLICATE_CHILD: &str = "DuplicateChild";
    /// A desired child's type is not among the controller's rules.
    pub const UNDECLARED_CHILD: &str = "UndeclaredChild";
    /// A foreign object has the name of a desired child.
    pub const CHILD_CONFLICT: &str = "ChildConflict";
    /// The controller runs.
    pub const RUNNING: &str = "Running";
    /// The controller names no hooks.
    pub const HOOKS_MISSING: &str = "HooksMissing";
    /// A hook's fields are invalid.
    pub const HOOK_CONFIG_INVALID: &str = "HookConfigInvalid";
    /// A type is unknown to discovery.
    pub const RESOURCE_NOT_FOUND: &str = "ResourceNotFound";
    /// The objects of a type cannot be listed.
    pub const RESOURCE_UNREADABLE: &str = "ResourceUnreadable";
    /// The parent type has no status subresource.
    pub const STATUS_SUBRESOURCE_MISSING: &str = "StatusSubresourceMissing";
    /// The certificates or credentials of a hook cannot be read.
    pub const CREDENTIALS_UNRESOLVED: &str = "CredentialsUnresolved";
    /// The program of a hook does not run.
    pub const HOOKS_NOT_READY: &str = "HooksNotReady";
    /// All programs of a controller's hooks run.
    pub const HOOKS_LOADED: &str = "HooksLoaded";
    /// A hook's program is written in a way that cannot be.
    pub const INVALID_HOOK: &str = "InvalidHook";
    /// The text of a hook's program is not there.
    pub const PROGRAM_MISSING: &str = "ProgramMissing";
    /// The text of a hook's program does not load.
    pub const PROGRAM_INVALID: &str = "ProgramInvalid";
    /// A selector does not parse.
    pub const SELECTOR_INVALID: &str = "SelectorInvalid";
    /// A finalizer cannot be formed from the controller's name.
    pub const NAME_TOO_LONG: &str = "NameTooLong";
    /// The controller asks for something that this release does not have.
    pub const NOT_SUPPORTED: &str = "NotSupportedYet";
}

/// Types of conditions.
pub mod conditions {
    /// Whether a controller runs.
    pub const READY: &str = "Ready";
    /// Whether the programs of a controller's hooks run.
    pub const HOOKS_READY: &str = "HooksReady";
    /// Whether all children of a parent are in its latest version.
    pub const UPDATED: &str = "Updated";
}
