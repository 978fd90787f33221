//! The commands people type: `dev` and what belongs to it.

pub mod cases;
pub mod control;
pub mod dev;
pub mod engine;
pub mod find;
pub mod function;
pub mod init;
pub mod install;
mod loader;
pub mod manifest;
pub mod programs;
pub mod reach;
pub mod render;
pub mod run;
pub mod server;
pub mod steer;
pub mod views;
mod watched;
