//! Running pods by something else than the simulated node.

use std::{
    fmt::{self, Debug},
    sync::Arc,
};

use futures::stream::BoxStream;
use serde_json::Value;

use crate::{Object, ObjectKey, Timestamp};

/// Runs the pods that are given to it. Nobody else writes their status.
pub trait Executor: Debug + Send + Sync + 'static {
    /// Starts a pod, once in its life. What becomes of it is told by [`Executor::outcomes`].
    fn start(&self, pod: Arc<Object>);

    /// Stops a pod that is being deleted; an outcome says when that is done.
    fn stop(&self, pod: Arc<Object>);

    /// Returns what becomes of all pods from now on.
    fn outcomes(&self) -> BoxStream<'static, Outcome>;

    /// Returns what a pod printed, or nothing if its output is not kept.
    fn log(&self, pod: &Object, run: LoggedRun) -> Option<PodLog> {
        let _ = (pod, run);
        None
    }
}

/// Which run of a pod's program a log is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggedRun {
    /// All of it up to now, and what it prints from now on.
    Latest,
    /// What was printed before the program was started again the last time.
    Previous,
}

/// What a pod printed.
pub struct PodLog {
    /// The lines that are kept, oldest first.
    pub kept: Vec<LogLine>,
    /// The lines after these; they end with the pod.
    pub coming: BoxStream<'static, LogLine>,
}

impl Debug for PodLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PodLog({} lines)", self.kept.len())
    }
}

/// A line that a pod printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was printed.
    pub time: Timestamp,
    /// The line, without its end.
    pub text: Arc<str>,
}

/// What became of a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The pod.
    pub pod: ObjectKey,
    /// The UID of the pod: another of its name is none of this one's business.
    pub uid: String,
    /// How it is now.
    pub state: PodState,
}

/// How a pod is.
#[derive(Clone, Debug, PartialEq)]
pub enum PodState {
    /// It has this status.
    Status(Value),
    /// It has stopped and may go.
    Stopped,
}
