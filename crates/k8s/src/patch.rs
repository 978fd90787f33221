//! Pure: the two patches that need no schema.

mod json;
mod merge;

pub use json::{PatchError, json};
pub use merge::{difference, merge};
