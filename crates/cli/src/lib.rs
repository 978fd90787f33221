//! The commands people type: `dev` and what belongs to it.

pub mod dev;
pub mod install;
mod loader;
pub mod manifest;
pub mod render;
pub mod server;
