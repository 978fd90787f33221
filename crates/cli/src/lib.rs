//! The commands people type: dev and its views.

pub mod manifest;
