//! Pure: what CustomResourceDefinitions say about the resources they add.

/// What is special about custom resources of one version.
#[derive(Debug)]
pub(crate) struct CustomVersion {}
