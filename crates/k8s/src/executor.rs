//! Running pods by something else than the simulated node.

use std::{fmt::Debug, sync::Arc};

use futures::stream::BoxStream;
use serde_json::Value;

use crate::{Object, ObjectKey};

/// Runs the pods that are given to it. Nobody else writes their status.
pub trait Executor: Debug + Send + Sync + 'static {
    /// Starts a pod, once in its life. What becomes of it is told by [`Executor::outcomes`].
    fn start(&self, pod: Arc<Object>);

    /// Stops a pod that is being deleted; an outcome says when that is done.
    fn stop(&self, pod: Arc<Object>);

    /// Returns what becomes of all pods from now on.
    fn outcomes(&self) -> BoxStream<'static, Outcome>;
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
