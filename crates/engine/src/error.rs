//! Pure: why a sync failed, and what that means.

use std::time::Duration;

use api::HookError;
use runtime::{ApiError, DiscoveryError, ListError};
use thiserror::Error;

use crate::{
    answer::AnswerError, desired::LabelMismatch, related::RuleError, revision::RevisionError,
    selector::ChildSelectorError,
};

/// Why a sync failed.
#[derive(Debug, Error)]
pub(crate) enum SyncError {
    /// The parent does not say what its children are.
    #[error(transparent)]
    Selector(#[from] ChildSelectorError),
    /// The hook gave no answer.
    #[error("hook {hook}")]
    Hook {
        /// Which hook.
        hook: &'static str,
        /// What the transport said.
        source: HookError,
    },
    /// The hook's answer cannot be used.
    #[error("hook {hook}")]
    Answer {
        /// Which hook.
        hook: &'static str,
        /// What is wrong with it.
        source: AnswerError,
    },
    /// A child would not be found again.
    #[error(transparent)]
    Labels(#[from] LabelMismatch),
    /// A rule of the customize hook cannot be followed.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// The related objects of a type cannot be listed.
    #[error(transparent)]
    Related(ListError),
    /// The related objects of a type are not all known yet.
    #[error("related objects are being listed")]
    Filling,
    /// A type could not be looked up.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// The API server did not do what it was asked.
    #[error("failed to {action}")]
    Call {
        /// What it was asked to do.
        action: String,
        /// What it said.
        source: ApiError,
    },
    /// The versions of the parent cannot be told.
    #[error(transparent)]
    Versions(#[from] RevisionError),
    /// A version of the parent cannot be kept, because a foreign object has its name.
    #[error("ControllerRevision {0} exists and is another parent's, or says something else")]
    Revision(String),
    /// Somebody else changed a version of the parent meanwhile.
    #[error("a ControllerRevision changed meanwhile")]
    Outdated,
    /// Some children were not written; the others were.
    #[error("{}", .0.join("; "))]
    Children(Vec<String>),
}

/// How long a hook in this process that has too much to do is left alone.
const OVERLOADED: Duration = Duration::from_secs(1);

/// What is done about a failed sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// An event is written, and the parent is tried again with growing gaps.
    TellAndRetry,
    /// The hook named the time to try again.
    WaitFor(Duration),
    /// The parent is tried again with growing gaps, and nobody is told.
    Retry,
}

impl SyncError {
    /// Returns what is done about it.
    pub(crate) fn remedy(&self) -> Remedy {
        match self {
            Self::Answer { source: AnswerError::Throttled { after: Some(after) }, .. } => {
                Remedy::WaitFor(*after)
            }
            Self::Hook { source: HookError::Overloaded, .. } => Remedy::WaitFor(OVERLOADED),
            Self::Answer { source: AnswerError::Throttled { after: None }, .. }
            | Self::Filling
            | Self::Outdated => Remedy::Retry,
            Self::Selector(_)
            | Self::Hook { .. }
            | Self::Answer { .. }
            | Self::Labels(_)
            | Self::Rule(_)
            | Self::Related(_)
            | Self::Versions(_)
            | Self::Revision(_)
            | Self::Discovery(_)
            | Self::Call { .. }
            | Self::Children(_) => Remedy::TellAndRetry,
        }
    }
}

/// Returns what failed to be done, as an error.
pub(crate) fn call(action: impl Into<String>) -> impl FnOnce(ApiError) -> SyncError {
    move |source| SyncError::Call { action: action.into(), source }
}
